"""All proxies of a data set: a map over what is missing, by an engine's workers."""

from __future__ import annotations

import os
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lit_video.engines.base import Engine
from lit_video.engines.driver import work_off
from lit_video.index import VideoIndex
from lit_video.index.digest import UNKNOWN
from lit_video.index.entries import File
from lit_video.index.files import PathLike
from lit_video.index.proxied import Notes, Proxy, cannot_be_kept, check_settings
from lit_video.index.roots import names_in_roots
from lit_video.proxies.settings import Settings
from lit_video.proxies.transcode import NoProxyError, transcode


class Original(NamedTuple):
    """A video to make a proxy of.

    Attributes:
        video_id: Of it in the index.
        name: Of the proxy's file in the folder.
    """

    video_id: int
    name: str


@dataclass
class Made:
    """What became of a data set's proxies.

    Attributes:
        num_videos: Of the data set.
        num_there: That have a proxy now.
        num_made: Of these, made now.
        missing: Why each other video has none, by its path.
        num_lost: Frames that proxies only repeat, for they could not be decoded.
    """

    num_videos: int
    num_there: int
    num_made: int
    missing: dict[str, str]
    num_lost: int


def make_proxies(
    index: VideoIndex,
    roots: PathLike | Sequence[PathLike],
    folder: Path,
    settings: Settings,
    engine: Engine,
    tell: Callable[[int, int], None] = lambda num_left, num_todo: None,
) -> Made:
    """Make the proxies that a folder lacks of the videos in an index.

    A proxy lies where its original does below its root, and `.mp4` is added to the name. Videos of the same bytes are
    transcoded once, and linked. A proxy that has its name is whole, and was compared with its original's index. What
    has none is listed, and tried again when the file has changed.

    Raises:
        DataError: The folder has proxies of other settings.
        WorkerError: The engine's workers cannot live, or the folder cannot be written.
    """
    folder = folder.expanduser().absolute()
    check_settings(folder, settings.told())
    names = _names(index, roots)
    job = _Making(index, folder, settings, tell)
    todo = job.left([Original(video_id, name) for video_id, name in enumerate(names)])
    job.num_todo = len(todo)
    firsts, copies = _of_same_bytes(index, todo)
    try:
        work_off(engine, job, firsts)
        for original, first in copies:
            _link(job.notes, index, original, first)
    finally:
        job.notes.close()
    return _made(index, job.notes, len(todo))


def _made(index: VideoIndex, notes: Notes, num_todo: int) -> Made:
    notes.refresh()
    found = [notes.of(file_of(index, video_id), digest_in(index, video_id)) for video_id in range(index.num_videos)]
    missing = {
        index.path(video_id): "it was not made" if proxy is None else proxy.why
        for video_id, proxy in enumerate(found)
        if proxy is None or proxy.why
    }
    lost = sum(last - first + 1 for proxy in found if proxy is not None for first, last in proxy.lost)
    there = index.num_videos - len(missing)
    return Made(index.num_videos, there, max(0, num_todo - len(missing)), missing, lost)


def file_of(index: VideoIndex, video_id: int) -> File:
    """Return a video's file as the index knows it."""
    c = index.columns
    return File(index.path(video_id), int(c.size_bytes[video_id]), int(c.mtime_ns[video_id]))


def digest_in(index: VideoIndex, video_id: int) -> bytes:
    """Return what stands for the bytes of a video's file."""
    return index.columns.digest[video_id].tobytes()


def _names(index: VideoIndex, roots: PathLike | Sequence[PathLike]) -> list[str]:
    """Return the name of each video's proxy: none twice."""
    names, seen = names_in_roots(index.paths, roots), set[str]()
    for video_id, name in enumerate(names):
        own = name if name not in seen else f"{name}-{video_id}"
        seen.add(name)
        names[video_id] = f"{own}.mp4"
    return names


def _of_same_bytes(
    index: VideoIndex, todo: Sequence[Original]
) -> tuple[list[Original], list[tuple[Original, Original]]]:
    """Return the first of all that have the same bytes, and the others, each with the first."""
    of_digest = defaultdict[bytes, list[Original]](list)
    for original in todo:
        digest = digest_in(index, original.video_id)
        of_digest[digest if digest != UNKNOWN else original.name.encode(errors="surrogateescape")].append(original)
    groups = list(of_digest.values())
    return [group[0] for group in groups], [(other, group[0]) for group in groups for other in group[1:]]


def _link(notes: Notes, index: VideoIndex, original: Original, first: Original) -> None:
    notes.refresh()
    made = notes.of(file_of(index, first.video_id))
    if made is None:
        return
    if made.name:
        try:
            _link_file(notes.folder / made.name, notes.folder / original.name)
        except OSError as error:
            raise cannot_be_kept(notes.folder, error) from error
    name = original.name if made.name else ""
    notes.add(made._replace(file=file_of(index, original.video_id), name=name))


def _link_file(there: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        os.link(there, part)
    except OSError:  # no links here
        shutil.copyfile(there, part)
    part.replace(target)


class _Making:
    """What an engine is given (`engines.base.Job`)."""

    def __init__(self, index: VideoIndex, folder: Path, settings: Settings, tell: Callable[[int, int], None]) -> None:
        self.work = partial(_makes, index, folder, settings)
        self.notes, self.num_todo = Notes(folder), 0
        self._index, self._tell = index, tell

    def left(self, items: Sequence[Original]) -> list[Original]:
        self.notes.refresh()
        return [item for item in items if self._lacks(item)]

    def _lacks(self, item: Original) -> bool:
        file = file_of(self._index, item.video_id)
        found = self.notes.of(file, digest_in(self._index, item.video_id))
        # A copy of what has a proxy lacks one under its own name.
        return found is None or (bool(found.name) and not (self.notes.folder / item.name).exists())

    def weight(self, item: Original) -> float:
        c = self._index.columns
        return float(self._index.lengths[item.video_id] * c.width[item.video_id] * c.height[item.video_id])

    def give_up(self, item: Original, why: str) -> None:
        file = file_of(self._index, item.video_id)
        self.notes.add(Proxy(file, UNKNOWN, "", 0, why=f"whoever transcodes it dies ({why})"))

    def tell(self, num_left: int) -> None:
        self._tell(num_left, self.num_todo)


@contextmanager
def _makes(index: VideoIndex, folder: Path, settings: Settings) -> Iterator[Callable[[Original], None]]:
    """Yield what makes a proxy, in a worker."""
    notes = Notes(folder, reads=False)
    try:
        yield partial(make_one, index, notes, settings)
    finally:
        notes.close()


def make_one(index: VideoIndex, notes: Notes, settings: Settings, original: Original) -> None:
    """Make a proxy, under a temporary name until it is whole and was checked; note why where there is none.

    Raises:
        DataError: The folder takes none.
    """
    file, digest = file_of(index, original.video_id), digest_in(index, original.video_id)
    target = notes.folder / original.name
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lost = transcode(index, original.video_id, settings, part)
        part.replace(target)
        notes.add(Proxy(file, digest, original.name, target.stat().st_size, lost))
    except NoProxyError as error:
        notes.add(Proxy(file, digest, "", 0, why=str(error)))
    except OSError as error:
        raise cannot_be_kept(notes.folder, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
