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
    """Which frame comes at which position of an epoch, and what that costs statistically.

    A pure function of its arguments and `epoch`: any rank can compute any part of it alone, and resuming a run means
    remembering one integer. It opens no file, keeps no iterator, and holds nothing as long as an epoch where an epoch
    is longer than 2**24 frames.

    The laws are over the seeds: what would be found if the same epoch were drawn with very many. N is the number of
    frames, q the probability of a frame in a slot (a position), on average over the slots. Of a `Population` frames are
    its samples.

    A sampler may also have `objective()`, float64 [N]: the law p that the loss is to be a mean over, where that is not
    1/N each. Weights are then p / q, and the design effect compares with independent draws from p (F60 of
    docs/bias.md). `lit_video.samplers.drawn` has base classes that state all of this.

    Attributes:
        exact_uniform: Every slot is uniform over all frames: the expected gradient of every batch is unbiased.
        epoch_complete: Every epoch has each frame exactly once.
    """

    @property
    def exact_uniform(self) -> bool:
        """Whether every slot is uniform over all frames."""
        ...

    @property
    def epoch_complete(self) -> bool:
        """Whether every epoch has each frame exactly once."""
        ...

    def order(self, epoch: int) -> Order:
        """Return the order of one epoch."""
        ...

    def inclusion_probability(self) -> Float64[np.ndarray, " frames"]:
        """Return q of each frame; sums to 1, and is 0 for a frame that is never drawn."""
        ...

    def slot_law(self, slot: int) -> Float64[np.ndarray, " frames"] | None:
        """Return the probability of each frame in one slot, or None where it is not known."""
        ...

    def epoch_inclusion(self) -> Float64[np.ndarray, " frames"]:
        """Return how often each frame comes in an epoch, on average."""
        ...

    def weights(self, frame_ids: Int64[np.ndarray, " n"] | None = None) -> Float64[np.ndarray, " n"] | None:
        """Return the factor of each frame's loss that makes the expected gradient unbiased, 1 / (N q) (F39).

        Without `frame_ids`: of all frames, or None where all are 1.

        Raises:
            ValueError: A frame is never drawn, which no weight can repair.
        """
        ...

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return the correlation of two slots at distances 0 to `max_delta`: float64 [max_delta + 1].

        Args:
            R: Correlation of frames of one video by their distance, R[0] = 1 (F1).
            max_delta: Largest distance.
        """
        ...

    def design_effect(
        self, R: Float64[np.ndarray, " lags"], batch_size: int, horizon: str | int = "batch", beta: float = 0.9
    ) -> float:
        """Return the variance of the gradient relative to that of as many independent frames.

        Args:
            R: As for `slot_correlation`.
            batch_size: Slots of a batch.
            horizon: `batch`; `momentum`, a moving average with weight `beta` of the past; `long`, many batches; or a
                number of slots.
            beta: Of the moving average.
        """
        ...

    @classmethod
    def __subclasshook__(cls, subclass: type, /) -> bool:
        """Tell whether a class has all of this: LightningCLI asks it of a `class_path`."""
        # Python itself refuses to answer for a protocol with properties.
        if cls is not Sampler:
            return NotImplemented
        return all(hasattr(subclass, name) for name in vars(cls) if not name.startswith("_"))
