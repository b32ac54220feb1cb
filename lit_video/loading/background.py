"""An iterator on a thread of its own, a little ahead of who takes what it makes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from lit_video.loading.workers import join

Item = TypeVar("Item")


class Background(Generic[Item]):
    """Runs an iterator on a thread of its own, at most `ahead` items ahead of who takes them.

    Args:
        items: What is run there, closed there too.
        ahead: Items that wait at most.
    """

    def __init__(self, items: Callable[[], Iterator[Item]], ahead: int = 2) -> None:
        self._items = items
        self._room = threading.Semaphore(ahead)
        self._ready: queue.SimpleQueue = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lit_video-assemble", daemon=True)
        self._thread.start()

    def take(self) -> Item | None:
        """Return the next item, or None after the last, however often one asks.

        Raises:
            Exception: What the iterator raised.
        """
        item, error = self._ready.get()
        self._room.release()
        if item is None:
            self._ready.put((None, None))  # there is nobody any more who would put another
        if error is not None:
            raise error
        return item

    def stop(self, timeout_seconds: float) -> bool:
        """Make no further item, and tell whether the thread ended within the time."""
        self._stopped.set()
        self._room.release()
        return join([self._thread], timeout_seconds)

    def _run(self) -> None:
        last = None, None
        try:
            self._room.acquire()
            for item in self._items():
                self._ready.put((item, None))
                del item  # a batch that was taken belongs to whoever took it
                self._room.acquire()
                if self._stopped.is_set():
                    break
        except BaseException as error:
            last = None, error
        self._ready.put(last)
