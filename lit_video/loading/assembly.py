"""Puts frames back in order: reads go out in order of first need, come back in any, and leave as batches.

A read is submitted if and only if its first position lies less than `admission` positions ahead of the next batch. So
frames held and in flight always fit the pool, and the read that the next batch waits for has always been submitted:
there is no deadlock, in whatever order reads end. (A plain bounded queue deadlocks when it is full of later frames.)
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lit_video.decoders.refusals import without
from lit_video.loading.faults import Faults
from lit_video.loading.gather import Gathered
from lit_video.loading.packed import PackedFrames
from lit_video.loading.slots import SlotPool
from lit_video.loading.tiers import Done, FetchJob, Job
from lit_video.loading.workers import Workers
from lit_video.planning.planner import Plan
from lit_video.planning.reads import Fetch, GopRead, Hold, Task
from lit_video.support.errors import DecodeError

MOST_AHEAD = 4096  # tasks, where they are planned before they are due

MakeBatch = Callable[[Tensor, Tensor], Gathered]


@dataclass(frozen=True)
class Piece:
    """One batch's part of an epoch.

    Attributes:
        gathered: Its images.
        places: This rank's places in the epoch's order that it covers, counted in samples.
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
    delivered_frames: int  # positions that they and the fetches fill
    decoded_frames: int
    fetched_frames: int  # of the delivered ones, those that were decoded before
    requests: int = 0  # of stores far away
    bytes_fetched: int = 0

    def with_read(self, read: GopRead, end: int) -> Costs:
        """Return these and one more, which fills positions of the epoch that ends at `end`, and perhaps of the next."""
        filled = sum(position < end for positions in read.positions for position in positions)
        return self._replace(
            reads=self.reads + 1,
            delivered_frames=self.delivered_frames + filled,
            decoded_frames=self.decoded_frames + read.num_decoded,
        )

    def with_delivered(self, count: int) -> Costs:
        """Return these and `count` positions that reads of an epoch before filled."""
        return self._replace(delivered_frames=self.delivered_frames + count)

    def with_fetched(self, count: int) -> Costs:
        """Return these and `count` frames that were fetched."""
        return self._replace(delivered_frames=self.delivered_frames + count, fetched_frames=self.fetched_frames + count)

    def with_answers(self, requests: int, num_bytes: int) -> Costs:
        """Return these and what stores far away were asked for."""
        return self._replace(requests=self.requests + requests, bytes_fetched=self.bytes_fetched + num_bytes)

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
        waiting: For frames that the plan packs; None: it packs none.

    Attributes:
        costs: Of the reads that were done so far.
        faults: Of the epoch that is under way.
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
        waiting: PackedFrames | None = None,
    ) -> None:
        self._clip, self._waiting = clip, waiting
        self._plan, self._pool, self._workers, self._admission = plan, pool, workers, admission
        self._gather, self.faults = gather, faults
        self._ahead: deque[Task] = deque()  # planned, and not yet due
        self._cursor = 0  # first position of the next batch
        self._begin = self._end = 0  # of the positions of the epoch under way
        self._jobs: dict[int, Job | FetchJob] = {}  # under way, by number
        self._holds: dict[int, Hold] = {}  # by the position after which the frame stays in its slot
        self._to_repeat: list[tuple[int, int]] = []  # positions of a later epoch, whose frame failed; frame ids
        self._num_submitted = 0
        self._slot_of: dict[int, int | None] = {}  # decoded positions; None: left out
        self.costs = Costs(0, 0, 0, 0)
        self._stand_ins: dict[int, int] = {}  # places that show another sample than the order's: its id
        self._uses: dict[int, int] = {}  # positions that a slot still has to fill

    def go_on(self, workers: Workers, gather: MakeBatch, faults: Faults) -> None:
        """Be ready for the next epoch of the plan, with what is held for it."""
        assert not self._jobs, "an epoch is over when all of its reads are"
        self._workers, self._gather, self.faults = workers, gather, faults

    def pieces(self, sizes: Sequence[int]) -> Iterator[Piece]:
        """Yield batches of these sizes in samples, which cover the positions of an epoch from the first on.

        Raises:
            Exception: What a decoder raised; DecodeError where a frame could not be had.
        """
        self._begin, self._end = self._cursor, self._cursor + sum(sizes) * self._clip
        self.costs = self.costs.with_delivered(len(self._slot_of))  # what is held is all of this epoch
        for size in sizes:
            positions = range(self._cursor, self._cursor + size * self._clip)
            self._admit()
            if not self._collect_all(positions):
                return
            if not self._mend(positions):
                return
            yield self._take(positions)

    def _admit(self) -> None:
        reach = min(self._cursor + self._admission, self._end)  # of the next epoch nothing is read before it begins
        while self._to_repeat and self._to_repeat[0][0] < reach:
            self._read_alone(*self._to_repeat.pop(0))
        while (task := self._next()) is not None and task.first_position < reach:
            self._submit(self._ahead.popleft())
        self._look_ahead()

    def _next(self) -> Task | None:
        if not self._ahead:
            self._ahead.extend(itertools.islice(self._plan, 1))
        return self._ahead[0] if self._ahead else None

    def _look_ahead(self) -> None:
        """Have bytes of reads of this epoch asked for that are not yet due, as far as there is memory for them."""
        while self._workers.has_room and 0 < len(self._ahead) < MOST_AHEAD:
            if self._ahead[-1].first_position >= self._end or (task := next(self._plan, None)) is None:
                return
            self._ahead.append(task)
            if isinstance(task, GopRead) and task.first_position < self._end:
                self._workers.expect(task)

    def _submit(self, task: Task) -> None:
        if isinstance(task, Fetch):
            self._submit_fetch(task)
        elif isinstance(task, Hold):
            self._hold(task)
        else:
            self._submit_read(task)

    def _hold(self, hold: Hold) -> None:
        """Have a frame stay after its last position."""
        if self._waiting is None:
            self._holds[hold.position] = hold
        else:
            self._waiting.use_once_more(hold.frame_id)

    def _submit_read(self, read: GopRead) -> None:
        slots = self._pool.reserve(len(read.frame_indices))
        self._uses.update(zip(slots, map(len, read.positions), strict=True))
        if damaged := self.faults.known(read):
            slot_of = dict(zip(read.frame_indices, slots, strict=True))
            for frame_index, error in damaged.items():
                self._replace(Job(self._num_submitted, read, slots), frame_index, slot_of.pop(frame_index), error)
            read, slots = without(read, damaged), list(slot_of.values())
            if not slots:
                return
        pages = [] if self._waiting is None else self._waiting.reserve(read)
        self._hand_out(Job(self._num_submitted, read, slots, pages))

    def _submit_fetch(self, fetch: Fetch) -> None:
        slots = sorted(self._pool.reserve(len(fetch.positions)))
        self._uses.update(dict.fromkeys(slots, 1))
        waiting = self._waiting
        sources = [None if waiting is None else waiting.source(frame_id) for frame_id in fetch.frame_ids]
        self._hand_out(FetchJob(self._num_submitted, fetch, slots, sources))

    def _hand_out(self, job: Job | FetchJob) -> None:
        self._num_submitted += 1
        self._jobs[job.number] = job
        self._workers.submit(job)

    def _collect_all(self, positions: range) -> bool:
        """Wait until all positions of one batch are decoded or given up; tell whether they are."""
        for position in positions:
            while position not in self._slot_of:
                assert self._jobs, f"nobody fills position {position}"  # rather than to wait for ever
                if not self._collect():
                    return False
            if position in self._holds and self._holds[position].again in positions:
                self._share(self._holds.pop(position))
        return True

    def _share(self, hold: Hold) -> None:
        """Fill a later position of the same batch with a held frame."""
        slot = self._slot_of[hold.position]
        if slot is None or hold.position // self._clip in self._stand_ins:
            self._read_alone(hold.again, hold.frame_id)
            return
        self._slot_of[hold.again] = slot
        self._uses[slot] += 1
        self.costs = self.costs.with_delivered(1)

    def _collect(self) -> bool:
        """Wait for one job; tell whether there was one, for once the workers are stopped there is none."""
        done = self._workers.wait()
        if done is None:
            return False
        job = self._jobs.pop(done.number)
        self.costs = self.costs.with_answers(*done.fetched)
        if isinstance(job, FetchJob):
            self._settle_fetch(job, done)
        else:
            self._settle_read(job, done)
        return True

    def _settle_read(self, job: Job, done: Done) -> None:
        self.costs = self.costs.with_read(job.read, self._end)
        if self._waiting is not None:
            self._waiting.keep(int(self._plan.population.index.offset[job.read.video_id]), job, done)
        missing = self.faults.missing(job, done.error)
        if not missing and (sample_id := self.faults.settle(job)) is not None:
            self._stand_ins.update(dict.fromkeys(job.read.positions[0], sample_id))
        for frame_index, slot, positions in zip(job.read.frame_indices, job.slots, job.read.positions, strict=True):
            if frame_index in missing:
                assert isinstance(done.error, DecodeError)
                self._replace(job, frame_index, slot, done.error)
            else:
                self._slot_of.update(dict.fromkeys(positions, slot))

    def _settle_fetch(self, job: FetchJob, done: Done) -> None:
        if done.error is not None:
            raise done.error
        fetch, absent = job.fetch, set(done.absent)
        self.costs = self.costs.with_fetched(len(job.slots) - len(absent))
        for frame_id, source in zip(fetch.frame_ids, job.sources, strict=True):
            if source is not None and self._waiting is not None:
                self._waiting.use(frame_id)
        for place, (position, slot) in enumerate(zip(fetch.positions, job.slots, strict=True)):
            if place in absent:
                self._release(slot, 1)
            else:
                self._slot_of[position] = slot
        for place in done.absent:
            self._read_alone(fetch.positions[place], fetch.frame_ids[place])

    def _read_alone(self, position: int, frame_id: int) -> None:
        """Have a frame decoded that should have been kept, and was not."""
        index = self._plan.population.index
        (video_id,), (frame,) = (found.tolist() for found in index.locate(np.array([frame_id])))
        start = int(index.start_of(np.array([frame_id]))[0])
        self._submit_read(GopRead(video_id, start, (frame,), ((position,),)))

    def _replace(self, job: Job, frame_index: int, slot: int, error: DecodeError) -> None:
        """Have another frame decoded into the slot of one that failed, or leave its positions out."""
        positions = job.read.positions[job.read.frame_indices.index(frame_index)]
        due = tuple(position for position in positions if position < self._end)
        self._repeat(job.read, frame_index, slot, positions[len(due) :])
        if not due:
            return
        job = job._replace(read=job.read._replace(frame_indices=(frame_index,), positions=(due,)))
        stand_in = self.faults.stand_in(job, frame_index, error)
        if stand_in is None:
            self._slot_of.update(dict.fromkeys(due))
            self._release(slot, len(due))
            return
        read, redraw = stand_in
        self.faults.expect(self._num_submitted, redraw)
        self._hand_out(Job(self._num_submitted, read, [slot]))

    def _repeat(self, read: GopRead, frame_index: int, slot: int, positions: Sequence[int]) -> None:
        """Have a frame that failed read again in the epoch that it was kept for: what comes in its place is its own."""
        if positions:
            frame_id = int(self._plan.population.index.offset[read.video_id]) + frame_index
            self._to_repeat = sorted([*self._to_repeat, *((position, frame_id) for position in positions)])
            self._release(slot, len(positions))

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
            for reads, redraw in self.faults.in_place_of(clip[0] // self._clip, is_last):
                if not self._decode_instead(clip, reads):
                    return False
                if all(self._slot_of[position] is not None for position in clip):
                    self._stand_ins[clip[0] // self._clip] = self.faults.settle_in_place(redraw)
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
            self._submit_read(read)
        return self._collect_all(clip)

    def _take(self, positions: range) -> Piece:
        slot_of = {position: self._slot_of.pop(position) for position in positions}
        kept = {position: slot for position, slot in slot_of.items() if slot is not None}
        places = range(positions.start // self._clip, positions.stop // self._clip)
        self.faults.forget(places)
        before = self._begin // self._clip  # positions are counted on from epoch to epoch
        stand_ins = {place - before: self._stand_ins.pop(place) for place in places if place in self._stand_ins}
        gathered = self._gather(self._pool.frames, torch.tensor(list(kept.values()), dtype=torch.int64))
        for position, slot in slot_of.items():
            self._let_go_of(position, slot, position // self._clip - before in stand_ins)
        self._cursor = positions.stop
        of_epoch = range(places.start - before, places.stop - before)
        return Piece(
            gathered, of_epoch, [position // self._clip - before for position in kept][:: self._clip], stand_ins
        )

    def _let_go_of(self, position: int, slot: int | None, is_another: bool) -> None:
        """Free a delivered frame's slot, unless it stays for another position or has others to fill."""
        hold = self._holds.pop(position, None)
        if hold is not None and (slot is None or is_another):
            self._to_repeat = sorted([*self._to_repeat, (hold.again, hold.frame_id)])
        elif hold is not None:
            self._slot_of[hold.again] = slot
            self.costs = self.costs.with_delivered(hold.again < self._end)
            return
        if slot is not None:
            self._release(slot, 1)

    def _release(self, slot: int, uses: int) -> None:
        self._uses[slot] -= uses
        if not self._uses[slot]:
            del self._uses[slot]
            self._pool.free([slot])
