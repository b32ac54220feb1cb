"""Shards are given out until nothing is missing."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lit_video.engines.base import Ended, Engine, Handle, Job
from lit_video.engines.shards import in_shards
from lit_video.engines.worker import Items
from lit_video.support.errors import WorkerError

Item = TypeVar("Item", bound=Hashable)

DEATHS = 3  # of workers at one item, after which it is given up: one in company, the others alone
LOOK_SECONDS = 2.0  # between two looks at how far the work is
STRAGGLING_SECONDS = 30.0  # without an item done, after which another worker that has nothing to do takes what is left


def work_off(engine: Engine, job: Job[Item], items: Sequence[Item]) -> None:
    """Have all items done that are not, or given up; whatever ends this, what was done is on disk.

    A worker that dies takes nothing with it: what its shard lacks is given out again, the item that it was at alone. An
    item at which workers die again and again is given up, and the others are done.

    Raises:
        WorkerError: Workers do not even start; or one raised an error.
    """
    driver = _Driver(engine, job)
    try:
        driver.give_out(items)
    finally:
        engine.stop(list(driver.running))
        engine.close()


@dataclass
class _Part(Generic[Item]):
    """A shard that somebody is at.

    Attributes:
        items: Of it.
        left: Those that were not done when they were counted last.
        since: When one was done last, as far as is known.
        is_shared: Another worker was given what is left of it, or it is what is left of another's.
    """

    items: list[Item]
    left: int
    since: float = field(default_factory=time.monotonic)
    is_shared: bool = False


class _Driver(Generic[Item]):
    def __init__(self, engine: Engine, job: Job[Item]) -> None:
        self._engine, self._job = engine, job
        self._queue = deque[list[Item]]()
        self._deaths, self._given_up = Counter[Item](), set[Item]()
        self._are_alive = False  # workers, as far as one was seen to come to an end
        self._looked = time.monotonic()
        self.running: dict[Handle, _Part[Item]] = {}

    def give_out(self, items: Sequence[Item]) -> None:
        todo, before = self._todo(items), None
        # A file system of many machines may show late what is done: what seems to be missing is given out once more.
        while todo and (before is None or len(todo) < len(before)):
            self._queue.extend(in_shards(todo, self._job.weight, self._engine.num_shards, self._engine.least_share))
            while self._queue or self.running:
                self._start()
                for ended in self._engine.wait(list(self.running), LOOK_SECONDS):
                    self._note(ended)
                self._look()
            todo, before = self._todo(items), todo

    def _todo(self, items: Sequence[Item]) -> list[Item]:
        return [item for item in self._job.left(items) if item not in self._given_up]

    def _start(self) -> None:
        room = min(self._engine.room - len(self.running), len(self._queue))
        parts = [_Part(shard, len(shard)) for shard in (self._queue.popleft() for _ in range(room))]
        if not parts and len(self.running) < self._engine.num_shards:
            parts = self._of_stragglers()
        self.running |= dict(zip(self._handles([part.items for part in parts]), parts, strict=True))

    def _handles(self, shards: Sequence[Sequence[Item]]) -> list[Handle]:
        tasks = [Items(self._job.work, shard, self._engine.patience_seconds) for shard in shards]
        return self._engine.start(tasks) if tasks else []

    def _note(self, ended: Ended) -> None:
        part = self.running.pop(ended.handle)
        if ended.why is None:
            self._are_alive = True
            return
        if ended.is_told:
            raise WorkerError(ended.why)
        if not ended.died:
            raise WorkerError(f"A worker failed: {ended.why}\nWhat is done is kept, and the same command goes on.")
        left = self._job.left(part.items)
        self._are_alive |= len(left) < len(part.items)
        if not left:
            return
        if not self._are_alive:
            self._try_a_worker(ended.why)
        self._deaths[left[0]] += 1
        if self._deaths[left[0]] >= DEATHS and len(part.items) == 1:
            self._given_up.add(left[0])
            self._job.give_up(left[0], ended.why)
        else:
            self._queue.appendleft(left[:1])
        if left[1:]:
            self._queue.append(left[1:])

    def _try_a_worker(self, why: str) -> None:
        """Have nothing done, lest items be blamed where no worker can live."""
        [handle] = self._handles([[]])
        while not (ended := self._engine.wait([handle], LOOK_SECONDS)):
            pass
        if ended[0].why is not None:
            raise WorkerError(
                f"Workers do not live long enough to begin: {why}\nTry one core of this machine: engine=local"
                " engine.num_cpus=1"
            )
        self._are_alive = True

    def _look(self) -> None:
        """Count what is left of the shards at work; those of which others did the rest are done."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        for handle, part in list(self.running.items()):
            left = len(self._job.left(part.items))
            if left < part.left:
                part.left, part.since = left, now
            if not left and part.is_shared:
                self._engine.stop([handle])
                del self.running[handle]
        at_work = sum(part.left for part in self.running.values() if not part.is_shared)
        self._job.tell(at_work + sum(map(len, self._queue)))

    def _of_stragglers(self) -> list[_Part[Item]]:
        """Return what is left where for long nothing was done, the last first, once."""
        found = list[_Part[Item]]()
        for part in self.running.values():
            is_slow = time.monotonic() - part.since > STRAGGLING_SECONDS
            if is_slow and not part.is_shared and len(self.running) + len(found) < self._engine.num_shards:
                left = self._job.left(part.items)[::-1]
                found += [_Part(left, len(left), is_shared=True)] * bool(left)
                part.is_shared = True
        return found
