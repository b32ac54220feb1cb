"""What keeping decoded frames saves: section 10.7 of docs/bias.md."""

from __future__ import annotations

import math

from lit_video.bias.validation import real


def decoded_with_store(decoded: float, share: float, epochs: float) -> float:
    """Return decoded frames per delivered one over so many epochs, F72.

    Args:
        decoded: Of an epoch without a store, D.
        share: Of the GOPs that the store takes, from 0 to 1.
        epochs: In all, the first included; at least 1. Where each frame comes m times an epoch, as in clips that
            overlap, m times as many.

    Raises:
        ValueError: An argument out of range.

    >>> decoded_with_store(5.45, 1, 1), decoded_with_store(5.45, 1, 10), decoded_with_store(5.45, 0.5, 1)
    (1.0, 0.1, 3.225)
    """
    share = real("share", share, high=1)
    return share / real("epochs", epochs, low=1) + (1 - share) * real("decoded", decoded)


def epochs_until_store_pays(decoded: float, decode_seconds: float, pack_seconds: float, unpack_seconds: float) -> float:
    """Return after how many epochs a store of all frames has cost less time than none, F73; infinite: never.

    Args:
        decoded: Frames decoded per delivered one without it, D.
        decode_seconds: To decode a frame.
        pack_seconds: To pack one and write it.
        unpack_seconds: To read one and unpack it.

    Raises:
        ValueError: A negative time.

    >>> round(epochs_until_store_pays(5.45, 5.9e-3, 0.7e-3, 0.3e-3), 2)
    0.21
    """
    c, q = real("decode_seconds", decode_seconds), real("pack_seconds", pack_seconds)
    saved = c * real("decoded", decoded) - real("unpack_seconds", unpack_seconds)
    return (c + q) / saved if saved > 0 else math.inf
