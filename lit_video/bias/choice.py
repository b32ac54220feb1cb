"""How long a run of frames to read: frames per second weighed against what they are worth. Section 9 of docs/bias.md.

Reading a run of k frames takes a + c·k seconds: `a` to get there, `c` to decode a frame. Only a / c matters for the
best k. Long runs cost less per frame and repeat each other more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import Floats, real, whole
from lit_video.bias.correlation import h_curve

# Run lengths whose values differ by less than rounding does are equally good; the shortest is taken.
TIE = 1e-9


def price(deff: ArrayLike, b: int, noise_scale: float) -> Floats:
    """Return by how much a design effect lengthens training, relative to independent frames. F42 of docs/bias.md.

    Args:
        deff: Design effects, any shape.
        b: Slots of a batch.
        noise_scale: Gradient noise scale in frames; infinite if training is limited by noise, 0 if not at all.

    Raises:
        ValueError: `b` below 1 or a negative noise scale.
    """
    deff, b = np.asarray(deff, dtype=np.float64), whole("b", b)
    noise_scale = real("noise_scale", noise_scale)
    noise_share = 1.0 if math.isinf(noise_scale) else noise_scale / (b + noise_scale)
    return np.asarray(1 + (deff - 1) * noise_share)  # (b + noise_scale·deff) / (b + noise_scale)


def eff_rates(a: float, c: float, R: ArrayLike, b: int = 1, noise_scale: float = math.inf) -> Floats:
    """Return the effective frames per second of runs of 1 to len(R) frames, float64 [lags]. F42 of docs/bias.md.

    Frames per second over `price`: independent frames per second where noise limits training, plain ones where it does
    not limit it at all.

    Args:
        a: Seconds to reach the first frame of a run.
        c: Seconds per frame of a run.
        R: Correlation of gradients by distance in frames, R[0] = 1.
        b: Slots of a batch; without effect if the noise scale is infinite.
        noise_scale: Gradient noise scale in frames.

    Raises:
        ValueError: A negative cost, or both 0.
    """
    a, c, design_effect = real("a", a), real("c", c), h_curve(R)
    if a + c == 0 or math.isinf(a + c):
        raise ValueError(f"a + c must be finite and above 0, got {a + c}")
    k = np.arange(1, design_effect.size + 1)
    # A run of frames that cancel out would be worth infinitely many; correlations that make one are measured wrongly.
    if design_effect.min() <= 0:
        raise ValueError(
            f"R must leave every run a positive variance, got h = {design_effect.min():g} for "
            f"k = {design_effect.argmin() + 1}"
        )
    return k / (a + c * k) / price(design_effect, b, noise_scale)


def eff_rate(k: int, a: float, c: float, R: ArrayLike, b: int = 1, noise_scale: float = math.inf) -> float:
    """Return the effective frames per second of runs of `k` frames; see `eff_rates`.

    Raises:
        ValueError: As `eff_rates`, or `R` holds fewer than `k` lags.
    """
    rates = eff_rates(a, c, R, b, noise_scale)
    return float(rates[whole("k", k, high=rates.size) - 1])


def best_k(a: float, c: float, R: ArrayLike, b: int = 1, noise_scale: float = math.inf) -> int:
    """Return the run length in [1, len(R)] with the highest effective rate, the shortest of equals.

    All are tried: the rate may have two maxima far apart, and the closed forms F43 and F44 find but one.

    Raises:
        ValueError: As `eff_rates`.

    >>> best_k(a=16, c=1, R=[1.0] + [0.9] * 99)  # frames of a run are nearly the same: read one
    1
    """
    rates = eff_rates(a, c, R, b, noise_scale)
    return int(np.argmax(rates >= rates.max() * (1 - TIE))) + 1
