"""From what the user named to an index: reuse what is known of files, scan the rest, several files at a time."""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import platformdirs
from jaxtyping import Int64

from lit_video.index.columns import MADE, Skipped, Stored, columns_of
from lit_video.index.container_table import SCANS, is_enough
from lit_video.index.crew import Crew, found_with, identify
from lit_video.index.entries import Entries, Unusable, libavcodec
from lit_video.index.far_scan import look_far
from lit_video.index.far_videos import REMOTE_BYTES
from lit_video.index.files import find_files, in_parts, request_key, stands_of
from lit_video.index.joining import joined, taken
from lit_video.index.scan import Entry, NotAVideo, scan_file
from lit_video.index.scanning import AnyEngine, scan_elsewhere
from lit_video.index.store import load, note_asked_for, only_writer, save
from lit_video.media.ranges import Fetched, Fetcher
from lit_video.media.remote import Remote
from lit_video.support.errors import DataError, IndexStoreError, Interrupted, check_choice
from lit_video.support.screen import screen


class Asked(NamedTuple):
    """The files that were asked for, F of them, as the system tells of them.

    Attributes:
        paths: In the order in which they are videos.
        size_bytes: int64 [F], -1 where nothing is there.
        mtime_ns: int64 [F], likewise; of a file far away the number of its version.
        named_by: What they were found by.
        scan: As `scan_file` takes it.
        files: The paths again, but of what is far away all that its store tells.
    """

    paths: Sequence[str]
    size_bytes: Int64[np.ndarray, " files"]
    mtime_ns: Int64[np.ndarray, " files"]
    named_by: Sequence[str]
    scan: str
    files: Sequence[str | Remote]


def build(
    paths: str | Path | Sequence[str | Path],
    index_dir: str | Path | None,
    progress: bool,
    exclude: Sequence[str] = (),
    scan: str = "auto",
    engine: AnyEngine = None,
) -> tuple[Stored, int, float, Fetched]:
    """Do what `VideoIndex.scan` promises; return it, how many videos were reused, what it took and what it fetched."""
    began, fetcher = time.perf_counter(), Fetcher(REMOTE_BYTES)
    check_choice("scan", scan, SCANS)
    found = find_files(paths, exclude)
    if progress:
        for line in found.told():
            screen(stderr=True).print(line, soft_wrap=True)
    files = found.as_told()
    asked = Asked(found.files, *stands_of(files), request_key(paths), scan, files)
    folder = Path(index_dir).expanduser() if index_dir else default_folder()
    request = key_of_request(paths, exclude, scan)
    stored = _load_if_unchanged(folder, request, asked)
    num_cached = len(stored.columns.offset) - 1 if stored else 0
    if stored is None:
        stored, num_cached = _make(folder, request, asked, fetcher, progress, bool(index_dir), engine)
    elif stored.folder is not None:
        note_asked_for(folder, stored.folder)
    if progress and scan == "table":
        _tell_of_packets(stored)
    return stored, num_cached, time.perf_counter() - began, fetcher.new()


def _tell_of_packets(stored: Stored) -> None:
    others = np.flatnonzero(stored.columns.made != MADE.index("table"))
    if len(others):
        screen(stderr=True).print(
            f"The packets of {len(others)} of {len(stored.columns.made)} videos were read, such as"
            f" {stored.columns.path(int(others[0]))}: their pictures refer to others, or no whole table lists them.",
            soft_wrap=True,
        )


def default_folder() -> Path:
    """Return the folder in the user's cache that has the indices of all requests."""
    return platformdirs.user_cache_path("lit_video") / "index"


def key_of_request(paths: str | Path | Sequence[str | Path], exclude: Sequence[str] = (), scan: str = "auto") -> str:
    """Return what the index for these paths is found by, for who decodes by this libavcodec."""
    parts = [libavcodec(), scan, *request_key(paths), "", *exclude]
    return hashlib.blake2b("\0".join(parts).encode(errors="surrogateescape"), digest_size=12).hexdigest()


def _load_if_unchanged(folder: Path, request: str, asked: Asked) -> Stored | None:
    stored = _load(folder, request)
    if stored is None or len(stored.columns.offset) - 1 + len(stored.skipped) != len(asked.paths):
        return None
    rows, skipped = _known(stored, asked)
    in_order = np.array_equal(rows[rows >= 0], np.arange(len(stored.columns.offset) - 1))
    return stored if in_order and (rows >= 0).sum() + len(skipped) == len(asked.paths) else None


def _load(folder: Path, request: str | None, is_used: bool = True) -> Stored | None:
    try:
        stored = load(folder, request, is_used)
    except IndexStoreError:
        return None  # none yet, or damaged, or of another version: it is made anew
    return stored if stored.libavcodec == libavcodec() else None


def _known(stored: Stored, asked: Asked) -> tuple[Int64[np.ndarray, " files"], dict[int, Skipped]]:
    """Return for each file its row in an index, -1 where none says enough of it as it is, and files of no use."""
    columns = stored.columns
    row_of = {path: row for row, path in enumerate(columns.paths)}
    rows = np.array([row_of.get(path, -1) for path in asked.paths], np.int64)
    same = (columns.size_bytes[rows] == asked.size_bytes) & (columns.mtime_ns[rows] == asked.mtime_ns)
    is_told = columns.made[rows] == MADE.index("table")
    enough = np.array([is_enough(name, asked.scan) for name in stored.names])
    rows[~same | (is_told & ~enough[columns.codec[rows]])] = -1
    place_of = {path: place for place, path in enumerate(asked.paths)} if stored.skipped else {}
    skipped = {place_of[one.path]: one for one in stored.skipped if one.path in place_of}
    return rows, {place: one for place, one in skipped.items() if _still_holds(one, asked, place)}


def _still_holds(skipped: Skipped, asked: Asked, place: int) -> bool:
    stand = asked.size_bytes[place], asked.mtime_ns[place]
    return stand == (skipped.size_bytes, skipped.mtime_ns) and skipped.found_with == found_with(skipped.path)


def _make(
    folder: Path,
    request: str,
    asked: Asked,
    fetcher: Fetcher,
    progress: bool,
    must_be_kept: bool,
    engine: AnyEngine,
) -> tuple[Stored, int]:
    """Return the index, kept in the folder if that can be written, and how many videos were reused.

    One that must be kept may be in memory only where no file had to be read for it: a folder that others wrote serves.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(only_writer(folder, request))
        except IndexStoreError as error:
            if must_be_kept or engine not in (None, "auto"):
                found = _put_together(folder, request, asked, fetcher, progress, are_kept=False, refusal=error)
                _warn_not_kept(error)
                return found
            _warn_not_kept(error)
            return _put_together(folder, request, asked, fetcher, progress, are_kept=False)
        if stored := _load_if_unchanged(folder, request, asked):  # by another process, for which this one waited
            return stored, len(stored.columns.offset) - 1
        made, num_cached = _put_together(folder, request, asked, fetcher, progress, engine=engine)
        return _save(folder, request, made, must_be_kept and num_cached < len(made.columns.made)), num_cached


def _save(folder: Path, request: str, made: Stored, must_be_kept: bool) -> Stored:
    try:
        return save(folder, request, made)
    except IndexStoreError as error:
        if must_be_kept:
            raise
        _warn_not_kept(error)
        return made


def _warn_not_kept(error: IndexStoreError) -> None:
    warnings.warn(f"The index is made, and not kept: {error}", stacklevel=2)


def _put_together(
    folder: Path,
    request: str,
    asked: Asked,
    fetcher: Fetcher,
    progress: bool,
    are_kept: bool = True,
    engine: AnyEngine = None,
    refusal: IndexStoreError | None = None,
) -> tuple[Stored, int]:
    """Return the index of what is known of the files, and of what is found out now; and how many were not scanned.

    What an index that there is says of files that did not change is taken from it, whole columns at a time: of 100,000
    of them no entry is read. A refusal is raised where a file would have to be scanned.
    """
    before = _load(folder, request, is_used=False) or _load(folder, None, is_used=False)
    rows, skipped = np.full(len(asked.paths), -1), dict[int, Skipped]()
    if before is not None:
        rows, skipped = _known(before, asked)
    others = [place for place in np.flatnonzero(rows < 0).tolist() if place not in skipped]
    entries = Entries(folder, are_kept, asked.scan) if others else None
    files = [asked.files[place] for place in others]
    made, why, num_scanned = _find_out(files, entries, fetcher, progress, engine, refusal)
    skipped |= {others[place]: one for place, one in why.items()}
    if len(skipped) == len(asked.paths):
        raise DataError(_nothing_usable([skipped[place] for place in sorted(skipped)]))
    index = made
    if before is not None and len(others) < len(asked.paths):
        usable = [place for place in others if place not in skipped]
        rows[usable] = len(before.columns.offset) - 1 + np.arange(len(usable))
        index = taken(joined(before, made), rows[rows >= 0])
    told = {"named_by": asked.named_by, "libavcodec": libavcodec()}
    in_order = [skipped[place] for place in sorted(skipped)]
    return index._replace(skipped=in_order, **told), len(asked.paths) - len(skipped) - num_scanned


def _find_out(
    files: Sequence[str | Remote],
    entries: Entries | None,
    fetcher: Fetcher,
    progress: bool,
    engine: AnyEngine,
    refusal: IndexStoreError | None,
) -> tuple[Stored, dict[int, Skipped], int]:
    """Return the index of those files that hold a usable video, why others do not, and how many were scanned."""
    if entries is None:
        return Stored(*columns_of([], []), []), {}, 0
    scan, scan_far = partial(_scan, entries.scan), partial(look_far, fetcher)
    if refusal is not None:
        scan = scan_far = partial(_refuse, refusal)
    crew, num_new = Crew(entries, scan, scan_far), 0
    named = list(chain.from_iterable(in_parts(lambda part: list(map(identify, part)), files)))
    try:
        if engine is not None:
            num_new = scan_elsewhere(entries, named, scan, engine, progress)
        found = crew.look_at(named, progress)
    except Interrupted as error:
        print(f"\n{error}", file=sys.stderr)
        raise
    finally:
        entries.close()
    usable = [(one.file, entry) for one, entry in zip(named, found, strict=True) if isinstance(entry, Entry)]
    skipped = {
        place: Skipped(one.file.path, why.reason, one.file.size_bytes, one.file.mtime_ns, why.found_with)
        for place, (one, why) in enumerate(zip(named, found, strict=True))
        if isinstance(why, Unusable)
    }
    columns, names = columns_of([file for file, _ in usable], [entry for _, entry in usable])
    return Stored(columns, names, []), skipped, crew.num_scanned + num_new


def _nothing_usable(skipped: Sequence[Skipped]) -> str:
    listed = "\n".join(f"  {file.path}: {file.reason}" for file in skipped[:5])
    more = f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    return (
        f"None of the {len(skipped)} files named holds a usable video:\n{listed}{more}\n"
        "Name other files, as in data.root=FOLDER, or look at one: ffprobe FILE"
    )


def _refuse(refusal: IndexStoreError, *_: object) -> NoReturn:
    raise refusal


def _scan(scan: str, path: str) -> Entry | str:
    try:
        return scan_file(Path(path), scan)
    except NotAVideo as error:
        return str(error)
