"""How alike the gradients of neighbouring frames are, and what that makes of a run of k frames.

`R` is float64 [lags]: R[0] = 1 and R[l] is the correlation of the gradients of two frames of one video, l apart (F1 of
docs/bias.md). From it follow the mean correlation inside a run, `rho_in`, and the design effect of whole runs, `h`:
a batch of whole runs carries the information of b / h independent frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import Floats, correlation, lengths_in_frames, real, vector, whole


def h_curve(R: ArrayLike) -> Floats:
    """Return h for every run length 1 to len(R), float64 [lags]. F25 of docs/bias.md, in one pass.

    Raises:
        ValueError: R[0] is not 1.
    """
    R = correlation("R", R)
    k = np.arange(1, R.size + 1)
    later = np.concatenate([[0.0], R[1:]])
    return 1 + 2 * (np.cumsum(later) - np.cumsum(np.arange(R.size) * later) / k)


def h(R: ArrayLike, k: int) -> float:
    """Return k times the variance of the mean of a run of `k` frames, over that of one frame. F25 of docs/bias.md.

    1 if frames are unrelated, `k` if they are all the same.

    Raises:
        ValueError: `R` holds fewer than `k` lags.

    >>> h([1.0, 0.5], 2)
    1.5
    """
    return float(h_curve(correlation("R", R, num_lags=whole("k", k))[:k])[-1])


def rho_in(R: ArrayLike, k: int) -> float:
    """Return the mean correlation of two different frames of a run of `k`, 0 if k = 1. F24 of docs/bias.md.

    Raises:
        ValueError: `R` holds fewer than `k` lags.
    """
    return (h(R, k) - 1) / (k - 1) if whole("k", k) > 1 else 0.0


def _geometric_part(phi: float, k: int) -> float:
    """Return the sum of (1 − l/k)·phi^l over l = 1 to k − 1."""
    if k * abs(1 - phi) < 1:  # the closed form would divide a difference of nearly equal numbers by nearly 0
        lags = np.arange(1, k)
        return float(((1 - lags / k) * phi**lags).sum())
    return phi * ((k - 1) - k * phi + phi**k) / (k * (1 - phi) ** 2)


def h_ar1(rho: float, k: int) -> float:
    """Return `h` for R(l) = rho^l. F25 of docs/bias.md.

    Raises:
        ValueError: `rho` is not in [-1, 1].
    """
    return 1 + 2 * _geometric_part(real("rho", rho, -1, 1), whole("k", k))


def h_model(rho_v: float, rho_s: float, phi: float, k: int) -> float:
    """Return `h` for R(l) = rho_v + rho_s·phi^l. F25 with the model F2 of docs/bias.md.

    Raises:
        ValueError: `rho_v` or `rho_s` is negative, their sum is over 1, or `phi` is not in [0, 1].
    """
    model = CorrelationModel(rho_v, rho_s, phi)
    return 1 + (whole("k", k) - 1) * model.rho_v + 2 * model.rho_s * _geometric_part(model.phi, k)


@dataclass(frozen=True, slots=True)
class CorrelationModel:
    """Three numbers for a whole R: plateau, short range, and the rest is noise of single frames. F2 of docs/bias.md.

    Attributes:
        rho_v: What all frames of a video share.
        rho_s: What neighbours share besides; it fades with the lag.
        phi: By which factor it fades per frame.
    """

    rho_v: float
    rho_s: float
    phi: float

    def __post_init__(self) -> None:
        real("rho_v", self.rho_v, 0, 1)
        real("rho_s", self.rho_s, 0, 1)
        real("rho_v + rho_s", self.rho_v + self.rho_s, 0, 1 + 1e-9)
        real("phi", self.phi, 0, 1)

    def R(self, num_lags: int) -> Floats:
        """Return float64 [num_lags], 1 at lag 0."""
        values = self.rho_v + self.rho_s * self.phi ** np.arange(whole("num_lags", num_lags), dtype=np.float64)
        values[0] = 1
        return values


def line_correlation(R: ArrayLike, lengths: ArrayLike) -> Floats:
    """Return R for runs cut from all videos laid end to end, where a pair may straddle two videos and counts as 0.

    Args:
        R: Correlation inside a video, [lags].
        lengths: Frames of every video, [V].

    Returns:
        float64 [lags]: `R` times the share of pairs at that lag that lie in one video.

    Raises:
        ValueError: R[0] is not 1, or a length is below 1.
    """
    R, lengths = correlation("R", R), lengths_in_frames("lengths", lengths)
    # Σ_v (N_v − l)^+ falls from each lag to the next by the number of videos longer than the lag.
    longer = np.cumsum(np.bincount(np.minimum(lengths, R.size), minlength=R.size + 1)[::-1])[::-1][1:]
    pairs = lengths.sum() - np.concatenate([[0], np.cumsum(longer[:-1])])
    return R * pairs / lengths.sum()


def _best_shares(R: Floats, weight: Floats, fading: Floats) -> tuple[float, float, float]:
    """Return squared error, rho_v and rho_s of the best fit of rho_v + rho_s·fading to R, all arrays [lags].

    The error is a convex function of the two shares, and the shares allowed form a triangle. So its least value lies
    where the slope is 0, if that is inside, or else on one of the three sides.
    """
    s1, sy, syy = weight.sum(), weight @ fading, weight @ fading**2
    sr, sry, slant = weight @ R, weight @ (R * fading), weight @ (1 - fading) ** 2
    determinant = s1 * syy - sy * sy
    on_sum = np.clip(weight @ ((1 - R) * (1 - fading)) / slant, 0, 1) if slant > 0 else 0.0
    candidates = [
        (np.clip(sr / s1, 0, 1), 0.0),
        (0.0, np.clip(sry / syy, 0, 1) if syy > 0 else 0.0),
        (1 - on_sum, on_sum),
    ]
    if determinant > 1e-12 * s1 * s1:
        inside = (sr * syy - sy * sry) / determinant, (s1 * sry - sy * sr) / determinant
        candidates += [inside] if min(inside) >= 0 and sum(inside) <= 1 else []
    return min((float(weight @ (R - v - s * fading) ** 2), float(v), float(s)) for v, s in candidates)


def fit_R(R: ArrayLike, num_pairs: ArrayLike | None = None) -> CorrelationModel:
    """Fit plateau, short range and fading to a measured `R` by weighted least squares. F2 of docs/bias.md.

    The plateau is only seen at lags above 3 / (1 − phi); with a shorter `R` plateau and slow fading look alike.

    Args:
        R: Measured correlation, [lags]; R[0] is 1 and is not fitted.
        num_pairs: Pairs that each lag was measured from, [lags]; 0 leaves a lag out. None: all alike.

    Raises:
        ValueError: Fewer than three lags to fit.
    """
    R = correlation("R", R)
    weight = np.ones_like(R) if num_pairs is None else vector("num_pairs", num_pairs)
    if weight.shape != R.shape or weight.min() < 0:
        raise ValueError(f"num_pairs must hold {R.size} numbers of at least 0, got shape {weight.shape}")
    lags = np.flatnonzero(weight)
    lags = lags[lags > 0]
    if lags.size < 3:
        raise ValueError(f"R must hold at least 3 lags above 0 that were measured, got {lags.size}")
    grid = 1 - np.geomspace(1, 0.5 / R.size, 500)
    fits = ((*_best_shares(R[lags], weight[lags], phi**lags), float(phi)) for phi in grid)
    _, rho_v, rho_s, phi = min(fits)
    return CorrelationModel(rho_v, rho_s, phi)
