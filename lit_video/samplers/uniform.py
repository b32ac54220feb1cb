"""Every frame with the same probability at every position: the reference that others are measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import line_correlation
from lit_video.samplers.base import Order
from lit_video.samplers.drawn import StationarySampler
from lit_video.samplers.laws import design_effect, permuted_correlation
from lit_video.samplers.permutation import LARGEST_ARRAY, permutation
from lit_video.samplers.runs import Draws, Runs
from lit_video.samplers.strata import stratified_correlation, stratified_order, stratified_variance


@dataclass(frozen=True)
class UniformSampler(StationarySampler):
    """Frames in uniformly random order, over all videos at once.

    Args:
        index: The videos.
        seed: The run's seed.
        replacement: Draw each position independently (U1 of docs/bias.md) instead of permuting all frames (U2).
        num_samples: Positions in an epoch; all frames by default. Without replacement at most the number of frames.
        per_video: Draw a video, all alike, and then a frame of it (U3): short videos count as much as long ones, which
            the batch's weights undo (F8). Independent draws, whatever `replacement` says.
        stratified: Number of strata b, best the batch size: every b slots have one frame from each of b equal
            stretches of all frames, which lowers the variance (F29).

    Raises:
        ValueError: An argument out of range, or two that exclude each other.
    """

    replacement: bool = False
    per_video: bool = False
    stratified: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        n = self.index.num_samples
        if self.stratified is not None:
            if self._independent:
                raise ValueError("stratified is a way to permute all frames: take replacement=false, per_video=false")
            if not isinstance(self.stratified, int) or not 1 <= self.stratified <= n or n > LARGEST_ARRAY:
                raise ValueError(
                    f"stratified must be 1 to {n}, the number of frames, of at most {LARGEST_ARRAY} frames, got"
                    f" {self.stratified!r}"
                )
        if not self._independent and self.num_positions > n:
            raise ValueError(
                f"num_samples must be at most {n}, the number of frames, got {self.num_samples}; or draw with"
                " replacement=true"
            )

    @property
    def epoch_complete(self) -> bool:
        """Whether every epoch has each frame exactly once."""
        return not self._independent and self.num_positions == self.index.num_samples

    @property
    def _independent(self) -> bool:
        return self.replacement or self.per_video

    def law(self) -> Runs:
        """Return 1/N for each frame, or 1/(V N_v) where videos count alike (F8)."""
        if self.per_video:
            return Runs(self.index.offset, 1 / (self.index.num_videos * self.index.lengths))
        return Runs.even(self.index.num_samples)

    def order(self, epoch: int) -> Order:
        """Return the frame ids of one epoch; another epoch has another order."""
        if self._independent:
            return Draws(self._draw, self.num_positions, (self.seed, "uniform.replacement", epoch))
        if self.stratified is not None:
            return stratified_order(self.index.num_samples, self.stratified, self.seed, epoch)[: self.num_positions]
        return permutation(self.index.num_samples, self.seed, "uniform", epoch, self.num_positions)

    def _draw(self, generator: np.random.Generator, count: int) -> Int64[np.ndarray, " count"]:
        if not self.per_video:
            return generator.integers(self.index.num_samples, size=count)
        video_ids = generator.integers(self.index.num_videos, size=count)
        return self.index.offset[video_ids] + generator.integers(self.index.lengths[video_ids])

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return 0 for independent draws and −1/(N − 1) for a permutation, whatever R is; by F29 where stratified."""
        if self.stratified is not None:
            return stratified_correlation(self._line(R), self.index.num_samples, self.stratified, max_delta)
        if self._independent:
            return np.append(1.0, np.zeros(max_delta))
        return permuted_correlation(self.index.num_samples, max_delta)

    def design_effect(
        self, R: Float64[np.ndarray, " lags"], batch_size: int, horizon: str | int = "batch", beta: float = 0.9
    ) -> float:
        """Return the variance of the gradient relative to that of as many independent frames.

        Weights cost variance of their own where videos count alike: Kish's factor (F40).
        """
        if self.stratified is not None:
            slots = batch_size if isinstance(horizon, str) else int(horizon)
            if horizon == "long" or (horizon != "momentum" and slots % self.stratified == 0):
                batches = 1 if horizon == "long" else slots // self.stratified
                return stratified_variance(self._line(R), self.index.num_samples, self.stratified, batches)
        weighted = 1.0 if self.exact_uniform else self._law.kish_factor
        correlation = lambda delta: self.slot_correlation(R, delta)  # noqa: E731
        epoch = None if self._independent else self.index.num_samples
        return weighted * design_effect(correlation, 1.0, batch_size, horizon, beta, epoch)

    def _line(self, R: Float64[np.ndarray, " lags"]) -> Float64[np.ndarray, " lags"]:
        """Return the correlation along the line of all videos, at least as long as a stratum."""
        assert self.stratified is not None
        missing = self.index.num_samples // self.stratified + 2 - len(R)
        return line_correlation(np.pad(np.asarray(R), (0, max(0, missing)), mode="edge"), self.index.lengths)
