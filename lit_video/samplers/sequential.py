"""Frames in the order of the files: not for training, but the fastest there is, and what others compare with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.index import VideoIndex


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

    Args:
        index: The videos.
        seed: Not used: nothing is random here.
    """

    index: VideoIndex
    seed: int = 0

    def order(self, epoch: int) -> Ascending:
        """Return 0, 1, 2, … up to the number of frames."""
        return Ascending(self.index.num_frames)

    def weights(self, frame_ids: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Return 1 for each frame: nothing is to be corrected."""
        return np.ones(len(frame_ids))
