"""A file as FFmpeg is to see it: some of its bytes replaced by others, which need not be as many."""

from __future__ import annotations

from io import FileIO
from typing import NamedTuple
from weakref import finalize

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


class SplicedFile:
    """A file with a splice in it.

    Args:
        file: What it reads. One on disk is closed when nobody refers to this any more, as a container does.
        splice: The splice.
    """

    def __init__(self, file: FileIO | RangedFile, splice: Splice) -> None:
        self._file, self._splice, self._place = file, splice, 0
        self._more = len(splice.data) - (splice.end - splice.begin)
        self._size = file.seek(0, 2) + self._more
        if isinstance(file, FileIO):
            finalize(self, file.close)

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
