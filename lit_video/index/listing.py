"""Tables about videos, matched with the videos that they name.

::

    file, mapping, rows -> Listing: columns, a row for each line
                             |
    paths of videos ------> match: the video of each row
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jaxtyping import Int64

from lit_video.index.delimited import PATH_COLUMNS, line_of
from lit_video.index.tabular import JSON, PARQUET, of_rows, plain, read_table, rows_of, strings
from lit_video.support.errors import DataError

__all__ = ["Listing", "read_table", "strings"]


@dataclass(frozen=True, eq=False)
class Listing:
    """A table about videos.

    Attributes:
        columns: A `pyarrow.Table` with a row for each row of the file.
        path_column: The column that names the videos.
        where: What messages call it: the file, or an option.
        file: Where it was read from.
    """

    columns: Any
    path_column: str
    where: str
    file: Path | None = None

    def __post_init__(self) -> None:
        paths = self.columns[self.path_column]
        if paths.null_count:
            row = paths.is_null().index(True).as_py()
            raise DataError(f"{self.where}: {self.place(row)} lacks a path or a label.\nWrite both: clip.mp4,cat")

    @staticmethod
    def read(source: Any, where: str = "labels") -> Listing:
        """Return the listing in a file, a `pyarrow.Table`, a mapping of paths to values, or a sequence of mappings.

        A mapping's values are the column `label`, or mappings of columns to values.

        Raises:
            DataError: There is no such table, or none of its columns names videos.
        """
        import pyarrow

        file = Path(source).expanduser() if isinstance(source, str | Path) else None
        if file is not None:
            where, table = str(file), read_table(file)
        elif isinstance(source, pyarrow.Table):
            table = plain(source)
        else:
            table = of_rows(rows_of(source) if isinstance(source, Mapping) else source)
        path_column = next((name for name in PATH_COLUMNS if name in table.column_names), None)
        if path_column is None:
            raise DataError(
                f"{where}: no column names videos; there are {', '.join(table.column_names) or 'none'}.\n"
                f"Call one of them path, or {', '.join(PATH_COLUMNS[1:])}"
            )
        return Listing(table, path_column, where, file)

    def place(self, row: int) -> str:
        """Return where a row is, in words: by its line where there are lines."""
        if self.file is None or self.file.suffix.lower() in PARQUET:
            return f"row {row + 1}"
        if self.file.suffix.lower() in JSON:
            said = [line for line, text in enumerate(self.file.read_bytes().split(b"\n"), start=1) if text.strip()]
            return f"line {said[row]}"
        return f"line {line_of(self.file, row)}"

    def column(self, name: str) -> Any:
        """Return a column.

        Raises:
            DataError: There is none of that name.
        """
        if name not in self.columns.column_names:
            raise DataError(
                f"{self.where}: the first line must name the columns path and {name}, and it names"
                f" {', '.join(self.columns.column_names)}.\n"
                "Add the column, or say which one it is: data.label_column=NAME"
            )
        return self.columns[name]

    def match(self, paths: Sequence[str], missing: str = "raise", what: str = "label") -> Int64[np.ndarray, " rows"]:
        """Return for each row the id of the video that it names, -1 where that is none of `paths`.

        Args:
            paths: Of the videos.
            missing: `raise`: every video must be listed. `skip`: one at least.
            what: What a video without a row lacks, for the message.

        Raises:
            DataError: A video that is not listed, or a path that names several.
        """
        video_of = self.find(paths)
        self.require(paths, video_of, missing, what)
        return video_of

    def find(self, paths: Sequence[str]) -> Int64[np.ndarray, " rows"]:
        """Return the same, whether all videos are listed or not.

        A listed path may be the end of a video's, in whole parts, `clip.mp4` or `cats/clip.mp4`; of several ends the
        longest counts. With Kinetics' columns the video is called `ID` or `ID_000010_000020`, whatever its ending.
        Several rows may name the same video. A lookup by ends: linear in rows and videos.

        Raises:
            DataError: A path that names several videos.
        """
        keys = self._keys()
        listed = set().union(*keys)
        ends = _stems if self.path_column == "youtube_id" else path_ends
        found = [next((end for end in ends(path) if end in listed), None) for path in paths]
        video_of = {key: video for video, key in enumerate(found) if key is not None}
        if len(video_of) < sum(key is not None for key in found):
            self._refuse_several(paths, found)
        rows = np.full(len(self.columns), -1, np.int64)
        for names in reversed(keys):  # the more exact name of a row comes first, and is written last
            video = np.fromiter((video_of.get(name, -1) for name in names), np.int64, len(names))
            rows = np.where(video >= 0, video, rows)
        return rows

    def require(
        self, paths: Sequence[str], video_of: Int64[np.ndarray, " rows"], missing: str, what: str = "label"
    ) -> None:
        """Refuse videos that are in no row; with `skip`, only if that is all of them.

        Raises:
            DataError: There are such videos.
        """
        lacking = np.setdiff1d(np.arange(len(paths)), video_of)
        if len(lacking) and (missing == "raise" or len(lacking) == len(paths)):
            raise DataError(
                f"{self.where}: no {what} for {len(lacking)} of {len(paths)} videos, such as {paths[lacking[0]]}.\n"
                "Add a line for each, leave them out of data.root, or let the run leave them out: data.missing=skip"
            )

    def _keys(self) -> list[list[str]]:
        """Return lists of the names that a row's video may have, the most exact first."""
        names = strings(self.columns[self.path_column])
        if self.path_column != "youtube_id":
            return [[_tidy(name) for name in names]]
        if not {"time_start", "time_end"} <= set(self.columns.column_names):
            return [names]
        return [[f"{name}{part}" for name, part in zip(names, self.trimmed_names(), strict=True)], names]

    def trimmed_names(self) -> list[str]:
        """Return what Kinetics adds to a video's id in the name of a file that holds nothing but the stretch."""
        times = [self.columns[name].to_pylist() for name in ("time_start", "time_end")]
        return [
            "" if begin is None or end is None else f"_{int(begin):06d}_{int(end):06d}"
            for begin, end in zip(*times, strict=True)
        ]

    def _refuse_several(self, paths: Sequence[str], found: Sequence[str | None]) -> None:
        key, count = Counter(key for key in found if key is not None).most_common(1)[0]
        raise DataError(
            f"{self.where}: {key} is the end of {count} paths, such as {paths[found.index(key)]}.\n"
            "Write more of each path, such as its folder"
        )


def _tidy(path: str) -> str:
    """Return a path as a video's ends with: `./a//b.mp4` is `a/b.mp4`."""
    return str(PurePath(path)) if "./" in path or "//" in path else path


def path_ends(path: str) -> Iterator[str]:
    """Yield the ends of a path in whole parts, the longest first.

    >>> list(path_ends("/data/cats/a.mp4"))
    ['/data/cats/a.mp4', 'data/cats/a.mp4', 'cats/a.mp4', 'a.mp4']
    """
    path = _tidy(path)
    yield path
    slash = path.find("/")
    while slash >= 0:
        yield path[slash + 1 :]
        slash = path.find("/", slash + 1)


def _stems(path: str) -> Iterator[str]:
    yield PurePath(path).stem
