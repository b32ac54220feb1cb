"""One frame from each of b equal stretches of all frames in every batch: less variance than chance gives (F29)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import h
from lit_video.support.rng import rng


def stratified_order(n: int, num_strata: int, seed: int, epoch: int) -> Int64[np.ndarray, " frames"]:
    """Return all n frames so that every run of `num_strata` slots has one frame from each stratum.

    The strata are equal runs of the circle of all frames from a uniformly random place on, so every slot is exactly
    uniform. What is left over where the runs are not of one length comes last.
    """
    draw = rng(seed, "uniform.stratified", epoch)
    begins = np.arange(num_strata + 1) * n // num_strata
    stratum = np.repeat(np.arange(num_strata), np.diff(begins))
    shuffled = np.lexsort((draw.random(n), stratum))  # each stratum's own places, in random order
    turn = np.arange(n) - begins[stratum]  # the batch in which each comes
    # Within a batch in random order: a rank's part of it is spread over all strata, too.
    return (shuffled[np.lexsort((draw.random(n), turn))] + draw.integers(n)) % n


def stratified_variance(R_line: Float64[np.ndarray, " lags"], n: int, num_strata: int, batches: int = 1) -> float:
    """Return the design effect of batches with one frame from each stratum: the share of variance within one (F29).

    Of several batches each stratum has given as many different frames: less is left to chance, and in the end nothing.
    """
    run = max(1, round(n / num_strata))
    left = max(0.0, (run - batches) / (run - 1)) if run > 1 else 0.0
    return (1 - h(R_line, run) / run) * left


def stratified_correlation(
    R_line: Float64[np.ndarray, " lags"], n: int, num_strata: int, max_delta: int
) -> Float64[np.ndarray, " deltas"]:
    """Return the correlation of two slots by distance.

    Slots of one batch are of different strata. Of different batches they share one in a fraction 1/b, and are then two
    different frames of a run of n / b.

    Args:
        R_line: Correlation along the line of all videos, at least n / b lags.
        n: Frames.
        num_strata: b.
        max_delta: Largest distance.
    """
    run = max(1, round(n / num_strata))
    h_run = h(R_line, run)
    inside = (h_run - 1) / (run - 1) if run > 1 else 0.0  # mean correlation of two frames of one stratum
    across = -h_run / (n - run) if n > run else 0.0  # of two strata: all correlations of the circle sum to 0
    same_batch = np.maximum(0, 1 - np.arange(max_delta + 1) / num_strata)
    other_batch = inside / num_strata + across * (1 - 1 / num_strata)
    correlation = same_batch * across + (1 - same_batch) * other_batch
    correlation[0] = 1
    return correlation
