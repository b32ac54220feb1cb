"""From what the user named to an index: reuse what is known of files, scan the rest, several files at a time."""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import platformdirs

from lit_video.index.columns import Skipped, Stored, columns_of
from lit_video.index.crew import Crew, Named, found_with, identify
from lit_video.index.entries import Entries, File, Unusable, libavcodec
from lit_video.index.far_scan import scan_far
from lit_video.index.far_videos import REMOTE_BYTES
from lit_video.index.files import find_files, request_key
from lit_video.index.scan import Entry, NotAVideo, scan_file
from lit_video.index.store import load, note_asked_for, only_writer, save
from lit_video.media.ranges import Fetched, Fetcher
from lit_video.media.remote import Remote
from lit_video.support.errors import DataError, IndexStoreError, Interrupted
from lit_video.support.screen import screen


def build(
    paths: str | Path | Sequence[str | Path],
    index_dir: str | Path | None,
    progress: bool,
    exclude: Sequence[str] = (),
) -> tuple[Stored, int, float, Fetched]:
    """Do what `VideoIndex.scan` promises; return it, how many videos were reused, what it took and what it fetched."""
    began, fetcher = time.perf_counter(), Fetcher(REMOTE_BYTES)
    found = find_files(paths, exclude)
    if progress:
        for line in found.told():
            screen(stderr=True).print(line, soft_wrap=True)
    named = [identify(path) for path in found.files]
    folder = Path(index_dir).expanduser() if index_dir else default_folder()
    request = key_of_request(paths, exclude)
    stored = _load_if_unchanged(folder, request, named)
    num_cached = len(stored.columns.offset) - 1 if stored else 0
    if stored is None:
        stored, num_cached = _make(folder, request, named, fetcher, progress, must_be_kept=bool(index_dir))
    elif stored.folder is not None:
        note_asked_for(folder, stored.folder)
    return stored, num_cached, time.perf_counter() - began, fetcher.new()


def default_folder() -> Path:
    """Return the folder in the user's cache that has the indices of all requests."""
    return platformdirs.user_cache_path("lit_video") / "index"


def key_of_request(paths: str | Path | Sequence[str | Path], exclude: Sequence[str] = ()) -> str:
    """Return what the index for these paths is found by, for who decodes by this libavcodec."""
    parts = [libavcodec(), *request_key(paths), "", *exclude]
    return hashlib.blake2b("\0".join(parts).encode(errors="surrogateescape"), digest_size=12).hexdigest()


def _load_if_unchanged(folder: Path, request: str, named: Sequence[Named]) -> Stored | None:
    try:
        stored = load(folder, request)
    except IndexStoreError:
        return None  # none yet, or damaged, or of another version: it is made anew
    if len(stored.columns.offset) - 1 + len(stored.skipped) != len(named):
        return None
    skipped = {_file_of(skipped) for skipped in stored.skipped if skipped.found_with == found_with(skipped.path)}
    return stored if _is_of(stored, [one.file for one in named if one.file not in skipped]) else None


def _is_of(stored: Stored, files: Sequence[File]) -> bool:
    """Tell whether an index is of just these files, as they are, in this order."""
    columns = stored.columns
    paths = [file.path.encode(errors="surrogateescape") for file in files]
    return (
        columns.path_bytes.tobytes() == b"".join(paths)
        and np.array_equal(np.diff(columns.path_offset), [len(path) for path in paths])
        and np.array_equal(columns.size_bytes, [file.size_bytes for file in files])
        and np.array_equal(columns.mtime_ns, [file.mtime_ns for file in files])
    )


def _file_of(skipped: Skipped) -> File:
    return File(skipped.path, skipped.size_bytes, skipped.mtime_ns)


def _make(
    folder: Path, request: str, named: Sequence[Named], fetcher: Fetcher, progress: bool, must_be_kept: bool
) -> tuple[Stored, int]:
    """Return the index, kept in the folder if that can be written, and how many videos were reused."""
    with ExitStack() as stack:
        try:
            stack.enter_context(only_writer(folder, request))
        except IndexStoreError as error:
            if must_be_kept:
                raise
            _warn_not_kept(error)
            return _put_together(Entries(folder, are_kept=False), named, fetcher, progress)
        if stored := _load_if_unchanged(folder, request, named):  # by another process, for which this one waited
            return stored, len(stored.columns.offset) - 1
        made, num_cached = _put_together(Entries(folder), named, fetcher, progress)
        return _save(folder, request, made, must_be_kept), num_cached


def _save(folder: Path, request: str, made: Stored, must_be_kept: bool) -> Stored:
    try:
        return save(folder, request, made.columns, made.names, made.skipped)
    except IndexStoreError as error:
        if must_be_kept:
            raise
        _warn_not_kept(error)
        return made


def _warn_not_kept(error: IndexStoreError) -> None:
    warnings.warn(f"The index is made, and not kept: {error}", stacklevel=2)


def _put_together(entries: Entries, named: Sequence[Named], fetcher: Fetcher, progress: bool) -> tuple[Stored, int]:
    """Return the index of what is known of the files, and of what is found out now."""
    crew = Crew(entries, _scan, partial(_scan_far, fetcher))
    try:
        found = crew.look_at(named, progress)
    except Interrupted as error:
        print(f"\n{error}", file=sys.stderr)
        raise
    finally:
        entries.close()
    usable = [(one.file, entry) for one, entry in zip(named, found, strict=True) if isinstance(entry, Entry)]
    skipped = [
        Skipped(one.file.path, why.reason, one.file.size_bytes, one.file.mtime_ns, why.found_with)
        for one, why in zip(named, found, strict=True)
        if isinstance(why, Unusable)
    ]
    if not usable:
        raise DataError(_nothing_usable(skipped))
    columns, names = columns_of([file for file, _ in usable], [entry for _, entry in usable])
    return Stored(columns, names, skipped, None), len(usable) - crew.num_scanned


def _nothing_usable(skipped: Sequence[Skipped]) -> str:
    listed = "\n".join(f"  {file.path}: {file.reason}" for file in skipped[:5])
    more = f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    return (
        f"None of the {len(skipped)} files named holds a usable video:\n{listed}{more}\n"
        "Name other files, as in data.root=FOLDER, or look at one: ffprobe FILE"
    )


def _scan(path: str) -> Entry | str:
    try:
        return scan_file(Path(path))
    except NotAVideo as error:
        return str(error)


def _scan_far(fetcher: Fetcher, remote: Remote) -> Entry | str:
    try:
        return scan_far(remote, fetcher)
    except NotAVideo as error:
        return str(error)
