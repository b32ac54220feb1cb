"""The promise that every sampler makes. `lit_video.testing.check_sampler` holds a sampler to it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64


@runtime_checkable
class Order(Protocol):
    """The frame ids of one epoch, in the order in which the model sees them. A NumPy array is one."""

    def __len__(self) -> int:
        """Return the number of positions."""
        ...

    def __getitem__(self, positions: slice, /) -> Int64[np.ndarray, " positions"]:
        """Return the frame ids at a half-open range of positions."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Which frame comes at which position of an epoch.

    A pure function of its arguments and `epoch`: any rank can compute any part of it alone, and resuming a run means
    remembering one integer. It opens no file, keeps no iterator, and holds nothing as long as an epoch where an epoch
    is longer than 2**24 frames.
    """

    def order(self, epoch: int) -> Order:
        """Return the order of one epoch."""
        ...

    def weights(self, frame_ids: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Return the factor of each frame's loss that makes the expected gradient unbiased (F39); 1 where it is."""
        ...
