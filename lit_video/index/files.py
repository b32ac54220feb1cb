"""Which files the user means: a folder, a file, a glob, or a list of these."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int64

from lit_video.index.aside import (
    NamesIn,
    is_hidden,
    is_side_folder,
    names_among,
    names_on_disk,
    num_hidden,
    previews_among,
    side_folder_around,
)
from lit_video.index.endings import SUFFIXES, ending, is_video
from lit_video.media.remote import Remote, find_all, is_glob, is_remote, shown
from lit_video.support.errors import DataError
from lit_video.support.machine import num_cores

TOGETHER, AT_ONCE = 1000, 16  # files that a thread looks at together, and threads at most

PathLike = str | Path
File = TypeVar("File")
Part = TypeVar("Part")


@dataclass
class Found:
    """What a search came upon.

    Attributes:
        files: Paths of those meant, sorted within each root, none twice.
        far: Those of them that are far away, as their stores tell of them.
        side_folders: Folders of systems and cameras that were not searched, and how many there were of each name.
        num_previews: Cameras' small copies of recordings beside them.
        num_hidden: Files that end like videos, and whose names begin with a dot.
        passed_over: How many files of each ending do not end like a video.
        num_excluded: Files that the user left out.
    """

    files: list[str] = field(default_factory=list)
    far: dict[str, Remote] = field(default_factory=dict)
    side_folders: Counter[str] = field(default_factory=Counter)
    num_previews: int = 0
    num_hidden: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    num_excluded: int = 0

    def as_told(self) -> Sequence[str | Remote]:
        """Return the files, those that are far away as their stores tell of them."""
        return [self.far.get(file, file) for file in self.files] if self.far else self.files

    def told(self) -> list[str]:
        """Return what was left out, a sentence each."""
        lines = []
        if self.side_folders:
            names = ", ".join(sorted(self.side_folders))
            lines.append(
                f"Left out: {self.side_folders.total()} folders of systems and cameras ({names}); name one to take it."
            )
        if self.num_previews:
            lines.append(f"Left out: {self.num_previews} previews of recordings beside them; name one to take it.")
        if self.num_hidden:
            lines.append(f"Left out: {self.num_hidden} hidden files; name one to take it.")
        if self.num_excluded:
            lines.append(f"Left out: {self.num_excluded} files by exclude.")
        if self.passed_over:
            most = ", ".join(f"{number} {of or 'without'}" for of, number in self.passed_over.most_common(5))
            lines.append(f"Passed over: {self.passed_over.total()} files of other endings ({most}).")
        return lines


def find_files(paths: PathLike | Sequence[PathLike], exclude: Sequence[str] = ()) -> Found:
    """Return the files behind `paths`, and what was left out.

    Args:
        paths: A folder (searched recursively for video endings), a file, a glob such as `clips/**/*.mp4`, or a list
            of these; each may be far away, by a URL that fsspec opens.
        exclude: Globs of files to leave out, matched with the ends of paths: `*_proxy.mp4`, `takes/old/*`. As in those
            of `paths`, upper and lower case differ.

    Raises:
        DataError: Something named does not exist, a glob matches nothing, or a folder holds no file that ends like a
            video; or all files are excluded.
    """
    found = Found()
    roots = _roots(paths)
    far = _far_away([root for root in roots if is_remote(root)], found)
    files = dict.fromkeys(file for root in roots for file in far.get(root) or _expand(root, found))
    patterns = [re.compile(fnmatch.translate(f"*/{pattern.lstrip('/')}")) for pattern in exclude]
    found.files = [file for file in files if not (patterns and any(pattern.match(file) for pattern in patterns))]
    found.num_excluded = len(files) - len(found.files)
    if not found.files:
        raise DataError(
            f"All {len(files)} files are left out by exclude, such as {next(iter(files))}.\n"
            "Give narrower globs: data.exclude=['*_proxy.mp4']"
        )
    return found


def stands_of(
    files: Sequence[str | Remote],
) -> tuple[Int64[np.ndarray, " files"], Int64[np.ndarray, " files"]]:
    """Return the size in bytes and the time of change in nanoseconds of each file, -1 where nothing is there.

    Several are asked for at a time: over a network an answer takes long, and costs the processor nothing. Of what is
    far away the answer is here already, and the number of its version stands for the time of change.
    """
    found = np.concatenate(in_parts(lambda part: np.array([_stand(file) for file in part], np.int64), files))
    return found[:, 0], found[:, 1]


def in_parts(look: Callable[[Sequence[File]], Part], files: Sequence[File]) -> list[Part]:
    """Return what `look` makes of each thousand of some files, which several threads look at."""
    parts = [files[first : first + TOGETHER] for first in range(0, len(files), TOGETHER)]
    if len(parts) < 2:
        return [look(part) for part in parts]
    with ThreadPool(min(AT_ONCE, 3 * num_cores(), len(parts))) as pool:
        return pool.map(look, parts, chunksize=1)


def _stand(file: str | Remote) -> tuple[int, int]:
    if isinstance(file, Remote):
        return file.size_bytes, file.version
    try:
        found = os.stat(file)
    except OSError:  # a broken link, say
        return -1, -1
    return found.st_size, found.st_mtime_ns


def request_key(paths: PathLike | Sequence[PathLike]) -> list[str]:
    """Return what names a request for `paths` in the cache: each part made absolute, globs left as they are."""
    return [root if is_remote(root) else str(_absolute(root)) for root in _roots(paths)]


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


def _expand(root: str, found: Found) -> list[str]:
    path = _absolute(root)
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return _search(path, found)
        return [str(path)]
    except FileNotFoundError:
        if path.is_symlink():  # that leads nowhere: to be listed as skipped
            return [str(path)]
    except OSError as error:
        raise _unreadable(path, error) from error
    if glob.has_magic(root):
        return _match(path, found)
    raise DataError(f"{root}: no such file or folder.\nName a folder, a file or a glob, as in data.root=FOLDER")


def _far_away(roots: Sequence[str], found: Found) -> dict[str, list[str]]:
    """Return the URLs of files behind roots far away, of each; in a folder, of those that end like videos."""
    behind = dict(zip(roots, find_all(roots), strict=True)) if roots else {}
    for root, files in behind.items():
        if [file.url for file in files] == [root]:
            continue
        places, named = {_inner(file.url): file for file in files}, _inner(root)
        if not is_glob(root):
            named = f"{named.rstrip('/')}/"
            found.passed_over.update(ending(place) for place in places if not is_video(place))
            places = {place: file for place, file in places.items() if is_video(place)}
        behind[root] = [places[place] for place in _without_asides(list(places), named, names_among(places), found)]
        if not behind[root]:
            raise _no_videos(shown(root), found)
    found.far = {file.url: file for files in behind.values() for file in files}
    return {root: [file.url for file in files] for root, files in behind.items()}


def _inner(url: str) -> str:
    """Return what names a file in a URL: of one in an archive, its path in there."""
    return url.partition("::")[0]


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


def _search(folder: Path, found: Found) -> list[str]:
    files = _in_order(_walk(str(folder), found))
    if not files:
        raise _no_videos(folder, found)
    return files


def _no_videos(folder: PathLike, found: Found) -> DataError:
    told = "".join(f"\n{line}" for line in found.told())
    return DataError(
        f"{folder}: no file here or below ends like a video ({len(SUFFIXES)} endings known, such as .mp4, .mov"
        f" and .mkv).{told}\nName another folder, or files of any ending by a glob such as data.root='FOLDER/*.bin'"
    )


def _in_order(files: Iterable[str]) -> list[str]:
    """Return paths sorted part by part."""
    return sorted(files, key=lambda file: file.replace(os.sep, "\0"))


def _walk(folder: str, found: Found) -> Iterator[str]:
    """Yield files that end like a video, and folders that cannot be read: these will be listed as skipped.

    In strings: a `Path` for each of 100,000 files takes seconds.
    """
    seen = set()  # folders by identity: a link to a parent would loop for ever
    unreadable: list[OSError] = []
    for base, folders, names in os.walk(folder, followlinks=True, onerror=unreadable.append):
        identity = os.stat(base)
        if (identity.st_dev, identity.st_ino) in seen:
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        around = base.replace(os.sep, "/")
        aside = [name for name in folders if is_side_folder(around, name, names_on_disk)]
        found.side_folders.update(aside)
        folders[:] = sorted(name for name in folders if not is_hidden(name) and name not in aside)
        yield from map(f"{base.rstrip(os.sep)}{os.sep}".__add__, _videos(names, found))
    for error in unreadable:
        if error.filename == folder:
            raise _unreadable(Path(folder), error)
        yield error.filename


def _videos(names: Sequence[str], found: Found) -> list[str]:
    """Return the names in a folder that end like videos, without hidden ones and previews; count the others."""
    found.num_hidden += num_hidden(filter(is_video, names))
    names = [name for name in names if not is_hidden(name)]
    found.passed_over.update(of for of in map(ending, names) if of not in SUFFIXES)
    previews = previews_among(names)
    found.num_previews += len(previews)
    return [name for name in names if is_video(name) and name not in previews]


def _match(pattern: Path, found: Found) -> list[str]:
    files = _in_order(match for match in glob.glob(str(pattern), recursive=True) if not os.path.isdir(match))
    if not files:
        raise DataError(
            f"{pattern}: this glob matches no file.\n"
            "Brackets in the name of a folder are written [[] and []]; ** is a part of its own, as in clips/**/*.mp4"
        )
    return _without_asides(files, str(pattern), cache(names_on_disk), found)


def _without_asides(files: Sequence[str], root: str, names_in: NamesIn, found: Found) -> list[str]:
    """Return the files behind a glob, or in a folder `root/` far away, that are none of systems', cameras' or hidden.

    Where a glob finds nothing else, it is these that are meant.
    """
    named = root.replace(os.sep, "/").split("/")
    inside: defaultdict[str, dict[str, str]] = defaultdict(dict)  # files by name, by folder
    for file in files:
        folder, _, name = file.replace(os.sep, "/").rpartition("/")
        inside[folder][name] = file
    aside = {folder: side_folder_around(folder, named, names_in) for folder in inside}
    rest = {folder: names for folder, names in inside.items() if not aside[folder]}
    hidden = [name for names in rest.values() for name in names if is_hidden(name, named)]
    previews = {folder: previews_among(names) for folder, names in rest.items()}
    left = {
        file
        for folder, names in rest.items()
        for name, file in names.items()
        if name not in previews[folder] and not is_hidden(name, named)
    }
    if not left and named[-1]:
        return list(files)
    found.side_folders.update(folder.rpartition("/")[2] for folder in set(aside.values()) if folder)
    found.num_hidden += num_hidden(hidden)
    found.num_previews += sum(map(len, previews.values()))
    return [file for file in files if file in left]
