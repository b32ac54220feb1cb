"""The draws of groups that go through their samples in random order, again and again, from epoch to epoch.

Draw k of a group, counted over all epochs, is place k mod N_g of pass k // N_g: a permutation of its own for each group
and pass. An epoch has n_g draws of it, so epoch e begins with draw e·n_g, wherever in a pass that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.samplers.permutation import ROUNDS, scatter
from lit_video.support.rng import mix, rng


@dataclass(frozen=True, eq=False)
class ListedPasses:
    """One epoch's draws of all groups, made at the first look: each pass a uniform permutation.

    Attributes:
        count: int64 [G], draws of each group in an epoch.
        size: int64 [G], samples of each.
        seed: The run's.
        epoch: This one.
    """

    count: Int64[np.ndarray, " groups"]
    size: Int64[np.ndarray, " groups"]
    seed: int
    epoch: int

    def at(self, group: Int64[np.ndarray, " n"], rank: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the places in their groups of some draws, counted within this epoch."""
        return self._drawn[(np.cumsum(self.count) - self.count)[group] + rank]

    @cached_property
    def _drawn(self) -> Int64[np.ndarray, " positions"]:
        return np.concatenate([self._of_group(group) for group in range(len(self.count))])

    def _of_group(self, group: int) -> Int64[np.ndarray, " draws"]:
        count, size = int(self.count[group]), int(self.size[group])
        first, last = self.epoch * count // size, ((self.epoch + 1) * count - 1) // size
        passes = [rng(self.seed, "mixture.pass", group, number).permutation(size) for number in range(first, last + 1)]
        skipped = self.epoch * count - first * size
        return np.concatenate(passes)[skipped : skipped + count]


@dataclass(frozen=True, eq=False)
class KeyedPasses:
    """The same without memory, for what is too long for an array: pseudo-random permutations, rotated at random.

    Every draw is uniform over its group by the rotation (F19); pairs are pseudo-random.

    Attributes:
        count: As of `ListedPasses`.
        size: As of `ListedPasses`.
        seed: The run's.
        epoch: This one.
    """

    count: Int64[np.ndarray, " groups"]
    size: Int64[np.ndarray, " groups"]
    seed: int
    epoch: int

    def at(self, group: Int64[np.ndarray, " n"], rank: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the places in their groups of some draws, counted within this epoch."""
        size = self.size[group].astype(np.uint64)
        number, place = np.divmod(self.epoch * self.count[group] + rank, self.size[group])
        key = mix(self._secrets[group] + mix(number.astype(np.uint64) + np.uint64(1)))
        place = (place.astype(np.uint64) + key) % size
        keys = [mix(key + np.uint64(turn)) for turn in range(1, ROUNDS + 1)]
        return scatter(place, size, keys)

    @cached_property
    def _secrets(self) -> np.ndarray:
        return rng(self.seed, "mixture.secrets").integers(2**63, size=len(self.size)).astype(np.uint64)


def same_pass(steps: Int64[np.ndarray, "d m"], count: int, size: int) -> Float64[np.ndarray, "d m"]:
    """Return how likely two draws of one epoch, so many steps apart, are of one pass: on average over epochs (F66).

    A pass begins at multiples of g = gcd(n_g, N_g) in an epoch, at each equally often. Pairs that a beginning at b
    parts are min(b, n_g - c) - max(0, b - c); of all n_g / g beginnings in N_g / g epochs, with n_g - c pairs each.
    """
    g = math.gcd(count, size)
    m = count // g
    c = np.minimum(steps, min(count, size))
    left, right = (count - c) // g, c // g  # beginnings before the pairs run out, and before pairs can lie behind one
    parted = g * left * (left + 1) / 2 + (m - 1 - np.minimum(left, m - 1)) * (count - c)
    parted -= np.where(left >= m, g * left, 0)  # b = n_g is the next epoch's
    parted -= g * (m * (m - 1) / 2 - right * (right + 1) / 2) - c * (m - 1 - right)
    pairs = (size // g) * np.maximum(count - c, 1)
    return np.where(steps < min(count, size), np.maximum(0.0, 1 - parted / pairs), 0.0)
