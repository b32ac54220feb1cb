"""Groups of samples and what share of the draws each is to have: what weighted and mixture share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.index import Samples
from lit_video.index.population import Groups, as_population

NAMED = 10  # groups that a sentence lists


@dataclass(frozen=True, eq=False)
class Shares:
    """G groups, each of at least one sample, and their shares.

    Attributes:
        names: Of the groups.
        offset: int64 [R + 1]: the samples `[offset[i], offset[i + 1])` are of group `group[i]`.
        group: int64 [R].
        size: int64 [G], samples of each group.
        share: float64 [G], sums to 1.
    """

    names: Sequence[str]
    offset: Int64[np.ndarray, " runs_and_end"]
    group: Int64[np.ndarray, " runs"]
    size: Int64[np.ndarray, " groups"]
    share: Float64[np.ndarray, " groups"]

    def line(self) -> tuple[Int64[np.ndarray, " runs_and_end"], Int64[np.ndarray, " runs"]]:
        """Return the runs laid end to end, group after group: where each begins there, and its first sample."""
        rows = np.argsort(self.group, kind="stable")
        return np.append(0, np.cumsum(np.diff(self.offset)[rows])), self.offset[rows]


def share_out(index: Samples, by: str, shares: Mapping[str, float] | None) -> Shares:
    """Return the groups of `index` that have samples, with equal shares, or with those that are given.

    Args:
        index: The samples.
        by: What groups them: `video`, `class`, `root`, or a column of the labels.
        shares: By the name of a group, or the end of a path; relative to their sum. Each group is to be named.

    Raises:
        ValueError: `shares` names a group that there is not or lacks one that there is, or a sample is of none.
        DataError: There are no such groups.
    """
    offset, group, names = as_population(index).groups(by)
    if outside := int(np.diff(offset)[group < 0].sum()):
        raise ValueError(
            f"by={by}: {outside} of {index.num_samples} samples are of no {by}: label them, or leave them out"
        )
    used, rows = np.unique(group, return_inverse=True)
    found = [str(names[number]) for number in used.tolist()]
    size = np.bincount(rows, np.diff(offset), len(used)).astype(np.int64)
    if shares is None:
        return Shares(found, offset, rows, size, np.full(len(found), 1 / len(found)))
    return Shares(found, offset, rows, size, _named(by, found, Groups(offset, group, names), shares))


def _named(
    by: str, found: Sequence[str], groups: Groups, shares: Mapping[str, float]
) -> Float64[np.ndarray, " groups"]:
    given = np.full(len(found), np.nan)
    for key, share in shares.items():
        rows = _rows(found, str(key))
        if len(rows) != 1:
            why = (
                f"is the end of {len(rows)} names"
                if rows
                else "has no samples"
                if _rows(groups.names, str(key))
                else "is none"
            )
            raise ValueError(f"shares names {by} {str(key)!r}, which {why}: there are {listed(found)}")
        given[rows[0]] = share
    if np.isnan(given).any():
        missing = [name for name, share in zip(found, given, strict=True) if np.isnan(share)]
        raise ValueError(f"shares must name each {by}, and lacks {listed(missing)}: 0 leaves one out")
    if given.min() < 0 or not 0 < given.sum() < np.inf:
        raise ValueError(f"shares must be at least 0 and not all 0, got {dict(shares)}")
    return given / given.sum()


def _rows(names: Sequence[str], key: str) -> list[int]:
    """Return which names are meant: the one that is equal, or those that are paths which end so."""
    if key in names:
        return [list(names).index(key)]
    parts = PurePath(key).parts
    return [row for row, name in enumerate(names) if parts and PurePath(name).parts[-len(parts) :] == parts]


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them, the first few where they are many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
