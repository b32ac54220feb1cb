"""How alike the gradients of neighbouring frames are, and what that makes of a run of k frames.

`R` is float64 [lags]: R[0] = 1 and R[l] is the correlation of the gradients of two frames of one video, l apart (F1 of
docs/bias.md). From it follows the design effect of whole runs, `h`: a batch of whole runs carries the information of
b / h independent frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.validation import Floats, correlation, lengths_in_frames, real, vector, whole

PHIS = 500  # fadings that a fit tries
FIRM = 1e4  # weight of the condition that shares sum to 1, relative to all lags together


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
    root = np.sqrt(weight[lags] / weight[lags].sum())
    phis = 1 - np.geomspace(1, 0.5 / R.size, PHIS)
    _, rho_v, rho_s, phi = min((*_best_shares(R[lags] * root, root, phi**lags), float(phi)) for phi in phis)
    return CorrelationModel(rho_v, rho_s, phi)


def _best_shares(R: Floats, root: Floats, fading: Floats) -> tuple[float, float, float]:
    """Return error, rho_v and rho_s of the best fit of (rho_v + rho_s·fading)·root to R, all arrays [lags]."""
    from scipy.optimize import nnls  # here: samplers import this module, and most runs fit nothing

    # Three shares of at least 0, the third of them noise that no lag sees; the last row has them sum to 1.
    columns = np.stack([root, root * fading, np.zeros_like(root)], axis=1)
    shares, error = nnls(np.vstack([columns, np.full(3, FIRM)]), np.append(R, FIRM))
    rho_v, rho_s = shares[:2] / max(1.0, shares[:2].sum())
    return float(error), float(rho_v), float(rho_s)
