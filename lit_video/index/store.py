"""The index on disk: one header in JSON and one .npy file a column, which appear whole or not at all.

A folder of columns is written under a new name, and the header, which names it, is replaced last and atomically. So a
reader sees the old index or the new one, and a run that was killed while writing leaves at most a folder that nothing
names, which the next writer removes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tokenize
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from lit_video.index.columns import Columns, Skipped, Stored
from lit_video.support.errors import IndexStoreError

VERSION = 4
HEADER = "index.json"
PATIENCE_SECONDS = 5.0  # in which waiting for another writer is not worth a word


def load(folder: Path) -> Stored:
    """Map the index in `folder`.

    Raises:
        IndexStoreError: There is none, or it is damaged or of another version.
    """
    try:
        header = json.loads((folder / HEADER).read_text())
        if header["version"] != VERSION:
            raise IndexStoreError(
                f"{folder}: this index is of version {header['version']}, and this lit_video reads {VERSION}.\n"
                f"Remove it, and it will be made anew: rm -r {folder}"
            )
        return load_columns(folder / header["columns"])
    except FileNotFoundError as error:
        raise IndexStoreError(
            f"{folder}: no index here.\nMake one: python scripts/index.py FOLDER --index-dir {folder}"
        ) from error
    except (OSError, EOFError, ValueError, LookupError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise IndexStoreError(
            f"{folder}: this index is damaged ({error}).\nRemove it, and it will be made anew: rm -r {folder}"
        ) from error


def load_columns(folder: Path) -> Stored:
    """Map the columns in `folder`, the one that an index's header names."""
    header = json.loads((folder / HEADER).read_text())
    columns = Columns(**{name: _map(folder / f"{name}.npy") for name in Columns.names_of_columns()})
    if [len(columns.offset), len(columns.pts), len(columns.start_frame)] != header["rows"]:
        raise ValueError("its columns are of different lengths")
    skipped = [Skipped(*row) for row in header["skipped"]]
    return Stored(columns, header["names"], skipped, folder)


def save(folder: Path, columns: Columns, names: Sequence[str], skipped: Sequence[Skipped]) -> Stored:
    """Write an index to `folder` in the place of the one there, and return it mapped.

    Raises:
        IndexStoreError: The folder cannot be written; what was there is as it was.
    """
    new = folder / f"columns-{uuid.uuid4().hex}"
    rows = [len(columns.offset), len(columns.pts), len(columns.start_frame)]
    try:
        new.mkdir(parents=True)
        for name in Columns.names_of_columns():
            _save(new / f"{name}.npy", getattr(columns, name))
        _write(new / HEADER, {"rows": rows, "names": list(names), "skipped": skipped})
        _write(folder / HEADER, {"version": VERSION, "columns": new.name})
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise IndexStoreError(
            f"{folder}: the index cannot be written here ({error.strerror or error}).\n"
            "Name another folder: data.index_dir=FOLDER"
        ) from error
    _remove_all_but_the_last(folder, keep=2)
    return load_columns(new)


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: of two processes that index the same videos the second waits, and finds them done.

    The lock is the operating system's, and goes with the process that held it however that ends.

    Raises:
        IndexStoreError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=PATIENCE_SECONDS)
        except Timeout:
            print(f"Waiting for another process that indexes the same videos: {folder}", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError as error:
        raise IndexStoreError(
            f"{folder}: the index cannot be written here ({error.strerror or error}).\n"
            "Name another folder: data.index_dir=FOLDER"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _map(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


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


def _remove_all_but_the_last(folder: Path, keep: int) -> None:
    # The last but one stays: workers of a run that goes on may still have to map it.
    columns = sorted(folder.glob("columns-*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for old in columns[keep:]:
        shutil.rmtree(old, ignore_errors=True)
