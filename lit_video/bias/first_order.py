"""Static bias: what it is, how large it can get, and the weights that remove it.

A sampler puts frame i into a slot with probability q_i. The expected gradient is then off by the covariance of q and
the gradients, for some gradients unless every q_i is 1/N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import SUM_TOLERANCE, Floats, law, lengths_in_frames, real


def tv(q: ArrayLike) -> float:
    """Return the total variation between `q` [N] and the uniform law, in [0, 1). F4 of docs/bias.md.

    It is the share of the draws that go to the wrong frames; 2·G·tv is the largest bias of gradients of norm up to G.

    Raises:
        ValueError: `q` is not a probability law.

    >>> round(tv([0.5, 0.5, 0.0]), 3)
    0.333
    """
    q = law("q", q)
    return float(0.5 * np.abs(q - 1 / q.size).sum())


def chi2(q: ArrayLike) -> float:
    """Return the variance of N·q over the N frames; its root times sigma bounds the bias. F6 of docs/bias.md.

    Raises:
        ValueError: `q` is not a probability law.
    """
    q = law("q", q)
    # Not N·Σq² − 1: for a law close to uniform that is the difference of two numbers close to 1.
    return float(q.size * np.square(q - 1 / q.size).sum())


def bias_vector(q: ArrayLike, gradients: ArrayLike) -> Floats:
    """Return expected gradient under `q` minus mean gradient. F3 of docs/bias.md.

    Args:
        q: Per-slot probability of every frame, [N].
        gradients: Gradient of every frame, [N, ...].

    Returns:
        float64, the shape of one gradient.

    Raises:
        ValueError: `q` is not a probability law, or its length differs from the number of gradients.
    """
    q = law("q", q)
    gradients = np.asarray(gradients, dtype=np.float64)
    if gradients.shape[:1] != q.shape:
        raise ValueError(f"gradients must hold one row for each of {q.size} frames, got shape {gradients.shape}")
    return np.asarray(np.tensordot(q - 1 / q.size, gradients, axes=1))


@dataclass(frozen=True, slots=True)
class BiasBounds:
    """How long the bias vector can be, from what is known of the gradients; None where nothing was given.

    Attributes:
        norm: 2·G·TV, from the largest gradient norm G. F4; attained.
        diameter: D·TV, from the largest distance D of two gradients. F5.
        spread: chi·sigma, from the standard deviation of the gradients. F6; attained.
        slope: Lambda·W1, from the largest step Lambda between neighbouring frames. F7.
    """

    norm: float | None
    diameter: float | None
    spread: float | None
    slope: float | None

    @property
    def smallest(self) -> float | None:
        """The sharpest of the bounds, None if there is none."""
        return min((x for x in (self.norm, self.diameter, self.spread, self.slope) if x is not None), default=None)


def bias_bounds(
    q: ArrayLike,
    G: float | None = None,
    sigma: float | None = None,
    lipschitz: float | None = None,
    *,
    diameter: float | None = None,
    lengths: ArrayLike | None = None,
) -> BiasBounds:
    """Bound the norm of the bias by whatever is known of the gradients. F4 to F7 of docs/bias.md.

    Args:
        q: Per-slot probability of every frame, [N].
        G: Largest norm of a gradient.
        sigma: Square root of the trace of the gradient covariance, or of its largest eigenvalue, which is sharper.
        lipschitz: Largest norm of the difference of two neighbouring frames' gradients.
        diameter: Largest norm of the difference of any two gradients.
        lengths: Frames of every video, [V]; None if `q` is about one video. Only `lipschitz` needs it.

    Raises:
        ValueError: A negative constant, or `lipschitz` with videos that `q` gives another share than their own.
    """
    chi = np.sqrt(chi2(q))
    return BiasBounds(
        norm=None if G is None else 2 * real("G", G) * tv(q),
        diameter=None if diameter is None else real("diameter", diameter) * tv(q),
        spread=None if sigma is None else float(chi * real("sigma", sigma)),
        slope=None if lipschitz is None else real("lipschitz", lipschitz) * transport_within_videos(q, lengths),
    )


def transport_within_videos(q: ArrayLike, lengths: ArrayLike | None = None) -> float:
    """Return the mean number of frames by which `q` moves a uniform draw, each within its video: W1 of F7.

    Args:
        q: Per-slot probability of every frame, [N].
        lengths: Frames of every video, [V]; None for one video.

    Raises:
        ValueError: A video's probability is not its share of the frames: no movement within videos leads to `q`.
    """
    q = law("q", q)
    lengths = lengths_in_frames("lengths", q.size if lengths is None else lengths)
    if lengths.sum() != q.size:
        raise ValueError(f"lengths must sum to the {q.size} frames of q, got {lengths.sum()}")
    surplus = np.cumsum(q - 1 / q.size)
    at_ends = surplus[np.cumsum(lengths) - 1]
    if np.abs(at_ends).max() > SUM_TOLERANCE:
        video = int(np.argmax(np.abs(np.diff(at_ends, prepend=0))))
        raise ValueError(f"q must give every video its share of the frames, got another share for video {video}")
    return float(np.abs(surplus).sum())


def ht_weights(q: ArrayLike) -> Floats:
    """Return the loss weights [N] that make the expected gradient exact: 1/(N·q). F39 of docs/bias.md.

    Divide the weighted loss by the number of slots, not by the sum of the weights: only then is it unbiased.

    Raises:
        ValueError: `q` is not a probability law, or some frame is never drawn and no weight can bring it back.

    >>> ht_weights([0.25, 0.25, 0.5]).round(3).tolist()
    [1.333, 1.333, 0.667]
    """
    q = law("q", q)
    never = int(np.count_nonzero(q == 0))
    if never:
        raise ValueError(f"q must be positive for every frame, but {never} of {q.size} frames are never drawn")
    return 1 / (q.size * q)


def kish_factor(q: ArrayLike) -> float:
    """Return by how much `ht_weights` multiply the variance of gradients unrelated to them. F40 of docs/bias.md.

    Raises:
        ValueError: As `ht_weights`.
    """
    return float(ht_weights(q).mean())
