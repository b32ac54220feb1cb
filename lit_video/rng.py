"""All randomness of lit_video: one function from numbers to a generator.

Nothing here or elsewhere touches the global generators of Python, NumPy or torch, so neither the order of calls nor the
number of threads, workers or ranks can change what is drawn.
"""

from __future__ import annotations

import zlib

import numpy as np


def rng(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """Return the generator that belongs to these numbers alone.

    Args:
        seed: The run's seed, at least 0.
        stream: What the numbers are for, such as `"order"`. Streams of different names are independent.
        counters: Epoch, position and the like, each at least 0.

    Raises:
        ValueError: A negative seed or counter.

    >>> rng(0, "order", 3).integers(10, size=4).tolist() == rng(0, "order", 3).integers(10, size=4).tolist()
    True
    """
    if min((seed, *counters)) < 0:
        raise ValueError(f"seed and counters must be at least 0, got {(seed, *counters)}")
    # spawn_key keeps the numbers apart. `seed + position` would give (0, 1) and (1, 0) the same stream, and
    # SeedSequence([1]) equals SeedSequence([1, 0]).
    key = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(stream.encode()), *counters))
    return np.random.Generator(np.random.Philox(key))
