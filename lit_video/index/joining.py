"""One index of two, and some of an index's videos: whole columns at a time, without a Python object for each file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int64

from lit_video.index.columns import Columns, Stored

# What lies behind each column of offsets; all others have a row a video.
BEHIND = {
    "offset": ("pts", "start"),
    "path_offset": ("path_bytes",),
    "start_offset": ("start_frame", "start_how", "start_target", "start_drop", "start_check", "start_bytes"),
    "damage_offset": ("damage_first", "damage_last", "damage_why"),
    "left_out_offset": ("left_out",),
    "cues_offset": ("cues",),
}
NUMBERED = ("codec", "pixel_format", "damage_why")  # by place in names


def joined(first: Stored, second: Stored) -> Stored:
    """Return an index of the videos of both, those of the first before the others, and of files that both left out."""
    names = [*first.names, *second.names]
    columns = {}
    for name in Columns.names_of_columns():
        one, other = getattr(first.columns, name), getattr(second.columns, name)
        if name in BEHIND:
            one, other = one[:-1], other + one[-1]
        elif name in NUMBERED:
            other = other + np.int16(len(first.names))
        columns[name] = np.concatenate([one, other])
    return Stored(Columns(**columns), names, [*first.skipped, *second.skipped])


def taken(index: Stored, rows: Int64[np.ndarray, " videos"]) -> Stored:
    """Return an index of some videos of one, in the order of their rows; of names only those that are used."""
    columns = {}
    of_videos = set(Columns.names_of_columns()) - {name for names in BEHIND.values() for name in names} - set(BEHIND)
    for name in of_videos:
        columns[name] = getattr(index.columns, name)[rows]
    for offset, names in BEHIND.items():
        columns[offset], places = _places(getattr(index.columns, offset), rows)
        for name in names:
            columns[name] = getattr(index.columns, name)[places]
    columns, names = _renumbered(columns, index.names)
    return Stored(Columns(**columns), names, index.skipped)


def _places(
    offset: Int64[np.ndarray, " videos_and_end"], rows: Int64[np.ndarray, " rows"]
) -> tuple[Int64[np.ndarray, " rows_and_end"], Int64[np.ndarray, " places"]]:
    """Return new offsets, and where what lies between them lay before."""
    lengths = np.diff(offset)[rows]
    new = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return new, np.repeat(offset[rows] - new[:-1], lengths) + np.arange(new[-1])


def _renumbered(
    columns: dict[str, Int[np.ndarray, ...]], names: Sequence[str]
) -> tuple[dict[str, Int[np.ndarray, ...]], list[str]]:
    """Return columns with numbers of only those names that are used, sorted, and these."""
    numbers = np.unique(np.concatenate([columns[name] for name in NUMBERED]))
    used = sorted({names[int(number)] for number in numbers})
    place = {name: place for place, name in enumerate(used)}
    new = np.array([place.get(name, -1) for name in names], np.int16)
    return columns | {name: new[columns[name]] for name in NUMBERED}, used
