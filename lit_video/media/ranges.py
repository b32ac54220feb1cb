"""Bytes of files far away, in memory before they are needed: asked for early, a few at a time, and let go of.

A decoder is given a file that reads from memory, so that no request is made while FFmpeg waits for it::

    expect(begin, end)  ->  queue  ->  threads, each with one request  ->  span  ->  holding(begin, end): RangedFile
"""

from __future__ import annotations

import sys
import threading
from bisect import bisect_right
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from operator import itemgetter
from threading import Semaphore
from typing import NamedTuple

from lit_video.media.remote import Remote, fetch

MOST_REQUESTS = 32  # under way at a time, in each process
IDLE_SECONDS = 5.0  # after which a thread that has nothing to ask for ends

NEAR_BYTES = 2**16  # so much too many is asked for where that saves a request
MOST_BYTES = 2**23  # of a request

# What was not expected is asked for in blocks, larger ones where a file is read on.
BLOCKS = (2**16, 2**16, 2**17, 2**18, 2**19, 2**20)
MOST_BLOCKS = 16  # of these are kept, once a file is open
ZEROS = bytes(2**20)
HEADS_SHARE = 1 / 4  # of the memory for bytes is for heads of files: what is read when they are opened


class Fetched(NamedTuple):
    """What was asked of stores."""

    requests: int = 0
    num_bytes: int = 0


NOTHING = Fetched()


class Span:
    """Bytes `[begin, end)` of a file, in memory once they came.

    Attributes:
        users: How many will use them, or do.
        data: They, once `ready` is set; or `error`, why not.
        has_begun: They are asked for, or were.
        is_urgent: Somebody waits.
    """

    def __init__(self, far: FarFile, begin: int, end: int) -> None:
        self.far, self.begin, self.end = far, begin, end
        self.users, self.data, self.ready = 0, b"", threading.Event()
        self.error: BaseException | None = None
        self.has_begun = self.is_urgent = False

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.begin


class FarFile:
    """What is in memory of a file far away, for all threads of this process.

    Attributes:
        remote: The file.
        head: What opening it reads: places and bytes.
        head_is_due: Somebody was told to read it.
        spans: What reads asked for, and did not let go of.
        opening: Held by the thread that reads the head.
    """

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.head: Sequence[tuple[int, bytes]] = ()
        self.head_is_due = False
        self.spans: list[Span] = []
        self.opening = threading.RLock()

    def at(self, place: int) -> memoryview | None:
        """Return what is in memory from a place on, or None."""
        spans = [(span.begin, span.data) for span in tuple(self.spans)]
        return next((view for begin, data in (*self.head, *spans) if (view := _from(begin, data, place))), None)


def _from(begin: int, data: bytes, place: int) -> memoryview | None:
    return memoryview(data)[place - begin :] if begin <= place < begin + len(data) else None


class Fetcher:
    """Asks for bytes in the order in which they are expected, as many at a time as there are threads and memory.

    Args:
        num_bytes: Memory for bytes that wait to be used, for those under way, and for heads of files.
        most_requests: Under way at a time.

    Attributes:
        num_bytes: As given, and may be set.
    """

    def __init__(self, num_bytes: int, most_requests: int = MOST_REQUESTS) -> None:
        self.num_bytes, self._most_requests = num_bytes, most_requests
        self._changed = threading.Condition()
        self._queue: deque[Span | Callable[[], object]] = deque()
        self._expected: defaultdict[tuple[FarFile, int, int], list[Span]] = defaultdict(list)
        self._held = self._waiting = self._num_threads = self._num_idle = 0  # bytes that came or are under way, or wait
        self._heads: OrderedDict[FarFile, int] = OrderedDict()
        self._told = self._total = Fetched()

    def expect(self, far: FarFile, begin: int, end: int) -> None:
        """Have the bytes `[begin, end)` in memory when they are asked for by `holding`."""
        with self._changed:
            self._expected[far, begin, end].append(self._ask(far, begin, end))

    @property
    def has_room(self) -> bool:
        """Whether all that is expected fits the memory, and more does."""
        return self._waiting + self._held < self.num_bytes

    def soon(self, work: Callable[[], object]) -> None:
        """Have something done by one of the threads, in its turn."""
        with self._changed:
            self._queue.append(work)
            self._wake()

    @contextmanager
    def holding(self, far: FarFile, begin: int, end: int) -> Iterator[None]:
        """Have bytes in memory within the block; wait for them before it.

        Raises:
            OSError, RemoteError: They cannot be had.
        """
        with self._changed:
            expected = self._expected[far, begin, end]
            span = expected.pop(0) if expected else self._ask(far, begin, end)
            if not expected:
                del self._expected[far, begin, end]
            self._hurry(span)
        try:
            span.ready.wait()
            if span.error is not None:
                raise span.error
            yield
        finally:
            with self._changed:
                self._let_go_of(span)

    def fetch(self, far: FarFile, begin: int, end: int) -> bytes:
        """Return bytes, asked for now.

        Raises:
            OSError, RemoteError: They cannot be had.
        """
        data = fetch(far.remote, begin, end)
        with self._changed:
            self._total = Fetched(self._total.requests + 1, self._total.num_bytes + len(data))
        return data

    def forget(self) -> None:
        """Let go of all that was expected, and will not be asked for any more."""
        with self._changed:
            for spans in self._expected.values():
                for span in spans:
                    self._let_go_of(span)
            self._expected.clear()

    def new(self) -> Fetched:
        """Return what was asked for since this was last called."""
        with self._changed:
            before, self._told = self._told, self._total
            return Fetched(self._told.requests - before.requests, self._told.num_bytes - before.num_bytes)

    def keep_head(self, far: FarFile, head: Sequence[tuple[int, bytes]]) -> None:
        """Keep what opening a file reads, and let go of the heads of those that were not opened for longest."""
        with self._changed:
            far.head = head
            self._heads[far] = sum(len(data) for _, data in head)
            self._heads.move_to_end(far)
            while sum(self._heads.values()) > HEADS_SHARE * self.num_bytes and len(self._heads) > 1:
                self._heads.popitem(last=False)[0].head = ()

    # All below is called with the lock held, but for what the threads do.

    def _ask(self, far: FarFile, begin: int, end: int) -> Span:
        """Return a span of these bytes, one more user of it: one that was asked for already, or is about to be."""
        span = next((span for span in far.spans if span.begin <= begin and end <= span.end), None)
        span = span or next((span for span in far.spans if _can_grow(span, begin, end)), None)
        if span is None:
            span = Span(far, begin, end)
            far.spans.append(span)
            self._queue.append(span)
            self._waiting += span.size
            self._wake()
        if not span.has_begun:
            before = span.size
            span.begin, span.end = min(span.begin, begin), max(span.end, end)
            self._waiting += span.size - before
        span.users += 1
        return span

    def _hurry(self, span: Span) -> None:
        """Have a span that somebody waits for asked for before all others, whatever memory there is."""
        if not span.has_begun and not span.is_urgent:
            span.is_urgent = True
            self._queue.remove(span)
            self._queue.appendleft(span)
            self._wake()

    def _let_go_of(self, span: Span) -> None:
        span.users -= 1
        if span.users:
            return
        span.far.spans.remove(span)
        if not span.has_begun:
            self._queue.remove(span)
            self._waiting -= span.size
        elif span.ready.is_set():  # else the thread that is at it does so
            self._held -= span.size
        self._changed.notify()

    def _wake(self) -> None:
        if self._num_idle:
            self._changed.notify()
        elif self._num_threads < self._most_requests:
            self._num_threads += 1
            # A daemon: a program that ends does not wait for a store.
            threading.Thread(target=self._work, name="lit_video-fetch", daemon=True).start()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            if isinstance(task, Span):
                self._fill(task)
            else:
                task()

    def _next(self) -> Span | Callable[[], object] | None:
        with self._changed:
            while not self._queue or not self._may_begin(self._queue[0]):
                self._num_idle += 1
                woken = self._changed.wait(IDLE_SECONDS)
                self._num_idle -= 1
                if not woken and not self._queue:
                    self._num_threads -= 1
                    return None
            task = self._queue.popleft()
            if isinstance(task, Span):
                task.has_begun = True
                self._waiting -= task.size
                self._held += task.size
            if self._queue:
                self._wake()
            return task

    def _may_begin(self, task: Span | Callable[[], object]) -> bool:
        is_span = isinstance(task, Span)
        return not is_span or task.is_urgent or not self._held or self._held + task.size <= self.num_bytes

    def _fill(self, span: Span) -> None:
        try:
            span.data = self.fetch(span.far, span.begin, span.end)
        except BaseException as error:  # whoever waits for it raises it
            span.error = error
        with self._changed:
            span.ready.set()
            if not span.users:
                self._held -= span.size
                self._changed.notify()


def _can_grow(span: Span, begin: int, end: int) -> bool:
    gap, size = max(begin - span.end, span.begin - end), max(end, span.end) - min(begin, span.begin)
    return not span.has_begun and gap <= NEAR_BYTES and size <= MOST_BYTES


@contextmanager
def left(core: Semaphore) -> Iterator[None]:
    """Let others have a core, of which this thread holds one, within the block."""
    core.release()
    try:
        yield
    finally:
        core.acquire()


class RangedFile:
    """A file for FFmpeg to read: from memory, and where nothing is there, from afar, block by block.

    Args:
        far: The file.
        fetcher: Asks for blocks.
        core: Held by this thread, and not while it waits for a block.

    Attributes:
        error: What a request failed with: FFmpeg takes that for the end of the file.
    """

    def __init__(self, far: FarFile, fetcher: Fetcher, core: Semaphore | None = None) -> None:
        self._far, self._fetcher, self._core = far, fetcher, core
        self._place = 0
        self._blocks: list[tuple[int, bytes]] = []
        self._is_opening = True
        self._run = 0  # blocks one behind the other
        self._blank: tuple[list[int], list[int]] = [], []  # begins and ends
        self.error: BaseException | None = None

    def read(self, count: int) -> bytes:
        """Return the next bytes: one at least, unless the file is over."""
        count = min(count, self._far.remote.size_bytes - self._place)
        if count <= 0:
            return b""
        before, until = self._until_blank()
        data = ZEROS[: min(count, before)] if before else self._bytes(min(count, until), until)
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place: as of the beginning, of where one is, or of the end."""
        self._place = offset + (0, self._place, self._far.remote.size_bytes)[whence]
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def leave_out(self, places: Iterable[tuple[int, int]]) -> None:
        """Give zeros for bytes, begin and end of each stretch, without asking for them."""
        begins, ends = list[int](), list[int]()
        for begin, end in sorted(places):
            if ends and begin <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                begins.append(begin)
                ends.append(end)
        self._blank = begins, ends

    def take_blocks(self) -> list[tuple[int, bytes]]:
        """Return the blocks that were read so far, joined and ascending, and keep them no longer."""
        blocks, joined = sorted(self._blocks, key=itemgetter(0)), list[tuple[int, bytes]]()
        for begin, data in blocks:
            if joined and joined[-1][0] + len(joined[-1][1]) == begin:
                joined[-1] = joined[-1][0], joined[-1][1] + data
            else:
                joined.append((begin, data))
        self._blocks, self._is_opening = [], False
        return joined

    def _until_blank(self) -> tuple[int, int]:
        """Return how many bytes are blank from here on; and if none is, how many are not."""
        begins, ends = self._blank
        number = bisect_right(begins, self._place)
        blank = ends[number - 1] - self._place if number else 0
        return max(0, blank), begins[number] - self._place if number < len(begins) else sys.maxsize

    def _bytes(self, count: int, until: int) -> bytes:
        found = self._far.at(self._place)
        if found is None:
            found = next((view for begin, data in self._blocks if (view := _from(begin, data, self._place))), None)
        return bytes((self._block(until) if found is None else found)[:count])

    def _block(self, until: int) -> memoryview:
        begin, size = self._place, min(self._far.remote.size_bytes, self._place + until)
        follows = bool(self._blocks) and begin == self._blocks[-1][0] + len(self._blocks[-1][1])
        self._run = self._run + 1 if follows else 0
        end = min(size, begin + BLOCKS[min(self._run, len(BLOCKS) - 1)])
        try:
            with nullcontext() if self._core is None else left(self._core):
                data = self._fetcher.fetch(self._far, begin, end)
        except BaseException as error:
            self.error = error
            raise
        self._blocks = [*(self._blocks if self._is_opening else self._blocks[1 - MOST_BLOCKS :]), (begin, data)]
        return memoryview(data)
