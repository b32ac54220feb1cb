"""What a sample holds: one frame, or a clip of T frames from its anchor on, and what becomes of clips at the ends."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Int64

from lit_video.bias.clips import ENDS
from lit_video.index.selection import Rate, Spans, ascending_pts, rate
from lit_video.index.table import VideoIndex
from lit_video.support.errors import check_choice


@dataclass(frozen=True)
class ClipShape:
    """How the frames of a clip follow its anchor, within a stretch of L frames.

    Attributes:
        length: T, frames.
        stride: s, from one frame to the next; not looked at where `fps` is given.
        fps: The frame nearest to each multiple of 1/fps seconds behind the anchor, instead.
        ends: `inside`: clips lie within their stretch, so the frames at its ends come in fewer of them. `pad`: clips
            begin up to T - 1 frames before the stretch and end as far behind it; what lies outside is its nearest frame
            again, marked as padding, and each frame comes as often as any other. `circular`: behind the last frame of
            a stretch comes its first, and each frame comes in exactly T clips.

    Raises:
        ValueError: One is out of range.
    """

    length: int = 1
    stride: int = 1
    fps: Fraction | None = None
    ends: str = "inside"

    def __post_init__(self) -> None:
        for name, value in (("clip_length", self.length), ("clip_stride", self.stride)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        check_choice("ends", self.ends, ENDS)
        if self.fps is not None and self.stride != 1:
            raise ValueError(f"give clip_stride or clip_fps, not both: got {self.stride} and {self.fps}")

    @classmethod
    def made_of(cls, length: int | None, stride: int, fps: Rate, ends: str) -> ClipShape:
        """Return the shape that a user's options ask for; `length` None is a single frame."""
        return cls(1 if length is None else length, stride, None if fps is None else rate(fps), ends)

    def step_in(self, index: VideoIndex, video_id: int) -> int:
        """Return the frames from one frame of a clip to the next, or 0 where only timestamps tell."""
        if self.fps is None or self.length == 1:
            return self.stride
        pts = index.pts_of(video_id)
        gaps = np.diff(pts)
        numerator, denominator = index.columns.time_base[video_id].tolist()
        if not len(gaps) or (gaps != gaps[0]).any():
            return 0
        step, rest = divmod(self.fps.denominator * denominator, self.fps.numerator * numerator * int(gaps[0]))
        return 0 if rest else step

    def anchor_ranges(
        self, index: VideoIndex, spans: Spans, steps: Int64[np.ndarray, " spans"]
    ) -> tuple[Int64[np.ndarray, " spans"], Int64[np.ndarray, " spans"]]:
        """Return the half-open ranges of frame indices at which clips of each span may begin.

        Args:
            index: All frames.
            spans: The stretches.
            steps: Of a clip's frames in each, `step_in`.
        """
        if self.length == 1 or self.ends == "circular":
            return spans.begin, spans.end
        reach = (self.length - 1) * steps
        for row in np.flatnonzero(steps == 0).tolist():
            reach[row] = self._reach_by_time(index, *(int(column[row]) for column in spans[:3]))
        return (spans.begin, spans.end - reach) if self.ends == "inside" else (spans.begin - reach, spans.end)

    def _reach_by_time(self, index: VideoIndex, video_id: int, begin: int, end: int) -> int:
        """Return how many frames before the end of a stretch the last clip begins that lies within it."""
        time = _Time(index, video_id, begin, end, self)
        last = time.ticks[-1] - (self.length - 1) * time.step
        return end - begin - int(np.searchsorted(time.ticks, last, side="right"))

    def frames_by_time(
        self, index: VideoIndex, video_id: int, begin: int, end: int, anchors: Int64[np.ndarray, " n"]
    ) -> tuple[Int64[np.ndarray, "n clip"], Bool[np.ndarray, "n clip"]]:
        """Return the frame indices of clips of a stretch whose frames only timestamps tell, and which are padding."""
        time = _Time(index, video_id, begin, end, self)
        outside = np.minimum(anchors - begin, 0) + np.maximum(anchors - (end - 1), 0)
        at = time.ticks[np.clip(anchors - begin, 0, end - begin - 1)] + outside * time.gap
        wanted = at[:, None] + np.arange(self.length) * time.step
        if self.ends == "circular":
            wanted %= time.ticks[-1] + time.gap
        padding = (2 * wanted < -time.gap) | (2 * (wanted - time.ticks[-1]) > time.gap)
        return begin + np.searchsorted(time.ticks[:-1] + time.ticks[1:], 2 * wanted), padding


class _Time:
    """Timestamps of a stretch, counted from its first frame in ticks in which frames of clips are whole numbers apart.

    Attributes:
        ticks: int64 [L].
        step: Ticks from one frame of a clip to the next.
        gap: Ticks from one frame of the video to the next, as a rule.
    """

    def __init__(self, index: VideoIndex, video_id: int, begin: int, end: int, shape: ClipShape) -> None:
        assert shape.fps is not None
        numerator, denominator = index.columns.time_base[video_id].tolist()
        pts = ascending_pts(index, video_id)[begin:end]
        self.ticks = (pts - pts[0]) * shape.fps.numerator * numerator
        self.step = shape.fps.denominator * denominator
        self.gap = int(np.median(np.diff(self.ticks))) if len(pts) > 1 else self.step
