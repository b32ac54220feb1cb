"""Variance of a batch gradient, as a multiple of the variance of as many independent frames: the design effect.

For every sampler with uniform first-order law it is 1 + (b − 1)·(mean correlation of two slots), so only the law of
pairs matters. A batch of b slots carries the information of b / deff independent frames.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import correlation, real, whole
from lit_video.bias.correlation import h, rho_in

# What `deff_momentum` may leave out: the weight of the oldest batches, relative to the newest.
FORGOTTEN = 1e-3


def deff_pairs(pair_counts: ArrayLike, gradients: ArrayLike, b: int) -> float:
    """Return the design effect of any sampler, from how often two frames share a batch. F21 of docs/bias.md.

    Exact for every law of pairs, uniform or not; O(N²), so for checks and small populations.

    Args:
        pair_counts: E[c_i·c_j], [N, N], where c_i is how many slots of a batch hold frame i. The diagonal is E[c_i²].
        gradients: One per frame, [N, d].
        b: Slots of a batch.

    Raises:
        ValueError: Shapes that do not fit, counts that do not sum to b², or gradients that are all the same.
    """
    pair_counts, gradients = np.asarray(pair_counts, dtype=np.float64), np.asarray(gradients, dtype=np.float64)
    b, num_frames = whole("b", b), len(gradients)
    if pair_counts.shape != (num_frames, num_frames) or gradients.ndim != 2:
        raise ValueError(
            f"pair_counts and gradients must have shapes [N, N] and [N, d], got {pair_counts.shape} and "
            f"{gradients.shape}"
        )
    if abs(pair_counts.sum() / b**2 - 1) > 1e-6:
        raise ValueError(f"pair_counts must sum to b² = {b**2}, got {pair_counts.sum():g}")
    centred = gradients - gradients.mean(axis=0)
    variance = np.square(centred).sum() / num_frames
    if variance == 0:
        raise ValueError("gradients must differ, got the same one for every frame")
    expected = pair_counts.sum(axis=1) / b  # every pair count of frame i and any slot: b·E[c_i]
    covariance = pair_counts - np.outer(expected, expected)
    return float(((covariance @ centred) * centred).sum() / (b * variance))


def deff_wor(N: int, b: int) -> float:
    """Return the design effect of `b` slots of a random permutation of `N` frames. F26 of docs/bias.md.

    Raises:
        ValueError: `b` over `N`: such a batch crosses epochs. Or one frame alone, which has no variance.
    """
    N = whole("N", N, low=2)
    return (N - whole("b", b, high=N)) / (N - 1)


def _rho_out(R: ArrayLike, k: int, N: int | None) -> float:
    """Return the mean correlation of frames of two different chunks; below 0, as all correlations sum to 0."""
    return 0.0 if N is None else -h(R, k) / (N - k)


def deff_cluster(R: ArrayLike, k: int, b: int, m: int | None = None, N: int | None = None) -> float:
    """Return the design effect of a batch of b / m random chunks, with `m` random frames of each. F27 of docs/bias.md.

    Args:
        R: Correlation of the line that the chunks are cut from, at least `k` lags.
        k: Frames in a chunk.
        b: Slots of a batch, a multiple of `m`.
        m: Frames taken from a chunk, `k` if None.
        N: Frames in all, if chunks are drawn without replacement; None: with replacement. The formula is exact for
            equal chunks; one short chunk changes it by the order of k / N.

    Raises:
        ValueError: A batch that is no whole number of chunks, or more chunks than there are.
    """
    k, b = whole("k", k), whole("b", b)
    m = whole("m", k if m is None else m, high=k)
    if b % m:
        raise ValueError(f"b must be a multiple of the {m} frames taken from a chunk, got {b}")
    if N is not None:
        whole("b / m", b // m, high=-(-whole("N", N, low=k) // k))
    # One chunk alone has no other to be compared with, and may hold all N frames.
    between = 0.0 if b == m else (b - m) * _rho_out(R, k, N)
    return 1 + (m - 1) * rho_in(R, k) + between


def deff_corgi(R: ArrayLike, k: int, P: int, b: int, N: int | None = None) -> float:
    """Return the design effect of a batch from a shuffled fill of `P` random chunks of `k`. F28 of docs/bias.md.

    Args:
        R: Correlation of the line that the chunks are cut from, at least `k` lags.
        k: Frames in a chunk.
        P: Chunks in a fill; the memory holds k·P frames.
        b: Slots of a batch, at most k·P.
        N: Frames in all; None if the data set is so large that chunks are unrelated.

    Raises:
        ValueError: A batch larger than the fill, or a fill larger than the data set.
    """
    k, P = whole("k", k), whole("P", P)
    b = whole("b", b, high=k * P)
    if N is not None:
        whole("k·P", k * P, high=whole("N", N))
    if b == 1:
        return 1.0
    p_same = (k - 1) / (k * P - 1)
    apart = 0.0 if P == 1 else (1 - p_same) * _rho_out(R, k, N)
    return 1 + (b - 1) * (p_same * rho_in(R, k) + apart)


def deff_from_slots(r: ArrayLike, T: int) -> float:
    """Return the design effect of `T` slots in a row of a stationary stream. F30 of docs/bias.md.

    Args:
        r: Correlation of two slots by their distance, at least `T` of them, r[0] = 1.
        T: Slots: a batch, or as many batches as the horizon holds.

    Raises:
        ValueError: `r` ends before distance T − 1.
    """
    return h(correlation("r", r, num_lags=whole("T", T)), T)  # the same sum as for a run of T frames


def deff_momentum(r: ArrayLike, b: int, beta: float = 0.9) -> float:
    """Return the design effect seen through a moving average of batch gradients. F30 of docs/bias.md.

    Args:
        r: Correlation of two slots by their distance, r[0] = 1. Distances past its end count as uncorrelated.
        b: Slots of a batch.
        beta: Weight of the past in the average, as SGD's momentum; 0 gives `deff_from_slots(r, b)`.

    Raises:
        ValueError: `r` so short that batches which still weigh 1/1000 would be left out, or `beta` not in [0, 1).
    """
    b, beta = whole("b", b), real("beta", beta, 0, np.nextafter(1, 0))
    r = correlation("r", r, num_lags=momentum_reach(b, beta))
    distance = np.arange(r.size)
    batches, rest = distance // b, distance % b
    # Two slots d apart are in batches d // b or one more apart, for b − rest and rest of the b places of the first.
    weight = beta**batches * (b - rest) + beta ** (batches + 1) * rest
    weight[0] /= 2
    return float(2 / b * (weight @ r))


def momentum_reach(b: int, beta: float = 0.9) -> int:
    """Return how many distances of `r`, 0 included, `deff_momentum` asks for.

    Raises:
        ValueError: `b` below 1 or `beta` not in [0, 1).
    """
    b, beta = whole("b", b), real("beta", beta, 0, np.nextafter(1, 0))
    return b if beta == 0 else b * max(1, math.ceil(math.log(FORGOTTEN) / math.log(beta)))
