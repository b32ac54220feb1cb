"""What is known of files, kept by file and for every request alike, in files of lines that are only ever added to.

Each process that indexes writes a file of its own, a line for each video as soon as it is done. So nobody waits for
anybody, no file system need have locks, and a process that is killed loses what it was at and nothing else: a line that
is not whole is left out when it is read.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import av

from lit_video.index.container_table import is_enough
from lit_video.index.digest import is_of_all_bytes
from lit_video.index.records import Record, codec_of, line_of, packed, record_of, unpacked
from lit_video.index.scan import Entry

VERSION = 2  # of what a scan tells and how it is written; files of others are not looked at
MOST_FILES = 32  # more that nobody writes to any more are made one
IDLE_SECONDS = 2 * 86400.0  # after which nobody writes to a file any more


def libavcodec() -> str:
    """Return the version of the library that decodes."""
    return ".".join(map(str, av.library_versions["libavcodec"]))


class File(NamedTuple):
    """A file as the system tells of it: as long as nothing here changes, it is taken for the same.

    Attributes:
        path: Of the file.
        size_bytes: Of the file, -1 where it is not there.
        mtime_ns: Its time of change, likewise.
    """

    path: str
    size_bytes: int
    mtime_ns: int


class Unusable(NamedTuple):
    """That there is nothing to decode in a file.

    Attributes:
        reason: In words.
        found_with: What else that may depend on: who may read the file, and what FFmpeg can decode.
    """

    reason: str
    found_with: str


class Entries:
    """The entries in a folder, and those of this process.

    An entry goes by its content: the digest, and in a file too large for the digest to be of all bytes the time of
    change too. Entries that were made by decoding hold for the libavcodec that decoded.

    Args:
        folder: Where they are. It need not be there.
        are_kept: Add to them there.
        scan: As `scan_file` takes it: entries of less than that asks for are passed over.

    Attributes:
        are_kept: Whether what is found out is on disk as soon as it is.
    """

    def __init__(self, folder: Path, are_kept: bool = True, scan: str = "packets") -> None:
        self._scan = scan
        self._folder, self.are_kept = folder / f"entries-{VERSION}", are_kept
        self._lock = threading.Lock()
        self._writes: FileIO | None = None
        self._seen: dict[File, str | Unusable] = {}  # content, or why there is none
        self._at: dict[str, tuple[str, ...]] = {}  # contents that were at a path
        self._entries: dict[
            tuple[str, str], bytes
        ] = {}  # packed, by content and, where that matters, its maker
        for line in self._lines():
            if record := record_of(line):
                self._note(record)

    def seen(self, file: File) -> Entry | Unusable | None:
        """Return what is known of a file that did not change since, without looking at it."""
        found = self._seen.get(file)
        return found if found is None or isinstance(found, Unusable) else self._entry(found)

    def known(self, file: File, digest: bytes) -> Entry | None:
        """Return the entry of a file with these bytes, wherever it was; of one too large for that, see `Entries`.

        Of a large one the digest is believed if the time of change is the same too, as after a move, or the path, as
        after a `touch`.
        """
        content = content_of(file, digest)
        contents = [content, *(other for other in self._at.get(file.path, ()) if other.startswith(digest.hex()))]
        found = next((other for other in contents if self._packed(other) is not None), None)
        if found is None:
            return None
        self._keep(Record({**file._asdict(), "content": found}))
        return self._entry(found)

    def keep(self, file: File, entry: Entry) -> None:
        """Keep the entry of a file that was scanned."""
        made_by = {"exact": "", "table": "table"}.get(entry.made, libavcodec())
        head = {**file._asdict(), "content": content_of(file, entry.digest), "made_by": made_by}
        self._keep(Record(head, packed(entry)))

    def keep_reason(self, file: File, why: Unusable) -> None:
        """Keep why a file is unusable."""
        self._keep(Record(file._asdict() | why._asdict()))

    def close(self) -> None:
        """Write no more, and make one file of many."""
        if self._writes is not None:
            self._writes.close()
        if self.are_kept:
            with contextlib.suppress(OSError):  # not needed, and another may be at it
                _gather(self._folder)

    def _entry(self, content: str) -> Entry | None:
        text = self._packed(content)
        return None if text is None else unpacked(text, bytes.fromhex(content.partition("-")[0]))

    def _packed(self, content: str) -> bytes | None:
        found = self._entries.get((content, "")) or self._entries.get((content, libavcodec()))
        told = self._entries.get((content, "table"))
        return found or (told if told is not None and is_enough(codec_of(told), self._scan) else None)

    def _note(self, record: Record) -> None:
        head = record.head
        file = File(head["path"], head["size_bytes"], head["mtime_ns"])
        if "reason" in head:
            self._seen[file] = Unusable(head["reason"], head["found_with"])
            return
        content = head["content"]
        self._seen[file] = content
        self._at[file.path] = *self._at.get(file.path, ()), content
        if record.entry:
            self._entries[content, head["made_by"]] = record.entry

    def _keep(self, record: Record) -> None:
        with self._lock:
            self._note(record)
            if self.are_kept:
                self.are_kept = self._write(line_of(record))

    def _write(self, line: bytes) -> bool:
        """Add a line, and tell whether that went well: with a full disk the index goes on, and tells of it later."""
        try:
            if self._writes is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._writes = _new_file(self._folder)
            return self._writes.write(line) == len(line)
        except OSError:
            return False

    def _lines(self) -> Iterator[bytes]:
        for path in sorted(self._folder.glob("*.jsonl")):
            with contextlib.suppress(OSError), path.open("rb") as file:  # another may just have gathered it
                yield from file


def content_of(file: File, digest: bytes) -> str:
    """Return what an entry goes by."""
    return digest.hex() if is_of_all_bytes(file.size_bytes) else f"{digest.hex()}-{file.mtime_ns}"


def _new_file(folder: Path) -> FileIO:
    # By time, so that what is known last is read last.
    return FileIO(folder / f"{time.time_ns():x}-{uuid.uuid4().hex}.jsonl", "xb")


def _gather(folder: Path) -> None:
    """Make one file of those that nobody writes to any more, if they are many."""
    before = time.time() - IDLE_SECONDS
    idle = [path for path in sorted(folder.glob("*.jsonl")) if path.stat().st_mtime < before]
    if len(idle) <= MOST_FILES:
        return
    gathered = folder / f"{idle[-1].stem.partition('-')[0]}-{uuid.uuid4().hex}.part"
    gathered.write_bytes(
        b"".join(line for path in idle for line in path.read_bytes().splitlines(True) if record_of(line))
    )
    gathered.replace(gathered.with_suffix(".jsonl"))
    for path in idle:
        path.unlink(missing_ok=True)
