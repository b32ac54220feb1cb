"""What is known of files, kept by file and for every request alike, in files of lines that are only ever added to.

Each process that indexes writes a file of its own, a line for each video as soon as it is done. So nobody waits for
anybody, no file system need have locks, and a process that is killed loses what it was at and nothing else: a line that
is not whole is left out when it is read.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import av

from lit_video.index.digest import is_of_all_bytes
from lit_video.index.lines import Lines
from lit_video.index.records import line_of, packed, record_of, unpacked
from lit_video.index.scan import Entry

VERSION = 1  # of what a scan tells and how it is written; files of others are not looked at
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
        known: Lines of entries that are known instead of those there.

    Attributes:
        are_kept: Whether what is found out is on disk as soon as it is.
    """

    def __init__(self, folder: Path, are_kept: bool = True, known: Iterable[bytes] | None = None) -> None:
        self._lines, self.are_kept = Lines(folder / f"entries-{VERSION}"), are_kept
        self._lock = threading.Lock()
        self._seen: dict[File, str | Unusable] = {}  # content, or why there is none
        self._at: defaultdict[str, set[str]] = defaultdict(set)  # contents that were at a path
        self._of_size: defaultdict[int, set[str]] = defaultdict(set)  # contents of files of a size
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}  # by content, and libavcodec where that matters
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
        return len(self._rows)

    def is_known(self, file: File, found_with: Callable[[str], str]) -> bool:
        """Tell whether `seen` knows a file, and why it is unusable, if it is, still holds."""
        found = self._seen.get(file)
        if isinstance(found, Unusable):
            return found.found_with == found_with(file.path)
        return found is not None and self._row(found) is not None

    def about(self, file: File) -> tuple[bytes, ...]:
        """Return what is known of a file of which only the bytes can tell if it is this one, as lines for `known`."""
        alike = self._of_size.get(file.size_bytes, set())
        contents = {*self._at.get(file.path, ()), *(alike if len(alike) <= MOST_ALIKE else ())}
        found = [(content, row) for content in sorted(contents) if (row := self._row(content)) is not None]
        # As at this path, where it was; else at none.
        nowhere = File("", file.size_bytes, -1)._asdict()
        return tuple(
            line_of(
                nowhere
                | {"path": file.path if content in self._at.get(file.path, ()) else ""}
                | {"content": content, "libavcodec": libavcodec(), "entry": row}
            )
            for content, row in found
        )

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
        found = next((other for other in contents if self._row(other) is not None), None)
        if found is None:
            return None
        self._keep({**file._asdict(), "content": found})
        return self._entry(found)

    def keep(self, file: File, entry: Entry) -> None:
        """Keep the entry of a file that was scanned."""
        made = {"libavcodec": libavcodec(), "entry": packed(entry)}
        self._keep({**file._asdict(), "content": content_of(file, entry.digest), **made})

    def keep_reason(self, file: File, why: Unusable) -> None:
        """Keep why a file is unusable."""
        self._keep({**file._asdict(), **why._asdict()})

    def close(self) -> None:
        """Write no more, and make one file of many."""
        self._lines.close()
        if self.are_kept:
            self._lines.gather()

    def _entry(self, content: str) -> Entry | None:
        row = self._row(content)
        return None if row is None else unpacked(row, bytes.fromhex(content.partition("-")[0]))

    def _row(self, content: str) -> dict[str, Any] | None:
        return self._rows.get((content, "")) or self._rows.get((content, libavcodec()))

    def _note(self, record: dict[str, Any]) -> None:
        file = File(record["path"], record["size_bytes"], record["mtime_ns"])
        if "reason" in record:
            self._seen[file] = Unusable(record["reason"], record["found_with"])
            return
        content = record["content"]
        self._seen[file] = content
        self._at[file.path].add(content)
        self._of_size[file.size_bytes].add(content)
        if "entry" in record:
            decoded_by = "" if record["entry"]["made"] == "exact" else record["libavcodec"]
            self._rows[content, decoded_by] = record["entry"]

    def _keep(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._note(record)
            if self.are_kept:
                # With a full disk the index goes on, and tells of it later.
                self.are_kept = self._lines.add(line_of(record))


def content_of(file: File, digest: bytes) -> str:
    """Return what an entry goes by."""
    return digest.hex() if is_of_all_bytes(file.size_bytes) else f"{digest.hex()}-{file.mtime_ns}"
