"""Random permutations of [0, n): one that is held in memory, and one that is computed where it is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt64

from lit_video.support.rng import mix, rng

# Longer epochs are permuted by arithmetic: an array would take more than 128 MiB.
LARGEST_ARRAY = 2**24
ROUNDS = 6


@dataclass(frozen=True)
class KeyedPermutation:
    """The first `length` values of a pseudo-random permutation of [0, n) that takes no memory, rotated at random.

    A balanced Feistel network of `ROUNDS` rounds on the smallest even number of bits that holds n, walked along its
    cycles until it lands below n (J. Black and P. Rogaway, Ciphers with Arbitrary Finite Domains, 2002). The rotation
    makes every slot exactly uniform whatever the network does (F19); pairs of slots are pseudo-random.
    """

    n: int
    length: int
    keys: tuple[int, ...]
    rotation: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        places = np.arange(*positions.indices(self.length), dtype=np.uint64)
        return scatter((places + np.uint64(self.rotation)) % np.uint64(self.n), np.uint64(self.n), self.keys)


def scatter(
    places: UInt64[np.ndarray, " n"], size: np.uint64 | UInt64[np.ndarray, " n"], keys: Sequence[int | np.ndarray]
) -> Int64[np.ndarray, " n"]:
    """Return where pseudo-random permutations send places: each of [0, size), by the keys of its rounds.

    Args:
        places: Below their sizes.
        size: Of all, or of each.
        keys: Of each round a number, or uint64 [n].
    """
    values = _encrypt(places, size, keys)
    while len(outside := np.flatnonzero(values >= size)):
        values[outside] = _encrypt(values[outside], _at(size, outside), [_at(key, outside) for key in keys])
    return values.astype(np.int64)


def _at(value: Any, rows: Int64[np.ndarray, " n"]) -> Any:
    return value[rows] if isinstance(value, np.ndarray) else value


def _encrypt(
    values: UInt64[np.ndarray, " n"], size: np.uint64 | UInt64[np.ndarray, " n"], keys: Sequence[int | np.ndarray]
) -> UInt64[np.ndarray, " n"]:
    # A float64 has its bits counted exactly: no index has 2**53 frames.
    bits = np.frexp((size - np.uint64(1)).astype(np.float64))[1]
    half = np.maximum(1, (bits + 1) // 2).astype(np.uint64)
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (mix(right ^ np.uint64(key)) & mask)
    return left << half | right


@lru_cache(maxsize=2)  # a loader asks several times for this epoch and the next one
def permutation(
    n: int, seed: int, stream: str, epoch: int, length: int | None = None
) -> Int64[np.ndarray, " length"] | KeyedPermutation:
    """Return the first `length` values of a random permutation of [0, n): uniform up to 2**24 values, keyed above."""
    draw = rng(seed, stream, epoch)
    if n <= LARGEST_ARRAY:
        values = draw.permutation(n)[:length]
        values.setflags(write=False)
        return values
    keys = tuple(draw.integers(2**63, size=ROUNDS).tolist())
    return KeyedPermutation(n, n if length is None else length, keys, int(draw.integers(n)))
