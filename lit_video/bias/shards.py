"""What happens when ranks or workers own parts of the data instead of sharing one order. Section 11 of docs/bias.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import SUM_TOLERANCE, Floats, lengths_in_frames, real, vector, whole


@dataclass(frozen=True, slots=True)
class ShardBias:
    """First-order law of ranks that own shards and deliver equally many frames. F50 of docs/bias.md.

    Attributes:
        share: What a shard contributes to the gradient, [R_w], sum 1.
        fair_share: What it should contribute, its share of the frames, [R_w].
        repair_weights: Loss weight of every rank that makes its share fair, [R_w].
    """

    share: Floats
    fair_share: Floats
    repair_weights: Floats

    @property
    def tv(self) -> float:
        """Total variation between the law of a slot and the uniform one; 0 for equal shards or the repair weights."""
        return float(0.5 * np.abs(self.share - self.fair_share).sum())

    def bias(self, shard_means: ArrayLike) -> Floats:
        """Return expected gradient minus mean gradient, from the mean gradient of every shard, [R_w, ...].

        Raises:
            ValueError: Another number of shards.
        """
        shard_means = np.asarray(shard_means, dtype=np.float64)
        if shard_means.shape[:1] != self.share.shape:
            raise ValueError(f"shard_means must hold {self.share.size} rows, got shape {shard_means.shape}")
        return np.asarray(np.tensordot(self.share - self.fair_share, shard_means, axes=1))


def shard_bias(N_r: ArrayLike, weights: ArrayLike | None = None) -> ShardBias:
    """Return the bias of ranks that deliver equally many frames of unequal shards. F50 of docs/bias.md.

    Args:
        N_r: Frames of every rank's shard, [R_w].
        weights: Loss weight of every rank, [R_w], mean 1; None: all 1.

    Raises:
        ValueError: An empty shard, or weights whose mean is not 1.

    >>> shard_bias([100, 300]).repair_weights.tolist()
    [0.5, 1.5]
    """
    N_r = lengths_in_frames("N_r", N_r)
    weights = np.ones(N_r.size) if weights is None else vector("weights", weights)
    if weights.shape != N_r.shape or weights.min() < 0 or abs(weights.mean() - 1) > SUM_TOLERANCE:
        raise ValueError(f"weights must be {N_r.size} numbers of at least 0 with mean 1, got {weights.tolist()}")
    fair_share = N_r / N_r.sum()
    return ShardBias(weights / N_r.size, fair_share, fair_share * N_r.size)


def worker_deff(b: int, n_w: int, V: int, video_share: float) -> float:
    """Return the design effect of batches that each come from one of `n_w` workers. F52 of docs/bias.md.

    Every worker owns V / n_w videos, chosen at random once, and fills whole batches from them.

    Args:
        b: Slots of a batch.
        n_w: Workers.
        V: Videos, of equal length.
        video_share: Variance of a video's mean gradient over the variance of a frame's gradient, in [0, 1].

    Raises:
        ValueError: More workers than videos, or a share outside [0, 1].
    """
    b, V = whole("b", b), whole("V", V)
    n_w, video_share = whole("n_w", n_w, high=V), real("video_share", video_share, 0, 1)
    return 1 + (b - 1) * video_share * (n_w - 1) / (V - 1) if V > 1 else 1.0
