"""The videos of an index that are far away: what reading one needs of its file, and when it is asked for."""

from __future__ import annotations

import contextlib
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.pool import ThreadPool
from pathlib import Path
from threading import RLock

from av.container import InputContainer

from lit_video.index.columns import Columns
from lit_video.media.container import open_video
from lit_video.media.ranges import FarFile, Fetched, Fetcher, RangedFile
from lit_video.media.remote import Remote, is_remote
from lit_video.media.spliced import Splice

REMOTE_BYTES = 2**28
MOST_FILES = 2**14  # of which something is remembered
PART_BYTES, PARTS_AT_ONCE = 2**23, 8  # of a file that is fetched whole


class FarVideos:
    """What this process has in memory of an index's files that are far away.

    Args:
        columns: Of the index.
        num_bytes: Memory for it.
    """

    def __init__(self, columns: Columns, num_bytes: int = REMOTE_BYTES) -> None:
        self._columns, self._fetcher = columns, Fetcher(num_bytes)
        self._lock = RLock()
        self._files: OrderedDict[int, FarFile | None] = OrderedDict()

    def limit(self, num_bytes: int) -> None:
        """Have so much memory from now on."""
        self._fetcher.num_bytes = num_bytes

    def is_far(self, video_id: int) -> bool:
        """Tell whether a video is far away."""
        return self._file(video_id) is not None

    def expect(self, video_id: int, start: int) -> None:
        """Have in memory what decoding from frame index `start` needs, soon."""
        far = self._file(video_id)
        if far is None:
            return
        if not far.head and not far.head_is_due:
            far.head_is_due = True
            self._fetcher.soon(lambda: self._read_head(far, video_id))
        if places := self._columns.bytes_from(video_id, start):
            self._fetcher.expect(far, *places)

    @contextmanager
    def holding(self, video_id: int, start: int) -> Iterator[None]:
        """Have it in memory within the block.

        Raises:
            OSError: The file is gone, or another than the one that was indexed.
            RemoteError: The store cannot be reached, or lets nobody in.
        """
        far, places = self._file(video_id), self._columns.bytes_from(video_id, start)
        with nullcontext() if far is None or not places else self._fetcher.holding(far, *places):
            if far is not None:
                self._read_head(far, video_id)
            yield

    def open(self, video_id: int, splice: Splice | None = None) -> tuple[InputContainer, RangedFile]:
        """Return an open container, and the file that it reads; with what is to be put into it."""
        far = self._file(video_id)
        assert far is not None
        return self._open(far, splice)

    def copied(self, video_id: int) -> AbstractContextManager[Path]:
        """Give the path of a copy of a whole file, which is deleted when the block is left."""
        far = self._file(video_id)
        assert far is not None
        return copied(far, self._fetcher)

    @property
    def has_room(self) -> bool:
        """Whether there is memory for more than what is expected."""
        return self._fetcher.has_room

    def forget(self) -> None:
        """Let go of all that was expected, and will not be read any more."""
        self._fetcher.forget()

    def new(self) -> Fetched:
        """Return what was asked of stores since this was last called."""
        return self._fetcher.new()

    def _file(self, video_id: int) -> FarFile | None:
        with self._lock:
            if video_id not in self._files:
                self._files[video_id] = self._found(video_id)
                while len(self._files) > MOST_FILES:
                    self._files.popitem(last=False)
            self._files.move_to_end(video_id)
            return self._files[video_id]

    def _found(self, video_id: int) -> FarFile | None:
        path, c = self._columns.path(video_id), self._columns
        return (
            FarFile(Remote(path, int(c.size_bytes[video_id]), int(c.mtime_ns[video_id]))) if is_remote(path) else None
        )

    def _open(self, far: FarFile, splice: Splice | None) -> tuple[InputContainer, RangedFile]:
        with far.opening:  # one thread reads the head, for all
            file = RangedFile(far, self._fetcher)
            container = open_video(file, splice)
            head = file.take_blocks()
            self._fetcher.keep_head(far, [*far.head, *head])
            return container, file

    def _read_head(self, far: FarFile, video_id: int) -> None:
        with far.opening, contextlib.suppress(Exception):  # the read that needs it will tell
            if not far.head:
                self._open(far, self._columns.splice(video_id))[0].close()
            far.head_is_due = False


@contextmanager
def copied(far: FarFile, fetcher: Fetcher) -> Iterator[Path]:
    """Give the path of a copy of a whole file, which is deleted when the block is left.

    Raises:
        OSError, RemoteError: It cannot be fetched, or there is no room for it.
    """
    size = far.remote.size_bytes

    def get(begin: int) -> tuple[int, bytes]:
        return begin, fetcher.fetch(far, begin, min(size, begin + PART_BYTES))

    with tempfile.TemporaryDirectory(prefix="lit_video-") as folder, ThreadPool(PARTS_AT_ONCE) as pool:
        path = Path(folder) / "copy"
        with path.open("wb") as file:
            for begin, data in pool.imap(get, range(0, size, PART_BYTES)):
                file.seek(begin)
                file.write(data)
        yield path
