"""What a shuffle buffer does to the law of a slot and of a pair of slots. Section 6 of docs/bias.md.

Swap buffer: filled with the first `B` inputs; every output is a uniform pick, replaced by the next input; at the end it
runs empty. Inputs and outputs are counted from 0 to N − 1 here, from 1 in the formulas.
"""

from __future__ import annotations

import math

import numpy as np

from lit_video.bias.arguments import Floats, real, whole


def _newest(N: int, B: int, s: int) -> int:
    """Return how many outputs, this one included, followed the last input: F33's m, at least 1."""
    return min(s + 1, N - B + 1)


def buffer_law(N: int, B: int, s: int) -> Floats:
    """Return the probability of every input to be output `s`, float64 [N]. F33 of docs/bias.md.

    Exact, while the buffer fills and while it runs empty too.

    Args:
        N: Inputs.
        B: Frames in the buffer. `N` or more: all outputs are uniform. 1: the order stays.
        s: Output position in [0, N).

    Raises:
        ValueError: A number out of its range.

    >>> buffer_law(4, 2, 0).tolist()
    [0.5, 0.5, 0.0, 0.0]
    """
    N, s = whole("N", N), whole("s", s, low=0, high=N - 1)
    B = min(whole("B", B), N)
    entered = np.maximum(0, np.arange(N) - B + 1)  # the output after which the input is in
    age = _newest(N, B, s) - 1 - entered
    return np.where(age >= 0, (1 - 1 / B) ** np.maximum(age, 0) / B, 0.0)


def tv_buffer(N: int, B: int, s: int) -> float:
    """Return `tv(buffer_law(N, B, s))` without the law itself. F36 of docs/bias.md.

    Raises:
        ValueError: A number out of its range.
    """
    N, s = whole("N", N), whole("s", s, low=0, high=N - 1)
    B = min(whole("B", B), N)
    newest, stay = _newest(N, B, s), 1 - 1 / B
    above = 1 if B == 1 else math.ceil(math.log(B / N) / math.log(stay))  # inputs after the fill with more than 1/N
    above = min(newest - 1, above)
    return max(stay ** (newest - 1) - B / N, 0.0) + 1 - stay**above - above / N


def buffer_pair_lag(B: int, delta: int, max_lag: int) -> Floats:
    """Return how far apart at the input two outputs `delta` apart were, float64 [max_lag + 1]. F35 of docs/bias.md.

    Steady state. Entry l is the probability of input distance l; entry 0 is 0. For every l the entries of all
    `delta` >= 1 sum to 1, which is why a buffer conserves the sum of correlations.

    Args:
        B: Frames in the buffer.
        delta: Distance of the outputs; 0: two different picks from one content of the buffer, which needs B >= 2.
        max_lag: Largest input distance wanted.

    Raises:
        ValueError: A number out of its range.
    """
    B = whole("B", B, low=1 if delta else 2)
    delta, stay = whole("delta", delta, low=0), 1 - 1 / B
    lag = np.arange(1, whole("max_lag", max_lag) + 1, dtype=np.float64)
    p = np.zeros(lag.size + 1)
    shared = np.minimum(delta, lag)
    later_pick_came_later = stay ** np.abs(delta - lag) * (1 - stay ** (2 * shared)) / (1 - stay**2) / B**2
    p[1:] = stay ** (delta - 1 + lag) / B + later_pick_came_later
    return p


def p_same_video_buffer(B: int, n: int, K: int = 1) -> float:
    """Return how likely two slots of a batch show the same video; about, for B >> 1. F37 of docs/bias.md.

    Args:
        B: Frames in the buffer.
        n: Frames in a video.
        K: Videos that are read in turn, staggered. 1: one after another.

    Raises:
        ValueError: A number below 1.
    """
    x = whole("B", B) / (whole("K", K) * whole("n", n))
    return (1 + x * math.expm1(-1 / x)) / K


def replay_uses(r: float, max_uses: int) -> Floats:
    """Return how often a replay reservoir uses a frame: probabilities of 0 to `max_uses` times, float64.

    Slots are drawn with replacement, and `r` new frames overwrite random ones per draw. A share r / (1 + r) of the
    decoded frames is never used. Exact in the limit of a large reservoir. Section 6 of docs/bias.md.

    Raises:
        ValueError: `r` is not above 0.
    """
    never = real("r", r, low=np.nextafter(0, 1)) / (1 + r)
    uses = np.arange(whole("max_uses", max_uses, low=0) + 1, dtype=np.float64)
    return never * (1 - never) ** uses


def deff_replay(r: float) -> float:
    """Return the long-run design effect of a replay reservoir of unrelated frames: (2 + r) / r. See `replay_uses`.

    Raises:
        ValueError: `r` is not above 0.
    """
    return (2 + real("r", r, low=np.nextafter(0, 1))) / r


def q_algorithm_r(N: int, B: int = 1) -> Floats:
    """Return the epoch frequencies of draws from Vitter's reservoir during one pass, float64 [N]. Not for training.

    A draw after t inputs is uniform over those t, so early frames come far too often: for B << N the total variation
    is 1/e. Section 6 of docs/bias.md.

    Args:
        N: Inputs; one draw per input once the reservoir is full.
        B: Frames in the reservoir.

    Raises:
        ValueError: `B` is not in [1, N].
    """
    B = whole("B", B, high=whole("N", N))
    draws = np.arange(1, N + 1) >= B
    from_here_on = np.cumsum((draws / np.arange(1, N + 1))[::-1])[::-1]
    return from_here_on / draws.sum()
