"""Frames that are refused without decoding, because the index knows that they are damaged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection

from lit_video.index import VideoIndex
from lit_video.index.damage import FLAGGED, Run
from lit_video.planning.planner import GopRead


def reasons(index: VideoIndex, read: GopRead, trust_flags: bool = True) -> dict[int, str]:
    """Return why frames of a read are damaged, as the index knows, by frame index; those that are not are left out."""
    runs = refused_runs(index, read.video_id, trust_flags)
    return {frame: run.why for run in runs for frame in _between(read.frame_indices, run.first, run.last)}


def refused_runs(index: VideoIndex, video_id: int, trust_flags: bool) -> list[Run]:
    """Return the runs of a video's frames that are refused."""
    return [run for run in index.damage(video_id) if trust_flags or run.why != FLAGGED]


def _between(frames: tuple[int, ...], first: int, last: int) -> tuple[int, ...]:
    return frames[bisect_left(frames, first) : bisect_right(frames, last)]


def without(read: GopRead, frames: Collection[int]) -> GopRead:
    """Return a read of fewer frames."""
    if not frames:
        return read
    kept = [place for place, frame in enumerate(read.frame_indices) if frame not in frames]
    wanted, positions = (tuple(values[place] for place in kept) for values in (read.frame_indices, read.positions))
    return read._replace(frame_indices=wanted, positions=positions)
