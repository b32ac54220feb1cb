"""Estimates from per-frame gradients: how alike neighbours are, and what a sampler's order costs.

Section 12 of docs/bias.md. Best are last-layer gradients of a small model, projected to 64 to 256 numbers. Pixels or
embeddings also do, but usually overstate the correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.validation import Floats, Integers, whole


@dataclass(frozen=True, slots=True)
class EstimatedR:
    """A measured R with a confidence interval for every lag.

    Attributes:
        R: Estimate, float64 [lags], 1 at lag 0.
        low: Lower end of the interval, float64 [lags].
        high: Upper end of the interval, float64 [lags].
        num_pairs: Pairs of frames behind every lag, int64 [lags].
        variance: Estimated variance of a gradient, the trace of its covariance.
    """

    R: Floats
    low: Floats
    high: Floats
    num_pairs: Integers
    variance: float


def _matrix(name: str, values: ArrayLike) -> Floats:
    """Return float64 [rows, d] with at least one row; one number per row counts as d = 1."""
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite and have shape [rows, numbers], got shape {array.shape}")
    return array


def _half_squares(run: Floats, num_lags: int) -> tuple[Floats, Floats]:
    """Return half the squared distance of frames t and t + l of a run, and 1 where there is one: arrays [n, lags]."""
    distances, known = np.zeros((len(run), num_lags)), np.zeros((len(run), num_lags))
    for lag in range(num_lags):
        pairs = len(run) - lag
        distances[:pairs, lag] = 0.5 * np.square(run[lag:] - run[:pairs]).sum(axis=1)
        known[:pairs, lag] = 1
    return distances, known


def _video_sums(values: Sequence[Floats], video_ids: ArrayLike | None) -> Floats:
    """Return the sum over all frames of each video, [videos, lags]."""
    ids = np.arange(len(values)) if video_ids is None else np.asarray(video_ids)
    if ids.shape != (len(values),):
        raise ValueError(f"video_ids must hold one number for each of {len(values)} runs, got shape {ids.shape}")
    videos, row = np.unique(ids, return_inverse=True)
    sums = np.zeros((videos.size, values[0].shape[1]))
    np.add.at(sums, row.ravel(), np.stack([value.sum(axis=0) for value in values]))
    return sums


def _block_sums(values: Sequence[Floats], block: int) -> Floats:
    """Return the sum over every block of consecutive frames of a run, overlapping ones too, [blocks, lags]."""
    # Only frames that have a partner at every lag: else few blocks would decide the longest lags, or none.
    complete = [value[: len(value) - value.shape[1] + 1] for value in values]
    running = [np.vstack([np.zeros((1, value.shape[1])), np.cumsum(value, axis=0)]) for value in complete]
    return np.concatenate([sums[block:] - sums[:-block] for sums in running])


def _pair_squares(pairs: ArrayLike, d: int) -> Floats:
    """Return half the squared distance of the two frames of every pair, [pairs]."""
    array = np.asarray(pairs, dtype=np.float64)
    array = array[:, :, None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[1:] != (2, d) or len(array) == 0:
        raise ValueError(f"pairs must have shape [pairs, 2, {d}], got {array.shape}")
    squares = 0.5 * np.square(array[:, 0] - array[:, 1]).sum(axis=1)
    if squares.max() == 0:
        raise ValueError(f"pairs must differ, got {len(array)} pairs of equal frames")
    return squares


def _resampled(
    distances: Floats, known: Floats, draws: int, squares: Floats, num_resamples: int, rng: np.random.Generator
) -> Floats:
    """Return R estimated anew from units [units, lags] and pairs drawn with replacement, [num_resamples, lags]."""
    curves = np.empty((num_resamples, distances.shape[1]))
    for row in range(num_resamples):
        units = rng.integers(len(distances), size=draws)
        # Smooth weights instead of whole pairs: drawing whole ones could leave only pairs of equal frames.
        variance = np.average(squares, weights=rng.standard_exponential(squares.size))
        curves[row] = 1 - distances[units].sum(axis=0) / known[units].sum(axis=0) / variance
    return curves


def estimate_R(
    runs: Sequence[ArrayLike],
    pairs: ArrayLike,
    rng: np.random.Generator,
    *,
    video_ids: ArrayLike | None = None,
    num_lags: int | None = None,
    block: int | None = None,
    num_resamples: int = 500,
) -> EstimatedR:
    """Estimate R from runs of consecutive frames and from independent pairs. F56 of docs/bias.md, in variogram form.

    Differences need no mean, so nothing is lost by centring short runs. The interval, of 95 percent at every lag, comes
    from drawing videos anew; or with `block`, where there are fewer than about 20, blocks of consecutive frames. Pairs
    are taken as independent of each other and of the runs: few videos make the variance itself, and so the level of R,
    less sure than the interval says.

    Args:
        runs: Vectors of consecutive frames, each [n, d].
        pairs: Vectors of two frames drawn independently from all frames, [pairs, 2, d].
        rng: Draws the resamples.
        video_ids: Video of every run, [runs]; None: all different.
        num_lags: Lags wanted, 0 included; None: as many as the shortest run has, less a block.
        block: Frames in a block, a few times the lag at which R fades; None: draw videos.
        num_resamples: How often to draw anew.

    Raises:
        ValueError: Shapes that do not fit, pairs without any difference, or one video and no `block`.
    """
    frames = [_matrix(f"runs[{row}]", run) for row, run in enumerate(runs)]
    whole("number of runs", len(frames))
    most_lags, squares = min(map(len, frames)) + 1 - (block or 1), _pair_squares(pairs, frames[0].shape[1])
    num_lags = whole("num_lags", most_lags if num_lags is None else num_lags, high=most_lags)
    distances, known = zip(*(_half_squares(run, num_lags) for run in frames), strict=True)
    total, num_pairs = np.concatenate(distances).sum(axis=0), np.concatenate(known).sum(axis=0)
    if block is None:
        units, known = _video_sums(distances, video_ids), _video_sums(known, video_ids)
        draws = whole("number of videos without block", len(units), low=2)
    else:
        units, known = _block_sums(distances, whole("block", block)), _block_sums(known, block)
        draws = -(-sum(map(len, frames)) // block)
    curves = _resampled(units, known, draws, squares, whole("num_resamples", num_resamples), rng)
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    variance = float(squares.mean())
    return EstimatedR(1 - total / num_pairs / variance, low, high, num_pairs.astype(np.int64), variance)


@dataclass(frozen=True, slots=True)
class EstimatedDeff:
    """Measured design effect by horizon: the variance-time plot.

    Attributes:
        horizons: Slots in a row, int64 [points].
        deff: Design effect of so many slots, float64 [points].
        relative_sd: About the standard deviation of `deff`, as a share of it, float64 [points].
    """

    horizons: Integers
    deff: Floats
    relative_sd: Floats


def estimate_deff(
    vectors: ArrayLike, population: ArrayLike | None = None, horizons: Sequence[int] | None = None
) -> EstimatedDeff:
    """Estimate the design effect of an order from the vectors of its frames. Section 12 of docs/bias.md.

    Args:
        vectors: Vectors of the frames in the order in which they were delivered, [slots, d].
        population: Vectors of all frames, [N, d]; None: those of the order, right where it holds every frame once.
        horizons: Slots in a row; None: 1, 2, 4, ... while eight disjoint stretches remain.

    Raises:
        ValueError: Vectors that are all the same, too few slots, or a horizon longer than the order.
    """
    vectors = _matrix("vectors", vectors)
    everything = vectors if population is None else _matrix("population", population)
    centred = everything - everything.mean(axis=0)
    covariance = centred.T @ centred / len(everything)
    variance, directions = np.trace(covariance), np.square(covariance).sum()
    if variance == 0:
        raise ValueError(f"population must differ, got {len(everything)} equal vectors")
    if horizons is None:
        horizons = [2**i for i in range(len(vectors).bit_length()) if 8 * 2**i <= len(vectors)] or [1]
    T = np.array([whole("horizons", T, high=len(vectors)) for T in horizons], dtype=np.int64)
    running = np.vstack([np.zeros(vectors.shape[1]), np.cumsum(vectors - everything.mean(axis=0), axis=0)])
    # Sums of disjoint stretches of t slots; what is left over at the end is not used.
    sums = [np.diff(running[::t], axis=0) for t in T.tolist()]
    deff = [np.square(stretch).sum(axis=1).mean() / t / variance for stretch, t in zip(sums, T.tolist(), strict=True)]
    blocks = np.array([len(stretch) for stretch in sums])
    return EstimatedDeff(T, np.array(deff), np.sqrt(2 / (blocks * variance**2 / directions)))
