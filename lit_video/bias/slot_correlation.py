"""Correlation of two slots of a stream by their distance, for every way of mixing chunks. Section 5 of docs/bias.md.

Every function returns float64 [max_delta + 1], 1 at distance 0, and is meant for `deff_from_slots` and
`deff_momentum`. Streams are stationary: lanes start at staggered places of their chunks, and chunks are drawn with
replacement (without, every value is lower by about 1 / N).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import Floats, correlation, whole
from lit_video.bias.correlation import rho_in


def _inside_chunk(R: ArrayLike, k: int, num_lags: int, shuffled: bool) -> Floats:
    """Return the correlation of two slots of one lane, [min(k, num_lags)]: share of pairs in one chunk, times R."""
    k, num_lags = whole("k", k), min(k, num_lags)
    share = 1 - np.arange(num_lags) / k
    if shuffled:
        return share * np.r_[1.0, np.full(num_lags - 1, rho_in(R, k))]
    return share * correlation("R", R, num_lags)[:num_lags]


def slot_corr_lanes(R: ArrayLike, k: int, P: int, max_delta: int, shuffled: bool = False) -> Floats:
    """`P` open chunks of `k` frames, one frame of each in turn. P = 1: one chunk after another.

    Only slots a multiple of `P` apart are of one chunk, so batches of up to `P` slots are uncorrelated.

    Args:
        R: Correlation inside a chunk; as many lags as `k` always suffice.
        k: Frames in a chunk.
        P: Lanes.
        max_delta: Largest distance wanted.
        shuffled: Each lane emits its chunk in random order instead of from first to last.

    Raises:
        ValueError: `R` too short.
    """
    P, max_delta = whole("P", P), whole("max_delta", max_delta, low=0)
    r = np.zeros(max_delta + 1)
    inside = _inside_chunk(R, k, max_delta // P + 1, shuffled)
    r[: inside.size * P : P] = inside
    return r


def slot_corr_random_lanes(R: ArrayLike, k: int, P: int, max_delta: int) -> Floats:
    """`P` open chunks of `k` frames, every slot from a lane drawn anew. Worse than taking turns.

    The number of frames that a lane emits between two of its slots is binomial.

    Raises:
        ValueError: `R` too short.
    """
    P, max_delta = whole("P", P), whole("max_delta", max_delta, low=0)
    inside = _inside_chunk(R, k, max_delta + 1, shuffled=False)
    steps = np.zeros(inside.size)  # probability that the lane has moved on by this many frames
    steps[0] = 1
    r = np.ones(max_delta + 1)
    for delta in range(1, max_delta + 1):
        r[delta] = steps[:-1] @ inside[1:] / P
        steps[1:] = steps[1:] * (1 - 1 / P) + steps[:-1] / P
        steps[0] *= 1 - 1 / P
    return r


def _discounted_sums(values: Floats, factor: float) -> Floats:
    """Return y with y[i] = values[i] + factor·y[i − 1]."""
    sums, last = np.empty_like(values), 0.0
    for i, value in enumerate(values.tolist()):
        last = value + factor * last
        sums[i] = last
    return sums


def slot_corr_buffer(r_in: ArrayLike, B: int, max_delta: int) -> Floats:
    """A swap buffer of `B` frames behind a stream with slot correlation `r_in`. F35 of docs/bias.md, summed over lags.

    The sum over all distances stays what it was (F31): a buffer hides correlation from a batch, not from a horizon.

    Args:
        r_in: Correlation of the input by distance, r_in[0] = 1, all that is not 0: past its end it counts as 0.
        B: Frames in the buffer; 1 changes nothing.
        max_delta: Largest distance wanted.

    Raises:
        ValueError: r_in[0] is not 1, or a number is too small.
    """
    r_in, B = correlation("r_in", r_in), whole("B", B)
    max_delta, stay = whole("max_delta", max_delta, low=0), 1 - 1 / B
    # `later[w]` is Σ_{l ≥ w} stay^(l − w)·r_in[l]; both terms of F35 are made of it, and each distance follows from
    # the one before, so that the sum over lags need not be done anew.
    later = np.zeros(max(max_delta + 1, r_in.size) + 1)
    later[: r_in.size] = _discounted_sums(r_in[::-1], stay)[::-1]
    both_inside = _discounted_sums(later[1 : max_delta + 1], stay) / B**2
    at_the_start = stay ** np.arange(1, max_delta + 1) * later[1] / B
    return np.r_[1.0, both_inside + at_the_start]


def slot_corr_jitter(r_in: ArrayLike, w: int, max_delta: int) -> Floats:
    """Positions moved by a uniform jitter of width `w` and sorted, behind a stream with slot correlation `r_in`.

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
