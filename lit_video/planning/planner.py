"""Order -> what to decode: which frames of a GOP are worth decoding together. Pure, no I/O, no clock.

Every position of the order is delivered exactly where the order has it; the planner only finds out, by looking ahead,
which other frames of the same GOP will be wanted soon and keeps those. Section 10 of docs/bias.md.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lit_video.bias.planner_law import planner_lookahead
from lit_video.index import Samples, as_population
from lit_video.samplers.base import Order
from lit_video.support.rng import rng

BLOCK = 1024  # positions of the order that are fetched at a time


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
        lookahead = num_positions if num_frames <= held else planner_lookahead(held, num_gops)
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
        self._fetched = 0  # positions of the order that were looked at
        self._gop_of: deque[int] = deque()  # keyframe ids of the positions from _position to _fetched
        self._wanted: dict[int, deque[tuple[int, int]]] = defaultdict(deque)  # keyframe id -> (position, frame index)
        self._served: set[int] = set()  # positions ahead that a read fills
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
        while True:
            self._fetch(self._position + self._lookahead)
            if not self._gop_of:
                raise StopIteration
            gop = self._gop_of.popleft()
            read = None if self._position in self._served else self._read(gop)
            self._served.discard(self._position)
            self._held -= self._let_go.pop(self._position, 0)
            self._position += 1
            if read is not None:
                return read

    def _fetch(self, end: int) -> None:
        """Sort the positions before `end`, and the rest of their block, by GOP."""
        each = self._population.frames_per_sample
        while self._fetched < min(end, self._num_positions):
            place = self._fetched // each
            sample_ids = np.asarray(self._order[place : place + max(1, BLOCK // each)])
            frame_ids = self._population.frames_of(sample_ids)[0].ravel()
            video_ids, frame_indices = self._index.locate(frame_ids)
            gops = (self._index.offset[video_ids] + self._index.start_of(frame_ids)).tolist()
            for position, (gop, frame_index) in enumerate(
                zip(gops, frame_indices.tolist(), strict=True), self._fetched
            ):
                self._wanted[gop].append((position, frame_index))
            self._gop_of.extend(gops)
            self._fetched += len(gops)

    def _read(self, gop: int) -> GopRead:
        """Return the read for the missed position: its frame, and what else of its GOP is worth keeping."""
        wanted = self._wanted[gop]
        kept = self._stagger_first(gop, self._keep(wanted, self._position + self._lookahead))
        for _ in range(sum(map(len, kept.values()))):
            self._served.add(wanted.popleft()[0])
        if not wanted:
            del self._wanted[gop]
        for positions in kept.values():
            self._let_go[positions[-1]] = self._let_go.get(positions[-1], 0) + 1
        self._held += len(kept)
        return self._account(gop, kept)

    def _keep(self, wanted: deque[tuple[int, int]], end: int) -> dict[int, list[int]]:
        """Return positions before `end` by frame index: the soonest wanted, as many as there is room for."""
        kept: dict[int, list[int]] = {}
        staying: set[int] = set()  # the missed frame passes at once, and takes room only if it is wanted again
        for position, frame_index in wanted:
            if position >= end:
                break
            if position > self._position and frame_index not in staying:
                if self._held + len(staying) >= self._budget:
                    break
                staying.add(frame_index)
            kept.setdefault(frame_index, []).append(position)
        return kept

    def _stagger_first(self, gop: int, kept: dict[int, list[int]]) -> dict[int, list[int]]:
        """Shorten the first look-ahead of a GOP at random.

        All GOPs are new at the start of an epoch; they would fill the memory together and then run out together. One
        that is wanted whole is left alone: it does not come again, so it cannot fall into step.
        """
        if not self._staggers or gop in self._touched:
            return kept
        self._touched.add(gop)
        end = self._position + max(1, math.ceil(self._lookahead * self._stagger.random()))
        if len(kept) == self._population.num_frames_in(gop, self._end_of(gop)):
            return kept
        near = {frame: [place for place in positions if place < end] for frame, positions in kept.items()}
        return {frame: positions for frame, positions in near.items() if positions}

    def _end_of(self, gop: int) -> int:
        video_id = int(np.searchsorted(self._index.offset, gop, side="right")) - 1
        first = int(self._index.offset[video_id])
        return first + self._index.gop_end(video_id, gop - first)

    def _account(self, gop: int, kept: dict[int, list[int]]) -> GopRead:
        video_id = int(np.searchsorted(self._index.offset, gop, side="right")) - 1
        frames = tuple(sorted(kept))
        start = gop - int(self._index.offset[video_id])
        read = GopRead(video_id, start, frames, tuple(tuple(kept[frame]) for frame in frames))
        self.num_reads += 1
        self.delivered_frames += sum(map(len, read.positions))
        self.decoded_frames += read.num_decoded
        return read
