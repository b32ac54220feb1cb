"""Every frame with the same probability at every position: the reference that others are measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.index import VideoIndex
from lit_video.rng import rng
from lit_video.samplers.base import Order
from lit_video.samplers.permutation import permutation

DRAWS = 4096


@dataclass(frozen=True)
class IndependentDraws:
    """Independent uniform draws from [0, n), block by block, each block a function of its number."""

    n: int
    length: int
    seed: int
    epoch: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        begin, end, step = positions.indices(self.length)
        blocks = [self._block(number) for number in range(begin // DRAWS, -(-end // DRAWS))] if begin < end else []
        drawn = np.concatenate(blocks or [np.empty(0, np.int64)])
        offset = begin // DRAWS * DRAWS
        return drawn[begin - offset : end - offset : step]

    def _block(self, number: int) -> Int64[np.ndarray, " draws"]:
        return rng(self.seed, "uniform.replacement", self.epoch, number).integers(self.n, size=DRAWS)


@dataclass(frozen=True)
class UniformSampler:
    """Frames in uniformly random order, over all videos at once.

    Args:
        index: The videos.
        seed: The run's seed.
        replacement: Draw each position independently (U1 of docs/bias.md) instead of permuting all frames (U2).
        num_samples: Positions in an epoch; all frames by default. Without replacement at most the number of frames.

    Raises:
        ValueError: `num_samples` out of range.
    """

    index: VideoIndex
    seed: int = 0
    replacement: bool = False
    num_samples: int | None = None

    def __post_init__(self) -> None:
        n, most = self.index.num_frames, None if self.replacement else self.index.num_frames
        if self.num_samples is not None and not 1 <= self.num_samples <= (most or self.num_samples):
            limit = "at least 1" if self.replacement else f"1 to {n}, the number of frames, without replacement"
            raise ValueError(f"num_samples must be {limit}, got {self.num_samples}")

    def order(self, epoch: int) -> Order:
        """Return the frame ids of one epoch; another epoch has another order."""
        n = self.index.num_frames
        length = n if self.num_samples is None else self.num_samples
        if self.replacement:
            return IndependentDraws(n, length, self.seed, epoch)
        return permutation(n, self.seed, "uniform", epoch, length)

    def weights(self, frame_ids: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Return 1 for each frame: nothing is to be corrected."""
        return np.ones(len(frame_ids))
