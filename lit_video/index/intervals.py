"""Which stretches of the videos count: from a table of begin and end, in seconds or in frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from lit_video.index.listing import Listing
from lit_video.index.values import check_choice, numbers_beside, values_of
from lit_video.support.errors import DataError

# The first that is there counts. A bare name says no unit: seconds, unless one is told.
BEGIN = {
    "start_frame": "frames",
    "begin_frame": "frames",
    "start_seconds": "seconds",
    "begin_seconds": "seconds",
    "time_start": "seconds",
    "start": None,
    "begin": None,
}
END = {
    "end_frame": "frames",
    "stop_frame": "frames",
    "end_seconds": "seconds",
    "stop_seconds": "seconds",
    "time_end": "seconds",
    "end": None,
    "stop": None,
}


@dataclass(frozen=True, eq=False)
class Stretches:
    """S stretches of videos, `[begin, end)`, sorted by video and begin; those of a video may overlap.

    Attributes:
        video_id: int64 [S].
        begin: float64 [S], in `unit`.
        end: float64 [S], in `unit`, not part of the stretch.
        unit: `seconds` or `frames`.
        row: int64 [S], in `table`.
        label: int64 [S] of classes, -1 where there is none; or float32 [S] of numbers, NaN where there is none. By
            column where several were asked for; None without such a column.
        classes: Names of the classes, by number; none of numbers. By column where several were asked for.
        meta: The other numeric columns: int64 [S], or float64 [S] with NaN where there is none.
        table: The `pyarrow.Table` of all rows.
    """

    video_id: Int64[np.ndarray, " stretches"]
    begin: Float64[np.ndarray, " stretches"]
    end: Float64[np.ndarray, " stretches"]
    unit: str
    row: Int64[np.ndarray, " stretches"]
    label: np.ndarray | dict[str, np.ndarray] | None
    classes: list[str] | dict[str, list[str]]
    meta: dict[str, np.ndarray] = field(default_factory=dict)
    table: Any = None

    def where(self, chosen: Bool[np.ndarray, " stretches"]) -> Stretches:
        """Return some of the stretches, with the numbers of all classes."""
        label = self.label[chosen] if isinstance(self.label, np.ndarray) else self.label and _at(self.label, chosen)
        columns = {name: getattr(self, name)[chosen] for name in ("video_id", "begin", "end", "row")}
        return replace(self, **columns, label=label, meta=_at(self.meta, chosen))


class Span(NamedTuple):
    """The two columns of a table that say where stretches begin and end."""

    begin: str
    end: str
    unit: str


def read_intervals(
    file_or_table: Any,
    paths: Sequence[str],
    missing: str = "raise",
    unit: str = "auto",
    label_column: str | Sequence[str] = "label",
    label_kind: str = "auto",
) -> Stretches:
    """Return the stretches of `paths` that a table names; those of other videos are left out.

    Begin is the column `start`, `begin`, `time_start`, `start_seconds`, `start_frame` or `begin_frame`, end is `end`,
    `stop`, `time_end`, `end_seconds` or `end_frame`. Names with `frame` are frame indices from 0, all others seconds.
    A Kinetics file that was cut, `ID_000010_000020.mp4`, holds nothing but its stretch: from second 0 on.

    Args:
        file_or_table: A file, as `listing.read_table` reads it, a `pyarrow.Table`, a sequence of mappings, or of
            tuples of path, begin, end and perhaps a label.
        paths: Of the videos.
        missing: `raise`: every video has a stretch, and every stretch a label. `skip`: one video at least has.
        unit: What bare names such as `start` are in; `auto`: seconds.
        label_column: Name of the column, or names of several. There need be no column `label`.
        label_kind: `auto`: text and whole numbers are classes, other numbers are numbers. `class`, `number`: all are.

    Raises:
        ValueError: `unit`, `label_kind` or `missing` is no choice, or a tuple is of another length.
        DataError: A table without such columns, a stretch that is empty or ends before it begins, or a video without.
    """
    check_choice("unit", unit, ("auto", "seconds", "frames"))
    listing = Listing.read(_as_mappings(file_or_table), "data.intervals")
    span = _span(listing, unit)
    begin, end = _numbers(listing, span.begin), _numbers(listing, span.end)
    _refuse_empty(listing, begin, end)
    columns = [label_column] if isinstance(label_column, str) else list(label_column)
    if label_column == "label" and "label" not in listing.columns.column_names:
        columns = []
    values = {name: values_of(listing, name, label_kind, missing) for name in columns}
    video_of = listing.match(paths, missing, "stretch")
    begin, end = _of_cut_files(listing, paths, video_of, begin, end)
    rows = np.flatnonzero(video_of >= 0)
    rows = rows[np.lexsort((begin[rows], video_of[rows]))]
    label = {name: column.value[rows] for name, column in values.items()}
    classes = {name: column.classes for name, column in values.items()}
    alone = label_column if isinstance(label_column, str) else None
    return Stretches(
        video_id=video_of[rows],
        begin=begin[rows],
        end=end[rows],
        unit=span.unit,
        row=rows,
        label=(label[alone] if alone else label) if columns else None,
        classes=(classes[alone] if alone else classes) if columns else [],
        meta=numbers_beside(listing, [*columns, span.begin, span.end], rows),
        table=listing.columns,
    )


def _at(columns: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[rows] for name, column in columns.items()}


def _as_mappings(source: Any) -> Any:
    """Return tuples of path, begin, end and perhaps a label as mappings, anything else as it is."""
    if isinstance(source, Sequence) and not isinstance(source, str) and not isinstance(next(iter(source), {}), Mapping):
        wrong = [row for row in source if not isinstance(row, Sequence) or len(row) not in (3, 4)]
        if wrong:
            raise ValueError(f"stretches must be (path, begin, end) or (path, begin, end, label), got {wrong[0]!r}")
        return [dict(zip(("path", "start", "end", "label"), row, strict=False)) for row in source]
    return source


def _span(listing: Listing, unit: str) -> Span:
    there = listing.columns.column_names
    for begin, of_begin in BEGIN.items():
        for end, of_end in END.items():
            fits = of_begin == of_end and (of_begin is None or unit in ("auto", of_begin))
            if fits and begin in there and end in there:
                return Span(begin, end, of_begin or ("frames" if unit == "frames" else "seconds"))
    raise DataError(
        f"{listing.where}: no two columns say where a stretch begins and ends{'' if unit == 'auto' else f' in {unit}'};"
        f" there are {', '.join(there)}.\n"
        "Call them start_seconds and end_seconds, or start_frame and end_frame"
    )


def _numbers(listing: Listing, name: str) -> Float64[np.ndarray, " rows"]:
    import pyarrow

    column = listing.columns[name]
    if not pyarrow.types.is_integer(column.type) and not pyarrow.types.is_floating(column.type):
        raise DataError(f"{listing.where}: the column {name} must hold numbers, in every row.\nLook for others in it")
    return column.cast(pyarrow.float64(), safe=False).to_numpy()


def _refuse_empty(listing: Listing, begin: np.ndarray, end: np.ndarray) -> None:
    right = (begin >= 0) & (begin < end)  # not so where one of them is absent
    if not right.all():
        row = int(np.argmin(right))
        raise DataError(
            f"{listing.where}: {listing.place(row)} has a stretch from {begin[row]:g} to {end[row]:g}, which holds"
            " nothing.\nA stretch begins at 0 or later, and ends after it begins: its end is not part of it"
        )


def _of_cut_files(
    listing: Listing, paths: Sequence[str], video_of: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return begin and end within the files, where Kinetics' files were cut to their stretches."""
    if listing.path_column != "youtube_id" or not {"time_start", "time_end"} <= set(listing.columns.column_names):
        return begin, end
    rows = zip(video_of.tolist(), listing.trimmed_names(), strict=True)
    is_cut = [video >= 0 and PurePath(str(paths[video])).stem.endswith(part) for video, part in rows]
    shift = np.where(is_cut, begin, 0.0)
    return begin - shift, end - shift
