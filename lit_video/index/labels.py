"""What videos are of: each one's class, by its folder, by itself, or by a list.

Labels are attached to an index that was scanned, and not kept with it: other labels have no file read again.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
from jaxtyping import Int64

from lit_video.support.errors import DataError

Labels = str | Path | Mapping[str, str | int]

CHOICES = "'folder', 'video', a CSV file with the columns path and label, or a mapping of paths to labels"


def check_labels(labels: object) -> None:
    """Check what can be checked before there are videos.

    Raises:
        TypeError: `labels` is nothing that labels can be found by.
    """
    if labels is not None and not isinstance(labels, str | Path | Mapping):
        raise TypeError(f"labels must be {CHOICES}, got {labels!r}")


def find_labels(paths: Sequence[str], labels: Labels) -> tuple[Int64[np.ndarray, " videos"], list[str]]:
    """Return the class of each video, by number, and the names of all classes.

    Classes are numbered in the order of their names, or of their values where all are whole numbers. A list's classes
    are all that it names, so that training and test data with the same list have the same numbers.

    Args:
        paths: Of the videos.
        labels: `folder`: the folder that a file lies in names its class. `video`: each video is a class of its own.
            Else a CSV file with the columns `path` and `label`, or a mapping of paths to labels. A path there may be
            the end of one, `clip.mp4` or `cats/clip.mp4`, as long as it names one video.

    Raises:
        DataError: A video without a label, a path that names several, or a file that is no such list.
    """
    if labels == "video":
        return np.arange(len(paths)), _short_names(paths)
    if labels == "folder":
        names = [PurePath(path).parent.name for path in paths]
        classes = _in_order(names)
    else:
        where, listed = _read(labels)
        names = _look_up(paths, listed, where)
        classes = _in_order(listed.values())
    number = {name: place for place, name in enumerate(classes)}
    return np.array([number[name] for name in names], np.int64), classes


def _short_names(paths: Sequence[str]) -> list[str]:
    names = [PurePath(path).stem for path in paths]
    return names if len(set(names)) == len(names) else list(paths)


def _in_order(names: Iterable[str]) -> list[str]:
    distinct = set(names)
    return sorted(distinct, key=int) if all(map(_is_number, distinct)) else sorted(distinct)


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _read(labels: Labels) -> tuple[str, dict[tuple[str, ...], str]]:
    """Return what a list is called, and its labels by the parts of its paths."""
    if isinstance(labels, Mapping):
        return "labels", {PurePath(path).parts: str(label) for path, label in labels.items()}
    file = Path(labels).expanduser()
    if not file.is_file():
        raise DataError(f"{file}: there is no such file of labels.\nlabels can be {CHOICES}")
    listed: dict[tuple[str, ...], str] = {}
    for line, path, label in _rows(file):
        if listed.setdefault(PurePath(path).parts, label) != label:
            raise DataError(f"{file}: line {line} gives {path} another label than a line before.\nRemove one of them")
    return str(file), listed


def _rows(file: Path) -> Iterator[tuple[int, str, str]]:
    """Yield number, path and label of each line."""
    # Paths are bytes to the system, and the index keeps those that are no UTF-8 in the same way.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        rows = csv.DictReader(text, skipinitialspace=True)
        if not {"path", "label"} <= set(rows.fieldnames or ()):
            raise DataError(f"{file}: the first line must name the columns path and label.\nAdd one: path,label")
        for row in rows:
            if not row["path"] or not row["label"]:
                raise DataError(f"{file}: line {rows.line_num} lacks a path or a label.\nWrite both: clip.mp4,cat")
            yield rows.line_num, row["path"], row["label"].strip()


def _look_up(paths: Sequence[str], listed: Mapping[tuple[str, ...], str], where: str) -> list[str]:
    keys = [_longest_end(path, listed) for path in paths]
    missing = [path for path, key in zip(paths, keys, strict=True) if key is None]
    if missing:
        raise DataError(
            f"{where}: no label for {len(missing)} of {len(paths)} videos, such as {missing[0]}.\n"
            "Add a line for each, or leave them out of data.root"
        )
    found = [key for key in keys if key is not None]
    key, count = Counter(found).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{where}: {PurePath(*key)} is the end of {count} paths, such as {paths[found.index(key)]}.\n"
            "Write more of each path, such as its folder"
        )
    return [listed[key] for key in found]


def _longest_end(path: str, listed: Mapping[tuple[str, ...], str]) -> tuple[str, ...] | None:
    parts = PurePath(path).parts
    return next((parts[first:] for first in range(len(parts)) if parts[first:] in listed), None)
