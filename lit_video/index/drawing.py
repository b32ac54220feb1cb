"""Shares of videos, drawn by a hash of their names: the same wherever they lie and whatever is added."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int8, Int64


def hashed(names: Sequence[str], seed: int, stream: str = "split") -> Float64[np.ndarray, " names"]:
    """Return a number in [0, 1) for each name, by `seed` and the name alone.

    Raises:
        ValueError: A negative seed.

    >>> hashed(["a", "b"], 0).tolist()[1:] == hashed(["b"], 0).tolist()
    True
    """
    if seed < 0:
        raise ValueError(f"split_seed must be at least 0, got {seed}")
    key = f"{stream}\0{seed}\0".encode()
    digests = [hashlib.blake2b(key + name.encode(errors="surrogateescape"), digest_size=8).digest() for name in names]
    return (np.frombuffer(b"".join(digests), ">u8") >> np.uint64(11)) * 2.0**-53


def draw(units: Sequence[str | None], shares: Sequence[float], seed: int) -> Int8[np.ndarray, " videos"]:
    """Return the share that each video falls to, by its unit's hash; -1 for the rest, and for a video without a unit.

    Raises:
        ValueError: A negative seed.
    """
    names, unit_of = _numbered(units)
    return np.append(_cut(hashed(names, seed), shares), np.int8(-1))[unit_of]


def draw_in_strata(
    units: Sequence[str | None], strata: Sequence[str | None], shares: Sequence[float], seed: int
) -> Int8[np.ndarray, " videos"]:
    """Return the same, each stratum cut at the shares.

    The units of a stratum lie in the order of their hashes, each as long as it has videos, and the row of them is cut
    from a point on that a hash of the stratum's name says: so the shares hold over many small strata too, where a fixed
    point would give the third share of five videos always or never. A unit of several strata counts for the one that
    most of its videos have.

    Raises:
        ValueError: A negative seed.
    """
    names, unit_of = _numbered(units)
    number, stratum_of = _numbered(strata)
    size = np.bincount(unit_of[unit_of >= 0], minlength=len(names))
    stratum = _most_frequent(unit_of, stratum_of, len(names))
    order = np.lexsort((hashed(names, seed), stratum))
    total = np.bincount(stratum + 1, size, minlength=len(number) + 1)
    begin = np.cumsum(size[order]) - size[order]
    first = np.cumsum(total) - total
    shift = hashed(["\0", *number], seed, "stratum")  # the first is of units without a stratum
    own = stratum[order] + 1
    place = np.empty(len(names))
    place[order] = (begin - first[own] + shift[own] * size[order]) / total[own]
    return np.append(_cut(place, shares), np.int8(-1))[unit_of]


def _numbered(values: Sequence[str | None]) -> tuple[list[str], Int64[np.ndarray, " values"]]:
    """Return the distinct values, sorted, and the place of each among them, -1 for None."""
    distinct = sorted({value for value in values if value is not None})
    place: dict[str | None, int] = {value: place for place, value in enumerate(distinct)}
    return distinct, np.array([place.get(value, -1) for value in values], np.int64)


def _most_frequent(
    unit_of: Int64[np.ndarray, " videos"], stratum_of: Int64[np.ndarray, " videos"], num_units: int
) -> Int64[np.ndarray, " units"]:
    """Return the stratum that most videos of each unit have, of several the first."""
    pairs, counts = np.unique(np.stack([unit_of, stratum_of])[:, unit_of >= 0], axis=1, return_counts=True)
    order = np.lexsort((-pairs[1], counts))  # the last to be written is the most frequent
    stratum = np.full(num_units, -1, np.int64)
    stratum[pairs[0, order]] = pairs[1, order]
    return stratum


def _cut(place: Float64[np.ndarray, " n"], shares: Sequence[float]) -> Int8[np.ndarray, " n"]:
    """Return the share in which each place of [0, 1) lies, -1 behind all of them."""
    edges = np.cumsum(shares)
    edges[-1] = 1.0 if abs(edges[-1] - 1) < 1e-9 else edges[-1]  # 0.7 + 0.2 + 0.1 is a little less than 1
    found = np.searchsorted(edges, place, side="right")
    return np.where(found < len(edges), found, -1).astype(np.int8)
