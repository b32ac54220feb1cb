"""A data set whose files are read as small copies, and go by the names of the originals.

A folder of proxies holds a video for each original, and beside them, in files of lines as entries are kept
(`entries.py`), of which original each is, or why there is none.
"""

from __future__ import annotations

import json
import os
import uuid
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lit_video.index.crew import identify
from lit_video.index.digest import UNKNOWN, digest_of
from lit_video.index.entries import File
from lit_video.index.files import PathLike, find_files
from lit_video.index.lines import Lines
from lit_video.index.records import Record, line_of, record_of
from lit_video.index.table import VideoIndex
from lit_video.support.errors import DataError

NOTES, SETTINGS, VERSION = ".lit_video", "proxies.json", 1
REPEATED = "no proxy of it: it could not be decoded"


class Proxy(NamedTuple):
    """What is known of an original's proxy.

    Attributes:
        file: The original, as it was.
        digest: Of the original's bytes.
        name: Of the proxy's file in the folder; empty where there is none.
        size_bytes: Of the proxy's file.
        lost: Frames that could not be decoded, in whose place the proxy repeats others: runs, first and last.
        why: There is no proxy.
    """

    file: File
    digest: bytes
    name: str
    size_bytes: int
    lost: tuple[tuple[int, int], ...] = ()
    why: str = ""

    def line(self) -> bytes:
        """Return this as a line of a file of notes."""
        row = self.file._asdict() | {"digest": self.digest.hex(), "name": self.name, "proxy_bytes": self.size_bytes}
        return line_of(Record(row | {"lost": self.lost, "why": self.why}))


class Notes:
    """What is known of all proxies in a folder.

    Args:
        folder: Of the proxies.
        reads: What is there, and not only adds to it.
    """

    def __init__(self, folder: Path, reads: bool = True) -> None:
        self.folder = folder
        self._lines = Lines(folder / NOTES)
        self._of_file: dict[File, Proxy] = {}
        self._of_digest: dict[bytes, Proxy] = {}
        if reads:
            self.refresh()

    def refresh(self) -> None:
        """Read what was added meanwhile."""
        for line in self._lines.new():
            if record := record_of(line):
                row = record.head
                file = File(row["path"], row["size_bytes"], row["mtime_ns"])
                lost = tuple((first, last) for first, last in row["lost"])
                proxy = Proxy(file, bytes.fromhex(row["digest"]), row["name"], row["proxy_bytes"], lost, row["why"])
                self._of_file[file] = proxy
                if proxy.digest != UNKNOWN:
                    self._of_digest[proxy.digest] = proxy

    def of(self, file: File, digest: bytes | None = None) -> Proxy | None:
        """Return what is known of an original's proxy, if that is there.

        An original that moved, or that was touched, is known by its bytes.

        Args:
            file: The original.
            digest: Of its bytes; they are read where that is needed and not given.
        """
        found = self._of_file.get(file)
        if found is None and self._of_digest:
            with suppress(OSError):
                found = self._of_digest.get(digest_of(file.path, file.size_bytes) if digest is None else digest)
        if found is None or found.why:
            return found
        with suppress(OSError):
            if os.stat(self.folder / found.name).st_size == found.size_bytes:
                return found
        return None

    def add(self, proxy: Proxy) -> None:
        """Keep what became of an original, on disk.

        Raises:
            DataError: It cannot be written.
        """
        if error := self._lines.add(proxy.line()):
            raise cannot_be_kept(self.folder, error) from error

    def close(self) -> None:
        """Write no more."""
        self._lines.close()
        self._lines.gather()


def cannot_be_kept(folder: Path, error: Exception) -> DataError:
    """Return what a user is told of a folder of proxies that refuses what is written."""
    return DataError(f"{folder}: proxies cannot be kept here ({error}).\nName another folder")


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note how the proxies in a folder are made, or check that they are made so.

    Raises:
        DataError: They are made otherwise, or the folder cannot be written.
    """
    path = folder / NOTES / SETTINGS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            part = path.with_name(f"{uuid.uuid4().hex}.part")
            part.write_text(json.dumps({"version": VERSION, **settings}))
            part.replace(path)
        there = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise cannot_be_kept(folder, error) from error
    if there != {"version": VERSION, **settings}:
        made = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in there.items() if name != "version")
        raise DataError(f"{folder}: the proxies here are made by {made}.\nSay the same, or name another folder")


def scan_proxies(
    root: PathLike | Sequence[PathLike],
    proxies: Path,
    index_dir: str | Path | None,
    progress: bool,
    exclude: Sequence[str] = (),
) -> VideoIndex:
    """Index the proxies of the videos that `root` names, in the order and by the names of these.

    An original that has no proxy is read itself, which is told.

    Raises:
        DataError: No original has one.
    """
    notes = Notes(proxies)
    found = find_files(root, exclude)
    originals = found.files
    of = {path: notes.of(identify(file).file) for path, file in zip(originals, found.as_told(), strict=True)}
    there = {path: proxy for path, proxy in of.items() if proxy is not None and not proxy.why}
    if not there:
        raise DataError(
            f"{proxies}: no proxy of any of the {len(originals)} videos.\nMake them: lit-video proxy ROOT {proxies}"
        )
    _tell_missing(originals, of, proxies)
    original_of = {_path_of(path, there, proxies): path for path in originals}
    index = VideoIndex.scan(list(original_of), index_dir, progress)
    lost = {os.fspath(proxies.absolute() / proxy.name): proxy.lost for proxy in there.values()}
    named = replace(index, known_as=tuple(original_of[path] for path in index.paths))
    return _with_lost(named, {number: lost.get(path, ()) for number, path in enumerate(index.paths)})


def _path_of(original: str, there: Mapping[str, Proxy], proxies: Path) -> str:
    return os.fspath(proxies.absolute() / there[original].name) if original in there else original


def _tell_missing(originals: Sequence[str], of: Mapping[str, Proxy | None], proxies: Path) -> None:
    missing = [path for path in originals if (proxy := of[path]) is None or proxy.why]
    if missing:
        first = of[missing[0]]
        why = f": {first.why}" if first is not None else ""
        warnings.warn(
            f"{len(missing)} of {len(originals)} videos have no proxy in {proxies} and are read themselves, such as"
            f" {missing[0]}{why}.\nMake what is missing: lit-video proxy ROOT {proxies}",
            stacklevel=3,
        )


def _with_lost(index: VideoIndex, lost: Mapping[int, Sequence[tuple[int, int]]]) -> VideoIndex:
    """Return the index with frames that proxies only repeat as damaged; in memory then, not mapped."""
    if not any(lost.values()):
        return index
    c, names = index.columns, [*index.names, REPEATED]
    runs = [
        sorted([*((run.first, run.last, names.index(run.why)) for run in index.damage(number))]
        + [(first, last, len(names) - 1) for first, last in lost[number]])
        for number in range(index.num_videos)
    ]  # fmt: skip
    rows = np.array([run for of_one in runs for run in of_one], np.int32).reshape(-1, 3)
    offset = np.concatenate([[0], np.cumsum([len(of_one) for of_one in runs])]).astype(np.int64)
    columns = replace(
        c,
        damage_offset=offset,
        damage_first=rows[:, 0],
        damage_last=rows[:, 1],
        damage_why=rows[:, 2].astype(np.int16),
    )
    return replace(index, columns=columns, names=names, folder=None)
