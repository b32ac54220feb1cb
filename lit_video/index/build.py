"""From what the user named to an index: reuse what is unchanged, scan the rest, several files at a time."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

import av
import platformdirs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lit_video.index.columns import Skipped, Stored, columns_of, entry_of
from lit_video.index.files import find_files, request_key
from lit_video.index.scan import Entry, NotAVideo, scan_file
from lit_video.index.store import load, only_writer, save
from lit_video.support.errors import DataError, IndexStoreError
from lit_video.support.machine import num_cores
from lit_video.support.screen import screen

# What a path, its size in bytes and its mtime in nanoseconds are together: the same file as the last time.
File = tuple[str, int, int]


def build(
    paths: str | Path | Sequence[str | Path],
    index_dir: str | Path | None,
    progress: bool,
    exclude: Sequence[str] = (),
) -> tuple[Stored, int, float]:
    """Do what `VideoIndex.scan` promises, and return it, how many videos were reused, and the seconds it took."""
    began = time.perf_counter()
    found = find_files(paths, exclude)
    if progress:
        for line in found.told():
            screen(stderr=True).print(line, soft_wrap=True)
    files = [_identify(path) for path in found.files]
    folder = Path(index_dir).expanduser() if index_dir else default_folder(paths)
    stored = _load_if_unchanged(folder, files)
    num_cached = len(stored.columns.offset) - 1 if stored else 0
    if stored is None:
        with only_writer(folder):
            stored, num_cached = _update(folder, files, progress)
    return stored, num_cached, time.perf_counter() - began


def default_folder(paths: str | Path | Sequence[str | Path]) -> Path:
    """Return the folder in the user's cache that belongs to a request for these paths."""
    key = hashlib.blake2b("\0".join(request_key(paths)).encode(errors="surrogateescape"), digest_size=12)
    return platformdirs.user_cache_path("lit_video") / f"index-{key.hexdigest()}"


def _identify(path: Path) -> File:
    try:
        stat = path.stat()
    except OSError:  # a broken link, say; scanning it tells the reason
        return os.fspath(path), -1, -1
    return os.fspath(path), stat.st_size, stat.st_mtime_ns


def _load_if_unchanged(folder: Path, files: Sequence[File]) -> Stored | None:
    stored = _load_if_there(folder)
    if stored is None or len(stored.columns.offset) - 1 + len(stored.skipped) != len(files):
        return None
    unusable = {_file_of(skipped) for skipped in stored.skipped if skipped.found_with == _found_with(skipped.path)}
    usable = [file for file in files if file not in unusable]
    return stored if usable == _files_of(stored) else None


def _load_if_there(folder: Path) -> Stored | None:
    try:
        return load(folder)
    except IndexStoreError:
        return None  # none yet, or damaged, or of another version: it is made anew


def _files_of(stored: Stored) -> list[File]:
    columns = stored.columns
    return list(zip(columns.paths, columns.size_bytes.tolist(), columns.mtime_ns.tolist(), strict=True))


def _file_of(skipped: Skipped) -> File:
    return skipped.path, skipped.size_bytes, skipped.mtime_ns


def _found_with(path: str) -> str:
    try:
        changed = os.stat(path).st_ctime_ns  # of rights too, which size and mtime do not show
    except OSError:
        changed = -1
    return f"{changed} {av.__version__}"


def _update(folder: Path, files: Sequence[File], progress: bool) -> tuple[Stored, int]:
    if stored := _load_if_unchanged(folder, files):  # by another process, for whose lock this one waited
        return stored, len(stored.columns.offset) - 1
    old = _load_if_there(folder)
    known = {file: video_id for video_id, file in enumerate(_files_of(old))} if old else {}
    fresh = _scan_all([file for file in files if file not in known], progress)
    entries = {file: entry_of(old, known[file]) if old and file in known else fresh[file] for file in files}
    usable = [file for file in files if isinstance(entries[file], Entry)]
    skipped = [
        Skipped(path, entry, size, mtime, _found_with(path))
        for (path, size, mtime), entry in entries.items()
        if isinstance(entry, str)
    ]
    if not usable:
        raise DataError(_nothing_usable(skipped))
    columns, names = columns_of(usable, [entry for file in usable if isinstance(entry := entries[file], Entry)])
    return save(folder, columns, names, skipped), len(known.keys() & set(usable))


def _nothing_usable(skipped: Sequence[Skipped]) -> str:
    listed = "\n".join(f"  {file.path}: {file.reason}" for file in skipped[:5])
    more = f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    return (
        f"None of the {len(skipped)} files named holds a usable video:\n{listed}{more}\n"
        "Name other files, as in data.root=FOLDER, or look at one: ffprobe FILE"
    )


def _scan_all(files: Sequence[File], progress: bool) -> dict[File, Entry | str]:
    """Return for each file its entry, or the reason why it has none; a file behind several links is scanned once."""
    target = {file: os.path.realpath(file[0]) for file in files}
    distinct = list(dict.fromkeys(target.values()))
    # The pool's threads are daemons, and leaving the block does not wait for them: Ctrl-C ends a long scan at once.
    with ThreadPool(2 * num_cores()) as pool, _progress(progress and bool(files)) as bar:
        scans = bar.track(pool.imap(_scan, distinct), total=len(distinct), description="Indexing")
        found = dict(zip(distinct, scans, strict=True))
    return {file: found[target[file]] for file in files}


def _scan(path: str) -> Entry | str:
    try:
        return scan_file(Path(path))
    except NotAVideo as error:
        return str(error)


def _progress(show: bool) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), disable=not show, transient=True)
