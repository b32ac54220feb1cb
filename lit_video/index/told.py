"""Splits that somebody tells: by a column, folders, lists of paths, a name for each video, or for each stretch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from lit_video.index.intervals import Stretches
from lit_video.index.listing import Listing, strings
from lit_video.index.roots import names_in_roots
from lit_video.index.values import first_rows
from lit_video.support.errors import DataError

NAMES = ("train", "val", "test", "predict")
CALLED = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
    "predict": "predict",
}  # fmt: skip
CHOICES = (
    "fractions, lists of paths by name, 'folders', 'intervals', a column, a file of path and split, or a name for each"
    " video"
)

Said = list[str | None]


def names_told(paths: Sequence[str], roots: Any, split: Any, table: Any) -> tuple[Said, str]:
    """Return the name of each video's split, out of `NAMES` or None, and what tells it, in words.

    Raises:
        ValueError: Names for more or fewer videos than there are.
        DataError: A video in two splits, a name that is no split's, or neither a column nor a file.
    """
    if isinstance(split, Mapping):
        return _by_lists(paths, split), "split"
    if not isinstance(split, str | Path):
        said = [None if name is None or name != name else str(name) for name in split]
        if len(said) != len(paths):
            raise ValueError(f"split must have a name for each of {len(paths)} videos, got {len(said)}")
        return _called(said, "split"), "split"
    if split == "folders":
        return _by_folders(names_in_roots(paths, roots)), "split=folders"
    if table is not None and split in table.column_names:
        return _called(column_of(table, str(split))[0], f"the column {split}"), f"the column {split}"
    if Path(split).expanduser().is_file():
        listing = Listing.read(split)
        row_of = first_rows(listing.match(paths, "skip", "split"), len(paths))
        said = [*strings(listing.column("split")), None]
        return _called([said[row] for row in row_of], listing.where), listing.where
    there = "" if table is None else f", and the columns are {', '.join(table.column_names)}"
    raise DataError(f"split: {split} is neither a column nor a file{there}.\nsplit can be {CHOICES}")


def names_of_stretches(stretches: Stretches) -> Said:
    """Return the split of each stretch, out of `NAMES` or None, as the column `split` of their table says.

    Raises:
        DataError: There is no such column, a name in it is no split's, or stretches of two splits overlap.
    """
    if "split" not in stretches.table.column_names:
        raise DataError(
            f"split=intervals: the stretches have no column split; there are"
            f" {', '.join(stretches.table.column_names)}.\nName each stretch's split in it: {', '.join(NAMES)}"
        )
    told = strings(stretches.table["split"])
    said = _called([told[row] for row in stretches.row.tolist()], "split=intervals")
    _refuse_shared_frames(stretches, said)
    return said


def _refuse_shared_frames(stretches: Stretches, said: Said) -> None:
    video, ends = -1, dict[str, float]()  # of the splits so far, in this video; stretches lie in order of their begins
    columns = (stretches.video_id.tolist(), stretches.begin.tolist(), stretches.end.tolist(), said)
    for video_id, begin, end, name in zip(*columns, strict=True):
        if video_id != video:
            video, ends = video_id, {}
        if name is None:
            continue
        others = [other for other, last in ends.items() if other != name and last > begin]
        if others:
            raise DataError(
                f"split=intervals: the stretch of {name} that begins at {begin:g} {stretches.unit} lies partly in one"
                f" of {others[0]}, in the same video.\nLet stretches of different splits lie apart"
            )
        ends[name] = max(end, ends.get(name, end))


def column_of(table: Any, name: str) -> tuple[Said, list[bool]]:
    """Return a column of the videos' table as text, and which videos are listed at all.

    Raises:
        DataError: There is no table, or no such column.
    """
    if table is None or name not in table.column_names:
        there = "none" if table is None else ", ".join(table.column_names)
        raise DataError(
            f"split: the videos have no column {name}; there are {there}.\n"
            "Name a table that has it, with a row for each video: data.labels=FILE"
        )
    listed = np.any([column.is_valid().to_numpy() for column in table.columns], axis=0)
    return strings(table[name]), listed.tolist()


def _called(said: Sequence[str | None], where: str) -> Said:
    """Return the names that splits have here for those that they have elsewhere."""
    called = [CALLED.get(name.strip().lower(), name) if name and name.strip() else None for name in said]
    unknown = sorted({name for name in called if name is not None} - set(NAMES))
    if unknown:
        raise DataError(
            f"{where}: {', '.join(unknown[:5])} is the name of no split.\n"
            f"Call them {', '.join(NAMES)}, and leave it empty for a video that is in none"
        )
    return called


def _by_folders(names: Sequence[str]) -> Said:
    """Return what the outermost folder below the root says that is called like a split."""
    said = [[CALLED[part.lower()] for part in PurePath(name).parts[:-1] if part.lower() in CALLED] for name in names]
    return [found[0] if found else None for found in said]


def _by_lists(paths: Sequence[str], split: Mapping) -> Said:
    """Return splits by lists of paths, or by files of them."""
    rows = [(name, path) for name in NAMES if name in split for path in _paths_of(split[name])]
    if not rows:
        raise DataError(
            "split: the lists of paths are empty.\nName videos in them, by their paths or the ends of these"
        )
    said: Said = [None] * len(paths)
    listing = Listing.read([{"path": path} for _, path in rows], "split")
    for video, (name, _) in zip(listing.match(paths, "skip", "split").tolist(), rows, strict=True):
        if video >= 0 and said[video] not in (None, name):
            raise DataError(
                f"split: {paths[video]} is in {said[video]} and in {name}.\nTake it out of one of the lists"
            )
        if video >= 0:
            said[video] = name
    return said


def _paths_of(listed: Any) -> list[str]:
    if isinstance(listed, str | Path):
        listing = Listing.read(listed)
        return strings(listing.columns[listing.path_column])
    return [str(path) for path in listed]
