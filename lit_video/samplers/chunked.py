"""Runs of neighbouring frames, many open at a time: nearly as fast as reading in order, and exactly unbiased."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import kish_factor, line_correlation, q_sliding
from lit_video.index import Samples
from lit_video.samplers.chunks import Chunks, chunk_lengths, cut, draw_windows, mean_length
from lit_video.samplers.laws import design_effect, epoch_correlation, even, long_run, survival
from lit_video.support.errors import check_choice
from lit_video.support.rng import rng

WINDOWS = ("circular", "sliding")


@dataclass(frozen=True, eq=False)
class Lanes:
    """An order that takes one frame in turn from each of P lanes, which read the sequence of chunks in P parts.

    Lane i begins a share i/P of a chunk late, so that lanes do not all change chunk at the same time. The whole order
    is rotated at random: every slot is exactly uniform, whatever the chunks (F19 of docs/bias.md). What the end of a
    lane cuts in two lies close together after the rotation. What the rotation cuts, one chunk a lane, is decoded
    twice; chunks are read backwards, so that an epoch begins with their heads, which cost nothing extra.

    Attributes:
        chunks: In the order in which they are read.
        num_lanes: P.
        stagger: Frames over which the lanes' beginnings are spread.
        rotation: Slots by which the order is rotated.
    """

    chunks: Chunks
    num_lanes: int
    stagger: int
    rotation: int

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        slots = np.arange(*positions.indices(len(self)), dtype=np.int64)
        return self.chunks.frames(self._places((slots + self.rotation) % len(self)), backwards=True)

    def _places(self, slots: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the places in the sequence of chunks that fill these slots of the order before rotation."""
        steps, rest = divmod(len(self), self.num_lanes)  # the first `rest` lanes have one frame more
        step, lane = np.divmod(slots, self.num_lanes)
        length = steps + (lane < rest)
        begin = lane * steps + np.minimum(lane, rest)
        return begin + (step + lane * self.stagger // self.num_lanes) % length


@dataclass(frozen=True)
class ChunkedSampler:
    """Chunks in random order, `lanes` of them open at a time, one frame from each in turn.

    Every frame comes once in an epoch, and every slot is uniform over all frames, for videos of any length (circular
    systematic chunks, section 3.3 of docs/bias.md). What is paid for speed is variance: `design_effect` says how much.

    Args:
        index: The videos.
        seed: The run's seed.
        chunk: `gop`: a chunk is a GOP, which decodes once. Not looked at where `chunk_length` is given.
        chunk_length: Frames in a chunk.
        lanes: Chunks open at a time, at most half of all; a batch of at most so many frames has none twice from the
            same chunk. Memory must hold lanes × chunk frames for a chunk to be decoded once.
        window: `sliding` draws chunks that lie within a video, independently of each other. It is biased against the
            ends of videos, and here to be compared with: use the batch's weights.

    Raises:
        ValueError: An argument out of range.
    """

    index: Samples
    seed: int = 0
    chunk: str = "gop"
    chunk_length: int | None = None
    lanes: int = 128
    window: str = "circular"

    def __post_init__(self) -> None:
        if self.chunk != "gop":
            raise ValueError(f"chunk must be 'gop', or give chunk_length, a number of frames; got {self.chunk!r}")
        for name, value in (("chunk_length", self.chunk_length), ("lanes", self.lanes)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        check_choice("window", self.window, WINDOWS)
        if self.window == "sliding" and self.chunk_length is None:
            raise ValueError("window='sliding' needs chunk_length, a number of frames")

    @property
    def exact_uniform(self) -> bool:
        """Whether every slot is uniform over all frames."""
        return self.window == "circular"

    @property
    def epoch_complete(self) -> bool:
        """Whether every epoch has each frame exactly once."""
        return self.window == "circular"

    @property
    def needed_lookahead(self) -> int:
        """Positions within which all frames of a chunk come, and frames that wait meanwhile."""
        return min(self.index.num_samples, int(np.ceil(self._num_lanes * self._mean_chunk())))

    def order(self, epoch: int) -> Lanes:
        """Return the order of one epoch, computed where it is looked at."""
        if self.window == "sliding":
            chunks = draw_windows(self.index, self._length(), self.seed, "chunked.sliding", epoch)
        else:
            chunks = cut(self.index, self.chunk_length, self.seed, "chunked", epoch)
        rotation = int(rng(self.seed, "chunked.rotation", epoch).integers(len(chunks)))
        return Lanes(chunks, self._num_lanes, int(self._mean_chunk()), rotation)

    def inclusion_probability(self) -> Float64[np.ndarray, " frames"]:
        """Return q of each frame: 1/N, or by `q_sliding` (C1)."""
        if self.window == "sliding":
            return q_sliding(self.index.lengths, self._length())
        return even(self.index.num_samples)

    def slot_law(self, slot: int) -> Float64[np.ndarray, " frames"]:
        """Return the probability of each frame in one slot: the same in all."""
        return self.inclusion_probability()

    def epoch_inclusion(self) -> Float64[np.ndarray, " frames"]:
        """Return how often each frame comes in an epoch, on average."""
        return self.inclusion_probability() * len(self.order(0))

    def weights(self, frame_ids: Int64[np.ndarray, " n"] | None = None) -> Float64[np.ndarray, " n"] | None:
        """Return the factor of each frame's loss: 1, or by F39 for sliding windows.

        Raises:
            ValueError: A video is shorter than a sliding window, and its frames are never drawn.
        """
        if self.window == "sliding":
            return self._sliding_weights(np.arange(self.index.num_samples) if frame_ids is None else frame_ids)
        return None if frame_ids is None else np.ones(len(frame_ids))

    def _sliding_weights(self, frame_ids: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Return 1 / (N q) by the number of windows that each frame lies in, out of all (C1)."""
        k, lengths = self._length(), self.index.lengths
        if (short := int((lengths < k).sum())) > 0:
            lost = int(lengths[lengths < k].sum())
            raise ValueError(
                f"q must be positive for every frame, but {lost} of {self.index.num_samples} are never drawn: {short}"
                f" videos are shorter than a window of {k}, and no weight repairs that"
            )
        windows = lengths - k + 1
        video_ids, places = self.index.locate(frame_ids)
        holding = np.minimum.reduce(
            [places + 1, lengths[video_ids] - places, np.full(len(places), k), windows[video_ids]]
        )
        return k * windows.sum() / (self.index.num_samples * holding)

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return the correlation of two slots by distance.

        Only multiples of the number of lanes share a chunk. Frames of different chunks are a little less alike than
        chance has it, since none comes twice: all correlations of an epoch sum to 0.
        """
        if self.window == "sliding":
            inside = survival(self._lengths())
            return self._in_lanes(inside * np.asarray(R)[: inside.size], max_delta)
        return epoch_correlation(self._line(R), self._lengths(), self._in_lanes, max_delta)

    def design_effect(
        self, R: Float64[np.ndarray, " lags"], batch_size: int, horizon: str | int = "batch", beta: float = 0.9
    ) -> float:
        """Return the variance of the gradient relative to that of as many independent frames.

        Weights cost variance of their own where windows slide: Kish's factor (F40). Where a frame is never drawn
        there are none.
        """
        epoch = self.index.num_samples if self.epoch_complete else None
        correlation = lambda delta: self.slot_correlation(R, delta)  # noqa: E731
        found = design_effect(correlation, long_run(self._line(R), self._lengths()), batch_size, horizon, beta, epoch)
        q = self.inclusion_probability()
        return found * kish_factor(q) if q.min() > 0 and not self.exact_uniform else found

    def _in_lanes(self, values: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return what stands one after another in a lane at the distances that the lanes' turns give it."""
        found, lanes = np.zeros(max_delta + 1), self._num_lanes
        kept = values[: max_delta // lanes + 1]
        found[: len(kept) * lanes : lanes] = kept
        return found

    def _lengths(self) -> Int64[np.ndarray, " chunks"]:
        if self.window == "sliding":
            return np.array([self._length()])
        return chunk_lengths(self.index, self.chunk_length)

    def _length(self) -> int:
        assert self.chunk_length is not None
        return self.chunk_length

    def _mean_chunk(self) -> float:
        return mean_length(self.index, self.chunk_length)

    @property
    def _num_lanes(self) -> int:
        # With a lane for each chunk, all chunks would spread over the whole epoch.
        num_chunks = len(self.index.keyframes) - 1
        if self.chunk_length is not None:
            num_chunks = -(-self.index.num_samples // self.chunk_length)
        return min(self.lanes, max(1, num_chunks // 2))

    def _line(self, R: Float64[np.ndarray, " lags"]) -> Float64[np.ndarray, " lags"]:
        """Return the correlation along the line of all videos: frames of two videos count as uncorrelated."""
        straddles = self.chunk_length is not None and self.window == "circular"
        return line_correlation(R, self.index.lengths) if straddles else np.asarray(R)
