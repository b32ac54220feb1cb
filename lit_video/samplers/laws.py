"""The statistical laws that samplers share. Formulas are those of docs/bias.md, from `lit_video.bias`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import deff_from_slots, deff_momentum, ht_weights, momentum_reach

Horizon = str | int
HORIZONS = ("batch", "momentum", "long")


def even(num_frames: int, total: float = 1.0) -> Float64[np.ndarray, " frames"]:
    """Return `total` spread evenly over all frames."""
    return np.full(num_frames, total / num_frames)


def choose_weights(
    probability: Float64[np.ndarray, " frames"], frame_ids: Int64[np.ndarray, " n"] | None
) -> Float64[np.ndarray, " n"]:
    """Return 1 / (N q) of some frames, or of all (F39).

    Raises:
        ValueError: A frame is never drawn, which no weight can repair.
    """
    weights = ht_weights(probability)
    return weights if frame_ids is None else weights[frame_ids]


def design_effect(
    slot_correlation: Callable[[int], Float64[np.ndarray, " lags"]],
    long_run: float,
    batch_size: int,
    horizon: Horizon,
    beta: float,
) -> float:
    """Return variance relative to as many independent frames, for one of three horizons or so many slots (F30).

    Args:
        slot_correlation: From the largest distance wanted to the correlations of slots at distances 0 to there.
        long_run: What the design effect comes to over many batches: h of a chunk.
        batch_size: Slots of a batch.
        horizon: `batch`, `momentum` (a moving average of batches), `long`, or a number of slots.
        beta: Of the moving average.

    Raises:
        ValueError: An unknown horizon, or the correlation of frames is not known as far as this asks for.
    """
    if horizon == "long":
        return long_run
    if horizon == "momentum":
        return max(0.0, deff_momentum(slot_correlation(momentum_reach(batch_size, beta) - 1), batch_size, beta))
    if horizon != "batch" and not isinstance(horizon, int):
        raise ValueError(f"horizon must be one of {', '.join(HORIZONS)} or a number of slots, got {horizon!r}")
    slots = horizon if isinstance(horizon, int) else batch_size
    return max(0.0, deff_from_slots(slot_correlation(slots - 1), slots))  # below 0 only beyond the epoch's end
