"""A shuffle buffer of bounded reach, fed by randomly ordered chunks: for input that must be read in runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import line_correlation, slot_corr_jitter
from lit_video.index import Samples
from lit_video.samplers.chunks import Chunks, chunk_lengths, cut, mean_length
from lit_video.samplers.laws import LARGEST_EPOCH, design_effect, epoch_correlation, even, long_run
from lit_video.support.rng import rng

BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Jittered:
    """The sequence of chunks, sorted by place + width × uniform noise, and the whole rotated.

    No frame moves by more than `width` slots, so any part of the order is computed from its neighbourhood.

    Attributes:
        chunks: In the order in which they are read.
        width: Of the noise, in slots.
        rotation: Slots by which the order is rotated.
        seed: Of the noise.
        epoch: Of the noise.
    """

    chunks: Chunks
    width: int
    rotation: int
    seed: int
    epoch: int

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        begin, end, step = positions.indices(len(self))
        begin, end, n = begin + self.rotation, max(begin, end) + self.rotation, len(self)
        # At most two stretches: one up to the end of the order before rotation, and one from its beginning.
        stretches = [(begin, min(end, n)), (max(begin, n) - n, max(end, n) - n)]
        places = [self._places(a, b) for a, b in stretches if a < b]
        return self.chunks.frames(np.concatenate([*places, np.empty(0, np.int64)])[::step])

    def _places(self, begin: int, end: int) -> Int64[np.ndarray, " slots"]:
        """Return the places in the sequence of chunks that fill slots [begin, end) of the order before rotation."""
        low, high = max(0, begin - self.width), min(len(self), end + self.width)
        keys = np.arange(low, high) + self.width * self._noise(low, high)
        return low + np.argsort(keys, kind="stable")[begin - low : end - low]

    def _noise(self, begin: int, end: int) -> Float64[np.ndarray, " places"]:
        blocks = range(begin // BLOCK, -(-end // BLOCK))
        drawn = np.concatenate([rng(self.seed, "reservoir.noise", self.epoch, b).random(BLOCK) for b in blocks])
        return drawn[begin - blocks.start * BLOCK : end - blocks.start * BLOCK]


@dataclass(frozen=True)
class ReservoirSampler:
    """Chunks in random order, mixed by a shuffle buffer that holds `buffer` frames on average.

    The bounded-jitter form of a shuffle buffer (section 6 of docs/bias.md): it mixes as well per byte as the swap
    buffer of tf.data or WebDataset, no frame waits longer than 4 × `buffer` slots, and it is known ahead of reading.
    Every frame comes once in an epoch, and every slot is uniform over all frames.

    Args:
        index: The videos.
        seed: The run's seed.
        buffer: Frames that wait, on average; frames move by at most twice as many slots.
        chunk_length: Frames in a chunk; None: a chunk is a GOP.

    Raises:
        ValueError: An argument out of range.
    """

    index: Samples
    seed: int = 0
    buffer: int = 2048
    chunk_length: int | None = None

    exact_uniform = True
    epoch_complete = True

    def __post_init__(self) -> None:
        for name, value in (("buffer", self.buffer), ("chunk_length", self.chunk_length)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be at least 1, got {value!r}")

    @property
    def width(self) -> int:
        """Of the jitter, in slots: half of it is how many frames wait on average."""
        return 2 * self.buffer

    @property
    def needed_lookahead(self) -> int:
        """Positions within which all frames of a chunk come."""
        return min(self.index.num_samples, int(np.ceil(self.width + mean_length(self.index, self.chunk_length))))

    def order(self, epoch: int) -> Jittered:
        """Return the order of one epoch, computed where it is looked at."""
        chunks = cut(self.index, self.chunk_length, self.seed, "reservoir", epoch)
        # Chunks of one length are cut from a random offset, which is rotation enough; GOPs are not.
        turn = 0 if self.chunk_length else int(rng(self.seed, "reservoir.rotation", epoch).integers(len(chunks)))
        return Jittered(chunks, self.width, turn, self.seed, epoch)

    def inclusion_probability(self) -> Float64[np.ndarray, " frames"]:
        """Return 1/N for each frame."""
        return even(self.index.num_samples)

    def slot_law(self, slot: int) -> Float64[np.ndarray, " frames"]:
        """Return 1/N for each frame, in every slot."""
        return self.inclusion_probability()

    def epoch_inclusion(self) -> Float64[np.ndarray, " frames"]:
        """Return 1 for each frame."""
        return np.ones(self.index.num_samples)

    def weights(self, frame_ids: Int64[np.ndarray, " n"] | None = None) -> Float64[np.ndarray, " n"] | None:
        """Return 1 for each frame: nothing is to be corrected."""
        return None if frame_ids is None else np.ones(len(frame_ids))

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return the correlation of two slots by distance: that of chunks one after another, spread by the jitter."""
        return epoch_correlation(self._line(R), self._lengths(), self._spread, max_delta)

    def design_effect(
        self, R: Float64[np.ndarray, " lags"], batch_size: int, horizon: str | int = "batch", beta: float = 0.9
    ) -> float:
        """Return the variance of the gradient relative to that of as many independent frames."""
        correlation = lambda delta: self.slot_correlation(R, delta)  # noqa: E731
        in_the_long_run, n = long_run(self._line(R), self._lengths()), self.index.num_samples
        return design_effect(correlation, in_the_long_run, batch_size, horizon, beta, n)

    def _spread(self, values: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return what stands one after another at the distances that the jitter gives it.

        A buffer that is not small beside the epoch cannot bring slots further apart than that: of N places N − l have
        one that is l further on.
        """
        n = self.index.num_samples
        if n > LARGEST_EPOCH:
            return slot_corr_jitter(values, self.width, max_delta)
        places = 1 - np.arange(n) / n
        reached = slot_corr_jitter(places, self.width, max_delta)
        return slot_corr_jitter(values * places[: values.size], self.width, max_delta) / reached

    def _lengths(self) -> Int64[np.ndarray, " chunks"]:
        return chunk_lengths(self.index, self.chunk_length)

    def _line(self, R: Float64[np.ndarray, " lags"]) -> Float64[np.ndarray, " lags"]:
        """Return the correlation along the line of all videos: frames of two videos count as uncorrelated."""
        return np.asarray(R) if self.chunk_length is None else line_correlation(R, self.index.lengths)
