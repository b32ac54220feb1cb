"""Files are scanned by an engine's workers: each adds to the entries in the folder, and the driver reads them there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from lit_video.engines.base import Engine
from lit_video.engines.driver import work_off
from lit_video.engines.local import LocalEngine
from lit_video.index.crew import Crew, Named, found_with, what_is_kept
from lit_video.index.entries import Entries, Unusable
from lit_video.index.far_scan import look_far
from lit_video.index.far_videos import REMOTE_BYTES
from lit_video.index.progress import Tally, shown
from lit_video.index.scan import Entry
from lit_video.index.store import not_writable
from lit_video.media.ranges import Fetcher
from lit_video.support.errors import Interrupted, WorkerError
from lit_video.support.machine import num_cores

ScanFile = Callable[[str], Entry | str]
AnyEngine = Engine | Literal["auto"] | None

# Files that are new, from which on processes of this machine are worth their start. Threads of one process read small
# files one after another: what is done with packets is Python.
WORTH_PROCESSES = 1000


class Unknown(NamedTuple):
    """A file to scan, unless a worker that looks at its bytes knows them.

    Attributes:
        named: The file.
        known: Entries that may be of these bytes, as lines.
    """

    named: Named
    known: tuple[bytes, ...]


def scan_elsewhere(
    entries: Entries, named: Sequence[Named], scan: ScanFile, engine: Engine | Literal["auto"], progress: bool
) -> int:
    """Have an engine's workers scan what is not known, and return how many contents were new.

    A file at which workers die is noted as unusable. What is not known afterwards changed meanwhile, or with `auto` is
    so little that the caller may as well do it.

    Raises:
        Interrupted: The user had enough; what was done is kept.
        WorkerError: Workers cannot live.
    """
    unknown = {one.behind: one for one in reversed(named) if not entries.is_known(one.file, found_with)}
    todo = [Unknown(one, entries.about(one.file)) for one in reversed(unknown.values())]
    num_bytes = sum(max(0, one.named.file.size_bytes) for one in todo)
    tally, num_contents = Tally(len(named), num_bytes, len(named) - len(todo)), entries.num_contents
    chosen = engine
    if chosen == "auto":
        if len(todo) < WORTH_PROCESSES or num_cores() == 1 or any(one.named.remote for one in todo):
            return 0
        chosen = LocalEngine()
    job = _Scanning(entries, scan, tally, todo)
    try:
        with shown(tally, progress):
            work_off(chosen, job, todo)
    except WorkerError:
        if engine != "auto":
            raise
    except KeyboardInterrupt:
        job.tell(len(job.left(todo)))  # workers went on since it was told last
        raise Interrupted(what_is_kept(tally, True)) from None
    return min(entries.num_contents - num_contents, len(todo))


class _Scanning:
    """What an engine is given (`engines.base.Job`)."""

    def __init__(self, entries: Entries, scan: ScanFile, tally: Tally, todo: Sequence[Unknown]) -> None:
        self.work = partial(_scans, entries.folder, entries.scan, scan)
        self._entries, self._tally, self._todo = entries, tally, todo

    def left(self, items: Sequence[Unknown]) -> list[Unknown]:
        self._entries.refresh()
        return [one for one in items if not self._entries.is_known(one.named.file, found_with)]

    def weight(self, item: Unknown) -> float:
        return float(max(0, item.named.file.size_bytes))

    def give_up(self, item: Unknown, why: str) -> None:
        file = item.named.file
        how = "put it there anew" if item.named.remote else f"touch '{file.path}'"
        reason = f"whoever reads it dies ({why}); to have it tried again: {how}"
        self._entries.keep_reason(file, Unusable(reason, found_with(file.path)))

    def tell(self, num_left: int) -> None:
        self._tally.count(num_left, self._todo_bytes(num_left))

    def _todo_bytes(self, num_left: int) -> int:
        return round(self._tally.num_bytes * (1 - num_left / max(1, len(self._todo))))


@contextmanager
def _scans(folder: Path, how: str, scan: ScanFile) -> Iterator[Callable[[Unknown], None]]:
    """Yield what scans a file, in a worker, and leaves its entry in a file of this worker's.

    Raises:
        IndexStoreError: The folder takes no entry.
    """
    entries = Entries(folder, scan=how, known=())
    crew = Crew(entries, scan, partial(look_far, Fetcher(REMOTE_BYTES)))

    def do(item: Unknown) -> None:
        entries.note(item.known)
        crew.look_at_one(item.named)
        if entries.refused:
            raise not_writable(folder, entries.refused)

    try:
        yield do
    finally:
        entries.close()
