"""Which frames of an index may be drawn: spans of videos, and the frames in each at which a sample begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int64

from lit_video.index.intervals import Stretches
from lit_video.index.listing import path_ends
from lit_video.index.table import VideoIndex
from lit_video.support.errors import DataError

MICROSECONDS = 10**6
EXCLUDED = ("damage", "first_seconds", "last_seconds")

# A mask of all videos, ids, or ends of paths; None: all.
Videos = Sequence[int] | Sequence[str] | Bool[np.ndarray, " videos"] | Int[np.ndarray, " chosen"] | None


# Frames a second, or seconds: a number, or text such as "30000/1001".
Rate = float | str | Fraction | None


class Spans(NamedTuple):
    """Stretches of videos, sorted by video: frame indices `[begin, end)`, none empty.

    Attributes:
        video_id: int64 [S].
        begin: int64 [S], frame index.
        end: int64 [S], frame index.
        row: int64 [S], of the stretch that a span comes from, or -1.
    """

    video_id: Int64[np.ndarray, " spans"]
    begin: Int64[np.ndarray, " spans"]
    end: Int64[np.ndarray, " spans"]
    row: Int64[np.ndarray, " spans"]

    def not_empty(self) -> Spans:
        """Return the spans that hold a frame."""
        return Spans(*(column[self.begin < self.end] for column in self))


def rate(value: Rate) -> Fraction:
    """Return a number of frames a second as a fraction: 29.97 is 2997/100, and "30000/1001" what it says.

    Raises:
        ValueError: It is no number above 0.
    """
    try:
        found = Fraction(value or 0).limit_denominator(1001)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"frames a second must be a number above 0, got {value!r}") from error
    if found <= 0:
        raise ValueError(f"frames a second must be a number above 0, got {value!r}")
    return found


def select_videos(index: VideoIndex, videos: Videos) -> Int64[np.ndarray, " chosen"]:
    """Return the ids of the chosen videos, ascending: all, those of a mask, of a list of ids, or of ends of paths.

    Raises:
        ValueError: A mask of another length, or an id that there is not.
        DataError: A path that no video ends with.
    """
    if videos is None:
        return np.arange(index.num_videos)
    chosen = np.asarray(videos)
    if chosen.dtype == bool:
        if len(chosen) != index.num_videos:
            raise ValueError(f"videos must be a mask of {index.num_videos} videos, got one of {len(chosen)}")
        return np.flatnonzero(chosen)
    if chosen.dtype.kind in "US":
        return _named(index, [str(name) for name in chosen])
    chosen = np.unique(chosen.astype(np.int64))
    if len(chosen) and not 0 <= chosen[0] <= chosen[-1] < index.num_videos:
        raise ValueError(f"videos must be ids in [0, {index.num_videos}), got {chosen[[0, -1]].tolist()}")
    return chosen


def _named(index: VideoIndex, names: Sequence[str]) -> Int64[np.ndarray, " chosen"]:
    found: dict[str, list[int]] = {str(PurePath(name)): [] for name in names}
    for video_id, path in enumerate(index.known_paths):
        for end in path_ends(path):
            if end in found:
                found[end].append(video_id)
    for name, video_ids in found.items():
        if not video_ids:
            raise DataError(
                f"{name}: no video of {index.num_videos} has a path that ends so.\n"
                f"Look how they are called, such as {index.path(0)}"
            )
    return np.unique(np.concatenate([np.array(ids, np.int64) for ids in found.values()]))


def whole(index: VideoIndex, video_ids: Int64[np.ndarray, " chosen"]) -> Spans:
    """Return videos from end to end."""
    return Spans(video_ids, np.zeros_like(video_ids), index.lengths[video_ids], np.full_like(video_ids, -1))


def within(index: VideoIndex, spans: Spans, intervals: Stretches) -> Spans:
    """Return what of whole videos lies in stretches, a span for each.

    Seconds count from a video's first frame, whatever its timestamps begin with.
    """
    keep = np.isin(intervals.video_id, spans.video_id)
    video_ids = intervals.video_id[keep]
    begin = _frames_at(index, video_ids, intervals.begin[keep], intervals.unit)
    end = _frames_at(index, video_ids, intervals.end[keep], intervals.unit)
    return Spans(video_ids, begin, end, np.flatnonzero(keep)).not_empty()


def _frames_at(
    index: VideoIndex, video_ids: Int64[np.ndarray, " n"], edge: np.ndarray, unit: str
) -> Int64[np.ndarray, " n"]:
    """Return for each edge the first frame index that does not lie before it."""
    lengths = index.lengths[video_ids]
    if unit == "frames":
        return np.clip(np.ceil(edge).astype(np.int64), 0, lengths)
    # In whole microseconds: 0.3 s is the frame at 3/10 s, and not the one behind it for the want of a bit.
    ticks = np.rint(np.asarray(edge, np.float64) * MICROSECONDS).astype(np.int64)
    return np.array([_frame_at(index, v, t) for v, t in zip(video_ids.tolist(), ticks.tolist(), strict=True)], int)


def ascending_pts(index: VideoIndex, video_id: int) -> Int64[np.ndarray, " frames"]:
    """Return a video's timestamps, those that fall back (a decoder may give such) raised to the ones before."""
    return np.maximum.accumulate(index.pts_of(video_id))


def _frame_at(index: VideoIndex, video_id: int, microseconds: int) -> int:
    numerator, denominator = index.columns.time_base[video_id].tolist()
    pts = ascending_pts(index, video_id)
    return int(np.searchsorted(pts, pts[0] + -(-microseconds * denominator // (numerator * MICROSECONDS))))


def excluding(index: VideoIndex, spans: Spans, exclude: Mapping[str, Any]) -> Spans:
    """Return what is left of spans: without damaged frames, and the first and last seconds of each video.

    Raises:
        ValueError: Another key than `damage`, `first_seconds` and `last_seconds`.
    """
    if unknown := sorted(set(exclude) - set(EXCLUDED)):
        raise ValueError(f"exclude must have keys among {', '.join(EXCLUDED)}, got {', '.join(unknown)}")
    first, last = float(exclude.get("first_seconds") or 0), float(exclude.get("last_seconds") or 0)
    if first or last:
        edges = [_inner(index, video_id, first, last) for video_id in np.unique(spans.video_id).tolist()]
        begin, end = np.array(edges)[np.searchsorted(np.unique(spans.video_id), spans.video_id)].T
        spans = spans._replace(begin=np.maximum(spans.begin, begin), end=np.minimum(spans.end, end)).not_empty()
    return _undamaged(index, spans) if exclude.get("damage") else spans


def _inner(index: VideoIndex, video_id: int, first: float, last: float) -> tuple[int, int]:
    pts, (numerator, denominator) = ascending_pts(index, video_id), index.columns.time_base[video_id].tolist()
    end = (int(pts[-1]) - int(pts[0])) * numerator / denominator - last
    begin_at, end_at = _frame_at(index, video_id, round(first * MICROSECONDS)), round(end * MICROSECONDS)
    return begin_at, _frame_at(index, video_id, end_at + 1)


def _undamaged(index: VideoIndex, spans: Spans) -> Spans:
    pieces = [Spans(*(column[~np.isin(spans.video_id, list(index.damaged_videos))] for column in spans))]
    for place in np.flatnonzero(np.isin(spans.video_id, list(index.damaged_videos))).tolist():
        video_id, begin, end, row = (int(column[place]) for column in spans)
        runs = index.damage(video_id)
        begins = np.maximum(begin, [begin, *(run.last + 1 for run in runs)])
        ends = np.minimum(end, [*(run.first for run in runs), end])
        pieces.append(Spans(np.full_like(begins, video_id), begins, ends, np.full_like(begins, row)).not_empty())
    together = Spans(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))
    order = np.lexsort((together.begin, together.row, together.video_id))
    return Spans(*(column[order] for column in together))


def nearest_frames(index: VideoIndex, video_id: int, fps: Fraction) -> Int64[np.ndarray, " frames"]:
    """Return the frame nearest to each multiple of 1/fps seconds behind the video's first frame, none twice, ascending.

    Of two that are as near the earlier one. In whole numbers: no rounding decides.
    """
    pts = ascending_pts(index, video_id)
    pts = pts - pts[0]
    numerator, denominator = index.columns.time_base[video_id].tolist()
    step = fps.denominator * denominator  # of the multiples, where a tick of pts is `tick`
    tick = fps.numerator * numerator
    multiples = np.arange(int(pts[-1]) * tick // step + 1) * (2 * step)
    return np.unique(np.searchsorted((pts[:-1] + pts[1:]) * tick, multiples))


def check_choice_of_frames(stride: int, fps: Rate, every_seconds: Rate, keyframes_only: bool) -> None:
    """Check what can be checked of a choice of frames before there is an index.

    Raises:
        ValueError: One is out of range, or two exclude each other.
    """
    if not isinstance(stride, int) or stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride!r}")
    given: dict[str, Any] = {"fps": fps, "every_seconds": every_seconds, "keyframes_only": keyframes_only or None}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        raise ValueError(f"give one of fps, every_seconds and keyframes_only, got {' and '.join(given)}")
    for name in given.keys() - {"keyframes_only"}:
        try:
            rate(given[name])
        except ValueError as error:
            raise ValueError(f"{name} must be a number above 0, got {given[name]!r}") from error


def intersection(spans: Spans, others: Spans) -> Spans:
    """Return what of `others` lies in `spans`, with the rows of `others`; several spans a video in either."""
    first = np.searchsorted(spans.video_id, others.video_id)
    count = np.searchsorted(spans.video_id, others.video_id, side="right") - first
    theirs = np.repeat(np.arange(len(count)), count)
    mine = np.arange(len(theirs)) - np.repeat(np.cumsum(count) - count, count) + first[theirs]
    begin = np.maximum(spans.begin[mine], others.begin[theirs])
    end = np.minimum(spans.end[mine], others.end[theirs])
    return Spans(others.video_id[theirs], begin, end, others.row[theirs]).not_empty()


def among(frames: Int64[np.ndarray, " n"], begin: int, end: int) -> Int64[np.ndarray, " kept"]:
    """Return which of ascending frames lie in `[begin, end)`."""
    return frames[np.searchsorted(frames, begin) : np.searchsorted(frames, end)]


def spaced(frames: Int64[np.ndarray, " n"], first: int, begin: int, end: int) -> Int64[np.ndarray, " kept"]:
    """Return which of a video's frames lie in `[begin, end)`, where a stretch's first frame is `first`.

    Before it there are as many as their mean distance leaves room for: clips that begin there are padded.
    """
    kept = among(frames, max(first, begin), end)
    if begin >= first or len(kept) < 2:
        return kept
    distance = (kept[-1] - kept[0]) / (len(kept) - 1)
    steps = np.arange(1, int((kept[0] - begin) / distance) + 1)
    return np.append(kept[0] - np.rint(steps * distance).astype(np.int64)[::-1], kept)
