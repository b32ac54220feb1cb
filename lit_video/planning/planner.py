"""Order -> what to decode: which frames of a GOP are worth decoding together. Pure, no I/O, no clock.

Every position of the order is delivered exactly where the order has it; the planner only finds out, by looking ahead,
which other frames of the same GOP will be wanted soon and keeps those. Section 10 of docs/bias.md.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from lit_video.index import Samples, as_population
from lit_video.planning.reads import Fetch, GopRead, Hold, Task
from lit_video.planning.sight import FETCHED, SERVED, Sight
from lit_video.samplers.base import Order
from lit_video.support.rng import rng

BLOCK, MOST = 1024, 2**18  # positions of the order that are looked at together: at least, and of many
FETCH = 64  # positions that are planned together, whose fetches are one


@dataclass(frozen=True, eq=False)
class Stored:
    """What a store holds when a plan begins, and what it takes.

    Attributes:
        mask: uint8 [frames of the index], 1 where the store has the frame. The plan sets what its reads put there.
        takes: Whether the store takes a GOP, by video id and frame index of its keyframe.
    """

    mask: UInt8[np.ndarray, " frames"]
    takes: Callable[[int, int], bool]


def plan(
    order: Order,
    index: Samples,
    lookahead: int,
    budget: int,
    near: int = 0,
    packs: bool = False,
    stored: Stored | None = None,
    hurry: int = 0,
) -> Plan:
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
        near: Positions ahead of a read for which it keeps frames whatever is kept: they do not count. A fetch whose
            first position is p needs nothing of reads behind p + FETCH - near.
        packs: Keep frames for what is not near packed, to be fetched when they are due.
        stored: Read GOPs that the store takes whole, into it, and fetch what it has.
        hurry: First positions for which no GOP is read whole, since a model waits for them.

    Raises:
        ValueError: `lookahead` under 1, `budget`, `near` or `hurry` under 0, or too few near where frames are fetched.
    """
    if lookahead < 1:
        raise ValueError(f"lookahead must be at least 1, got {lookahead}")
    for name, value in (("budget", budget), ("near", near), ("hurry", hurry)):
        if value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
    if near < FETCH and (packs or stored is not None):
        raise ValueError(f"near must be at least {FETCH} where frames are fetched: a fetch comes after its reads")
    return Plan(order, index, lookahead, budget, near, packs, stored, hurry)


class Plan(Iterator[Task]):
    """The reads and fetches of an order, and what those given so far cost. Made by `plan`.

    Planning is a simulation by position, so the frames held at every position are known without a clock.

    Attributes:
        population: The samples.
        num_reads: Reads so far.
        delivered_frames: Positions that they and the fetches fill.
        decoded_frames: Frames that they decode, from keyframe to last wanted frame.
    """

    def __init__(
        self,
        order: Order,
        index: Samples,
        lookahead: int,
        budget: int,
        near: int,
        packs: bool,
        stored: Stored | None,
        hurry: int,
    ) -> None:
        self.population = as_population(index)
        self._index = self.population.index
        self._orders, self._ends = [order], [len(order) * self.population.frames_per_sample]
        self._lookahead, self._budget, self._near = lookahead, budget, near
        self._packs, self._stored, self._hurry = packs, stored, hurry
        self._position = 0  # the next one to look at
        self._ready: deque[Task] = deque()  # planned and not yet given
        self._sight = Sight()
        self._has = memoryview(stored.mask.data) if stored is not None else b""
        self._offset = memoryview(np.ascontiguousarray(self._index.offset).data)  # quicker to look up than NumPy's
        self._held = 0  # frames kept for positions ahead
        self._let_go: dict[int, int] = {}  # position -> frames that it is the last to want
        # With fewer positions in sight than there are GOPs, a look-ahead rarely finds a second frame of one.
        self._staggers = self.population.num_gops < lookahead < self._ends[0]
        self._touched: set[int] = set()  # GOPs that were read before
        self._holds_all = stored is None and budget >= self.population.num_distinct_frames
        self._stagger = rng(0, "planner.stagger")
        self.num_reads = self.delivered_frames = self.decoded_frames = 0

    @property
    def decode_amplification(self) -> float:
        """Frames decoded per frame delivered, D."""
        return self.decoded_frames / max(1, self.delivered_frames)

    def go_on(self, order: Order) -> None:
        """Have another order follow: the look-ahead does not end with an epoch. Positions are counted on."""
        self._orders.append(order)
        self._ends.append(self._ends[-1] + len(order) * self.population.frames_per_sample)

    def __next__(self) -> Task:
        while not self._ready:
            if not self._plan_block():
                raise StopIteration
        task = self._ready.popleft()
        if isinstance(task, GopRead):
            self.num_reads += 1
            self.decoded_frames += task.num_decoded
            filled = task.positions
            self.delivered_frames += len(filled[0]) if len(filled) == 1 else sum(map(len, filled))
        elif isinstance(task, Fetch):
            self.delivered_frames += len(task.positions)
        else:
            self.delivered_frames += not self._packs
        return task

    def _plan_block(self) -> bool:
        """Plan the next positions; tell whether there are any."""
        begin, sight = self._position, self._sight
        behind = next((end for end in self._ends if begin < end), begin)
        end = min(begin - begin % FETCH + FETCH, behind)  # a fetch is of one epoch
        reach = max(self._lookahead, self._near)
        if end + reach > sight.end:
            self._fetch_order(end + reach)
        if begin >= end:
            return False
        fetched: Sequence[int] = range(begin, end)
        if self._holds_all or not sight.are_fetched(begin, end):
            fetched = [position for position in fetched if self._serve(position)]
        elif self._let_go:
            self._held -= sum(self._let_go.pop(position, 0) for position in fetched)
        if fetched:
            self._ready.append(Fetch(sight.frame_ids(fetched), fetched))
            if len(self._ready) > 1:
                self._ready = deque(sorted(self._ready, key=lambda task: task.first_position))
        self._position = end
        return True

    def _serve(self, position: int) -> bool:
        """See to it that a position is filled; tell whether it is to be fetched."""
        how = self._sight.how(position)
        if not how:
            if self._has and self._has[self._sight.frame_id(position)]:
                how = FETCHED
            else:
                self._ready.append(self._read(position))
        if self._let_go and (count := self._let_go.pop(position, 0)):
            self._held -= count
            if self._holds_all:
                self._hold(position)
        return how == FETCHED

    def _hold(self, position: int) -> None:
        """Keep a frame, whose last position this was, for the next one in sight that wants it."""
        sight, again = self._sight, position
        frame_id, end = sight.frame_id(position), position + self._lookahead
        while (again := sight.next(again)) and again < end:
            if sight.frame_id(again) == frame_id and not sight.how(again):
                sight.serve(again, FETCHED if self._packs else SERVED)
                self._let_go[again] = 1
                self._held += 1
                self._ready.appendleft(Hold(self._position, position, again, frame_id))
                return

    def _fetch_order(self, end: int) -> None:
        """Look at the positions before `end`, and the rest of their block."""
        each, sight = self.population.frames_per_sample, self._sight
        while sight.end < min(end, self._ends[-1]):
            number = next(n for n, behind in enumerate(self._ends) if sight.end < behind)
            order = self._orders[number]
            place = (sight.end - (self._ends[number - 1] if number else 0)) // each
            block = min(MOST, max(BLOCK, end - sight.end))
            sample_ids = np.asarray(order[place : place + max(1, block // each)])
            frame_ids = self.population.frames_of(sample_ids)[0].ravel()
            video_ids, frames = self._index.locate(frame_ids)
            has = None if self._stored is None else self._stored.mask[frame_ids].astype(bool)
            sight.extend(self._position, video_ids, self._index.start_of(frame_ids), frame_ids, frame_ids - frames, has)

    def _read(self, position: int) -> GopRead:
        """Return the read for the missed position: its frame, and what else of its GOP is worth keeping."""
        sight = self._sight
        video_id, start = sight.gop(position)
        origin = self._offset[video_id]
        whole = self._stored is not None and self._is_read_whole(position, video_id, start)
        following = sight.next(position)
        if not whole and not self._staggers and not 0 < following < position + self._lookahead:
            return GopRead(video_id, start, (sight.frame_id(position) - origin,), ((position,),))
        slots, later = self._keep(position, whole)
        if self._staggers and not whole:
            later = self._stagger_first(position, origin + start, slots, later)
        self._note(slots, later)
        if not self._packs:
            slots, later = _together(slots, later), {}
        frames, kept = sorted(slots), sorted(later)
        return GopRead(
            video_id,
            start,
            tuple(frame - origin for frame in frames),
            tuple(tuple(slots[frame]) for frame in frames),
            tuple(frame - origin for frame in kept),
            tuple(len(later[frame]) for frame in kept),
            self._put(video_id, start) if whole else (),
        )

    def _is_read_whole(self, position: int, video_id: int, start: int) -> bool:
        assert self._stored is not None
        return position >= self._hurry and self._stored.takes(video_id, start)

    def _put(self, video_id: int, start: int) -> tuple[int, ...]:
        """Return the frames of a GOP that the store lacks, and take them for stored from now on."""
        assert self._stored is not None
        origin = int(self._index.offset[video_id])
        wanted = self.population.frames_in(origin + start, origin + self._index.gop_end(video_id, start))
        lacking = wanted[self._stored.mask[wanted] == 0]
        self._stored.mask[lacking] = 1
        return tuple((lacking - origin).tolist())

    def _keep(self, position: int, whole: bool) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """Return positions by frame id, of what goes into slots at once, and of what is kept for later.

        The soonest wanted within reach, as many as there is room for; of a GOP that is stored only what is near.
        """
        sight, near, end = self._sight, position + self._near, position + self._lookahead
        if whole:
            end = near
        slots: dict[int, list[int]] = {sight.frame_id(position): [position]}
        later: dict[int, list[int]] = {}  # the missed frame, too, takes room only if it is wanted again
        while (position := sight.next(position)) and position < end:
            if sight.how(position):  # by a frame that is held on
                continue
            frame = sight.frame_id(position)
            if position < near:
                slots.setdefault(frame, []).append(position)
                continue
            if frame not in later:
                if self._held + len(later) >= self._budget:
                    break
                later[frame] = []
            later[frame].append(position)
        return slots, later

    def _note(self, slots: dict[int, list[int]], later: dict[int, list[int]]) -> None:
        """Note what fills which positions, and until when frames are held."""
        for places in slots.values():
            for place in places:
                self._sight.serve(place, SERVED)
        for places in later.values():
            for place in places:
                self._sight.serve(place, FETCHED if self._packs else SERVED)
            self._let_go[places[-1]] = self._let_go.get(places[-1], 0) + 1
        self._held += len(later)

    def _stagger_first(
        self, position: int, gop: int, slots: dict[int, list[int]], later: dict[int, list[int]]
    ) -> dict[int, list[int]]:
        """Shorten the first look-ahead of a GOP at random.

        All GOPs are new at the start of an epoch; they would fill the memory together and then run out together. One
        that is wanted whole is left alone: it does not come again, so it cannot fall into step.
        """
        if gop in self._touched:
            return later
        self._touched.add(gop)
        end = position + max(1, math.ceil(self._lookahead * self._stagger.random()))
        video_id, start = self._sight.gop(position)
        behind = gop - start + self._index.gop_end(video_id, start)
        if len(slots.keys() | later.keys()) == self.population.num_frames_in(gop, behind):
            return later
        soon = {frame: [place for place in places if place < end] for frame, places in later.items()}
        return {frame: places for frame, places in soon.items() if places}


def _together(slots: dict[int, list[int]], later: dict[int, list[int]]) -> dict[int, list[int]]:
    return slots | {frame: slots.get(frame, []) + places for frame, places in later.items()}
