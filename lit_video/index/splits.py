"""Which videos are for training, validation, test and prediction: told by a list, or drawn by a hash of their names.

::

    list, column, folders ----------------------------> Splits: a number for each video
    fractions -> units (video, folder, value of a column) -> hash or strata --^
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jaxtyping import Bool, Int8

from lit_video.index.drawing import draw, draw_in_strata
from lit_video.index.files import PathLike
from lit_video.index.intervals import Stretches
from lit_video.index.roots import names_in_roots, roots_of
from lit_video.index.told import CHOICES, NAMES, column_of, names_of_stretches, names_told
from lit_video.support.errors import DataError

__all__ = ["Split", "Splits", "check_split", "roots_of", "split_stretches", "split_videos"]

Split = str | Path | Mapping | Sequence | np.ndarray


@dataclass(frozen=True, eq=False)
class Splits:
    """Each video's split.

    Attributes:
        names: Of the splits that there are, out of `NAMES`.
        of_video: int8 [V], place in `names`; -1 for a video in none, or in several.
        of_stretch: int8 [S], likewise, where stretches of a video may be in different splits; else None.
    """

    names: list[str]
    of_video: Int8[np.ndarray, " videos"]
    of_stretch: Int8[np.ndarray, " stretches"] | None = None

    def mask(self, name: str) -> Bool[np.ndarray, " videos"]:
        """Return which videos are in a split, or may be; none where there is no such split."""
        if self.of_stretch is not None:
            return np.full(len(self.of_video), name in self.names)
        return self.of_video == self.names.index(name) if name in self.names else np.zeros(len(self.of_video), bool)


def split_stretches(stretches: Stretches, num_videos: int) -> Splits:
    """Return each stretch's split, as the column `split` of their table says.

    Stretches of one video may be in different splits. How alike frames are that lie apart in one video is for the user
    to know: what is measured on them says less about other videos than a split by video does.

    Raises:
        DataError: No such column, a name in it that is no split's, or stretches of two splits that overlap.
    """
    said = names_of_stretches(stretches)
    names = [name for name in NAMES if name in said]
    if not names:
        raise DataError(f"split=intervals: no stretch has the name of a split.\nCall them {', '.join(NAMES)}")
    of_stretch = np.array([-1 if name is None else names.index(name) for name in said], np.int8)
    return Splits(names, np.full(num_videos, -1, np.int8), of_stretch)


def check_split(split: object) -> None:
    """Check what can be checked before there are videos.

    Raises:
        TypeError: `split` is nothing that tells splits.
        ValueError: A split of another name, or fractions that are no shares.
    """
    if not isinstance(split, Split):
        raise TypeError(f"split must be {CHOICES}, got {split!r}")
    if not isinstance(split, Mapping):
        return
    if not split or not set(split) <= set(NAMES):
        raise ValueError(f"split must name some of {', '.join(NAMES)}, got {', '.join(map(str, split)) or 'none'}")
    if _are_fractions(split):
        shares = list(split.values())
        if min(shares) <= 0 or sum(shares) > 1 + 1e-9:
            raise ValueError(f"the fractions of split must be above 0 and at most 1 in all, got {dict(split)}")
    elif any(isinstance(value, Real) for value in split.values()):
        raise ValueError(f"split must have fractions alone or lists of paths alone, got {dict(split)}")


def split_videos(
    paths: Sequence[str],
    roots: PathLike | Sequence[PathLike] | None,
    split: Split | None,
    split_by: str = "video",
    stratify: str | None = None,
    split_seed: int = 0,
    table: Any = None,
    labels: Any = None,
) -> Splits:
    """Return each video's split.

    A draw depends on `split_seed` and a video's name: its path below the root it was found under. So adding files
    moves none of the others, nor does moving the whole data set. With `stratify` a few at the cuts may move when files
    are added; between the classes' counts and the shares there is less than one video, or one group.

    Args:
        paths: Of the V videos.
        roots: What they were found by, as for `files.find_files`; None: unknown.
        split: Fractions, `{"train": 0.8, "val": 0.2}`, where the rest of the videos is in no split. Or paths by name,
            or files of paths, `{"train": ["a.mp4"], "val": "val.txt"}`. `folders`: a folder between root and file is
            called `train`, `val`, `test` or `predict`. The name of a column of `table`. A file of a table with a
            column of paths and one called `split`. Or a name (or None) for each video.
        split_by: With fractions, what goes together: `video`, `folder`, or videos with the same value in that column of
            `table`. `column`: the column `split` of `table`, or the one that `split` names, tells; fractions do not.
        stratify: With fractions, `label` or a column of `table`: each of its values is cut at the fractions.
        split_seed: Of the draw, at least 0.
        table: A `pyarrow.Table` with V rows in the videos' order, null where a video is not listed.
        labels: int64 [V] of classes; or by column, of which `stratify` names one.

    Raises:
        TypeError: `split` is nothing that tells splits.
        ValueError: An argument out of its range.
        DataError: A split that no video falls to, a video in two, a name that is no split's, or no such column.
    """
    if split_by == "column":
        split = split if isinstance(split, str) else "split"
    check_split(split)
    assert split is not None
    if isinstance(split, Mapping) and _are_fractions(split):
        names = names_in_roots(paths, roots)
        units = _units(paths, names, split_by, table)
        shares = {name: float(split[name]) for name in NAMES if name in split}
        if stratify is None:
            of_video = draw(units, list(shares.values()), split_seed)
        else:
            of_video = draw_in_strata(units, _strata(stratify, table, labels), list(shares.values()), split_seed)
        found = Splits(list(shares), of_video)
        advice = f"Take another split_seed than {split_seed}, a larger share, or stratify"
    else:
        if split_by not in ("video", "column") or stratify is not None:
            raise ValueError(f"split_by and stratify are for fractions, and split is {split!r}")
        found, advice = _told(paths, roots, split, table), "List videos of it, or leave it out"
    _refuse_empty(found, advice)
    return found


def _are_fractions(split: Mapping) -> bool:
    return all(isinstance(value, Real) and not isinstance(value, bool) for value in split.values())


def _told(paths: Sequence[str], roots: Any, split: Split, table: Any) -> Splits:
    said, where = names_told(paths, roots, split, table)
    names = [name for name in NAMES if name in (split if isinstance(split, Mapping) else said)]
    if not names:
        raise DataError(f"{where}: no video has the name of a split.\nCall them {', '.join(NAMES)}")
    return Splits(names, np.array([-1 if name is None else names.index(name) for name in said], np.int8))


def _refuse_empty(splits: Splits, advice: str) -> None:
    for place, name in enumerate(splits.names):
        if not (splits.of_video == place).any():
            counts = ", ".join(f"{n} {(splits.of_video == p).sum()}" for p, n in enumerate(splits.names))
            raise DataError(f"split: 0 of {len(splits.of_video)} videos fall to {name} ({counts}).\n{advice}")


def _units(paths: Sequence[str], names: Sequence[str], split_by: str, table: Any) -> list[str | None]:
    """Return what each video goes with, None for a video that is not listed."""
    if split_by == "video":
        return list(names)
    if split_by == "folder":
        return [str(PurePath(name).parent) for name in names]
    values, listed = column_of(table, split_by)
    for path, value, is_listed in zip(paths, values, listed, strict=True):
        if value is None and is_listed:
            raise DataError(
                f"split: the column {split_by} is empty for {path}.\nFill it in, or split by another column"
            )
    return values


def _strata(stratify: str, table: Any, labels: Any) -> list[str | None]:
    by_column = isinstance(labels, Mapping)
    found = labels.get(stratify) if by_column else labels if stratify == "label" else None
    if found is None:
        return column_of(table, stratify)[0]
    found = np.asarray(found)
    if found.dtype.kind == "f":
        raise DataError(
            f"split: {stratify} is a number, and stratify is for classes.\n"
            "Leave stratify out, or add a column of classes of it and name that: data.stratify=NAME"
        )
    return found.astype(str).tolist()
