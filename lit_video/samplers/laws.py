"""The statistical laws that samplers share. Formulas are those of docs/bias.md, from `lit_video.bias`."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import deff_from_slots, deff_momentum, momentum_reach
from lit_video.samplers.base import Sampler

Horizon = str | int
HORIZONS = ("batch", "momentum", "long")

# Slots of an epoch of which the correlation is computed at every distance; not of longer ones, where it matters little.
LARGEST_EPOCH = 2**20


def even(num_frames: int, total: float = 1.0) -> Float64[np.ndarray, " frames"]:
    """Return `total` spread evenly over all frames."""
    return np.full(num_frames, total / num_frames)


def objective_of(sampler: Sampler, num_samples: int) -> Float64[np.ndarray, " samples"]:
    """Return the law that a sampler's loss is to be a mean over: all alike, unless it says else (F60)."""
    own = getattr(sampler, "objective", None)
    return even(num_samples) if own is None else own()


def permuted_correlation(num_samples: int, max_delta: int) -> Float64[np.ndarray, " deltas"]:
    """Return the correlation of two slots of a permutation by distance: -1/(N - 1), since none comes twice (U2)."""
    correlation = np.full(max_delta + 1, -1 / (num_samples - 1) if num_samples > 1 else 0.0)
    correlation[0] = 1
    return correlation


def survival(lengths: Int64[np.ndarray, " chunks"]) -> Float64[np.ndarray, " lags"]:
    """Return the share of all frames whose chunk holds the frame so many places on: Σ (L − l)^+ / Σ L (F20)."""
    lengths = np.asarray(lengths, np.int64)
    longer = lengths.size - np.cumsum(np.bincount(lengths, minlength=int(lengths.max()) + 1))
    pairs = lengths.sum() - np.append(0, np.cumsum(longer[:-1]))
    return pairs[:-1] / lengths.sum()


def long_run(R: Float64[np.ndarray, " lags"], lengths: Int64[np.ndarray, " chunks"]) -> float:
    """Return what the design effect of chunks comes to over many batches: h of each (F25), weighed by its frames."""
    inside = survival(lengths)
    return float(2 * (inside @ np.asarray(R)[: inside.size]) - 1)


def epoch_correlation(
    R: Float64[np.ndarray, " lags"],
    lengths: Int64[np.ndarray, " chunks"],
    mix: Callable[[Float64[np.ndarray, " lags"], int], Float64[np.ndarray, " deltas"]],
    max_delta: int,
) -> Float64[np.ndarray, " deltas"]:
    """Return the correlation of two slots of an epoch that has each frame once, by distance.

    Slots of one chunk are as alike as R says. Others are a little less alike than chance has it, since none comes
    twice: the sum over a whole epoch does not vary at all, so Σ (1 − Δ/N) r = −1/2. Beyond an epoch it is 0.

    Args:
        R: Inside a chunk, as long as the longest.
        lengths: Of the chunks.
        mix: From a correlation of chunks one after another, and a largest distance, to that of slots.
        max_delta: Largest distance wanted.
    """
    n, inside = int(lengths.sum()), survival(lengths)
    if n > LARGEST_EPOCH:
        within, together = mix(inside * np.asarray(R)[: inside.size], max_delta), mix(inside, max_delta)
        return within + (1 - together) * -long_run(R, lengths) / (n - (lengths.astype(float) ** 2).sum() / n)
    within, together = mix(inside * np.asarray(R)[: inside.size], n - 1), mix(inside, n - 1)
    share = 1 - np.arange(n) / n
    apart = share[1:] @ (1 - together[1:])
    within[1:] += (1 - together[1:]) * (-(0.5 + share[1:] @ within[1:]) / apart if apart > 0 else 0.0)
    return np.pad(within, (0, max(0, max_delta + 1 - n)))[: max_delta + 1]


def design_effect(
    slot_correlation: Callable[[int], Float64[np.ndarray, " lags"]],
    long_run: float,
    batch_size: int,
    horizon: Horizon,
    beta: float,
    epoch: int | None = None,
) -> float:
    """Return variance relative to as many independent frames, for one of three horizons or so many slots (F30).

    Args:
        slot_correlation: From the largest distance wanted to the correlations of slots at distances 0 to there.
        long_run: What the design effect comes to over many batches: h of a chunk.
        batch_size: Slots of a batch.
        horizon: `batch`, `momentum` (a moving average of batches), `long`, or a number of slots.
        beta: Of the moving average.
        epoch: Slots of an epoch, where slots of one know of each other; None: where they do not.

    Raises:
        ValueError: An unknown horizon, or the correlation of frames is not known as far as this asks for.
    """
    if horizon == "long":
        return long_run
    if horizon == "momentum":
        reach = momentum_reach(batch_size, beta)
        if epoch is None:
            return deff_momentum(slot_correlation(reach - 1), batch_size, beta)
        # A moving average does not begin with an epoch: slots d apart are of one with probability 1 − d / N.
        r = slot_correlation(reach - 1) * np.maximum(0, 1 - np.arange(reach) / epoch)
        return max(0.0, deff_momentum(r, batch_size, beta))
    if horizon != "batch" and not isinstance(horizon, Integral):
        raise ValueError(f"horizon must be one of {', '.join(HORIZONS)} or a number of slots, got {horizon!r}")
    slots = batch_size if horizon == "batch" else int(horizon)
    return max(0.0, deff_from_slots(slot_correlation(slots - 1), slots))  # a law that is approximate may fall below 0
