"""What frames are of: labels by frame index or by time, looked up for the frames of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.index.listing import Listing
from lit_video.index.values import Values, at_rows, check_choice, values_of
from lit_video.support.errors import DataError

FRAME_COLUMNS = ("frame_index", "frame")
TIME_COLUMNS = ("seconds", "time", "timestamp")


@dataclass(frozen=True, eq=False)
class FrameLabels:
    """Labels at places of V videos: R rows, sorted by video and place. Picklable, and no Python object for each row.

    Attributes:
        offset: int64 [V + 1], a video's rows are `[offset[v], offset[v + 1])`.
        place: int64 [R] of frame indices, or float64 [R] of seconds.
        value: By column, int64 [R] of classes or float32 [R] of numbers.
        classes: By column, names of the classes by number; none of numbers.
        alone: Name of the column, where there is one alone: `at` then gives an array, and else a dict by column.
        at_nearest: The nearest row counts, else the last one at or before.
        missing: What becomes of a frame without a label.
        where: What messages call the table.
    """

    offset: Int64[np.ndarray, " videos_and_end"]
    place: np.ndarray
    value: Mapping[str, np.ndarray]
    classes: Mapping[str, list[str]]
    alone: str | None
    at_nearest: bool
    missing: str
    where: str

    @property
    def by_time(self) -> bool:
        """Whether places are seconds."""
        return self.place.dtype == np.float64

    def at(
        self,
        video_ids: Int64[np.ndarray, " n"],
        frame_indices: Int64[np.ndarray, " n"],
        pts_seconds: Float64[np.ndarray, " n"],
    ) -> Any:
        """Return the label of each frame: [n] of classes or numbers, by column where there are several.

        Args:
            video_ids: Of the frames.
            frame_indices: Their places in their videos, which count where the table has a column of these.
            pts_seconds: Their times, which count otherwise.

        Raises:
            DataError: A frame without a label, unless these are to be skipped: they have class -1, or NaN.
        """
        row = self.rows_at(video_ids, pts_seconds if self.by_time else frame_indices)
        if self.missing == "raise" and (row < 0).any():
            first = int(np.argmax(row < 0))
            raise DataError(
                f"{self.where}: no label for {int((row < 0).sum())} frames, such as frame {frame_indices[first]} of"
                f" video {video_ids[first]} at {pts_seconds[first]:.3f} s.\n"
                "Add a row at or before it, or let such frames have none: data.missing=skip"
            )
        found = {name: at_rows(value, row) for name, value in self.value.items()}
        return found[self.alone] if self.alone else found

    def rows_at(self, video_ids: Int64[np.ndarray, " n"], places: np.ndarray) -> Int64[np.ndarray, " n"]:
        """Return the row that counts at each place, -1 where there is none."""
        if not len(self.place):
            return np.full(len(places), -1, np.int64)
        begin, end = self.offset[video_ids], self.offset[np.asarray(video_ids) + 1]
        row = self._num_up_to(begin, end, places) - 1
        has_before = row >= begin
        if self.at_nearest:
            after = np.minimum(row + 1, len(self.place) - 1)
            is_nearer = ~has_before | (self.place[after] - places < places - self.place[row])
            return np.where((row + 1 < end) & is_nearer, after, np.where(has_before, row, -1))
        return np.where(has_before, row, -1)

    def _num_up_to(self, begin: np.ndarray, end: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return for each place the row behind the last one at or before: a binary search in many ranges at once."""
        low, high = begin.copy(), end.copy()
        while (open_ := np.flatnonzero(low < high)).size:
            middle = (low[open_] + high[open_]) // 2
            is_before = self.place[middle] <= places[open_]
            low[open_[is_before]] = middle[is_before] + 1
            high[open_[~is_before]] = middle[~is_before]
        return low


def read_frame_labels(
    file: Any,
    paths: Sequence[str],
    labels_at: str = "nearest",
    label_column: str | Sequence[str] = "label",
    label_kind: str = "auto",
    missing: str = "raise",
) -> FrameLabels:
    """Return the labels of frames that a table gives.

    The table has a column that names the video, one or more of labels, and one of places: `frame_index` or `frame`,
    else `seconds`, `time` or `timestamp`.

    Args:
        file: The table's, as `listing.read_table` reads it, or what else `Listing.read` takes.
        paths: Of the videos.
        labels_at: `nearest`: the row nearest to a frame counts, of two the earlier. `interval`: the last one at or
            before it.
        label_column: Name of the column, or names of several.
        label_kind: `auto`: text and whole numbers are classes, other numbers are numbers. `class`, `number`: all are.
        missing: `raise`: every video is listed, and so is every frame asked for. `skip`: others have class -1, or NaN.

    Raises:
        ValueError: `labels_at`, `label_kind` or `missing` is no choice.
        DataError: A video without a row, two labels at one place, or a table without such columns.
    """
    check_choice("labels_at", labels_at, ("nearest", "interval"))
    listing = Listing.read(file, "data.frame_labels")
    names = [label_column] if isinstance(label_column, str) else list(label_column)
    values = {name: values_of(listing, name, label_kind, missing) for name in names}
    place = _places(listing)
    video_of = listing.match(paths, missing, "frame label")
    # Where a row holds till the next, one without a label ends what was before it.
    says = np.any([column.present | (labels_at == "interval") for column in values.values()], axis=0)
    rows = np.flatnonzero((video_of >= 0) & says)
    rows = rows[np.lexsort((place[rows], video_of[rows]))]
    rows = _without_repeats(listing, rows, video_of, place, values)
    return FrameLabels(
        offset=np.searchsorted(video_of[rows], np.arange(len(paths) + 1)).astype(np.int64),
        place=place[rows],
        value={name: column.value[rows] for name, column in values.items()},
        classes={name: column.classes for name, column in values.items()},
        alone=label_column if isinstance(label_column, str) else None,
        at_nearest=labels_at == "nearest",
        missing=missing,
        where=listing.where,
    )


def _places(listing: Listing) -> np.ndarray:
    """Return the column of frame indices, int64, or of seconds, float64."""
    import pyarrow

    there = listing.columns.column_names
    name = next((name for name in FRAME_COLUMNS + TIME_COLUMNS if name in there), None)
    if name is None:
        raise DataError(
            f"{listing.where}: no column says where in the video a row is; there are {', '.join(there)}.\n"
            f"Call one of them {' or '.join(FRAME_COLUMNS)} (from 0), or {' or '.join(TIME_COLUMNS)}"
        )
    column, by_frame = listing.columns[name], name in FRAME_COLUMNS
    is_number = pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)
    place = column.cast(pyarrow.float64(), safe=False).to_numpy() if is_number else np.full(len(column), np.nan)
    wrong = np.isnan(place) | (by_frame & ((place < 0) | (place != np.floor(place))))
    if wrong.any():
        where = f"{listing.where}: {listing.place(int(np.argmax(wrong)))}"
        raise DataError(
            f"{where} has no {'frame index' if by_frame else 'time'} in the column {name}.\n"
            "Frames are whole numbers from 0, times are seconds"
        )
    return place.astype(np.int64) if by_frame else place


def _without_repeats(
    listing: Listing, rows: np.ndarray, video_of: np.ndarray, place: np.ndarray, values: Mapping[str, Values]
) -> np.ndarray:
    """Return sorted rows without those that say the same again; refuse one that says otherwise."""
    before, after = rows[:-1], rows[1:]
    again = (video_of[before] == video_of[after]) & (place[before] == place[after])
    differs = [
        (of.value[before] != of.value[after]) & (of.present[before] | of.present[after]) for of in values.values()
    ]
    other = again & np.any(differs, axis=0)
    if other.any():
        row = int(after[np.argmax(other)])
        raise DataError(
            f"{listing.where}: {listing.place(row)} gives one place of a video another label than a line before.\n"
            "Remove one of them"
        )
    return np.append(rows[:1], after[~again])
