"""Clips: samples of T frames, s apart, that overlap. Which frames they hold, how alike they are, what they decode.

A clip that is anchored at frame a holds a, a + s, …, a + (T - 1)·s: a span of w = (T - 1)·s + 1 frames. R is the
correlation of single frames by distance (F1 of docs/bias.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.correlation import h
from lit_video.bias.validation import Floats, Integers, correlation, lengths_in_frames, whole
from lit_video.support.errors import check_choice

ENDS = ("inside", "pad", "circular")


def clips_holding(length: int, T: int, s: int = 1, ends: str = "inside") -> Integers:
    """Return in how many clips each frame of a stretch is, int64 [length], one clip beginning at each frame. F68.

    With `inside` clips begin where they fit, and the ends of a stretch are in fewer of them. With `pad` they begin up
    to w - 1 frames before the stretch, and with `circular` they go on at its beginning: T for every frame, which a
    circular clip that holds it twice counts twice.

    Args:
        length: L, frames of the stretch.
        T: Frames of a clip.
        s: From one frame of a clip to the next.
        ends: `inside`, `pad` or `circular`.

    Raises:
        ValueError: A number is too small, or `ends` is none of these.

    >>> clips_holding(6, 3).tolist()
    [1, 2, 3, 3, 2, 1]
    >>> clips_holding(7, 3, 2).tolist()
    [1, 1, 2, 1, 2, 1, 1]
    """
    length, T, s = whole("length", length), whole("T", T), whole("s", s)
    check_choice("ends", ends, ENDS)
    if ends != "inside":
        return np.full(length, T)
    before = np.arange(length) // s  # frames of the stretch that a clip could hold before this one
    after = before[::-1]
    return np.maximum(0, np.minimum.reduce([np.full(length, T), before + 1, after + 1, before + after + 2 - T]))


def q_clips(lengths: int | ArrayLike, T: int, s: int = 1, ends: str = "inside") -> Floats:
    """Return how likely each frame, [N], is what a random place of a random clip shows, padding left out. F68.

    Args:
        lengths: Frames of every stretch, or of the only one.
        T: Frames of a clip.
        s: From one frame of a clip to the next.
        ends: `inside`, `pad` or `circular`.

    Raises:
        ValueError: No stretch holds a clip.

    >>> (q_clips([4, 2], 3) * 6).tolist()
    [1.0, 2.0, 2.0, 1.0, 0.0, 0.0]
    """
    counts = np.concatenate([clips_holding(n, T, s, ends) for n in lengths_in_frames("lengths", lengths).tolist()])
    if not counts.any():
        raise ValueError(f"T and s must fit a stretch: no stretch has {(T - 1) * s + 1} frames")
    return counts / counts.sum()


def clip_correlation(R: ArrayLike, T: int, s: int, max_distance: int) -> Floats:
    """Return the correlation of the mean gradients of two clips by the distance of their anchors. F69.

    Hand it to a sampler's laws in the place of R: they are then of clips.

    Args:
        R: Of frames by distance, at least `max_distance` + w of them.
        T: Frames of a clip.
        s: From one frame of a clip to the next.
        max_distance: In frames; the result is float64 [max_distance + 1].

    Raises:
        ValueError: `R` ends too early.

    >>> clip_correlation([1.0, 0.0, 0.0, 0.0], 2, 1, 2).tolist()
    [1.0, 0.5, 0.0]
    """
    T, s, far = whole("T", T), whole("s", s), whole("max_distance", max_distance, low=0)
    R = correlation("R", R, num_lags=far + (T - 1) * s + 1)
    offsets = np.arange(1 - T, T)  # i - j, T - |i - j| times each
    sums = R[np.abs(np.arange(far + 1)[:, None] + s * offsets)] @ (T - np.abs(offsets))
    return sums / sums[0]


def clip_factor(R: ArrayLike, T: int, s: int = 1) -> float:
    """Return the variance of a clip's mean gradient relative to T independent frames: h_T of R at stride s. F70.

    A batch of B clips has this times the design effect of its clips, by `clip_correlation`, relative to B·T independent
    frames: it is worth B·T / (clip_factor · deff) of them.

    Raises:
        ValueError: `R` holds fewer than w lags.

    >>> clip_factor([1.0, 0.9, 0.5], 2, 2)
    1.5
    """
    T, s = whole("T", T), whole("s", s)
    R = correlation("R", R, num_lags=(T - 1) * s + 1)
    return h(R[::s], T)


def clip_decodes(T: int, s: int, gop: int) -> float:
    """Return the decoded frames per frame of one clip that begins uniformly in a GOP of `gop` frames. F71.

    Each GOP that holds a frame of the clip is decoded from its keyframe to the last of these.

    Args:
        T: Frames of a clip.
        s: From one frame of a clip to the next.
        gop: L, frames of every GOP.

    Raises:
        ValueError: A number is below 1.

    >>> clip_decodes(1, 1, 12)
    6.5
    >>> clip_decodes(8, 1, 12)
    1.6875
    """
    T, s, L = whole("T", T), whole("s", s), whole("gop", gop)
    first = (L + 1) / 2
    further = s - s * (s - 1) / (2 * L) if s < L else first  # from one frame of a clip to the next
    return (first + (T - 1) * further) / T


def clip_gops(T: int, s: int, gop: int) -> float:
    """Return how many GOPs hold a frame of such a clip, on average: what is sought. F71.

    >>> clip_gops(8, 1, 14)
    1.5
    """
    T, s, L = whole("T", T), whole("s", s), whole("gop", gop)
    return 1 + (T - 1) * min(1.0, s / L)
