"""From what the user named to an index: reuse what is unchanged, scan the rest, several files at a time."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path

import av
import platformdirs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lit_video.errors import DataError, IndexStoreError
from lit_video.index.files import find_files, request_key
from lit_video.index.scan import Entry, NotAVideo, scan_file
from lit_video.index.store import load, only_writer, save
from lit_video.index.table import Skipped, VideoIndex, columns_of, entry_of

# What a path, its size in bytes and its mtime in nanoseconds are together: the same file as the last time.
File = tuple[str, int, int]


def build(paths: str | Path | Sequence[str | Path], index_dir: str | Path | None, progress: bool) -> VideoIndex:
    """Do what `VideoIndex.scan` promises."""
    began = time.perf_counter()
    files = [_identify(path) for path in find_files(paths)]
    folder = Path(index_dir).expanduser() if index_dir else default_folder(paths)
    index = _load_if_unchanged(folder, files)
    if index is None:
        with only_writer(folder):
            index = _load_if_unchanged(folder, files) or _update(folder, files, progress)
    return replace(index, seconds=time.perf_counter() - began)


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


def _load_if_unchanged(folder: Path, files: Sequence[File]) -> VideoIndex | None:
    index = _load_if_there(folder)
    if index is None or index.num_videos + len(index.skipped) != len(files):
        return None
    unusable = {_file_of(skipped) for skipped in index.skipped if skipped.found_with == _found_with(skipped.path)}
    usable = [file for file in files if file not in unusable]
    return replace(index, num_cached=index.num_videos) if usable == _files_of(index) else None


def _load_if_there(folder: Path) -> VideoIndex | None:
    try:
        return load(folder)
    except IndexStoreError:
        return None  # none yet, or damaged, or of another version: it is made anew


def _files_of(index: VideoIndex) -> list[File]:
    return list(zip(index.paths, index.columns.size_bytes.tolist(), index.columns.mtime_ns.tolist(), strict=True))


def _file_of(skipped: Skipped) -> File:
    return skipped.path, skipped.size_bytes, skipped.mtime_ns


def _found_with(path: str) -> str:
    try:
        changed = os.stat(path).st_ctime_ns  # of rights too, which size and mtime do not show
    except OSError:
        changed = -1
    return f"{changed} {av.__version__}"


def _update(folder: Path, files: Sequence[File], progress: bool) -> VideoIndex:
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
    return replace(save(folder, columns, names, skipped), num_cached=len(known.keys() & set(usable)))


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
    with ThreadPool(2 * (os.cpu_count() or 1)) as pool, _progress(progress and bool(files)) as bar:
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
