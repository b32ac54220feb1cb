"""Every frame with the same probability at every position: the reference that others are measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import kish_factor, line_correlation
from lit_video.index import Samples
from lit_video.samplers.base import Order
from lit_video.samplers.laws import design_effect, even
from lit_video.samplers.permutation import LARGEST_ARRAY, permutation
from lit_video.samplers.strata import stratified_correlation, stratified_order, stratified_variance
from lit_video.support.rng import rng

DRAWS = 4096


@dataclass(frozen=True, eq=False)
class IndependentDraws:
    """Independent draws, block by block, each block a function of its number.

    Attributes:
        index: The videos.
        per_video: First a video, all alike, then a frame of it; else a frame, all alike.
        length: Positions.
        seed: The run's.
        epoch: This one.
    """

    index: Samples
    per_video: bool
    length: int
    seed: int
    epoch: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        begin, end, step = positions.indices(self.length)
        blocks = [self._block(number) for number in range(begin // DRAWS, -(-end // DRAWS))] if begin < end else []
        drawn = np.concatenate([*blocks, np.empty(0, np.int64)])
        offset = begin // DRAWS * DRAWS
        return drawn[begin - offset : max(begin, end) - offset : step]

    def _block(self, number: int) -> Int64[np.ndarray, " draws"]:
        draw = rng(self.seed, "uniform.replacement", self.epoch, number)
        if not self.per_video:
            return draw.integers(self.index.num_frames, size=DRAWS)
        video_ids = draw.integers(self.index.num_videos, size=DRAWS)
        return self.index.offset[video_ids] + draw.integers(self.index.lengths[video_ids])


@dataclass(frozen=True)
class UniformSampler:
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

    index: Samples
    seed: int = 0
    replacement: bool = False
    num_samples: int | None = None
    per_video: bool = False
    stratified: int | None = None

    def __post_init__(self) -> None:
        n = self.index.num_frames
        if self.stratified is not None:
            if self._independent:
                raise ValueError("stratified is a way to permute all frames: take replacement=false, per_video=false")
            if not isinstance(self.stratified, int) or not 1 <= self.stratified <= n or n > LARGEST_ARRAY:
                raise ValueError(
                    f"stratified must be 1 to {n}, the number of frames, of at most {LARGEST_ARRAY} frames, got"
                    f" {self.stratified!r}"
                )
        if self.num_samples is None:
            return
        if not isinstance(self.num_samples, int) or self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples!r}")
        if not self._independent and self.num_samples > n:
            raise ValueError(
                f"num_samples must be at most {n}, the number of frames, got {self.num_samples}; or draw with"
                " replacement=true"
            )

    @property
    def exact_uniform(self) -> bool:
        """Whether every slot is uniform over all frames."""
        return not self.per_video or len(np.unique(self.index.lengths)) == 1

    @property
    def epoch_complete(self) -> bool:
        """Whether every epoch has each frame exactly once."""
        return not self._independent and self._length == self.index.num_frames

    @property
    def _independent(self) -> bool:
        return self.replacement or self.per_video

    @property
    def _length(self) -> int:
        return self.index.num_frames if self.num_samples is None else self.num_samples

    def order(self, epoch: int) -> Order:
        """Return the frame ids of one epoch; another epoch has another order."""
        if self._independent:
            return IndependentDraws(self.index, self.per_video, self._length, self.seed, epoch)
        if self.stratified is not None:
            return stratified_order(self.index.num_frames, self.stratified, self.seed, epoch)[: self._length]
        return permutation(self.index.num_frames, self.seed, "uniform", epoch, self._length)

    def inclusion_probability(self) -> Float64[np.ndarray, " frames"]:
        """Return q of each frame: 1/N, or 1/(V N_v) where videos count alike."""
        if self.per_video:
            lengths = self.index.lengths
            return np.repeat(1 / (len(lengths) * lengths), lengths)
        return even(self.index.num_frames)

    def slot_law(self, slot: int) -> Float64[np.ndarray, " frames"]:
        """Return the probability of each frame in one slot: the same in all."""
        return self.inclusion_probability()

    def epoch_inclusion(self) -> Float64[np.ndarray, " frames"]:
        """Return how often each frame comes in an epoch, on average."""
        return self.inclusion_probability() * self._length

    def weights(self, frame_ids: Int64[np.ndarray, " n"] | None = None) -> Float64[np.ndarray, " n"] | None:
        """Return the factor of each frame's loss: 1, or V N_v / N where videos count alike (F8, F39)."""
        if not self.exact_uniform:
            video_ids, _ = self.index.locate(np.arange(self.index.num_frames) if frame_ids is None else frame_ids)
            return self.index.num_videos * self.index.lengths[video_ids] / self.index.num_frames
        return None if frame_ids is None else np.ones(len(frame_ids))

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return 0 for independent draws and −1/(N − 1) for a permutation, whatever R is; by F29 where stratified."""
        n = self.index.num_frames
        if self.stratified is not None:
            return stratified_correlation(self._line(R), n, self.stratified, max_delta)
        correlation = np.full(max_delta + 1, 0.0 if self._independent or n == 1 else -1 / (n - 1))
        correlation[0] = 1
        return correlation

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
                return stratified_variance(self._line(R), self.index.num_frames, self.stratified, batches)
        weighted = 1.0 if self.exact_uniform else kish_factor(self.inclusion_probability())
        correlation = lambda delta: self.slot_correlation(R, delta)  # noqa: E731
        epoch = None if self._independent else self.index.num_frames
        return weighted * design_effect(correlation, 1.0, batch_size, horizon, beta, epoch)

    def _line(self, R: Float64[np.ndarray, " lags"]) -> Float64[np.ndarray, " lags"]:
        """Return the correlation along the line of all videos, at least as long as a stratum."""
        assert self.stratified is not None
        missing = self.index.num_frames // self.stratified + 2 - len(R)
        return line_correlation(np.pad(np.asarray(R), (0, max(0, missing)), mode="edge"), self.index.lengths)
