"""Order -> what to decode: which frames of a GOP are worth decoding together. Pure, no I/O, no clock.

Every position of the order is delivered exactly where the order has it; the planner only finds out, by looking ahead,
which other frames of the same GOP will be wanted soon and keeps those. Section 10 of docs/bias.md.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from lit_video.bias.planner_law import planner_lookahead
from lit_video.index import Samples, as_population
from lit_video.samplers.base import Order
from lit_video.support.rng import rng

BLOCK = 1024  # positions of the order that are fetched at a time
FARTHEST = 16  # look-ahead in slots per frame of memory: with more GOPs a look-ahead finds almost nothing


@dataclass(frozen=True, slots=True)
class GopRead:
    """Frames to decode in one go, from one keyframe on.

    Attributes:
        video_id: Row of the video in the index.
        start: Frame index of the keyframe that decoding starts from.
        frame_indices: Wanted frames, ascending, none twice.
        positions: For each wanted frame, the positions that it fills, ascending: of the order, or where samples are
            clips of T frames, T for each of its positions.
    """

    video_id: int
    start: int
    frame_indices: tuple[int, ...]
    positions: tuple[tuple[int, ...], ...]

    @property
    def first_position(self) -> int:
        """The position that cannot be delivered before this read is done."""
        return min(places[0] for places in self.positions)

    @property
    def num_decoded(self) -> int:
        """Frames from the keyframe to the last wanted one, both included: what the read costs."""
        return self.frame_indices[-1] - self.start + 1


@dataclass(frozen=True, slots=True)
class Budget:
    """How the memory for frames is divided.

    Attributes:
        slots: F, frames held and in flight at most.
        admission: A, positions ahead of the next batch of which the reads may be under way.
        held: H, frames kept for positions further ahead at most.
        lookahead: W, positions that a read looks ahead.
    """

    slots: int
    admission: int
    held: int
    lookahead: int


def divide(
    num_slots: int, batch_size: int, num_positions: int, num_frames: int, num_gops: int, lookahead: int | None
) -> Budget:
    """Divide `num_slots` slots between reads under way and frames that wait, and choose the look-ahead.

    If all frames fit, the look-ahead is the whole epoch and every frame is decoded once; else as far as the memory
    lasts. Slots that could never be filled are not asked for.

    Args:
        num_slots: What the memory holds.
        batch_size: Of this rank.
        num_positions: Of this rank's epoch.
        num_frames: Of the data set.
        num_gops: Of the data set.
        lookahead: The user's choice, or None.

    Raises:
        ValueError: Fewer slots than a batch and one frame besides.
    """
    if num_slots <= batch_size:
        raise ValueError(f"num_slots must be above the batch size, {batch_size}, got {num_slots}")
    # At least a batch, or the batch that is waited for could not all be under way.
    admission = max(batch_size, min(4 * batch_size, num_slots // 2))
    held = num_slots - admission
    if lookahead is None:
        most = FARTHEST * max(1, held)
        lookahead = num_positions if num_frames <= held else min(planner_lookahead(held, num_gops), most)
    lookahead = max(1, min(lookahead, num_positions))
    slots = min(num_slots, admission + min(lookahead, num_frames), max(1, num_positions))
    return Budget(slots, admission, held, lookahead)


def plan(order: Order, index: Samples, lookahead: int, budget: int) -> Plan:
    """Group the frames that are wanted soon by the keyframe that decoding must start from.

    Reads come in order of first need. A frame wanted twice is decoded once::

        keyframes   0 . . . . 5 . . . . 10
        wanted          2   4   6
        reads       [0 . . . 4][5 6]

    Args:
        order: Sample ids by position.
        index: Where decoding must begin for each frame, and where samples are not all of its frames, which they are.
        lookahead: Positions that a read looks ahead, W, the missed one included, each frame of a clip being one. 1
            decodes for every position anew.
        budget: The most frames kept for later positions at any time; the missed frame passes even at 0.

    Raises:
        ValueError: `lookahead` under 1 or `budget` under 0.
    """
    if lookahead < 1:
        raise ValueError(f"lookahead must be at least 1, got {lookahead}")
    if budget < 0:
        raise ValueError(f"budget must be at least 0, got {budget}")
    return Plan(order, index, lookahead, budget)


class Plan(Iterator[GopRead]):
    """The reads of one epoch, and what those given so far cost. Made by `plan`.

    Planning is a simulation by position, so the frames held at every position are known without a clock.

    Attributes:
        num_reads: Reads so far.
        delivered_frames: Positions that they fill.
        decoded_frames: Frames that they decode, from keyframe to last wanted frame.
    """

    def __init__(self, order: Order, index: Samples, lookahead: int, budget: int) -> None:
        self._population = as_population(index)
        self._index = self._population.index
        self._order, self._lookahead, self._budget = order, lookahead, budget
        self._num_positions = len(order) * self._population.frames_per_sample
        self._position = 0  # the next one to look at
        self._sight = Sight()
        self._held = 0  # frames kept for positions ahead
        self._let_go: dict[int, int] = {}  # position -> frames that it is the last to want
        # With fewer positions in sight than there are GOPs, a look-ahead rarely finds a second frame of one.
        self._staggers = self._population.num_gops < lookahead < self._num_positions
        self._touched: set[int] = set()  # GOPs that were read before
        self._stagger = rng(0, "planner.stagger")
        self.num_reads = self.delivered_frames = self.decoded_frames = 0

    @property
    def decode_amplification(self) -> float:
        """Frames decoded per frame delivered, D."""
        return self.decoded_frames / max(1, self.delivered_frames)

    def __next__(self) -> GopRead:
        sight = self._sight
        while True:
            position = self._position
            if position + self._lookahead > sight.end:
                self._fetch(position + self._lookahead)
            if position >= sight.end:
                raise StopIteration
            read = None if sight.is_served(position) else self._read(position)
            if self._let_go:
                self._held -= self._let_go.pop(position, 0)
            self._position = position + 1
            if read is not None:
                return read

    def _fetch(self, end: int) -> None:
        """Look at the positions before `end`, and the rest of their block."""
        each = self._population.frames_per_sample
        while self._sight.end < min(end, self._num_positions):
            place = self._sight.end // each
            sample_ids = np.asarray(self._order[place : place + max(1, BLOCK // each)])
            frame_ids = self._population.frames_of(sample_ids)[0].ravel()
            video_ids, frames = self._index.locate(frame_ids)
            self._sight.extend(self._position, video_ids, self._index.start_of(frame_ids), frames, frame_ids - frames)

    def _read(self, position: int) -> GopRead:
        """Return the read for the missed position: its frame, and what else of its GOP is worth keeping."""
        sight = self._sight
        if not self._staggers and not 0 < sight.next(position) < position + self._lookahead:
            return self._account(GopRead(*sight.gop(position), (sight.frame(position),), ((position,),)))
        kept = self._keep(position)
        if self._staggers:
            kept = self._stagger_first(position, kept)
        for places in kept.values():
            for place in places:
                sight.serve(place)
            self._let_go[places[-1]] = self._let_go.get(places[-1], 0) + 1
        self._held += len(kept)
        if len(kept) > 1:
            kept = dict(sorted(kept.items()))
        return self._account(GopRead(*sight.gop(position), tuple(kept), tuple(map(tuple, kept.values()))))

    def _account(self, read: GopRead) -> GopRead:
        self.num_reads += 1
        self.delivered_frames += sum(map(len, read.positions))
        self.decoded_frames += read.num_decoded
        return read

    def _keep(self, position: int) -> dict[int, list[int]]:
        """Return positions by frame index: the soonest wanted within reach, as many as there is room for."""
        sight, end = self._sight, position + self._lookahead
        kept: dict[int, list[int]] = {sight.frame(position): [position]}
        staying: set[int] = set()  # the missed frame passes at once, and takes room only if it is wanted again
        while (position := sight.next(position)) and position < end:
            frame = sight.frame(position)
            if frame not in staying:
                if self._held + len(staying) >= self._budget:
                    break
                staying.add(frame)
            kept.setdefault(frame, []).append(position)
        return kept

    def _stagger_first(self, position: int, kept: dict[int, list[int]]) -> dict[int, list[int]]:
        """Shorten the first look-ahead of a GOP at random.

        All GOPs are new at the start of an epoch; they would fill the memory together and then run out together. One
        that is wanted whole is left alone: it does not come again, so it cannot fall into step.
        """
        video_id, start = self._sight.gop(position)
        gop = int(self._index.offset[video_id]) + start
        if gop in self._touched:
            return kept
        self._touched.add(gop)
        end = position + max(1, math.ceil(self._lookahead * self._stagger.random()))
        behind = gop - start + self._index.gop_end(video_id, start)
        if len(kept) == self._population.num_frames_in(gop, behind):
            return kept
        near = {frame: [place for place in places if place < end] for frame, places in kept.items()}
        return {frame: places for frame, places in near.items() if places}


class Sight:
    """The positions of an order that are in sight, each with its frame and the next position of the same GOP.

    Held in arrays, a few bytes a position and nothing for Python's garbage collector to walk over.

    Attributes:
        end: Behind the last position in sight.
    """

    def __init__(self) -> None:
        self.end = 0
        self._begin = 0  # position of the arrays' first entries
        self._videos, self._starts, self._frames, self._next = (array("q") for _ in range(4))
        self._served = bytearray()  # whether a read fills it
        self._last: dict[int, int] = {}  # last position in sight of each GOP, by the frame id of its keyframe

    def extend(
        self,
        position: int,
        video_ids: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        frames: Int64[np.ndarray, " n"],
        origins: Int64[np.ndarray, " n"],
    ) -> None:
        """Add the positions that follow, and forget those before `position`.

        Args:
            position: The next one that will be asked for.
            video_ids: Of the frames.
            starts: Frame indices of their keyframes.
            frames: Their frame indices.
            origins: Frame ids of their videos' first frames.
        """
        if position - self._begin > len(self._next) // 2:
            self._forget_before(position)
        for column, values in ((self._videos, video_ids), (self._starts, starts), (self._frames, frames)):
            column.frombytes(np.ascontiguousarray(values, np.int64).tobytes())
        self._next.frombytes(bytes(8 * len(frames)))
        self._served.extend(bytes(len(frames)))
        last, following, begin = self._last, self._next, self._begin
        for place, gop in enumerate((origins + starts).tolist(), self.end):
            before = last.get(gop, -1)
            last[gop] = place
            if before >= begin:
                following[before - begin] = place
        self.end += len(frames)

    def _forget_before(self, position: int) -> None:
        past = position - self._begin
        for column in (self._videos, self._starts, self._frames, self._next, self._served):
            del column[:past]
        self._begin = position
        self._last = {gop: place for gop, place in self._last.items() if place >= position}

    def gop(self, position: int) -> tuple[int, int]:
        """Return the video id and the keyframe's frame index of a position."""
        place = position - self._begin
        return self._videos[place], self._starts[place]

    def frame(self, position: int) -> int:
        """Return the frame index that a position wants."""
        return self._frames[position - self._begin]

    def next(self, position: int) -> int:
        """Return the next position in sight that wants a frame of the same GOP, or 0."""
        return self._next[position - self._begin]

    def serve(self, position: int) -> None:
        """Note that a read fills a position."""
        self._served[position - self._begin] = 1

    def is_served(self, position: int) -> bool:
        """Return whether a read fills a position."""
        return bool(self._served[position - self._begin])
