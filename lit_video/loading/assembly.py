"""Puts frames back in order: reads go out in order of first need, come back in any, and leave as batches.

A read is submitted if and only if its first position lies less than `admission` positions ahead of the next batch. So
frames held and in flight always fit the pool, and the read that the next batch waits for has always been submitted:
there is no deadlock, in whatever order reads end. (A plain bounded queue deadlocks when it is full of later frames.)
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from lit_video.decoders.refusals import without
from lit_video.loading.faults import Faults
from lit_video.loading.gather import Gathered
from lit_video.loading.slots import SlotPool
from lit_video.loading.workers import Job, Workers, join
from lit_video.planning.planner import GopRead, Plan
from lit_video.support.errors import DecodeError

Item = TypeVar("Item")
MakeBatch = Callable[[Tensor, Tensor], Gathered]


@dataclass(frozen=True)
class Piece:
    """One batch's part of an epoch.

    Attributes:
        gathered: Its images.
        places: This rank's places in the order that it covers, counted in samples.
        kept: Those of them that the images are of, ascending: all, unless some were left out.
        stand_ins: Sample ids of what is another sample than the order has there, by place.
    """

    gathered: Gathered
    places: range
    kept: Sequence[int]
    stand_ins: Mapping[int, int]


class Costs(NamedTuple):
    """What reads cost that were done."""

    reads: int
    delivered_frames: int  # positions that they fill
    decoded_frames: int

    def with_read(self, read: GopRead) -> Costs:
        """Return these and one more."""
        filled = sum(map(len, read.positions))
        return Costs(self.reads + 1, self.delivered_frames + filled, self.decoded_frames + read.num_decoded)

    def __sub__(self, other: Costs) -> Costs:
        return Costs(*(mine - its for mine, its in zip(self, other, strict=True)))


class Assembly:
    """Turns a plan into the images of successive batches.

    A position is a frame's: where samples are clips of T frames, each has T positions, and comes whole or not at all.

    Args:
        plan: The reads.
        pool: At least as many slots as the plan's budget needs.
        workers: They decode.
        admission: Positions ahead of the next batch of which the reads may be under way.
        gather: Makes a batch of the pool's frames and the numbers of slots.
        faults: Says what to do about frames that cannot be decoded.
        clip: T, frames of a sample.

    Attributes:
        costs: Of the reads that were done so far.
    """

    def __init__(
        self,
        plan: Plan,
        pool: SlotPool,
        workers: Workers,
        admission: int,
        gather: MakeBatch,
        faults: Faults,
        clip: int = 1,
    ) -> None:
        self._clip = clip
        self._plan, self._pool, self._workers, self._admission = plan, pool, workers, admission
        self._gather, self._faults = gather, faults
        self._next_read = next(plan, None)
        self._cursor = 0  # first position of the next batch
        self._jobs: dict[int, Job] = {}  # under way, by number
        self._num_submitted = 0
        self._slot_of: dict[int, int | None] = {}  # decoded positions; None: left out
        self.costs = Costs(0, 0, 0)
        self._stand_ins: dict[int, int] = {}  # places that show another sample than the order's: its id
        self._uses: dict[int, int] = {}  # positions that a slot still has to fill

    def pieces(self, sizes: Iterable[int]) -> Iterator[Piece]:
        """Yield batches of these sizes in samples, which cover the plan's positions from the first on.

        Raises:
            Exception: What a decoder raised; DecodeError where a frame could not be had.
        """
        for size in sizes:
            positions = range(self._cursor, self._cursor + size * self._clip)
            self._admit()
            if not self._collect_all(positions):
                return
            if not self._mend(positions):
                return
            yield self._take(positions)

    def _admit(self) -> None:
        while self._next_read is not None and self._next_read.first_position < self._cursor + self._admission:
            self._submit(self._next_read)
            self._next_read = next(self._plan, None)

    def _submit(self, read: GopRead) -> None:
        slots = self._pool.reserve(len(read.frame_indices))
        self._uses.update(zip(slots, map(len, read.positions), strict=True))
        if damaged := self._faults.known(read):
            slot_of = dict(zip(read.frame_indices, slots, strict=True))
            for frame_index, error in damaged.items():
                self._replace(Job(self._num_submitted, read, slots), frame_index, slot_of.pop(frame_index), error)
            read, slots = without(read, damaged), list(slot_of.values())
            if not slots:
                return
        self._hand_out(Job(self._num_submitted, read, slots))

    def _hand_out(self, job: Job) -> None:
        self._num_submitted += 1
        self._jobs[job.number] = job
        self._workers.submit(job)

    def _collect_all(self, positions: Iterable[int]) -> bool:
        """Wait until all positions are decoded or given up; tell whether they are."""
        waited_for = [position for position in positions if position not in self._slot_of]
        while not all(position in self._slot_of for position in waited_for):
            if not self._collect():
                return False
        return True

    def _collect(self) -> bool:
        """Wait for one job; tell whether there was one, for once the workers are stopped there is none."""
        done = self._workers.wait()
        if done is None:
            return False
        job = self._jobs.pop(done.number)
        self.costs = self.costs.with_read(job.read)
        missing = self._faults.missing(job, done.error)
        if not missing and (sample_id := self._faults.settle(job)) is not None:
            self._stand_ins.update(dict.fromkeys(job.read.positions[0], sample_id))
        for frame_index, slot, positions in zip(job.read.frame_indices, job.slots, job.read.positions, strict=True):
            if frame_index in missing:
                assert isinstance(done.error, DecodeError)
                self._replace(job, frame_index, slot, done.error)
            else:
                self._slot_of.update(dict.fromkeys(positions, slot))
        return True

    def _replace(self, job: Job, frame_index: int, slot: int, error: DecodeError) -> None:
        """Have another frame decoded into the slot of one that failed, or leave its positions out."""
        stand_in = self._faults.stand_in(job, frame_index, error)
        if stand_in is None:
            positions = job.read.positions[job.read.frame_indices.index(frame_index)]
            self._slot_of.update(dict.fromkeys(positions))
            self._release(slot, len(positions))
            return
        read, redraw = stand_in
        self._faults.expect(self._num_submitted, redraw)
        self._hand_out(Job(self._num_submitted, read, [slot]))

    def _mend(self, positions: range) -> bool:
        """Give up samples of which a frame failed, or have others decoded in their place; tell whether that is done."""
        if all(self._slot_of[position] is not None for position in positions):
            return True
        clips = [range(first, first + self._clip) for first in positions[:: self._clip]]
        lost = [clip for clip in clips if any(self._slot_of[position] is None for position in clip)]
        for clip in lost:
            self._give_up(clip)
        for clip in lost:
            is_last = len(lost) == len(clips) and clip is lost[0]
            for reads, redraw in self._faults.in_place_of(clip[0] // self._clip, is_last):
                if not self._decode_instead(clip, reads):
                    return False
                if all(self._slot_of[position] is not None for position in clip):
                    self._stand_ins[clip[0] // self._clip] = self._faults.settle_in_place(redraw)
                    break
                self._give_up(clip)
        return True

    def _give_up(self, clip: range) -> None:
        for position in clip:
            if (slot := self._slot_of[position]) is not None:
                self._release(slot, 1)
                self._slot_of[position] = None

    def _decode_instead(self, clip: range, reads: Sequence[GopRead]) -> bool:
        """Have a clip decoded where another was given up: tell whether all of its reads ended."""
        for position in clip:
            del self._slot_of[position]
        for read in reads:
            self._submit(read)
        return self._collect_all(clip)

    def _take(self, positions: range) -> Piece:
        slot_of = {position: self._slot_of.pop(position) for position in positions}
        kept = {position: slot for position, slot in slot_of.items() if slot is not None}
        places = range(positions.start // self._clip, positions.stop // self._clip)
        self._faults.forget(places)
        stand_ins = {place: self._stand_ins.pop(place) for place in places if place in self._stand_ins}
        gathered = self._gather(self._pool.frames, torch.tensor(list(kept.values()), dtype=torch.int64))
        for slot in kept.values():
            self._release(slot, 1)
        self._cursor = positions.stop
        return Piece(gathered, places, [position // self._clip for position in kept][:: self._clip], stand_ins)

    def _release(self, slot: int, uses: int) -> None:
        self._uses[slot] -= uses
        if not self._uses[slot]:
            del self._uses[slot]
            self._pool.free([slot])


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
