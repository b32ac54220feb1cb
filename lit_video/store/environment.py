"""The LMDB files of a folder, opened once for each process, and in which words they fail.

LMDB forbids a process to open the same files twice, and to use in a forked process what was opened before: so those
who ask for one folder share what is open, and a forked process closes it and opens anew. Forking waits until no
transaction is under way: to close a transaction of the parent's would free its place in the table of readers.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lit_video.store.folder import check_local
from lit_video.support.errors import StoreError

WHAT, VERSION = "frames decoded by lit_video", 1  # of what lies here, in HEADER
HEADER, DATA, LOCK = "store.json", "data.mdb", "lock.mdb"
FILES = (DATA, LOCK, HEADER)

MAP_BYTES = 2**42  # of addresses, not of memory or disk: all that a store can ever grow to. A process has 32 times this
MAX_READERS = 1024  # transactions at a time, of all processes
LEAST_BYTES = 2**20  # of free disk: with less, the table of readers might find no page, which kills a process
SECONDS = 1.0  # between two looks at whether the files are still there

NO_MORE_IS_KEPT = "what it holds is served, and no more is kept"


class StoreFullError(StoreError):
    """A store that nothing more can be written to; what it holds can be read."""


class Environment:
    """The open files of one folder in one process. Made by `open_environment`, ended by `close_environment`.

    Attributes:
        folder: Where they lie.
        problem: Why nothing can be written, or None.
        has_locks: Whether others that write are told of what is read here. Where they are not, what is read may change
            meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        check_local(folder)
        self._lmdb = _library()
        self.problem = _make_ready(folder)
        self.has_locks = self.problem is None
        self._files = self._open()
        self._identity, self._looked = self._look(), time.monotonic()
        self._check_whole()

    @property
    def num_bytes(self) -> int:
        """Of the data file, as far as it is used."""
        return (self._files.info()["last_pgno"] + 1) * self.page_bytes

    @property
    def page_bytes(self) -> int:
        """Of a page, what LMDB allocates."""
        return self._files.stat()["psize"]

    @property
    def num_entries(self) -> int:
        """Frames and other records."""
        return self._files.stat()["entries"]

    @contextmanager
    def transaction(self, write: bool = False) -> Iterator[Any]:
        """Yield an LMDB transaction, whose values are memory of the data file and end with it.

        Raises:
            StoreFullError: The disk is full, or the user's quota.
            StoreError: Anything else that LMDB or the disk refuse.
        """
        self._check_that_it_is_there()
        try:
            with _GATE, self._files.begin(write=write, buffers=True) as transaction:
                yield transaction
        except self._lmdb.Error as error:
            raise self._in_words(error, write) from error

    def _in_words(self, error: Exception, is_write: bool) -> StoreError:
        """Return what LMDB's error means."""
        is_full = isinstance(error, (self._lmdb.DiskError, self._lmdb.MapFullError))
        if is_full or (is_write and shutil.disk_usage(self.folder).free < LEAST_BYTES):
            return StoreFullError(f"{self.folder}: the store's disk is full; {NO_MORE_IS_KEPT}.\n{_ROOM}")
        if is_write and any(os.strerror(number) in str(error) for number in _NOT_WRITTEN):
            return StoreFullError(f"{self.folder}: not written ({error}); {NO_MORE_IS_KEPT}.\n{_ROOM}")
        return StoreError(f"{self.folder}: the store cannot be used ({error}).\n{_ANEW}")

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def _open(self) -> Any:
        is_writable = self.problem is None
        try:
            files = self._lmdb.open(
                str(self.folder),
                map_size=MAP_BYTES,
                metasync=False,  # whole after a power cut too, but for what was written last
                readahead=False,  # random reads: what will be needed, `prefetch` tells
                readonly=not is_writable,
                create=is_writable,
                lock=self.has_locks,
                max_readers=MAX_READERS,
                max_spare_txns=0,
            )
        except (self._lmdb.Error, OSError) as error:
            raise StoreError(f"{self.folder}: the store cannot be opened ({error}).\n{_ANEW}") from error
        if is_writable:
            files.reader_check()  # places of processes that were killed
        return files

    def _look(self) -> tuple[int, int, int]:
        """Return what the data file is, and its size."""
        found = os.stat(self.folder / DATA)
        return found.st_dev, found.st_ino, found.st_size

    def _check_whole(self) -> None:
        """Refuse a file that was cut: reading behind its end would kill the process."""
        if self._identity[2] + LEAST_BYTES < self.num_bytes:
            self.close()
            raise StoreError(f"{self.folder / DATA}: the file was cut off behind byte {self._identity[2]}.\n{_ANEW}")

    def _check_that_it_is_there(self) -> None:
        if time.monotonic() - self._looked < SECONDS:
            return
        self._looked = time.monotonic()
        try:
            device, number, size = self._look()
        except OSError:
            device, number, size = 0, 0, 0
        if (device, number) != self._identity[:2] or size < self._identity[2]:
            raise StoreError(f"{self.folder}: the store was deleted or replaced while in use.\nStart again to use it")


def open_environment(folder: Path) -> Environment:
    """Return the files of a folder, open in this process, and made if there are none.

    Raises:
        StoreError: There can be none, they are another program's or version's, or cannot be used.
    """
    folder = Path(os.path.realpath(folder))
    with _LOCK:
        if folder not in _OPEN:
            _OPEN[folder] = Environment(folder), 0
        environment, users = _OPEN[folder]
        _OPEN[folder] = environment, users + 1
        return environment


def close_environment(environment: Environment) -> None:
    """Give it back; who is the last closes it."""
    with _LOCK:
        found, users = _OPEN.get(environment.folder, (None, 0))
        if found is not environment:  # of another process
            return
        if users > 1:
            _OPEN[environment.folder] = environment, users - 1
        else:
            del _OPEN[environment.folder]
            environment.close()


def is_store(folder: Path) -> bool:
    """Tell whether a folder holds a store of this or another version."""
    try:
        return json.loads((folder / HEADER).read_text())["what"] == WHAT
    except (OSError, ValueError, LookupError, TypeError):
        return False


# Opening.

_ANEW = "Name another folder with data.store=FOLDER, or drop it: lit-video store drop FOLDER"
_ROOM = "Make room, or name another folder: data.store=FOLDER"


# An input or output error is also what LMDB makes of a disk that took less than all of a write: as of one that is full.
_NOT_WRITTEN = (errno.EDQUOT, errno.EFBIG, errno.EIO)


def _library() -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise StoreError(
            f"A store needs lmdb, which cannot be imported ({error}).\nInstall it: pip install lmdb"
        ) from error
    return lmdb


def _make_ready(folder: Path) -> str | None:
    """Make sure that the folder holds a store; return why nothing can be written there, or None.

    Raises:
        StoreError: It does not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_new = not _has_header(folder)
        free = shutil.disk_usage(folder).free
        if is_new and free >= LEAST_BYTES:
            _write_header(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StoreError(f"{folder}: no store can be kept here ({reason}).\nName another: data.store=FOLDER") from error
    if free < LEAST_BYTES:
        if is_new:
            raise StoreFullError(f"{folder}: no store can be kept here, the disk is full.\n{_ROOM}")
        return f"{folder}: the store's disk is full; {NO_MORE_IS_KEPT}.\n{_ROOM}"
    needed = [folder, *(path for path in (folder / DATA, folder / LOCK) if path.exists())]
    if not all(os.access(path, os.W_OK) for path in needed):
        return f"{folder}: the store is read-only; {NO_MORE_IS_KEPT}.\nTo keep more, name another: data.store=FOLDER"
    return None


def _has_header(folder: Path) -> bool:
    """Tell whether there is a store; refuse what is another program's or version's.

    Raises:
        StoreError: It is.
        OSError: The folder cannot be read.
    """
    try:
        found = json.loads((folder / HEADER).read_text())
    except FileNotFoundError:
        if (folder / DATA).exists():
            raise StoreError(
                f"{folder}: its {DATA} is not lit_video's, for no {HEADER} says so.\nName another: data.store=FOLDER"
            ) from None
        return False
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("what") != WHAT:
        raise StoreError(f"{folder / HEADER}: no store of lit_video's.\nName another folder: data.store=FOLDER")
    if found.get("version") != VERSION:
        raise StoreError(
            f"{folder}: this store is of version {found.get('version')}, and this lit_video uses {VERSION}.\n{_ANEW}"
        )
    return True


def _write_header(folder: Path) -> None:
    new = folder / f"{HEADER}-{uuid.uuid4().hex}"
    try:
        new.write_text(json.dumps({"what": WHAT, "version": VERSION}) + "\n")
        new.replace(folder / HEADER)
    finally:
        new.unlink(missing_ok=True)


# Processes that fork.


class _Gate:
    """Counts the transactions under way; whoever forks waits until there are none, and lets none begin."""

    PATIENCE_SECONDS = 10.0

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0

    def __enter__(self) -> None:
        with self._condition:
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._inside -= 1
            if not self._inside:
                self._condition.notify_all()

    def shut(self) -> None:
        self._condition.acquire()
        self._condition.wait_for(lambda: not self._inside, self.PATIENCE_SECONDS)

    def open(self) -> None:
        self._condition.release()


_LOCK = threading.Lock()  # of _OPEN
_OPEN: dict[Path, tuple[Environment, int]] = {}  # and how many use each
_GATE = _Gate()


def _before_fork() -> None:
    _LOCK.acquire()
    _GATE.shut()


def _in_parent() -> None:
    _GATE.open()
    _LOCK.release()


def _in_child() -> None:
    global _GATE, _LOCK
    _GATE, _LOCK = _Gate(), threading.Lock()
    for environment, _ in _OPEN.values():
        with suppress(Exception):
            environment.close()
    _OPEN.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
