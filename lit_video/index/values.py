"""Columns of a list as arrays: labels, which are classes or numbers, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from lit_video.index.listing import Listing, strings
from lit_video.support.errors import DataError

KINDS = ("auto", "class", "number")
MISSING = ("raise", "skip")


class Values(NamedTuple):
    """A column of labels.

    Attributes:
        value: int64 [rows] of classes, -1 where there is none; or float32 [rows] of numbers, NaN where there is none.
        classes: Names of the classes, by number; none of numbers.
        present: bool [rows], where there is a label.
    """

    value: np.ndarray
    classes: list[str]
    present: np.ndarray


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse an argument that is none of its choices.

    Raises:
        ValueError: It is none.
    """
    if value not in choices:
        raise ValueError(f"{name} must be {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}, got {value!r}")


def values_of(listing: Listing, name: str, kind: str = "auto", missing: str = "raise") -> Values:
    """Return a column of a list as labels.

    Raises:
        ValueError: `kind` or `missing` is no choice.
        DataError: There is no such column, a label is absent (with `raise`), or is no number though it should be one.
    """
    import pyarrow

    check_choice("label_kind", kind, KINDS)
    check_choice("missing", missing, MISSING)
    column = listing.column(name)
    if pyarrow.types.is_nested(column.type):
        raise DataError(
            f"{listing.where}: the column {name} holds {column.type}, and a label is one word or number.\n"
            "Name another: data.label_column=NAME"
        )
    present = ~column.is_null(nan_is_null=True).to_numpy()
    if missing == "raise" and not present.all():
        place = listing.place(int(np.argmin(present)))
        example = "clip.mp4,cat\nOr let the run leave such videos out: data.missing=skip"
        raise DataError(f"{listing.where}: {place} lacks a path or a label.\nWrite both: {example}")
    if kind == "number" or (kind == "auto" and pyarrow.types.is_floating(column.type)):
        numbers = _as_numbers(listing, name, column)
        return Values(numbers, [], ~np.isnan(numbers))
    value = np.full(len(column), -1, np.int64)
    value[present], classes = _as_classes(column.filter(pyarrow.array(present)))
    return Values(value, classes, present)


def _as_classes(column: Any) -> tuple[np.ndarray, list[str]]:
    encoded = column.combine_chunks().dictionary_encode()
    names = strings(encoded.dictionary)
    classes = in_order(names)
    number = {name: place for place, name in enumerate(classes)}
    return np.array([number[name] for name in names], np.int64)[encoded.indices.to_numpy()], classes


def _as_numbers(listing: Listing, name: str, column: Any) -> np.ndarray:
    import pyarrow

    try:
        return column.cast(pyarrow.float32(), safe=False).to_numpy()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        for row, value in enumerate(strings(column)):
            if value is not None and not _is_float(value):
                raise DataError(
                    f"{listing.where}: {listing.place(row)} has {value!r} in the column {name}, which is no number.\n"
                    "Write a number, or take text for classes: data.label_kind=class"
                ) from None
        raise


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def in_order(names: Iterable[str]) -> list[str]:
    """Return each name once, sorted: by value where all are whole numbers."""
    distinct = set(names)
    return sorted(distinct, key=int) if all(map(_is_number, distinct)) else sorted(distinct)


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def first_rows(video_of: Int64[np.ndarray, " rows"], num_videos: int) -> Int64[np.ndarray, " videos"]:
    """Return the first row of each video, -1 where there is none."""
    row_of = np.full(num_videos, -1, np.int64)
    rows = np.flatnonzero(video_of >= 0)[::-1]
    row_of[video_of[rows]] = rows  # the last to be written is the first row
    return row_of


def at_rows(values: np.ndarray, rows: Int64[np.ndarray, " n"]) -> np.ndarray:
    """Return the values in `rows`, -1 or NaN for row -1."""
    found = np.full(len(rows), -1 if values.dtype == np.int64 else np.nan, values.dtype)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def take(table: Any, rows: Int64[np.ndarray, " n"]) -> Any:
    """Return these rows of a table, null for row -1."""
    import pyarrow

    return table.take(pyarrow.array(rows, mask=rows < 0))


def numbers_beside(listing: Listing, labels: Sequence[str], rows: Int64[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """Return the numeric columns but `labels`, in these rows: int64, or float64 where one is absent or no integer."""
    import pyarrow

    meta = {}
    for name in listing.columns.column_names:
        column = listing.columns[name]
        if name in (listing.path_column, *labels) or not _is_numeric(column.type):
            continue
        whole = not pyarrow.types.is_floating(column.type) and not column.null_count and bool(np.all(rows >= 0))
        numbers = column.cast(pyarrow.int64() if whole else pyarrow.float64(), safe=False).to_numpy()
        meta[name] = numbers[rows] if whole else np.append(numbers, np.nan)[rows]
    return meta


def _is_numeric(kind: Any) -> bool:
    import pyarrow

    return pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)
