"""What to do about frames that cannot be decoded: raise, leave them out, or draw others, and tell of it in any case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from lit_video.decoders.refusals import reasons
from lit_video.index import VideoIndex
from lit_video.loading.workers import Job
from lit_video.planning.planner import GopRead
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
        positions: That it should have filled.
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
        attempt: How often was drawn since.
        is_noted: The ledger has it already.
    """

    original: int
    reason: str
    attempt: int = 0
    is_noted: bool = False


class Faults:
    """The policy of one epoch, and its ledger.

    A frame's replacement is a function of seed, epoch and the frame: whatever number of threads, workers or ranks, and
    however far the planner looks ahead, the same frame comes in its place. Drawn anew until one can be decoded, it is
    uniform over the frames that can.

    Args:
        policy: `raise`, `skip` or `redraw`.
        index: The videos.
        seed: The run's.
        epoch: This one.
        trust_flags: Frames of which only their decoder says that they are damaged are.

    Attributes:
        ledger: Frames that were not delivered, in no particular order.
    """

    def __init__(self, policy: str, index: VideoIndex, seed: int, epoch: int, trust_flags: bool = True) -> None:
        self._policy, self._index, self._seed, self._epoch = policy, index, seed, epoch
        self._trust_flags = trust_flags
        self._redraws: dict[int, Redraw] = {}  # by number of the job that decodes a replacement
        self._left_out: dict[int, Redraw] = {}  # by position
        self.ledger: list[Fault] = []

    def known(self, read: GopRead) -> dict[int, DecodeError]:
        """Return an error for each frame of a read that the index knows to be damaged, by frame index.

        Raises:
            DecodeError: The policy puts up with none.
        """
        if read.video_id not in self._index.damaged_videos:
            return {}
        found = reasons(self._index, read, self._trust_flags)
        path, length = self._index.path(read.video_id), int(self._index.lengths[read.video_id])
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
        if self._policy == "skip" and not before.is_noted:
            self._note(before, None, len(positions))
            self._left_out.update(dict.fromkeys(positions, replace(before, is_noted=True)))
            return None
        if before.attempt == MOST_REDRAWS:
            raise error
        return self._draw(before, positions)

    def last_resort(self, positions: range) -> tuple[GopRead, Redraw]:
        """Return what to decode for the first of the positions of a batch that would be empty: no model takes that."""
        return self._draw(self._left_out[positions[0]], (positions[0],))

    def forget(self, positions: range) -> None:
        """Forget what was left out at positions whose batch is done."""
        for position in positions:
            self._left_out.pop(position, None)

    def _draw(self, before: Redraw, positions: tuple[int, ...]) -> tuple[GopRead, Redraw]:
        draw = rng(self._seed, "redraw", self._epoch, before.original, before.attempt)
        drawn = (int(draw.integers(self._index.num_frames)) for _ in range(MOST_DRAWS))
        reads = [self._read_of(next(drawn), positions)]
        while reasons(self._index, reads[-1], self._trust_flags) and (frame := next(drawn, None)) is not None:
            reads.append(self._read_of(frame, positions))
        return reads[-1], replace(before, attempt=before.attempt + 1)

    def expect(self, number: int, redraw: Redraw) -> None:
        """Remember that job `number` decodes a replacement."""
        self._redraws[number] = redraw

    def settle(self, job: Job) -> int | None:
        """Return the frame id that a job which ended well delivers in the place of another, or None if of no other."""
        redraw = self._redraws.pop(job.number, None)
        if redraw is None:
            return None
        frame_id = int(self._index.offset[job.read.video_id]) + job.read.frame_indices[0]
        if not redraw.is_noted:
            self._note(redraw, frame_id, len(job.read.positions[0]))
        return frame_id

    def _note(self, redraw: Redraw, replaced_by: int | None, positions: int) -> None:
        (path, frame_index), instead = self._place(redraw.original), None
        if replaced_by is not None:
            instead = self._place(replaced_by)
        self.ledger.append(Fault(path, frame_index, self._epoch, redraw.reason, instead, positions))

    def _place(self, frame_id: int) -> tuple[str, int]:
        video_id = int(self._index.offset.searchsorted(frame_id, side="right")) - 1
        return self._index.path(video_id), frame_id - int(self._index.offset[video_id])

    def _read_of(self, frame_id: int, positions: tuple[int, ...]) -> GopRead:
        video_id = int(self._index.offset.searchsorted(frame_id, side="right")) - 1
        start = int(self._index.columns.start[frame_id])
        return GopRead(video_id, start, (frame_id - int(self._index.offset[video_id]),), (positions,))
