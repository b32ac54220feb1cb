"""A file as FFmpeg is to see it: some of its bytes replaced by others, which need not be as many."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from lit_video.media.ranges import RangedFile


class Splice(NamedTuple):
    """Bytes in the place of a file's own.

    Attributes:
        begin: First byte of the file that is not seen.
        end: First byte behind those; `begin` where nothing is taken away.
        data: What is seen in their place.
    """

    begin: int
    end: int
    data: bytes


class LocalFile:
    """A file on disk, which is closed when nobody refers to it any more: a container is closed before it is let go of.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path | str) -> None:
        self._handle, self._place = -1, 0
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._handle).st_size

    def __del__(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)

    def read(self, count: int) -> bytes:
        """Return the next bytes."""
        data = os.pread(self._handle, count, self._place)
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place


class SplicedFile:
    """A file with a splice in it.

    Args:
        file: What it reads.
        splice: The splice.
    """

    def __init__(self, file: LocalFile | RangedFile, splice: Splice) -> None:
        self._file, self._splice, self._place = file, splice, 0
        self._more = len(splice.data) - (splice.end - splice.begin)
        self._size = file.seek(0, 2) + self._more

    def read(self, count: int) -> bytes:
        """Return the next bytes."""
        begin, _, inserted = self._splice
        within = self._place - begin
        if within < 0:
            data = self._at(self._place, min(count, -within))
        elif within < len(inserted):
            data = inserted[within : within + count]
        else:
            data = self._at(self._place - self._more, count)
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def _at(self, place: int, count: int) -> bytes:
        self._file.seek(place)
        return self._file.read(count)
