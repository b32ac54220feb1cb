"""What to do about frames that cannot be decoded: raise, leave them out, or draw others, and tell of it in any case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from lit_video.decoders.refusals import reasons
from lit_video.index import Samples, as_population
from lit_video.loading.tiers import Job
from lit_video.planning.planner import GopRead, plan
from lit_video.support.errors import DecodeError
from lit_video.support.rng import rng

POLICIES = ("raise", "skip", "redraw")

# So many frames in a row that cannot be decoded are no longer a few damaged ones.
MOST_REDRAWS = 32
MOST_DRAWS = 1000  # among frames that the index knows to be damaged


class Fault(NamedTuple):
    """A frame that was not delivered.

    Attributes:
        path: Its video.
        frame_index: Its place there.
        epoch: In which it should have come.
        reason: Why it did not.
        positions: That it should have filled; of clips, those that it took with it.
        replaced_by: Path and frame index of the frame that came in its place, or None.
    """

    path: str
    frame_index: int
    epoch: int
    reason: str
    replaced_by: tuple[str, int] | None = None
    positions: int = 1


@dataclass(frozen=True)
class Redraw:
    """A frame that stands in for another.

    Attributes:
        original: Frame id of the one that failed first.
        reason: Why it did.
        sample: Sample id of the one that stands in.
        attempt: How often was drawn since.
    """

    original: int
    reason: str
    sample: int = -1
    attempt: int = 0


class Faults:
    """The policy of one epoch, and its ledger.

    A frame's replacement is a function of seed, epoch and the frame: whatever number of threads, workers or ranks, and
    however far the planner looks ahead, the same frame comes in its place. Drawn anew until one can be decoded, it is
    uniform over the samples that can. A clip goes by the first of its frames that fails, in the clip's order.

    Args:
        policy: `raise`, `skip` or `redraw`.
        index: The videos, or the samples of them.
        seed: The run's.
        epoch: This one.
        trust_flags: Frames of which only their decoder says that they are damaged are.

    Attributes:
        ledger: Frames that were not delivered, in no particular order.
    """

    def __init__(self, policy: str, index: Samples, seed: int, epoch: int, trust_flags: bool = True) -> None:
        self._population = as_population(index)
        self._index, self._clip = self._population.index, self._population.frames_per_sample
        self._policy, self._seed, self._epoch = policy, seed, epoch
        self._trust_flags = trust_flags
        self._redraws: dict[int, Redraw] = {}  # by number of the job that decodes a replacement
        self._left_out: dict[int, tuple[int, Redraw]] = {}  # by place: the first position that failed, and its frame
        self.ledger: list[Fault] = []

    def known(self, read: GopRead) -> dict[int, DecodeError]:
        """Return an error for each frame of a read that the index knows to be damaged, by frame index.

        Raises:
            DecodeError: The policy puts up with none.
        """
        if read.video_id not in self._index.damaged_videos:
            return {}
        found = reasons(self._index, read, self._trust_flags)
        path, length = self._index.path(read.video_id), self._index.length(read.video_id)
        if found and self._policy == "raise":
            raise DecodeError(path, sorted(found), length, next(iter(found.values())))
        return {frame: DecodeError(path, [frame], length, why) for frame, why in found.items()}

    def missing(self, job: Job, error: BaseException | None) -> list[int]:
        """Return the frame indices of a job that did not come.

        Raises:
            BaseException: `error`, unless it is one that the policy puts up with.
        """
        if error is None:
            return []
        if self._policy == "raise" or not isinstance(error, DecodeError):
            raise error
        return [frame for frame in job.read.frame_indices if frame in error.missing]

    def stand_in(self, job: Job, frame_index: int, error: DecodeError) -> tuple[GopRead, Redraw] | None:
        """Return what to decode in the place of a frame that failed, or None where it is left out.

        Raises:
            DecodeError: Too many replacements failed as well.
        """
        frame_id = int(self._index.offset[job.read.video_id]) + frame_index
        before = self._redraws.pop(job.number, None) or Redraw(frame_id, error.cause)
        positions = job.read.positions[job.read.frame_indices.index(frame_index)]
        if self._clip > 1 or self._policy == "skip":  # what becomes of the sample is told when its batch is due
            for position in positions:
                place = position // self._clip
                self._left_out[place] = min(
                    self._left_out.get(place, (position, before)), (position, before), key=itemgetter(0)
                )
            return None
        if before.attempt == MOST_REDRAWS:
            raise error
        return self._draw(before, positions)

    def in_place_of(self, place: int, is_last: bool) -> Iterator[tuple[list[GopRead], Redraw]]:
        """Yield samples to try, as reads and what they stand in for, in the place of one that failed; none: it is out.

        Args:
            place: Of the sample.
            is_last: Nothing else is left of its batch: no model takes an empty one.

        Raises:
            DecodeError: Too many replacements failed as well.
        """
        _, lost = self._left_out[place]
        if self._policy == "skip":
            self._note(lost, None, 1)
        if self._policy == "redraw" or is_last:
            for attempt in range(MOST_REDRAWS):
                sample, reads = self._draw_sound(lost.original, attempt, place)
                yield reads, replace(lost, sample=sample)
            path, frame = self._place(lost.original)
            raise DecodeError(path, [frame], self._index.length(self._video_of(lost.original)), lost.reason)

    def _draw_sound(self, original: int, attempt: int, place: int) -> tuple[int, list[GopRead]]:
        """Return a sample without known damage, as far as there is one to be found, and its reads for a place."""
        draw = rng(self._seed, "redraw", self._epoch, original, attempt)
        drawn = (int(draw.integers(self._population.num_samples)) for _ in range(MOST_DRAWS))
        sample = next(drawn)
        while self._is_damaged(sample) and (another := next(drawn, None)) is not None:
            sample = another
        return sample, self._reads_of(sample, place)

    def _is_damaged(self, sample: int) -> bool:
        return any(reasons(self._index, read, self._trust_flags) for read in self._reads_of(sample, 0))

    def _reads_of(self, sample: int, place: int) -> list[GopRead]:
        reads = plan(np.array([sample]), self._population, self._clip, self._clip)
        first = place * self._clip
        return [
            read._replace(positions=tuple(tuple(position + first for position in at) for at in read.positions))
            for read in reads
            if isinstance(read, GopRead)
        ]

    def settle_in_place(self, redraw: Redraw) -> int:
        """Note that a sample came in the place of another, unless it was noted as left out, and return its id."""
        if self._policy == "redraw":
            self._note(redraw, int(self._population.frames_of(np.array([redraw.sample]))[0][0, 0]), 1)
        return redraw.sample

    def forget(self, places: range) -> None:
        """Forget what was left out at places whose batch is done."""
        for place in places:
            self._left_out.pop(place, None)

    def _draw(self, before: Redraw, positions: tuple[int, ...]) -> tuple[GopRead, Redraw]:
        sample, (read,) = self._draw_sound(before.original, before.attempt, positions[0])
        return read._replace(positions=(positions,)), replace(before, sample=sample, attempt=before.attempt + 1)

    def expect(self, number: int, redraw: Redraw) -> None:
        """Remember that job `number` decodes a replacement."""
        self._redraws[number] = redraw

    def settle(self, job: Job) -> int | None:
        """Return the sample id that a job which ended well delivers in the place of another, or None if of no other."""
        redraw = self._redraws.pop(job.number, None)
        if redraw is None:
            return None
        frame_id = int(self._index.offset[job.read.video_id]) + job.read.frame_indices[0]
        self._note(redraw, frame_id, len(job.read.positions[0]))
        return redraw.sample

    def _note(self, redraw: Redraw, replaced_by: int | None, positions: int) -> None:
        (path, frame_index), instead = self._place(redraw.original), None
        if replaced_by is not None:
            instead = self._place(replaced_by)
        self.ledger.append(Fault(path, frame_index, self._epoch, redraw.reason, instead, positions))

    def _place(self, frame_id: int) -> tuple[str, int]:
        video_id = self._video_of(frame_id)
        return self._index.path(video_id), frame_id - int(self._index.offset[video_id])

    def _video_of(self, frame_id: int) -> int:
        return int(self._index.offset.searchsorted(frame_id, side="right")) - 1
