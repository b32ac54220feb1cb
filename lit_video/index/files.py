"""Which files the user means: a folder, a file, a glob, or a list of these."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from lit_video.support.errors import DataError

# A folder is searched for these endings only; a file or a glob that is named is taken whatever its ending.
SUFFIXES = frozenset([
    ".264", ".265", ".3g2", ".3gp", ".amv", ".apng", ".asf", ".avi", ".cine", ".divx", ".dv", ".f4p", ".f4v", ".flv",
    ".gif", ".h261", ".h263", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4p",
    ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpeg4",
    ".mpg", ".mpv", ".mpv4", ".mts", ".mxf", ".nut", ".obu", ".ogg", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".roq",
    ".swf", ".tod", ".ts", ".vob", ".vro", ".webm", ".wm", ".wmv", ".xvid", ".y4m",
])  # fmt: skip

PathLike = str | Path


def find_files(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """Return the files behind `paths`, sorted within each of them, none twice.

    Args:
        paths: A folder (searched recursively for video endings), a file, a glob such as `clips/**/*.mp4`, or a list
            of these.

    Raises:
        DataError: Something named does not exist, a glob matches nothing, or a folder holds no file that ends like a
            video.
    """
    found = [file for root in _roots(paths) for file in _expand(root)]
    return list(dict.fromkeys(found))


def request_key(paths: PathLike | Sequence[PathLike]) -> list[str]:
    """Return what names a request for `paths` in the cache: each part made absolute, globs left as they are."""
    return [str(_absolute(root)) for root in _roots(paths)]


def _roots(paths: object) -> list[str]:
    roots = [paths] if isinstance(paths, str | Path) or not isinstance(paths, Sequence) else list(paths)
    wrong = [root for root in roots if not isinstance(root, str | Path)]
    if wrong:
        raise DataError(
            f"data.root must be a folder, a file, a glob or a list of these, got {wrong[0]!r}.\n"
            "A name that reads like a number needs quotes within quotes: 'data.root=\"2024\"'"
        )
    if not roots or "" in roots:
        raise DataError("The list of videos is empty.\nName a folder, a file or a glob, as in data.root=FOLDER")
    return [str(root) for root in roots]


def _expand(root: str) -> list[Path]:
    path = _absolute(root)
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return _search(path)
        return [path]
    except FileNotFoundError:
        if path.is_symlink():  # that leads nowhere: to be listed as skipped
            return [path]
    except OSError as error:
        raise _unreadable(path, error) from error
    if glob.has_magic(root):
        return _match(path)
    raise DataError(f"{root}: no such file or folder.\nName a folder, a file or a glob, as in data.root=FOLDER")


def _absolute(root: str) -> Path:
    """Return the path without `..`, so that one folder has one name; of a link `..` is the parent of its target."""
    path = Path(root).expanduser().absolute()
    if ".." not in path.parts:
        return path
    last = len(path.parts) - 1 - path.parts[::-1].index("..")
    return Path(*path.parts[: last + 1]).resolve().joinpath(*path.parts[last + 1 :])


def _unreadable(path: Path, error: OSError) -> DataError:
    reason = (error.strerror or str(error)).lower()
    return DataError(f"{path}: {reason}.\nSee who may read it: ls -ld '{path}'")


def _search(folder: Path) -> list[Path]:
    found = sorted(_walk(folder))
    if not found:
        raise DataError(
            f"{folder}: no file here or below ends like a video ({len(SUFFIXES)} endings known, such as .mp4, .mov"
            " and .mkv).\nName another folder, or files of any ending by a glob such as data.root='FOLDER/*.bin'"
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files that end like a video, and folders that cannot be read: these will be listed as skipped."""
    seen = set()  # folders by identity: a link to a parent would loop for ever
    unreadable: list[OSError] = []
    for base, folders, names in os.walk(folder, followlinks=True, onerror=unreadable.append):
        found = os.stat(base)
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(base, name) for name in names if _ends_like_a_video(name))
    for error in unreadable:
        if Path(error.filename) == folder:
            raise _unreadable(folder, error)
        yield Path(error.filename)


def _ends_like_a_video(name: str) -> bool:
    # "._clip.mov" is what macOS leaves beside a clip on foreign disks.
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith("._")


def _match(pattern: Path) -> list[Path]:
    found = sorted(Path(match) for match in glob.glob(str(pattern), recursive=True) if not Path(match).is_dir())
    if not found:
        raise DataError(
            f"{pattern}: this glob matches no file.\n"
            "Brackets in the name of a folder are written [[] and []]; ** is a part of its own, as in clips/**/*.mp4"
        )
    return found
