"""First-order laws: with which probability a slot holds frame i, for every way of reading runs of frames.

Every `q_*` returns float64 [N], frames in the order of the data set, with sum 1. A zero is a frame that the sampler
never draws. Section 3 of docs/bias.md has the table (C1 to C12, U1 to U8).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import Floats, Integers, law, lengths_in_frames, vector, whole


def _place(lengths: Integers) -> tuple[Integers, Integers]:
    """Return for every frame its place in its own piece, and that piece's length: two arrays [N]."""
    own_length = np.repeat(lengths, lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.arange(own_length.size) - starts, own_length


def _normalised(mass: ArrayLike) -> Floats:
    """Return `mass` [N] divided by its sum."""
    mass = np.asarray(mass, dtype=np.float64)
    return mass / mass.sum()


def q_sliding(lengths: int | ArrayLike, k: int) -> Floats:
    """Windows of `k` frames, every window that fits into a video equally likely (C1; also C6).

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
    lengths, k = lengths_in_frames("lengths", lengths), whole("k", k)
    whole("k", k, high=int(lengths.max()))
    frame_index, length = _place(lengths)
    windows = np.minimum(np.minimum(frame_index + 1, length - frame_index), np.minimum(k, length - k + 1))
    return _normalised(np.maximum(windows, 0))


def tv_sliding(n: int, k: int) -> float:
    """Return `tv(q_sliding(n, k))` without the law itself. F10 of docs/bias.md.

    Raises:
        ValueError: `k` is not in [1, n].
    """
    k = whole("k", k, high=whole("n", n))
    starts = n - k + 1
    short = -(-k * starts // n) - 1  # frames at each edge that get less than 1/n
    return 2 * short / n - short * (short + 1) / (k * starts)


def chi2_sliding(n: int, k: int) -> float:
    """Return `chi2(q_sliding(n, k))` without the law itself. F11 of docs/bias.md.

    Raises:
        ValueError: `k` is not in [1, n].
    """
    k = whole("k", k, high=whole("n", n))
    # Windows of k among S starts cover the frames exactly as windows of S among k starts do, and the closed form
    # holds for the shorter of the two.
    k, starts = min(k, n - k + 1), max(k, n - k + 1)
    return (k - 1) / starts**2 * (n * (2 * k - 1) / (3 * k) - (k - 1))


def q_clamped(n: int, k: int) -> Floats:
    """Windows of `k` frames from a start uniform over all `n` frames, late starts moved back to n − k (C2, F12).

    Raises:
        ValueError: `k` is not in [1, n].
    """
    k = whole("k", k, high=whole("n", n))
    frame_index = np.arange(n)
    starts = np.minimum(frame_index, n - k) - np.maximum(frame_index - k + 1, 0) + 1
    return _normalised(starts + (k - 1) * (frame_index >= n - k))


def q_truncated(n: int, k: int) -> Floats:
    """Windows of `k` frames from a start uniform over all `n` frames, cut off at the end of the video (C3, F13).

    Windows differ in length, so this is the law of a slot in a long row of windows.

    Raises:
        ValueError: `n` or `k` is below 1.
    """
    n, k = whole("n", n), whole("k", k)
    return _normalised(np.minimum(np.arange(n) + 1, k))


def q_circular(lengths: int | ArrayLike, k: int) -> Floats:
    """Windows of `k` frames that go round from the end of a video to its start (C4): exactly uniform.

    Videos are drawn in proportion to their frames, starts uniformly. A window longer than its video repeats frames.

    Raises:
        ValueError: A length or `k` is below 1.
    """
    whole("k", k)
    num_frames = int(lengths_in_frames("lengths", lengths).sum())
    return np.full(num_frames, 1 / num_frames)


def _piece_law(p: str | ArrayLike, lengths: Integers) -> Floats:
    """Return the probability of every piece, float64 [pieces]."""
    if isinstance(p, str):
        if p not in ("equal", "length"):
            raise ValueError(f"p must be 'equal', 'length' or one probability per piece, got {p!r}")
        return _normalised(lengths if p == "length" else np.ones_like(lengths))
    p = law("p", p)
    if p.shape != lengths.shape:
        raise ValueError(f"p must hold one probability for each of {lengths.size} pieces, got {p.size}")
    return p


def q_partition(lengths: ArrayLike, p: str | ArrayLike = "equal", take: str | int = "all") -> Floats:
    """Chunks of a partition: which one is drawn, times how much of it is used (C5, C7 to C10, F14 to F16).

    Uniform in two cases: all frames of equally likely chunks, or a fixed number from chunks in proportion to their
    length. The two other pairings favour long or short chunks.

    Args:
        lengths: Frames of every chunk, [M].
        p: Which chunk: `"equal"`, `"length"` (in proportion to it), or probabilities [M]; 0 drops a chunk.
        take: `"all"` its frames, or how many of them, drawn uniformly.

    Raises:
        ValueError: An unknown `p` or `take`, or more frames to take than a chunk that may be drawn has.
    """
    lengths = lengths_in_frames("lengths", lengths)
    p = _piece_law(p, lengths)
    if isinstance(take, str):
        if take != "all":
            raise ValueError(f"take must be 'all' or a number of frames, got {take!r}")
        return _normalised(np.repeat(p, lengths))
    whole("take", take, high=int(lengths[p > 0].min()))
    return np.repeat(p / lengths, lengths)


def q_two_stage(lengths: ArrayLike, p: str | ArrayLike = "equal", within: Sequence[ArrayLike] | None = None) -> Floats:
    """Draw a video, then a frame of it (U3, F8).

    Args:
        lengths: Frames of every video, [V].
        p: Which video: `"equal"`, `"length"`, or probabilities [V].
        within: For every video the law of its frames; None: uniform.

    Raises:
        ValueError: A law that is none, or whose length is not that of its video.
    """
    lengths = lengths_in_frames("lengths", lengths)
    p = _piece_law(p, lengths)
    if within is None:
        return np.repeat(p / lengths, lengths)
    laws = [law(f"within[{video}]", values) for video, values in enumerate(within)]
    sizes = [values.size for values in laws]
    if sizes != lengths.tolist():
        raise ValueError(f"within must hold laws of {lengths.tolist()} frames, got {sizes}")
    return np.repeat(p, lengths) * np.concatenate(laws)


def q_keyframe_seek(gop_lengths: ArrayLike, k: int) -> Floats:
    """Seek to a uniform time, land on the keyframe before it, read up to `k` frames of that GOP (C11, F17).

    Frames from the k-th on are never drawn. A GOP shorter than `k` is read to its end; reads then differ in length,
    and this is the law of a slot in a long row of reads.

    Raises:
        ValueError: A length or `k` is below 1.
    """
    gop_lengths, k = lengths_in_frames("gop_lengths", gop_lengths), whole("k", k)
    place, length = _place(gop_lengths)
    return _normalised(np.where(place < k, length, 0))


def q_time_uniform(durations: ArrayLike) -> Floats:
    """Draw a time uniformly and take the frame that is shown then (U4): long frames come more often.

    Args:
        durations: How long every frame is shown, [N], in any unit. 0 is allowed, and never drawn.

    Raises:
        ValueError: A negative duration, or none above 0.
    """
    durations = vector("durations", durations)
    if durations.min() < 0 or durations.max() == 0:
        extent = f"{durations.min():g} to {durations.max():g}"
        raise ValueError(f"durations must be at least 0, and one of them more, got {extent}")
    return _normalised(durations)
