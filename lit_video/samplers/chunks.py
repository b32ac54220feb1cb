"""Cutting all frames into chunks, and putting the chunks in random order: what chunked and reservoir share.

Nothing here is as long as an epoch: a chunk's frames are computed where they are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from lit_video.index import Samples
from lit_video.support.rng import rng


@dataclass(frozen=True, eq=False)
class Line:
    """All frames as one circle: the videos one after another in random order.

    Attributes:
        videos: Order of the videos.
        begins: Place on the line at which each video, in that order, begins, and N.
        first: Frame id of the first frame of each video, in that order.
    """

    begins: Int64[np.ndarray, " videos_and_end"]
    first: Int64[np.ndarray, " videos"]

    def frames(self, places: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the frame ids at places, which are taken around the circle."""
        places = places % self.begins[-1]
        rows = np.searchsorted(self.begins, places, side="right") - 1
        return self.first[rows] + places - self.begins[rows]


@dataclass(frozen=True, eq=False)
class Chunks:
    """Chunks of the line in the order in which they are read: M chunks, N places in all.

    Attributes:
        line: Where the frames come from.
        start: Place on the line at which each chunk starts.
        begin: Place in the sequence of chunks at which each begins, and N.
    """

    line: Line
    start: Int64[np.ndarray, " chunks"]
    begin: Int64[np.ndarray, " chunks_and_end"]

    def __len__(self) -> int:
        return int(self.begin[-1])

    @property
    def num_chunks(self) -> int:
        """Number of chunks."""
        return len(self.start)

    def frames(self, places: Int64[np.ndarray, " n"], backwards: bool = False) -> Int64[np.ndarray, " n"]:
        """Return the frame ids at places in the sequence of chunks, each chunk from its last frame on if backwards."""
        rows = np.searchsorted(self.begin, places, side="right") - 1
        within = self.begin[rows + 1] - 1 - places if backwards else places - self.begin[rows]
        return self.line.frames(self.start[rows] + within)


def cut(index: Samples, chunk_length: int | None, seed: int, stream: str, epoch: int) -> Chunks:
    """Return all frames as chunks in random order, each frame in one chunk.

    Args:
        index: The videos.
        chunk_length: Frames in a chunk: circular systematic chunks from a uniformly random offset, the last one short
            (section 3.3 of docs/bias.md). None: a chunk is a GOP.
        seed: The run's.
        stream: Names the sampler.
        epoch: Each has its own order of videos, offset and order of chunks.
    """
    draw = rng(seed, stream, epoch)
    if chunk_length is None:
        line = Line(index.offset, index.offset[:-1])  # GOPs do not straddle videos, whose order makes no difference
        start, length = index.keyframes[:-1], np.diff(index.keyframes)
    else:
        videos = draw.permutation(index.num_videos)
        line = Line(np.append(0, np.cumsum(index.lengths[videos])), index.offset[:-1][videos])
        cuts = np.arange(0, index.num_samples, chunk_length, dtype=np.int64)
        start, length = cuts + draw.integers(index.num_samples), np.minimum(chunk_length, index.num_samples - cuts)
    order = draw.permutation(len(start))
    return Chunks(line, start[order], np.append(0, np.cumsum(length[order])))


def draw_windows(index: Samples, length: int, seed: int, stream: str, epoch: int) -> Chunks:
    """Return windows of `length` frames, each drawn uniformly from all that lie within a video; about N frames in all.

    Raises:
        ValueError: No video is as long as a window.
    """
    windows = np.maximum(index.lengths - length + 1, 0)
    if not windows.any():
        raise ValueError(f"chunk_length must be at most {index.lengths.max()}, the longest video, got {length}")
    ends = np.cumsum(windows)
    drawn = rng(seed, stream, epoch).integers(ends[-1], size=-(-index.num_samples // length))
    video_ids = np.searchsorted(ends, drawn, side="right")
    start = index.offset[video_ids] + drawn - (ends - windows)[video_ids]
    return Chunks(Line(index.offset, index.offset[:-1]), start, np.arange(len(start) + 1) * length)


def chunk_lengths(index: Samples, chunk_length: int | None) -> Int64[np.ndarray, " chunks"]:
    """Return the length of every chunk that `cut` makes, in frames."""
    if chunk_length is None:
        return np.diff(index.keyframes)
    full, rest = divmod(index.num_samples, chunk_length)
    return np.append(np.full(full, chunk_length, np.int64), [rest] * (rest > 0)).astype(np.int64)


def mean_length(index: Samples, chunk_length: int | None) -> float:
    """Return the mean length of a chunk, in frames, as a frame sees it: long chunks count by their frames."""
    if chunk_length is not None:
        return float(min(chunk_length, index.num_samples))
    lengths = np.diff(index.keyframes).astype(np.float64)
    return float((lengths**2).sum() / lengths.sum())
