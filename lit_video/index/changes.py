"""Files that change in the middle of a run: by their time of change alone, or in truth."""

from __future__ import annotations

import os
import threading
import warnings

from lit_video.index.columns import Columns
from lit_video.index.digest import UNKNOWN, digest_of
from lit_video.media.remote import is_remote

MOST_LOOKS = 3  # at a file whose time of change moves while its bytes are looked at


class NewTimes:
    """The times of change that files got since they were indexed, though their bytes stayed.

    Network drives, `touch`, and copies put in a file's place move it. One instance is for one process.

    Args:
        columns: Of the index.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._lock = threading.Lock()
        self._times: dict[int, int] = {}
        self._told = False

    def is_unchanged(self, video_id: int) -> bool:
        """Tell whether a video's file is the one that was indexed: by size and time of change, or else by its bytes.

        Raises:
            OSError: It is gone, or cannot be read.
        """
        path = self._columns.path(video_id)
        if is_remote(path):  # each answer of its store tells its version
            return True
        found = _stands(path)
        size, time = int(self._columns.size_bytes[video_id]), int(self._columns.mtime_ns[video_id])
        if found[0] != size:
            return False
        if found[1] == self._times.get(video_id, time):
            return True
        with self._lock:  # of many threads that notice it at once, one reads the file
            return found[1] == self._times.get(video_id) or self._has_same_bytes(video_id, path, found)

    def _has_same_bytes(self, video_id: int, path: str, found: tuple[int, int]) -> bool:
        indexed = self._columns.digest[video_id].tobytes()
        if indexed == UNKNOWN:
            return False
        for _ in range(MOST_LOOKS):
            if digest_of(path, found[0]) != indexed:
                return False
            before, found = found, _stands(path)
            if found == before:
                self._times[video_id] = found[1]
                self._tell(path)
                return True
        return False

    def _tell(self, path: str) -> None:
        if not self._told:
            self._told = True
            warnings.warn(
                f"{path}: its time of change is another than when it was indexed, and its bytes are the same. The run"
                " goes on, and does not tell this of other files.",
                stacklevel=2,
            )


def _stands(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns
