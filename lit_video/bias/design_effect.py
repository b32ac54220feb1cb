"""Variance of a batch gradient, as a multiple of the variance of as many independent frames: the design effect.

For every sampler with uniform first-order law it is 1 + (b − 1)·(mean correlation of two slots). A batch of b slots
carries the information of b / deff independent frames. `r` is the correlation of two slots of a stationary stream by
their distance, float64, r[0] = 1. Section 5 of docs/bias.md has it for every way of mixing chunks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.correlation import h
from lit_video.bias.validation import Floats, correlation, real, whole

# What `deff_momentum` may leave out: the weight of the oldest batches, relative to the newest.
FORGOTTEN = 1e-3


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


def slot_corr_jitter(r_in: ArrayLike, w: int, max_delta: int) -> Floats:
    """Return r, [max_delta + 1], of a stream whose positions are moved by a uniform jitter of width `w` and sorted.

    A triangular law of lags (section 5 of docs/bias.md): approximate, within one percent where it was tried.

    Args:
        r_in: Correlation of the input by distance, r_in[0] = 1, all that is not 0: past its end it counts as 0.
        w: Width of the jitter in slots; 1 changes nothing. The memory holds about w / 2 frames.
        max_delta: Largest distance wanted.

    Raises:
        ValueError: r_in[0] is not 1, or a number is too small.
    """
    r_in, w = correlation("r_in", r_in), whole("w", w)
    max_delta = whole("max_delta", max_delta, low=0)
    both_signs = np.zeros(2 * (max_delta + w) + 1)
    reach = min(r_in.size, max_delta + w + 1)
    centre = max_delta + w
    both_signs[centre : centre + reach] = r_in[:reach]
    both_signs[centre - reach + 1 : centre + 1] = r_in[:reach][::-1]
    both_signs[centre] = 0
    # A triangle is a box seen through a box, and a box is a difference of running sums.
    running = np.r_[0.0, np.cumsum(both_signs)]
    running = np.r_[0.0, np.cumsum(running[w:] - running[:-w])]
    return np.r_[1.0, ((running[w:] - running[:-w]) / w**2)[max_delta + 2 : 2 * max_delta + 2]]
