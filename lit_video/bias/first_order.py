"""Static bias: how far the law of a slot is from uniform, and the weights that remove the bias.

A sampler puts frame i into a slot with probability q_i. The expected gradient is then off by the covariance of q and
the gradients, for some gradients unless every q_i is 1/N.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.validation import Floats, law, lengths_in_frames, whole


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


def q_sliding(lengths: int | ArrayLike, k: int) -> Floats:
    """Return the law of a slot, [N], of windows of `k` frames that slide within a video, all equally likely (C1).

    The k − 1 frames at each edge of a video are in fewer windows than the others. Videos shorter than `k` have no
    window, and their frames get 0.

    Args:
        lengths: Frames of every video, or of the only one.
        k: Frames in a window.

    Raises:
        ValueError: No video holds a window of `k` frames.

    >>> (q_sliding(6, 3) * 12).tolist()
    [1.0, 2.0, 3.0, 3.0, 2.0, 1.0]
    """
    lengths = lengths_in_frames("lengths", lengths)
    whole("k", k, high=int(lengths.max()))
    length = np.repeat(lengths, lengths)
    frame_index = np.arange(length.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    windows = np.minimum(np.minimum(frame_index + 1, length - frame_index), np.minimum(k, length - k + 1))
    windows = np.maximum(windows, 0)
    return windows / windows.sum()
