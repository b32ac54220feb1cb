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


def mix(values: np.ndarray) -> np.ndarray:
    """Return a hash of each uint64: every bit of the input moves every bit of it (SplitMix64's, G. Steele, 2014)."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


def uniforms(seed: int, stream: str, epoch: int, positions: np.ndarray, count: int) -> np.ndarray:
    """Return `count` uniform numbers in [0, 1) for each position: float64 [positions, count].

    A position's numbers depend on nothing else in the batch, so a sample gets the same augmentation whatever worker,
    rank or batch it falls to. Thirty times faster than a generator `rng(seed, stream, epoch, position)` for each.
    """
    key = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(stream.encode()), epoch)).generate_state(2, np.uint64)
    counters = ([0, 0, 0, int(position)] for position in positions)  # the lowest words count the numbers drawn
    drawn = [np.random.Generator(np.random.Philox(key=key, counter=counter)).random(count) for counter in counters]
    return np.array(drawn).reshape(len(positions), count)
