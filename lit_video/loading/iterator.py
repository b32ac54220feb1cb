"""One pass over what is left of an epoch."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator

from lit_video.loading.epoch import Batch, EpochRun


class BatchIterator(Iterator[Batch]):
    """What is left of an epoch. Threads start at the first batch, and end with the iterator.

    Args:
        start: Starts what is left of the epoch.
        take: Returns the next batch of a run, which was asked for at a time of `time.perf_counter`.
    """

    def __init__(self, start: Callable[[], EpochRun], take: Callable[[EpochRun, float], Batch]) -> None:
        self._start, self._take = start, take
        self._run: EpochRun | None = None

    def __next__(self) -> Batch:
        began = time.perf_counter()
        if self._run is None:
            self._run = self._start()
            # Threads know the run but not this iterator: when nobody holds it any more, they end.
            self._end = weakref.finalize(self, self._run.stop)
        try:
            if not self._run.batches_left:
                raise StopIteration
            batch = self._take(self._run, began)
        except BaseException:
            self._end()
            raise
        if not self._run.batches_left:
            self._end()  # Lightning does not ask again after the last batch
        return batch
