"""What a plan is made of: frames to decode in one go, and frames to fetch that were decoded before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from lit_video.index import VideoIndex


class GopRead(NamedTuple):
    """Frames to decode in one go, from one keyframe on.

    Attributes:
        video_id: Row of the video in the index.
        start: Frame index of the keyframe that decoding starts from.
        frame_indices: Wanted frames, ascending, none twice.
        positions: For each wanted frame, the positions that it fills, ascending: of the order, or where samples are
            clips of T frames, T for each of its positions.
        packed: Frames to keep packed in memory, ascending; a `Fetch` takes them from there.
        packed_uses: How often each of these is fetched.
        stored: Frames to put into the store, ascending; some of the wanted ones too.
    """

    video_id: int
    start: int
    frame_indices: tuple[int, ...]
    positions: tuple[tuple[int, ...], ...]
    packed: tuple[int, ...] = ()
    packed_uses: tuple[int, ...] = ()
    stored: tuple[int, ...] = ()

    @property
    def first_position(self) -> int:
        """The position that cannot be delivered before this read is done."""
        return min(places[0] for places in self.positions)

    @property
    def last_frame(self) -> int:
        """The last frame that is decoded."""
        return max(frames[-1] for frames in (self.frame_indices, self.packed, self.stored) if frames)

    @property
    def num_decoded(self) -> int:
        """Frames from the keyframe to the last one, both included: what the read costs."""
        last = self.last_frame if self.packed or self.stored else self.frame_indices[-1]
        return last - self.start + 1


class Fetch(NamedTuple):
    """Frames that were decoded before, to be unpacked in one go: kept in memory, or in the store.

    Attributes:
        frame_ids: One for each position; a frame that is wanted twice comes twice.
        positions: That they fill, ascending.
    """

    frame_ids: Sequence[int]
    positions: Sequence[int]

    @property
    def first_position(self) -> int:
        """The position that cannot be delivered before this is done."""
        return self.positions[0]


class Hold(NamedTuple):
    """A frame that is held beyond the last position that it was kept for, because all frames fit.

    Attributes:
        first_position: From which on this must be known.
        position: That it was kept for.
        again: A later one that it fills as well.
        frame_id: The frame.
    """

    first_position: int
    position: int
    again: int
    frame_id: int


Task = GopRead | Fetch | Hold


def reads_in_order(index: VideoIndex, video_id: int, frames: Int64[np.ndarray, " n"]) -> Iterator[GopRead]:
    """Yield the reads of a video's frames, ascending, for nobody's order: their positions are nothing."""
    if not len(frames):
        return
    starts = index.start_of(index.offset[video_id] + frames)
    cuts = np.flatnonzero(np.diff(starts)) + 1
    for gop in np.split(np.arange(len(frames)), cuts):
        in_gop = tuple(frames[gop].tolist())
        yield GopRead(video_id, int(starts[gop[0]]), in_gop, ((0,),) * len(in_gop))


def in_runs(frames: Int64[np.ndarray, " n"]) -> tuple[tuple[int, int], ...]:
    """Return the runs of ascending numbers, first and last.

    >>> in_runs(np.array([2, 3, 4, 7]))
    ((2, 4), (7, 7))
    """
    if not len(frames):
        return ()
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    return tuple((int(run[0]), int(run[-1])) for run in runs)
