"""Frames in the order of the files: not for training, but the fastest there is, and what others compare with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import line_correlation
from lit_video.index import Samples
from lit_video.samplers.base import Order
from lit_video.samplers.laws import design_effect, even


@dataclass(frozen=True)
class Ascending:
    """The order 0, 1, 2, … without the memory."""

    n: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        return np.arange(*positions.indices(self.n), dtype=np.int64)


@dataclass(frozen=True)
class SequentialSampler:
    """Every frame once, videos one after another, frames in presentation order; each epoch the same.

    Nothing is random, so every batch is as biased as can be: `design_effect` is that of a stretch of video begun at a
    random place.

    Args:
        index: The videos.
        seed: Not used: nothing is random here.
    """

    index: Samples
    seed: int = 0

    exact_uniform = False
    epoch_complete = True

    def order(self, epoch: int) -> Order:
        """Return 0, 1, 2, … up to the number of frames."""
        return Ascending(self.index.num_samples)

    def inclusion_probability(self) -> Float64[np.ndarray, " frames"]:
        """Return 1/N for each frame: so it is on average over the slots, though not in any one."""
        return even(self.index.num_samples)

    def slot_law(self, slot: int) -> Float64[np.ndarray, " frames"]:
        """Return 1 for the frame of that number."""
        law = np.zeros(self.index.num_samples)
        law[slot] = 1
        return law

    def epoch_inclusion(self) -> Float64[np.ndarray, " frames"]:
        """Return 1 for each frame."""
        return np.ones(self.index.num_samples)

    def weights(self, frame_ids: Int64[np.ndarray, " n"] | None = None) -> Float64[np.ndarray, " n"]:
        """Return 1 for each frame: over an epoch nothing is to be corrected."""
        return np.ones(self.index.num_samples if frame_ids is None else len(frame_ids))

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return the correlation along the line of all videos, frames of two of them counting as uncorrelated."""
        R = np.pad(np.asarray(R), (0, max(0, max_delta + 1 - len(R))), mode="edge")
        return line_correlation(R, self.index.lengths)[: max_delta + 1]

    def design_effect(
        self, R: Float64[np.ndarray, " lags"], batch_size: int, horizon: str | int = "batch", beta: float = 0.9
    ) -> float:
        """Return the variance of the gradient relative to that of as many independent frames."""
        length = int(self.index.lengths.max())
        long_run = float(2 * self.slot_correlation(R, length - 1).sum() - 1)
        return design_effect(lambda delta: self.slot_correlation(R, delta), long_run, batch_size, horizon, beta)
