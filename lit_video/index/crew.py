"""What is in files: known already, or found out by several threads, and kept as soon as it is."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.pool import ThreadPool
from stat import S_ISREG
from threading import Semaphore
from typing import NamedTuple

import av

from lit_video.index.digest import DIGEST_BYTES, UNKNOWN, digest_of
from lit_video.index.entries import Entries, File, Unusable, content_of, libavcodec
from lit_video.index.progress import Tally, shown
from lit_video.index.scan import Entry
from lit_video.media.remote import AT_ONCE, Remote
from lit_video.media.remote import shown as without_query
from lit_video.support.errors import Interrupted
from lit_video.support.machine import num_cores
from lit_video.support.screen import screen

Found = Entry | Unusable

# Endings of containers that list their samples: of such a file far away no more is fetched than its list.
WITH_TABLE = (".360", ".3g2", ".3gp", ".cmfv", ".f4v", ".insv", ".lrv", ".m4p", ".m4s", ".m4v", ".mj2", ".mov", ".mp4",
              ".mp4v", ".mpv4", ".qt")  # fmt: skip


class Named(NamedTuple):
    """A file that was asked for.

    Attributes:
        file: As the system tells of it.
        behind: What the name leads to, the same for all links to it; the path where nothing is there.
        is_regular: Whether its bytes may be looked at.
        remote: The file, if it is far away.
    """

    file: File
    behind: tuple[int, int] | str
    is_regular: bool
    remote: Remote | None = None


def identify(path: str | Remote) -> Named:
    """Return what the system, or the store, tells of a file."""
    if isinstance(path, Remote):
        return Named(File(path.url, path.size_bytes, path.version), path.url, True, path)
    try:
        stat = os.stat(path)
    except OSError:  # a broken link, say; scanning it tells the reason
        return Named(File(path, -1, -1), path, False)
    # Some file systems have no numbers for files.
    behind = (stat.st_dev, stat.st_ino) if stat.st_ino else path
    return Named(File(path, stat.st_size, stat.st_mtime_ns), behind, S_ISREG(stat.st_mode))


def found_with(path: str) -> str:
    """Return what else than a file's bytes it may depend on that there is nothing to decode in it."""
    try:
        changed = os.stat(path).st_ctime_ns  # of rights too, which size and mtime do not show
    except OSError:
        changed = -1
    return f"{changed} {av.__version__} {libavcodec()}"


class Crew:
    """Looks at files, each content once.

    Args:
        entries: What is known, and where it is kept.
        scan: Returns the entry of the file at a path, or why there is none.
        scan_far: Likewise, of a file far away; it holds a core while it computes, and none while it waits.

    Attributes:
        num_scanned: Videos whose file was scanned: not known, and no copy of another one.
    """

    def __init__(
        self,
        entries: Entries,
        scan: Callable[[str], Entry | str],
        scan_far: Callable[[Semaphore, Remote], Entry | str],
    ) -> None:
        self._entries, self._scan, self._scan_far = entries, scan, scan_far
        self._lock = threading.Lock()
        # No more files are scanned at once than there are cores: what is done sooner is kept sooner. Digests, which
        # read what is not in memory yet, go on beside them.
        self._cores = Semaphore(num_cores())
        self._under_way: dict[str, threading.Event] = {}  # contents, and when each is done
        self._scanned: set[str] = set()
        self.num_scanned = 0

    def look_at(self, named: Sequence[Named], progress: bool) -> list[Found]:
        """Return for each file its entry, or why it has none.

        Raises:
            Interrupted: The user had enough; what was done is kept.
        """
        found: dict[int, Found] = {}
        todo: defaultdict[tuple, list[int]] = defaultdict(list)  # links together, for they are one file
        for place, one in enumerate(named):
            if known := self._known(one.file):
                found[place] = known
            else:
                todo[one.behind, *one.file[1:]].append(place)
        sizes = [max(0, named[places[0]].file.size_bytes) for places in todo.values()]
        tally = Tally(len(named), sum(sizes), len(found))
        if progress and (line := _what_is_fetched([named[places[0]] for places in todo.values()])):
            screen(stderr=True).print(line, soft_wrap=True)
        if todo:
            found |= self._find_out(named, list(todo.values()), tally, progress)
        return [found[place] for place in range(len(named))]

    def _find_out(
        self, named: Sequence[Named], todo: Sequence[Sequence[int]], tally: Tally, progress: bool
    ) -> dict[int, Found]:
        found: dict[int, Found] = {}
        # The pool's threads are daemons, and leaving the block does not wait for them: Ctrl-C ends a long scan at once.
        try:
            far = all(named[places[0]].remote for places in todo)
            most = AT_ONCE if far else 2 * num_cores()
            with ThreadPool(min(most, len(todo))) as pool, shown(tally, progress):
                for places, result in pool.imap_unordered(partial(self._work, named, tally), todo):
                    found |= dict.fromkeys(places, result)
                    is_new = isinstance(result, Entry) and named[places[0]].file.path in self._scanned
                    self.num_scanned += len(places) * is_new
        except KeyboardInterrupt:
            raise Interrupted(what_is_kept(tally, self._entries.are_kept)) from None
        return found

    def _known(self, file: File) -> Found | None:
        known = self._entries.seen(file)
        return None if isinstance(known, Unusable) and known.found_with != found_with(file.path) else known

    def _work(self, named: Sequence[Named], tally: Tally, places: Sequence[int]) -> tuple[Sequence[int], Found]:
        one = named[places[0]]
        with tally.working(one.file.path, one.file.size_bytes, len(places)):
            return places, self.look_at_one(one)

    def look_at_one(self, one: Named) -> Found:
        """Return the entry of a file that is not known by its path, or why it has none."""
        if one.remote is not None:
            digest = one.remote.digest(DIGEST_BYTES)
            return self._entries.known(one.file, digest) or self._scan_now(one, digest)
        try:
            digest = digest_of(one.file.path, one.file.size_bytes) if one.is_regular else UNKNOWN
        except OSError:  # scanning it tells the reason
            digest = UNKNOWN
        if digest == UNKNOWN:
            return self._scan_now(one, UNKNOWN)
        return self._entries.known(one.file, digest) or self._scan_once(one, digest)

    def _scan_once(self, one: Named, digest: bytes) -> Found:
        """Scan a file, or wait for the thread that scans a copy of it."""
        content = content_of(one.file, digest)
        with self._lock:
            is_mine = content not in self._under_way
            done = self._under_way.setdefault(content, threading.Event())
        if not is_mine:
            done.wait()
            return self._entries.known(one.file, digest) or self._scan_now(one, digest)
        try:
            return self._scan_now(one, digest)
        finally:
            done.set()

    def _scan_now(self, one: Named, digest: bytes) -> Found:
        file = one.file
        result = self._scan_it(one)
        with self._lock:
            self._scanned.add(file.path)
        # A download that goes on, say: not what it will be. What is far away tells its version with its bytes.
        changed = one.remote is None and identify(file.path).file != file
        if isinstance(result, str):
            why = Unusable(result, found_with(file.path))
            if not changed:
                self._entries.keep_reason(file, why)
            return why
        if changed or digest == UNKNOWN:
            return result
        entry = replace(result, digest=digest)
        self._entries.keep(file, entry)
        return entry

    def _scan_it(self, one: Named) -> Entry | str:
        if one.remote is not None:
            return self._scan_far(self._cores, one.remote)
        with self._cores:
            return self._scan(one.file.path)


def _what_is_fetched(named: Sequence[Named]) -> str:
    """Say what will be read of files far away beside their tables, if anything."""
    whole = [one.file for one in named if one.remote and not without_query(one.remote).lower().endswith(WITH_TABLE)]
    size = sum(file.size_bytes for file in whole)
    return (
        f"Fetched whole, for they list no frames as MP4 and MOV do: {len(whole)} files, {size / 1e9:.1f} GB."
        if whole
        else ""
    )


def what_is_kept(tally: Tally, are_kept: bool) -> str:
    """Return what whoever broke an index off is told."""
    kept = "what is done is kept, and the same command goes on from there" if are_kept else "nothing can be kept"
    return f"Interrupted: {tally.num_done} of {tally.num_files} files are indexed; {kept}."
