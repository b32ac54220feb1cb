"""The index on disk: one header in JSON and one .npy file a column, which appear whole or not at all.

A folder holds any number of indices, one for each request. Its columns are written under a new name, and a header that
names them is replaced last and atomically: that of the request, and `index.json`, which names what was asked for last.
So a reader sees the old index or the new one. Columns that no header names any more stay for a while: a run that goes
on may have workers that still have to map them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
import tokenize
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from lit_video.index.columns import Columns, Skipped, Stored
from lit_video.support.errors import IndexStoreError

VERSION = 7
HEADER = "index.json"
PATIENCE_SECONDS = 5.0  # in which waiting for another writer is not worth a word

# After so many seconds in which nobody mapped them, columns are removed: those of a writer that was killed, those in
# whose place newer ones are, and all others.
DAY = 86_400.0
BROKEN_SECONDS, REPLACED_SECONDS, UNUSED_SECONDS = DAY, 30 * DAY, 180 * DAY


def load(folder: Path, request: str | None = None, is_used: bool = True) -> Stored:
    """Map an index in `folder`: of a request by its key, or what was asked for last; see `load_columns`.

    Raises:
        IndexStoreError: There is none, or it is damaged or of another version.
    """
    return _load(folder / _header(request), is_used)


def load_named(path: Path) -> Stored:
    """Map the index that a user names: a folder of indices or of one's columns, or the header of one.

    Raises:
        IndexStoreError: There is none, or it is damaged or of another version.
    """
    header = path / HEADER if path.is_dir() else path
    if not header.exists():
        raise _not_there(path)
    if header.suffix != ".json":  # a video, say, which is not to be read whole
        raise IndexStoreError(f"{path}: this is no index.\nMake one: lit-video index FOLDER --out INDEX")
    with _told_if_damaged(header.parent):
        is_of_columns = "rows" in json.loads(header.read_text())
        return load_columns(header.parent) if is_of_columns else _load(header)


def load_columns(folder: Path, is_used: bool = True) -> Stored:
    """Map the columns in `folder`, the one that an index's header names; those that are used are kept longer."""
    header = json.loads((folder / HEADER).read_text())
    columns = Columns(**{name: _map(folder / f"{name}.npy") for name in Columns.names_of_columns()})
    if [len(columns.offset), len(columns.pts), len(columns.start_frame)] != header["rows"]:
        raise ValueError("its columns are of different lengths")
    skipped = [Skipped(*row) for row in header["skipped"]]
    if is_used:
        _note_use(folder)
    folder = folder.absolute()  # who maps it too may have been started in another folder
    return Stored(columns, header["names"], skipped, folder, header["named_by"], header["libavcodec"])


def can_be_mapped(folder: Path) -> bool:
    """Tell whether the columns in `folder` are still there."""
    return all((folder / name).exists() for name in [HEADER, *(f"{name}.npy" for name in Columns.names_of_columns())])


def save(folder: Path, request: str | None, index: Stored) -> Stored:
    """Write a request's index to `folder` in the place of the one there, and return it mapped.

    Raises:
        IndexStoreError: The folder cannot be written; what was there is as it was.
    """
    new = folder / f"columns-{uuid.uuid4().hex}"
    columns = index.columns
    rows = [len(columns.offset), len(columns.pts), len(columns.start_frame)]
    told = {"names": list(index.names), "skipped": index.skipped, "named_by": index.named_by}
    try:
        new.mkdir(parents=True)
        for name in Columns.names_of_columns():
            _save(new / f"{name}.npy", getattr(columns, name))
        _write(new / HEADER, {"rows": rows, **told, "libavcodec": index.libavcodec})
        for header in dict.fromkeys([_header(request), HEADER]):
            _write(folder / header, {"version": VERSION, "columns": new.name})
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise not_writable(folder, error) from error
    _remove_unused(folder)
    return load_columns(new)


def note_asked_for(folder: Path, columns: Path) -> None:
    """Have `load` give these columns of `folder`, if it can be written."""
    header = {"version": VERSION, "columns": columns.name}
    with contextlib.suppress(OSError, ValueError):
        if json.loads((folder / HEADER).read_text()) == header:
            return
    with contextlib.suppress(OSError):
        _write(folder / HEADER, header)


@contextlib.contextmanager
def only_writer(folder: Path, request: str) -> Iterator[None]:
    """Hold a request's lock: of two processes that index the same videos the second waits, and finds them done.

    The lock is the operating system's, and goes with the process that held it however that ends. Where the file system
    has none, both index: whatever is written is written under names of its own.

    Raises:
        IndexStoreError: The folder cannot be written.
    """
    path = folder / f"lock-{request}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
        has_locks = _has_locks(path)
    except OSError as error:
        raise not_writable(folder, error) from error
    if not has_locks:
        warnings.warn(
            f"The file system of {folder} has no locks: another process that indexes the same videos does so too.",
            stacklevel=2,
        )
        yield
        return
    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        print(f"Waiting for another process that indexes the same videos: {folder}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _load(header: Path, is_used: bool = True) -> Stored:
    folder = header.parent
    with _told_if_damaged(folder):
        found = json.loads(header.read_text())
        if found["version"] != VERSION:
            raise IndexStoreError(
                f"{folder}: this index is of version {found['version']}, and this lit_video reads {VERSION}.\n"
                f"Remove it, and it will be made anew: rm -r {folder}"
            )
        return load_columns(folder / found["columns"], is_used)


@contextlib.contextmanager
def _told_if_damaged(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _not_there(folder) from error
    except (OSError, EOFError, ValueError, LookupError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise IndexStoreError(
            f"{folder}: this index is damaged ({error}).\nRemove it, and it will be made anew: rm -r {folder}"
        ) from error


def _not_there(folder: Path) -> IndexStoreError:
    return IndexStoreError(f"{folder}: no index here.\nMake one: lit-video index FOLDER --out {folder}")


def _header(request: str | None) -> str:
    return HEADER if request is None else f"index-{request}.json"


def not_writable(folder: Path, error: OSError) -> IndexStoreError:
    """Return what a user is told of a folder of indices that refuses what is written."""
    return IndexStoreError(
        f"{folder}: the index cannot be written here ({error.strerror or error}).\n"
        "Name another folder: data.index_dir=FOLDER"
    )


def _has_locks(path: Path) -> bool:
    """Tell whether the operating system gives locks here, by asking for one that can be shared."""
    try:
        import fcntl
    except ImportError:  # Windows, which has other ones
        return True
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # there are, and another process has it
            return True
        except OSError:
            return False
    return True


def _map(path: Path) -> np.ndarray:
    """Return a mapped column, as a plain array: a slice of a `numpy.memmap` costs ten times as much."""
    return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)


def _save(path: Path, column: np.ndarray) -> None:
    np.save(path, column)
    with path.open("rb") as file:
        os.fsync(file.fileno())  # a header must not outlive, in a power cut, the columns that it names


def _write(path: Path, content: object) -> None:
    new = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    try:
        with new.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _remove_unused(folder: Path) -> None:
    """Remove columns that were not mapped for long, and headers that name none."""
    headers = {path: _columns_of(path) for path in folder.glob("index*.json")}
    for columns in folder.glob("columns-*"):
        patience = UNUSED_SECONDS if columns.name in headers.values() else REPLACED_SECONDS
        if not (columns / HEADER).exists():
            patience = BROKEN_SECONDS
        with contextlib.suppress(OSError):
            if time.time() - columns.stat().st_mtime > patience:
                shutil.rmtree(columns, ignore_errors=True)
    for path, name in headers.items():
        if name is not None and not (folder / name).exists():
            path.unlink(missing_ok=True)


def _note_use(columns: Path) -> None:
    with contextlib.suppress(OSError):  # read-only, or another user's
        if time.time() - columns.stat().st_mtime > DAY:
            os.utime(columns)


def _columns_of(header: Path) -> str | None:
    try:
        return json.loads(header.read_text())["columns"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
