"""Which files the user means: a folder, a file, a glob, or a list of these."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lit_video.errors import DataError

# A folder is searched for these endings only; a file or a glob that is named is taken whatever its ending.
SUFFIXES = frozenset(
    [
        ".3g2",
        ".3gp",
        ".amv",
        ".asf",
        ".avi",
        ".cine",
        ".divx",
        ".dv",
        ".f4v",
        ".flv",
        ".gif",
        ".h261",
        ".h263",
        ".h264",
        ".264",
        ".h265",
        ".265",
        ".hevc",
        ".ivf",
        ".m1v",
        ".m2p",
        ".m2t",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mj2",
        ".mjpeg",
        ".mjpg",
        ".mk3d",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpe",
        ".mpeg",
        ".mpg",
        ".mpv",
        ".mts",
        ".mxf",
        ".nut",
        ".obu",
        ".ogm",
        ".ogv",
        ".ogg",
        ".qt",
        ".rm",
        ".rmvb",
        ".roq",
        ".swf",
        ".ts",
        ".vob",
        ".vro",
        ".webm",
        ".wmv",
        ".y4m",
    ]
)

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
    roots = [paths] if isinstance(paths, str | Path) else list(paths)
    if not roots:
        raise DataError("The list of videos is empty.\nName a folder, a file or a glob, as in data.root=FOLDER")
    found = [file for root in roots for file in _expand(str(root))]
    return list(dict.fromkeys(found))


def request_key(paths: PathLike | Sequence[PathLike]) -> list[str]:
    """Return what names a request for `paths` in the cache: each part made absolute, globs left as they are."""
    roots = [paths] if isinstance(paths, str | Path) else list(paths)
    return [str(Path(root).expanduser().absolute()) for root in roots]


def _expand(root: str) -> list[Path]:
    path = Path(root).expanduser().absolute()
    if path.is_dir():
        return _search(path)
    if path.exists() or path.is_symlink():
        return [path]
    if glob.has_magic(root):
        return _match(path)
    raise DataError(f"{root}: no such file or folder.\nName a folder, a file or a glob, as in data.root=FOLDER")


def _search(folder: Path) -> list[Path]:
    found = sorted(_walk(folder))
    if not found:
        raise DataError(
            f"{folder}: no file here or below ends like a video ({len(SUFFIXES)} endings known, such as .mp4, .mov"
            " and .mkv).\nName another folder, or files of any ending by a glob such as data.root='FOLDER/*.bin'"
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()  # folders by identity: a link to a parent would loop for ever
    for base, folders, names in os.walk(folder, followlinks=True):
        stat = os.stat(base)
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(base, name) for name in names if _ends_like_a_video(name))


def _ends_like_a_video(name: str) -> bool:
    # "._clip.mov" is what macOS leaves beside a clip on foreign disks.
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith("._")


def _match(pattern: Path) -> list[Path]:
    found = sorted(Path(match) for match in glob.glob(str(pattern), recursive=True) if not Path(match).is_dir())
    if not found:
        raise DataError(f"{pattern}: this glob matches no file.\nSee what it matches: ls -d {pattern}")
    return found
