"""Random permutations of [0, n): one that is held in memory, and one that is computed where it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

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
        values = self._encrypt((places + np.uint64(self.rotation)) % np.uint64(self.n))
        while (outside := values >= self.n).any():
            values[outside] = self._encrypt(values[outside])
        return values.astype(np.int64)

    def _encrypt(self, values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
        half_bits = max(1, -(-(self.n - 1).bit_length() // 2))
        half, mask = np.uint64(half_bits), np.uint64(2**half_bits - 1)
        left, right = values >> half, values & mask
        for key in self.keys:
            left, right = right, left ^ (mix(right ^ np.uint64(key)) & mask)
        return left << half | right


def permutation(
    n: int, seed: int, stream: str, epoch: int, length: int | None = None
) -> Int64[np.ndarray, " length"] | KeyedPermutation:
    """Return the first `length` values of a random permutation of [0, n): uniform up to 2**24 values, keyed above."""
    draw = rng(seed, stream, epoch)
    if n <= LARGEST_ARRAY:
        return draw.permutation(n)[:length]
    keys = tuple(draw.integers(2**63, size=ROUNDS).tolist())
    return KeyedPermutation(n, n if length is None else length, keys, int(draw.integers(n)))
