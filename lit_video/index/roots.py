"""Which of the folders, files and globs named each video was found under, and what a video is called there."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath

import numpy as np
from jaxtyping import Int64

from lit_video.index.files import PathLike, request_key


def roots_of(
    paths: Sequence[str], roots: PathLike | Sequence[PathLike]
) -> tuple[Int64[np.ndarray, " videos"], list[str]]:
    """Return which root each video was found under, -1 for none, and the roots' names: absolute, none twice.

    Of several the first counts, as in `files.find_files`: a folder that is named again in another way has no video.
    The disk is not looked at.

    Raises:
        DataError: `roots` is nothing that names videos.
    """
    names = list(dict.fromkeys(request_key(roots)))
    # A list of files or folders may be as long as the paths: looked up, and not compared with each.
    place_of = {name.rstrip("/"): place for place, name in reversed(list(enumerate(names)))}
    number = np.array([_least_place(path, place_of, len(names)) for path in paths], np.int64)
    for place in [place for place, name in enumerate(names) if glob.has_magic(name)]:
        under = [_under(path, names[place]) is not None for path in paths]
        number[under] = np.minimum(number[under], place)
    return np.where(number < len(names), number, -1), names


def names_in_roots(paths: Sequence[str], roots: PathLike | Sequence[PathLike] | None) -> list[str]:
    """Return each video's path relative to its root, or its last two parts where it is a root itself or in none.

    >>> names_in_roots(["/data/cats/a.mp4", "/clips/b.mp4", "/c/d/e.mp4"], ["/data", "/clips/*.mp4"])
    ['cats/a.mp4', 'b.mp4', 'd/e.mp4']
    """
    if roots is None:
        return [_last_two(path) for path in paths]
    numbers, names = roots_of(paths, roots)
    below = ["" if root < 0 else _under(path, names[root]) for path, root in zip(paths, numbers.tolist(), strict=True)]
    return [name or _last_two(path) for path, name in zip(paths, below, strict=True)]


def _least_place(path: str, place_of: Mapping[str, int], none: int) -> int:
    """Return the least place that a path or a folder above it has, or `none`."""
    found = place_of.get(path, none)
    while (slash := path.rfind("/")) >= 0:
        path = path[:slash]
        found = min(found, place_of.get(path, found))
    return found


def _last_two(path: str) -> str:
    return "/".join(PurePath(path).parts[-2:])


def _under(path: str, root: str) -> str | None:
    """Return the part of a path below a folder, or below the part of a glob before its first wildcard.

    It is empty where the root is the file itself, and None where the file is not under it.
    """
    folder = root.rstrip("/") + "/"
    if path == root or path.startswith(folder):  # so is a folder that has brackets in its name
        return path[len(folder) :]
    if not glob.has_magic(root):
        return None
    parts = root.split("/")
    plain = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    folder = "/".join([*parts[:plain], ""])
    name = path[len(folder) :]
    return name if path.startswith(folder) and _fits(name.split("/"), parts[plain:]) else None


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether `glob.glob` would find a path: `**` is any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**" and _fits(parts, pattern[1:]):
        return True
    if not parts or not (pattern[0] == "**" or fnmatchcase(parts[0], pattern[0])):
        return False
    return _fits(parts[1:], pattern if pattern[0] == "**" else pattern[1:])
