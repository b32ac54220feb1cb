"""Which samples exist for a run: between the index, which knows all frames, and samplers, which see N samples.

::

    index       0 1 2 3 4 5 6 7 8 9 | 0 1 2 3 4 5        frames of two videos
    stride=3    0 . . 1 . . 2 . . 3 | 4 . . 5 . .        frames at which samples begin, numbered
    clip of 2   [0 1][3 4][6 7]     | [0 1][3 4]         what each sample holds (ends=inside)

Samplers and laws count samples and never ask which frames were left out. GOPs and costs are the index's.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int64

from lit_video.index.anchors import Anchors
from lit_video.index.clips import ClipShape
from lit_video.index.frame_labels import FrameLabels
from lit_video.index.intervals import Stretches
from lit_video.index.sample_labels import SampleLabels
from lit_video.index.selection import (
    Rate,
    Spans,
    Videos,
    among,
    check_choice_of_frames,
    excluding,
    intersection,
    nearest_frames,
    rate,
    select_videos,
    spaced,
    whole,
    within,
)
from lit_video.index.table import VideoIndex
from lit_video.support.errors import DataError

BLOCK = 2**18  # keyframes that are looked at together


class Groups(NamedTuple):
    """Runs of samples that belong together: `[offset[i], offset[i + 1])` is of group `group[i]`.

    Attributes:
        offset: int64 [R + 1].
        group: int64 [R], into names.
        names: Of the groups, by number; some may have no sample.
    """

    offset: Int64[np.ndarray, " runs_and_end"]
    group: Int64[np.ndarray, " runs"]
    names: Sequence[str]


class Population:
    """Samples in [0, N), each a frame or a clip of an index, in the order of videos and time.

    The choices are made one after another: `videos`; `exclude`; `intervals`; then one of `fps`, `every_seconds` and
    `keyframes_only`; then `stride`. What is left are the frames at which samples begin. It is columns and arithmetic: a
    stride or a choice of videos takes no memory a frame, the others 8 bytes a sample.

    Args:
        index: All frames.
        videos: A mask [V], ids of videos, or ends of paths; None: all.
        stride: Every so manieth of the frames that are left, from the first of each stretch on.
        fps: The frame nearest to each multiple of 1/fps seconds, counted from the video's first frame.
        every_seconds: As fps = 1 / every_seconds.
        keyframes_only: Only frames that decoding can begin at.
        intervals: Stretches of videos, each with a label of its own or none.
        frame_labels: What single frames are of; of a clip the one in its middle counts.
        exclude: `damage` (true: frames that the index knows to be damaged), `first_seconds`, `last_seconds`.
        clip_length: T, frames of a sample; None: a sample is one frame.
        clip_stride: From one frame of a clip to the next, counted in the video's own frames.
        clip_fps: Frames a second within a clip, instead of `clip_stride`.
        ends: What becomes of clips at the ends of a stretch: `inside`, `pad` or `circular` (`ClipShape`).

    Raises:
        ValueError: An argument out of range, or two that exclude each other.
        DataError: No sample is left.

    Attributes:
        index: All frames.
        clip: What a sample holds.
        clip_length: T, or None where a sample is one frame.
        videos_without: Number of chosen videos of which no sample is left, such as those shorter than a clip.
    """

    def __init__(
        self,
        index: VideoIndex,
        *,
        videos: Videos = None,
        stride: int = 1,
        fps: Rate = None,
        every_seconds: Rate = None,
        keyframes_only: bool = False,
        intervals: Stretches | None = None,
        frame_labels: FrameLabels | None = None,
        exclude: Mapping[str, Any] | None = None,
        clip_length: int | None = None,
        clip_stride: int = 1,
        clip_fps: Rate = None,
        ends: str = "inside",
    ) -> None:
        check_choice_of_frames(stride, fps, every_seconds, keyframes_only)
        self.index, self.clip_length = index, clip_length
        self.clip = ClipShape.made_of(clip_length, clip_stride, clip_fps, ends)
        chosen = select_videos(index, videos)
        spans = excluding(index, whole(index, chosen), exclude or {})
        if intervals is not None:
            spans = intersection(spans, within(index, whole(index, chosen), intervals))
        self._labels = SampleLabels(index, intervals, frame_labels)
        self._set(spans, self._anchors_in(spans, fps, every_seconds, keyframes_only, stride))
        self.videos_without = len(chosen) - self.num_videos
        if not self.num_samples:
            raise DataError(self._nothing_left(len(chosen)))

    def _anchors_in(self, spans: Spans, fps: Rate, every_seconds: Rate, keyframes_only: bool, stride: int) -> Anchors:
        """Return the frames of each span at which samples begin."""
        begin, end = self.clip.anchor_ranges(self.index, spans, self._clip_steps(spans))
        if fps is None and every_seconds is None and not keyframes_only:
            return Anchors.each(begin, end, stride)
        ranges = np.stack([*spans[:2], begin, end], axis=1).tolist()
        if keyframes_only:
            return Anchors.these(
                [among(self.index.start_frames(v), max(b, first), e)[::stride] for v, first, b, e in ranges]
            )
        wanted = 1 / rate(every_seconds) if fps is None else rate(fps)
        found = [spaced(nearest_frames(self.index, v, wanted), *rest)[::stride] for v, *rest in ranges]
        return Anchors.these(found)

    def _set(self, spans: Spans, anchors: Anchors) -> None:
        """Keep the spans that have samples."""
        kept = np.flatnonzero(np.diff(anchors.offset))
        self._spans = Spans(*(column[kept] for column in spans))
        self._anchors = anchors.of_spans(kept)
        self._origin = self.index.offset[self._spans.video_id]  # frame id of the video's first frame
        self._clip_step = self._clip_steps(self._spans)

    def _clip_steps(self, spans: Spans) -> Int64[np.ndarray, " spans"]:
        if self.clip.fps is None:
            return np.full(len(spans.video_id), self.clip.stride)
        videos, rows = np.unique(spans.video_id, return_inverse=True)
        return np.array([self.clip.step_in(self.index, video_id) for video_id in videos.tolist()], np.int64)[rows]

    def _nothing_left(self, num_videos: int) -> str:
        what = "frame" if self.clip_length is None else f"clip of {self.clip_length} frames ({self.clip.ends})"
        return (
            f"No {what} is left of {num_videos} of {self.index.num_videos} videos, of"
            f" {self.index.lengths.max()} frames at most.\nAsk for shorter clips or ends=pad, or leave out less"
        )

    # What samplers ask. An index answers the same, of frames.

    @property
    def num_samples(self) -> int:
        """Number of samples, N."""
        return len(self._anchors)

    @property
    def num_frames(self) -> int:
        """As `num_samples`: what a sampler for an index's frames counts."""
        return self.num_samples

    @property
    def num_videos(self) -> int:
        """Number of videos that have samples."""
        return len(self.offset) - 1

    @cached_property
    def offset(self) -> Int64[np.ndarray, " videos_and_end"]:
        """Sample id of the first sample of each video that has any, and N."""
        first = np.flatnonzero(np.diff(self._spans.video_id, prepend=-1))
        return np.append(self._anchors.offset[first], self.num_samples)

    @property
    def lengths(self) -> Int64[np.ndarray, " videos"]:
        """Number of samples of each video that has any."""
        return np.diff(self.offset)

    @property
    def keyframes(self) -> Int64[np.ndarray, " gops_and_end"]:
        """Sample ids, ascending, at which samples of another GOP or span begin, and N."""
        return np.concatenate([*self._gops(), [self.num_samples]])

    @cached_property
    def num_gops(self) -> int:
        """Number of GOPs that samples begin in: of parts of videos as many as their share of the video's frames."""
        spans, starts = self._spans, self.index.columns.start_offset
        share = (spans.end - spans.begin) / self.index.lengths[spans.video_id]
        gops = np.ceil((starts[spans.video_id + 1] - starts[spans.video_id]) * share).astype(np.int64)
        return int(np.minimum(gops, np.diff(self._anchors.offset)).sum())

    def locate(self, sample_ids: Int[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return the row in `offset` and the place among its video's samples of each sample id."""
        sample_ids = np.asarray(sample_ids, np.int64)
        rows = np.searchsorted(self.offset, sample_ids, side="right") - 1
        return rows, sample_ids - self.offset[rows]

    def groups(self, by: str) -> Groups:
        """Return runs of samples by what they are of: `video`, `class`, `root`, or a column of the labels' table.

        Raises:
            DataError: There are no labels, roots or columns of that name.
        """
        if by == "class" and self._labels.differ_within_videos:
            return self._groups_by_label()
        numbers, names = self.index.group_of(by)
        return Groups(self._anchors.offset, numbers[self._spans.video_id], names)

    def _groups_by_label(self) -> Groups:
        """Return runs of samples of one class, where not all samples of a video need be of the same."""
        if isinstance(self.classes, Mapping) or not self.classes:
            raise DataError("by=class: labels are numbers, or of several columns.\nName one column of classes")
        labels = [
            self.labels_of(ids, self.frames_of(ids)[0])["label"].numpy()
            for ids in (np.arange(b, min(b + BLOCK, self.num_samples)) for b in range(0, self.num_samples, BLOCK))
        ]
        label = np.concatenate(labels)
        begins = np.flatnonzero(np.diff(label, prepend=label[0] - 1))
        return Groups(np.append(begins, self.num_samples), label[begins], list(self.classes))

    # What planner and loader ask.

    @property
    def frames_per_sample(self) -> int:
        """T: the length of a clip, or 1."""
        return self.clip.length

    def frames_of(
        self, sample_ids: Int[np.ndarray, " n"]
    ) -> tuple[Int64[np.ndarray, "n clip"], Bool[np.ndarray, "n clip"]]:
        """Return the frame ids of each sample, and which of them pad a clip that reaches beyond its stretch."""
        rows, anchors = self._anchors.at(np.asarray(sample_ids, np.int64))
        frames = anchors[:, None] + self._clip_step[rows][:, None] * np.arange(self.clip.length)
        if self.clip.length == 1:
            return frames + self._origin[rows][:, None], np.zeros(frames.shape, bool)
        begin, end = (edge[rows][:, None] for edge in (self._spans.begin, self._spans.end))
        padding = (frames < begin) | (frames >= end)
        if self.clip.ends == "circular":
            frames, padding = begin + (frames - begin) % (end - begin), np.zeros_like(padding)
        frames = np.clip(frames, begin, end - 1)
        for row in np.unique(rows[self._clip_step[rows] == 0]).tolist():
            mine = rows == row
            video_id, first, last = (int(column[row]) for column in self._spans[:3])
            frames[mine], padding[mine] = self.clip.frames_by_time(self.index, video_id, first, last, anchors[mine])
        return frames + self._origin[rows][:, None], padding

    @property
    def num_distinct_frames(self) -> int:
        """Frames that samples may ask for, none counted twice; of clips at most so many."""
        if self.clip.length == 1:
            return self.num_samples
        return int(min(self.num_samples * self.clip.length, (self._spans.end - self._spans.begin).sum()))

    def labels_of(self, sample_ids: Int64[np.ndarray, " n"], frame_ids: Int64[np.ndarray, "n clip"]) -> dict[str, Any]:
        """Return the entries of a batch that say what its samples are of: `SampleLabels.of`."""
        return self._labels.of(self.videos_of(sample_ids), self.intervals_of(sample_ids), frame_ids)

    @property
    def classes(self) -> Sequence[str] | Mapping[str, Sequence[str]]:
        """Names of the classes, by the numbers of `label`, or by column; none without labels, or of numbers."""
        return self._labels.classes

    def videos_of(self, sample_ids: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the index's video id of each sample."""
        return self._spans.video_id[self._anchors.rows(np.asarray(sample_ids, np.int64))]

    def intervals_of(self, sample_ids: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the row of the intervals that each sample lies in, or -1 where there are none."""
        return self._spans.row[self._anchors.rows(np.asarray(sample_ids, np.int64))]

    def frames_in(self, first: int, end: int) -> Int64[np.ndarray, " frames"]:
        """Return the frame ids in `[first, end)`, which lie in one video, that samples may ask for, ascending."""
        video_id = int(np.searchsorted(self.index.offset, first, side="right")) - 1
        rows = np.arange(*np.searchsorted(self._spans.video_id, [video_id, video_id + 1]).tolist())
        origin = int(self.index.offset[video_id])
        low, high = first - origin, end - origin
        if self.clip.length > 1:
            begin, behind = np.maximum(self._spans.begin[rows], low), np.minimum(self._spans.end[rows], high)
            found = [np.arange(b, e) for b, e in zip(begin.tolist(), behind.tolist(), strict=True)]
        else:
            edges = (self._anchors.before(rows, np.full(len(rows), edge)).tolist() for edge in (low, high))
            found = [self._anchors.at(np.arange(b, e))[1] for b, e in zip(*edges, strict=True)]
        return origin + np.unique(np.concatenate([*found, np.empty(0, np.int64)]))

    def num_frames_in(self, first: int, end: int) -> int:
        """Return how many `frames_in` returns."""
        return end - first if self._is_whole else len(self.frames_in(first, end))

    def thinned(self, num_samples: int) -> Population:
        """Return `num_samples` samples of these, evenly spread over all, or all where there are no more."""
        if num_samples >= self.num_samples:
            return self
        sample_ids = np.arange(num_samples) * self.num_samples // num_samples
        rows, anchors = self._anchors.at(sample_ids)
        few = copy.copy(self)
        for name in ("offset", "num_gops", "_digest", "_is_whole"):
            few.__dict__.pop(name, None)
        count = np.bincount(rows, minlength=len(self._origin))
        few._set(self._spans, Anchors.these(np.split(anchors, np.cumsum(count)[:-1])))
        return few

    def digest(self) -> str:
        """Return what names these samples: the index's own digest where they are all of its frames."""
        return self._digest

    @cached_property
    def _is_whole(self) -> bool:
        """Whether the samples are all frames of the index."""
        one_a_video = np.array_equal(self._spans.video_id, np.arange(self.index.num_videos))
        return one_a_video and self.num_samples == self.index.num_frames and self.clip_length is None

    @cached_property
    def _digest(self) -> str:
        if self._is_whole:
            return self.index.digest()
        text = hashlib.blake2b(f"{self.index.digest()} {self.clip}".encode(), digest_size=16)
        anchors = self._anchors
        for column in (anchors.offset, anchors.first, anchors.step, anchors.listed, self._origin, *self._spans[1:3]):
            text.update(np.ascontiguousarray(column, np.int64).tobytes())
        return text.hexdigest()

    def _gops(self) -> Iterator[Int64[np.ndarray, " gops"]]:
        """Yield the sample ids at which samples of another GOP or span begin, ascending, in blocks."""
        starts, columns = self.index.columns.start_offset, self.index.columns
        ends = np.cumsum(starts[self._spans.video_id + 1] - starts[self._spans.video_id])
        last = -1
        for begin in range(0, int(ends[-1]), BLOCK):
            places = np.arange(begin, min(begin + BLOCK, int(ends[-1])))
            rows = np.searchsorted(ends, places, side="right")
            frames = columns.start_frame[starts[self._spans.video_id[rows] + 1] - ends[rows] + places]
            found = np.unique(np.append(self._anchors.offset[rows], self._anchors.before(rows, frames)))
            found = found[(found > last) & (found < self._anchors.offset[rows[-1] + 1])]
            last = int(found[-1]) if len(found) else last
            yield found


# What a sampler is made for: all frames of an index, or the samples of a population.
Samples = VideoIndex | Population


def as_population(index: Samples) -> Population:
    """Return the samples that are meant: of an index, each frame."""
    return index if isinstance(index, Population) else Population(index)
