"""What is known of files, kept by file and for every request alike, in files of lines that are only ever added to.

Each process that indexes writes a file of its own, a line for each video as soon as it is done. So nobody waits for
anybody, no file system need have locks, and a process that is killed loses what it was at and nothing else: a line that
is not whole is left out when it is read.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import av

from lit_video.index.container_table import is_enough
from lit_video.index.digest import is_of_all_bytes
from lit_video.index.lines import Lines
from lit_video.index.records import Record, codec_of, line_of, packed, record_of, unpacked
from lit_video.index.scan import Entry

VERSION = 3  # of what a scan tells and how it is written; files of others are not looked at
MOST_ALIKE = 8  # contents of one size that a worker is told of: of more it finds out itself


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
        known: Lines of entries that are known instead of those there.

    Attributes:
        are_kept: Whether what is found out is on disk as soon as it is.
        refused: What the system said where it is no more; None: nothing.
        folder: As given.
        scan: As given.
    """

    def __init__(
        self, folder: Path, are_kept: bool = True, scan: str = "packets", known: Iterable[bytes] | None = None
    ) -> None:
        self.folder, self.scan = folder, scan
        self._lines, self.are_kept = Lines(folder / f"entries-{VERSION}"), are_kept
        self.refused: OSError | None = None
        self._lock = threading.Lock()
        self._seen: dict[File, str | Unusable] = {}  # content, or why there is none
        self._at: dict[str, tuple[str, ...]] = {}  # contents that were at a path
        # By what a file with another time of change would go by, the content that it was taken for; empty: for several.
        self._taken_for: dict[str, str] = {}
        self._entries: dict[tuple[str, str], bytes] = {}  # packed, by content and, where that matters, what made it
        self.note(self._lines.new() if known is None else known)

    def refresh(self) -> None:
        """Read what others added meanwhile."""
        with self._lock:
            self.note(self._lines.new())

    def note(self, lines: Iterable[bytes]) -> None:
        """Know what is in these lines too."""
        for line in lines:
            if record := record_of(line):
                self._note(record)

    @property
    def num_contents(self) -> int:
        """Number of different contents that are known."""
        return len(self._entries)

    def is_known(self, file: File, found_with: Callable[[str], str]) -> bool:
        """Tell whether `seen` knows a file, and why it is unusable, if it is, still holds."""
        found = self._seen.get(file)
        if isinstance(found, Unusable):
            return found.found_with == found_with(file.path)
        return found is not None and self._packed(found) is not None

    def about(self, file: File) -> tuple[bytes, ...]:
        """Return what is known of a file of which only the bytes can tell if it is this one, as lines for `known`."""
        alike, here = self._of_size.get(file.size_bytes, set()), self._at.get(file.path, ())
        contents = sorted({*here, *(alike if len(alike) <= MOST_ALIKE else ())})
        lines = list[bytes]()
        for content in contents:
            if (found := self._packed(content)) is not None:
                was_taken = self._taken_for.get(_at_time(content, file.mtime_ns)) == content
                path, time = file.path if content in here else "", file.mtime_ns if was_taken else -1  # or none
                there = File(path, file.size_bytes, time)
                lines.append(line_of(Record({**there._asdict(), "content": content, "made_by": found[0]}, found[1])))
        return tuple(lines)

    @cached_property
    def _of_size(self) -> dict[int, set[str]]:
        """Contents of files of a size, as far as they were known when this was first asked for."""
        found: defaultdict[int, set[str]] = defaultdict(set)
        for file, content in self._seen.items():
            if isinstance(content, str):
                found[file.size_bytes].add(content)
        return found

    def seen(self, file: File) -> Entry | Unusable | None:
        """Return what is known of a file that did not change since, without looking at it."""
        found = self._seen.get(file)
        return found if found is None or isinstance(found, Unusable) else self._entry(found)

    def known(self, file: File, digest: bytes) -> Entry | None:
        """Return the entry of a file with these bytes, wherever it was; of one too large for that, see `Entries`.

        Of a large one the digest is believed if the time of change is the same too, as after a move, or the path, as
        after a `touch`; and then that time wherever the file is, as after a move after a `touch`.
        """
        content = content_of(file, digest)
        here = [other for other in self._at.get(file.path, ()) if other.startswith(digest.hex())]
        contents = [content, *here, self._taken_for.get(content, "")]
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
        self._lines.close()
        if self.are_kept:
            self._lines.gather()

    def _entry(self, content: str) -> Entry | None:
        found = self._packed(content)
        return None if found is None else unpacked(found[1], bytes.fromhex(content.partition("-")[0]))

    def _packed(self, content: str) -> tuple[str, bytes] | None:
        """Return what made the best entry of a content that is enough, and the entry."""
        for made_by in ("", libavcodec(), "table"):
            text = self._entries.get((content, made_by))
            if text is not None and (made_by != "table" or is_enough(codec_of(text), self.scan)):
                return made_by, text
        return None

    def _note(self, record: Record) -> None:
        head = record.head
        file = File(head["path"], head["size_bytes"], head["mtime_ns"])
        if "reason" in head:
            self._seen[file] = Unusable(head["reason"], head["found_with"])
            return
        content = head["content"]
        self._seen[file] = content
        self._at[file.path] = *self._at.get(file.path, ()), content
        if (other := _at_time(content, file.mtime_ns)) != content:
            self._taken_for[other] = content if self._taken_for.get(other, content) == content else ""
        if record.entry:
            self._entries[content, head["made_by"]] = record.entry

    def _keep(self, record: Record) -> None:
        with self._lock:
            self._note(record)
            if self.are_kept:
                # With a full disk the index goes on, and tells of it later.
                self.refused = self._lines.add(line_of(record))
                self.are_kept = self.refused is None


def content_of(file: File, digest: bytes) -> str:
    """Return what an entry goes by."""
    return digest.hex() if is_of_all_bytes(file.size_bytes) else f"{digest.hex()}-{file.mtime_ns}"


def _at_time(content: str, mtime_ns: int) -> str:
    """Return what a file with the digest of a content goes by at this time of change."""
    digest, dash, _ = content.partition("-")
    return f"{digest}-{mtime_ns}" if dash else content
