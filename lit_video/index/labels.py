"""What videos are of: each one's class or number, by its folder, by itself, or by a list.

Labels are attached to an index that was scanned, and not kept with it: other labels have no file read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from lit_video.index.listing import Listing, strings
from lit_video.index.values import (
    KINDS,
    MISSING,
    Values,
    at_rows,
    check_choice,
    first_rows,
    in_order,
    numbers_beside,
    take,
    values_of,
)
from lit_video.support.errors import DataError

Labels = str | Path | Mapping

CHOICES = (
    "'folder', 'video', a CSV file with the columns path and label (as good: TSV, JSON lines, parquet), or a mapping of"
    " paths to labels"
)


@dataclass(frozen=True, eq=False)
class Description:
    """What is known about V videos.

    Attributes:
        label: int64 [V] of classes, -1 for a video without; or float32 [V] of numbers, NaN for a video without. By
            column where several were asked for; None without labels.
        classes: Names of the classes, by number; none of numbers. By column where several were asked for.
        has_label: bool [V], videos that have all their labels.
        meta: The numeric columns beside the labels: int64 [V], or float64 [V] with NaN where there is none.
        table: A `pyarrow.Table` of all columns and V rows, null where a video is not listed; None without a list.
    """

    label: np.ndarray | dict[str, np.ndarray] | None
    classes: list[str] | dict[str, list[str]]
    has_label: Bool[np.ndarray, " videos"]
    meta: dict[str, np.ndarray] = field(default_factory=dict)
    table: Any = None


def check_labels(labels: object, label_kind: str = "auto", missing: str = "raise") -> None:
    """Check what can be checked before there are videos.

    Raises:
        TypeError: `labels` is nothing that labels can be found by.
        ValueError: `label_kind` or `missing` is no choice.
    """
    check_choice("label_kind", label_kind, KINDS)
    check_choice("missing", missing, MISSING)
    if labels is not None and not isinstance(labels, str | Path | Mapping):
        raise TypeError(f"labels must be {CHOICES}, got {labels!r}")


def find_labels(paths: Sequence[str], labels: Labels) -> tuple[Int64[np.ndarray, " videos"], list[str]]:
    """Return the class of each video, by number, and the names of all classes: `describe`, and classes alone.

    Raises:
        DataError: A video without a label, a path that names several, or a file that is no such list.
    """
    described = describe(paths, labels, label_kind="class")
    assert isinstance(described.label, np.ndarray)
    assert isinstance(described.classes, list)
    return described.label, described.classes


def describe(
    paths: Sequence[str],
    labels: Labels | None,
    label_column: str | Sequence[str] = "label",
    label_kind: str = "auto",
    missing: str = "raise",
) -> Description:
    """Return each video's label, and what else a list says of it.

    Classes are numbered in the order of their names, or of their values where all are whole numbers. A list's classes
    are all that it names, so that training and test data with the same list have the same numbers.

    Args:
        paths: Of the videos.
        labels: `folder`: the folder that a file lies in names its class. `video`: each video is a class of its own.
            Else a file (`listing.read_table` says which) or a mapping of paths to labels. A path there may be the end
            of one, `clip.mp4` or `cats/clip.mp4`, as long as it names one video. None: no labels.
        label_column: Name of the column, or names of several; an empty list: the other columns alone.
        label_kind: `auto`: text and whole numbers are classes, other numbers are numbers. `class`, `number`: all are.
        missing: `raise`: every video has a label. `skip`: those without are told by `has_label`.

    Raises:
        ValueError: `label_kind` or `missing` is no choice.
        DataError: A video without a label, a path that names several, or a file that is no such list.
    """
    check_labels(labels, label_kind, missing)
    if labels is None or labels in ("video", "folder"):
        return _by_name(paths, labels)
    if isinstance(labels, str | Path) and not Path(labels).expanduser().is_file():
        raise DataError(f"{labels}: there is no such file of labels.\nlabels can be {CHOICES}")
    listing = Listing.read(labels)
    columns = [label_column] if isinstance(label_column, str) else list(label_column)
    values = {name: values_of(listing, name, label_kind, missing) for name in columns}
    video_of = listing.find(paths)
    row_of = first_rows(video_of, len(paths))
    for name, column in values.items():
        _refuse_other(listing, name, column, video_of, row_of)
    listing.require(paths, video_of, missing)
    label = {name: at_rows(column.value, row_of) for name, column in values.items()}
    present = [(row_of >= 0) & column.present[row_of] for column in values.values()]
    classes = {name: column.classes for name, column in values.items()}
    alone = label_column if isinstance(label_column, str) else None
    return Description(
        label=(label[alone] if alone else label) if columns else None,
        classes=(classes[alone] if alone else classes) if columns else [],
        has_label=np.all([row_of >= 0, *present], axis=0),
        meta=numbers_beside(listing, columns, row_of),
        table=take(listing.columns, row_of),
    )


def _by_name(paths: Sequence[str], labels: Any) -> Description:
    label, classes, everyone = None, [], np.ones(len(paths), bool)
    if labels == "video":
        label, classes = np.arange(len(paths)), _short_names(paths)
    elif labels == "folder":
        names, number = np.unique([PurePath(path).parent.name for path in paths], return_inverse=True)
        classes = in_order(names.tolist())
        place = {name: place for place, name in enumerate(classes)}
        label = np.array([place[name] for name in names.tolist()], np.int64)[number]
    return Description(label, classes, everyone)


def _short_names(paths: Sequence[str]) -> list[str]:
    names = [PurePath(path).stem for path in paths]
    return names if len(set(names)) == len(names) else list(paths)


def _refuse_other(listing: Listing, name: str, column: Values, video_of: np.ndarray, row_of: np.ndarray) -> None:
    """Refuse a row that gives a video another label than its first row does."""
    rows = np.flatnonzero(video_of >= 0)
    first = row_of[video_of[rows]]
    other = rows[(column.value[rows] != column.value[first]) & (column.present[rows] | column.present[first])]
    if len(other):
        row = int(other[0])
        path = strings(listing.columns[listing.path_column].slice(row, 1))[0]
        raise DataError(
            f"{listing.where}: {listing.place(row)} gives {path} another {name} than a line before.\n"
            "Remove one of them; where these are of stretches of the video, name the file as data.intervals"
        )
