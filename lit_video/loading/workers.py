"""Where reads are decoded: on threads of this process, or in processes with threads of their own.

What decodes is given reads with slots to fill and answers with the number of each read that is done; which thread or
process took it, and in what order, makes no difference to anybody.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lit_video.decoders.base import Decoder
from lit_video.index.far_videos import FarVideos
from lit_video.loading.tiers import Done, FetchJob, Job, Tiers
from lit_video.planning.reads import GopRead


@runtime_checkable
class Workers(Protocol):
    """What runs jobs."""

    def submit(self, job: Job | FetchJob) -> None:
        """Have a job done. Jobs are begun in the order in which they are submitted."""
        ...

    def expect(self, read: GopRead) -> None:
        """Have asked for what a read needs of a file far away, that will be submitted later."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether there is memory for what more reads need."""
        ...

    def wait(self) -> Done | None:
        """Return the next job that ended; None once `interrupt` was called.

        Raises:
            WorkerError: A worker died.
        """
        ...

    def check(self) -> None:
        """Find out whether a worker died, even if nothing is asked of it now. May be called from any thread.

        Raises:
            WorkerError: One did.
        """
        ...

    def interrupt(self) -> None:
        """Begin no further job, and let whoever waits go. May be called from any thread."""
        ...

    def stop(self, timeout_seconds: float) -> bool:
        """Tell whether nobody writes into slots any more within the time. Nobody may submit or wait any more."""
        ...


class ThreadWorkers:
    """Decodes on threads of this process: PyAV releases the interpreter's lock, and nothing is pickled or copied.

    Args:
        decoders: One for each thread. They are not closed here.
        tiers: Where the frames go.
        far: What there is in memory of files far away; told of each read as soon as it is submitted.
    """

    def __init__(self, decoders: Sequence[Decoder], tiers: Tiers, far: FarVideos | None = None) -> None:
        self._tiers, self._far = tiers, far
        self._expected: Counter[tuple[int, int]] = Counter()  # reads, before they were submitted
        self._todo: queue.SimpleQueue[Job | FetchJob | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        # Daemons: a program that ends while a long read is under way does not wait for it.
        self._threads = [
            threading.Thread(target=self._work, args=(decoder,), name=f"lit_video-decode-{number}", daemon=True)
            for number, decoder in enumerate(decoders)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job | FetchJob) -> None:
        """Have a job done."""
        if self._far is not None and isinstance(job, Job):
            if self._expected[job.read.video_id, job.read.start]:
                self._expected[job.read.video_id, job.read.start] -= 1
            else:
                self._far.expect(job.read.video_id, job.read.start)
        self._todo.put(job)

    def expect(self, read: GopRead) -> None:
        """Have asked for what a read needs of a file far away, that will be submitted later."""
        if self._far is not None:
            self._expected[read.video_id, read.start] += 1
            self._far.expect(read.video_id, read.start)

    @property
    def has_room(self) -> bool:
        """Whether there is memory for what more reads need."""
        return self._far is not None and self._far.has_room

    def wait(self) -> Done | None:
        """Return the next job that ended; None once `interrupt` was called."""
        return None if self._stopped.is_set() else self._done.get()

    def check(self) -> None:
        """Do nothing: threads do not die."""

    def interrupt(self) -> None:
        """Begin no further job, and let whoever waits go."""
        self._stopped.set()
        self._done.put(None)
        for _ in self._threads:
            self._todo.put(None)

    def stop(self, timeout_seconds: float) -> bool:
        """Tell whether all threads ended within the time."""
        has_ended = join(self._threads, timeout_seconds)
        if self._far is not None:
            self._far.forget()
        return has_ended

    def _work(self, decoder: Decoder) -> None:
        while (job := self._todo.get()) is not None and not self._stopped.is_set():
            done = self._tiers.do(job, decoder)
            self._done.put(done if self._far is None else done._replace(fetched=self._far.new()))


def join(threads: Sequence[threading.Thread], timeout_seconds: float) -> bool:
    """Wait for threads other than this one, all together at most `timeout_seconds`; tell whether all have ended."""
    deadline = time.monotonic() + timeout_seconds
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
