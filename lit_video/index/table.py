"""Which frames exist, and where decoding begins for each: what all of lit_video asks."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from jaxtyping import Float64, Int, Int64

from lit_video.index.build import build
from lit_video.index.changes import NewTimes
from lit_video.index.columns import COUNTED, MADE, Columns, Skipped, Stored
from lit_video.index.damage import Run
from lit_video.index.entries import libavcodec
from lit_video.index.far_videos import FarVideos
from lit_video.index.files import request_key
from lit_video.index.labels import Description, Labels, describe
from lit_video.index.roots import roots_of
from lit_video.index.scanning import AnyEngine
from lit_video.index.store import can_be_mapped, load_columns, load_named, save
from lit_video.index.truth import Start
from lit_video.media.picture import HLG, PQ, Colours, Presentation
from lit_video.media.ranges import NOTHING, Fetched
from lit_video.media.spliced import Splice
from lit_video.support.errors import DataError


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """What frames exist, and where decoding must begin for each.

    `frame_id` in [0, N) is `offset[video_id] + frame_index`; `frame_index` counts in presentation order from 0.
    Made by `VideoIndex.scan` or `VideoIndex.load`.

    Attributes:
        columns: The numbers; memory-mapped where the index lies on disk.
        names: Codecs, pixel formats and reasons by number.
        skipped: Files that were asked for and hold no usable video.
        folder: Where the columns lie, or None for an index in memory only.
        num_cached: Videos whose entries were reused when the index was made.
        seconds: What making it took.
        described: What lists say of the videos, or None where nothing was asked for.
        named_by: What the videos were found by, as `scan` takes it; None where nobody told.
        libavcodec: The version of the library that decoded what was indexed by decoding.
        known_as: Paths that the videos go by in lists, classes and splits, where the files are proxies of others.
        fetched: Requests and bytes that making the index took of files far away.
    """

    columns: Columns
    names: Sequence[str]
    skipped: Sequence[Skipped] = ()
    folder: Path | None = None
    num_cached: int = 0
    seconds: float = 0.0
    described: Description | None = None
    named_by: str | Path | Sequence[str | Path] | None = None
    libavcodec: str = ""
    known_as: Sequence[str] | None = None
    fetched: Fetched = NOTHING

    @staticmethod
    def scan(
        paths: str | Path | Sequence[str | Path],
        index_dir: str | Path | None = None,
        progress: bool = True,
        exclude: Sequence[str] = (),
        scan: str = "auto",
        engine: AnyEngine = None,
    ) -> VideoIndex:
        """Index the videos behind `paths`, reading only files that are new or changed since the last time.

        Args:
            paths: A folder (searched recursively), a file, a glob, or a list of these; each may be a URL that fsspec
                opens.
            index_dir: The folder to keep the index in; the user's cache folder by default.
            progress: Show a progress bar while files are read, and say what was left out.
            exclude: Globs of files to leave out, matched with the ends of paths: `*_proxy.mp4`, `takes/old/*`.
            scan: `packets`: all packets of a file are read. `table`: where each picture stands alone, the container's
                table of them does, if it is whole; damage then shows when a frame is read. `auto`: only where packets
                are not looked at for damage either (`container_table.NOTHING_LOST`).
            engine: Whose workers read the files (`lit_video.engines`); by default threads of this process do. `auto`:
                processes of this machine where more than a few files are new. They import the program that calls this
                anew, whose own work must stand under `if __name__ == "__main__":`.

        Raises:
            DataError: Nothing there, or nothing usable.
            IndexStoreError: `index_dir` cannot be written, and files must be scanned.
            RemoteError: A store cannot be reached, or lets nobody in.
            ValueError: `scan` is none of these.
            WorkerError: The engine's workers cannot live.
        """
        stored, num_cached, seconds, fetched = build(paths, index_dir, progress, exclude, scan, engine)
        return _index_of(stored, num_cached=num_cached, seconds=seconds, fetched=fetched)

    @staticmethod
    def load(index: str | Path) -> VideoIndex:
        """Map an index as it is: files are not looked at, and one that is missing is noticed when it is read.

        Args:
            index: What `save` wrote, or a folder that indices are kept in, of which it is the one that was asked for
                last; or the header of one of them, a file `index-….json`.

        Raises:
            IndexStoreError: There is none, or it is damaged or of another version.
        """
        return _index_of(load_named(Path(index).expanduser()))

    def save(self, folder: str | Path) -> VideoIndex:
        """Write this index to `folder`, for `load`, and return it mapped. Labels are not kept with it.

        Raises:
            IndexStoreError: The folder cannot be written.
        """
        named_by = None if self.named_by is None else request_key(self.named_by)
        stored = Stored(self.columns, self.names, self.skipped, None, named_by, self.libavcodec)
        return _index_of(save(Path(folder).expanduser().absolute(), None, stored))

    def with_labels(
        self,
        labels: Labels | None,
        label_column: str | Sequence[str] = "label",
        label_kind: str = "auto",
        missing: str = "raise",
    ) -> VideoIndex:
        """Return this index with what each video is of: by `folder`, by `video`, or by a list or mapping of paths.

        Nothing is read or written but that file. `lit_video.index.labels.describe` says what it may hold.

        Raises:
            DataError: A video without a label, a path that names several, or a file that is no such list.
        """
        if labels is None:
            return replace(self, described=None)
        return replace(self, described=describe(self.known_paths, labels, label_column, label_kind, missing))

    def with_roots(self, paths: str | Path | Sequence[str | Path]) -> VideoIndex:
        """Return this index with other roots that its videos are told apart by than those that they were found by."""
        return replace(self, named_by=paths)

    def for_workers(self) -> VideoIndex:
        """Return what decoding needs of this index, so that nothing is pickled of which there is one for each video."""
        return replace(self, described=None, named_by=None, known_as=None)

    @property
    def label(self) -> Any:
        """int64 [V], class of each video, or float32 [V], or by column; None where the data set has no labels."""
        return None if self.described is None else self.described.label

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, by number; none without labels, or where they are numbers."""
        return [] if self.described is None or isinstance(self.described.classes, dict) else self.described.classes

    def group_of(self, by: str) -> tuple[Int64[np.ndarray, " videos"], Sequence[str]]:
        """Return the number of the group that each video belongs to, and the groups' names.

        Args:
            by: `video`: each is a group of its own. `class`: those of the labels. `root`: what it was found under. Else
                the name of a column of the list of labels, whose values are the groups.

        Raises:
            DataError: There are no such groups.
        """
        if by == "video":
            return np.arange(self.num_videos), self.known_paths
        if by == "root" and self.named_by is not None:
            return roots_of(self.known_paths, self.named_by)
        if by == "class" and isinstance(self.label, np.ndarray) and len(self.classes):
            return self.label, self.classes
        table = None if self.described is None else self.described.table
        if by not in ("class", "root") and table is not None and by in table.column_names:
            values = [str(value) for value in table[by].to_pylist()]
            names, numbers = np.unique(np.array(values), return_inverse=True)
            return numbers.astype(np.int64), names.tolist()
        there = ["video", *["class"] * bool(self.classes), *["root"] * (self.named_by is not None)]
        raise DataError(
            f"by={by}: the videos are not told apart by that.\nTake one of"
            f" {', '.join([*there, *([] if table is None else table.column_names)])}, or say what videos are of with"
            " data.labels"
        )

    def __reduce__(self) -> tuple:
        if self.folder is None or not can_be_mapped(self.folder):  # removed since: this process still has it all
            values = {column.name: getattr(self, column.name) for column in fields(self)} | {"folder": None}
            return VideoIndex, tuple(values.values())
        # A worker maps the columns instead of unpickling them. The folder of columns is named, not the index's own,
        # whose columns may be replaced before the worker looks.
        return _mapped, (self.folder, self.described, self.named_by, self.known_as)

    @property
    def num_videos(self) -> int:
        """Number of videos, V."""
        return len(self.columns.offset) - 1

    @property
    def num_frames(self) -> int:
        """Number of frames of all videos, N."""
        return int(self.columns.offset[-1])

    @property
    def num_samples(self) -> int:
        """Number of samples that a sampler of all frames counts: of a `Population` there may be fewer."""
        return self.num_frames

    @property
    def offset(self) -> Int64[np.ndarray, " videos_and_end"]:
        """Frame id of each video's first frame, and N."""
        return self.columns.offset

    @property
    def pts(self) -> Int64[np.ndarray, " frames"]:
        """Presentation timestamp of each frame, in units of its video's time base."""
        return self.columns.pts

    @property
    def lengths(self) -> Int64[np.ndarray, " videos"]:
        """Number of frames of each video."""
        return np.diff(self.columns.offset)

    def length(self, video_id: int) -> int:
        """Return the number of frames of one video: `lengths` is made anew each time it is asked for."""
        return int(self.columns.offset[video_id + 1] - self.columns.offset[video_id])

    def pts_of(self, video_id: int) -> Int64[np.ndarray, " frames"]:
        """Return the presentation timestamp of each frame of a video."""
        return self.columns.pts[slice(*self.columns.offset[video_id : video_id + 2])]

    def path(self, video_id: int) -> str:
        """Return the path of a video."""
        return self.columns.path(video_id)

    @property
    def paths(self) -> list[str]:
        """Paths of all videos, a Python object each."""
        return self.columns.paths

    @property
    def known_paths(self) -> Sequence[str]:
        """Paths that the videos go by: their own, or of proxies the originals'."""
        return self.paths if self.known_as is None else self.known_as

    def known_path(self, video_id: int) -> str:
        """Return the path that a video goes by."""
        return self.path(video_id) if self.known_as is None else self.known_as[video_id]

    def codec(self, video_id: int) -> str:
        """Return FFmpeg's name of a video's codec."""
        return self.names[int(self.columns.codec[video_id])]

    def pixel_format(self, video_id: int) -> str:
        """Return FFmpeg's name of the pixel format that a video's decoder makes."""
        return self.names[int(self.columns.pixel_format[video_id])]

    def made(self, video_id: int) -> str:
        """Return how a video's entry was made: `exact` or `tried` from packets, from a `table`, or all `decoded`."""
        return MADE[self.columns.made[video_id]]

    def is_counted(self, video_id: int) -> bool:
        """Return whether a video's pictures are counted from places that were tried: seeking by time will not do."""
        return self.made(video_id) in COUNTED

    def presentation(self, video_id: int) -> Presentation:
        """Return how a video's stored pictures are to be shown."""
        c = self.columns
        left, top, right, bottom = c.crop[video_id].tolist()
        return Presentation(
            rotation=int(c.rotation[video_id]),
            mirrored=bool(c.mirrored[video_id]),
            crop=(left, top, right, bottom),
            colours=Colours(int(c.matrix[video_id]), int(c.range[video_id]), int(c.transfer[video_id])),
            codec=self.codec(video_id),
        )

    def locate(self, frame_ids: Int[np.ndarray, "*n"]) -> tuple[Int64[np.ndarray, "*n"], Int64[np.ndarray, "*n"]]:
        """Return the video id and the frame index of each frame id."""
        frame_ids = np.asarray(frame_ids, np.int64)
        video_ids = np.searchsorted(self.columns.offset, frame_ids, side="right") - 1
        return video_ids, frame_ids - self.columns.offset[video_ids]

    def start_of(self, frame_ids: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return for each frame id the frame index, in its video, of the keyframe that decoding must begin at."""
        return self.columns.start[np.asarray(frame_ids)].astype(np.int64)

    def pts_seconds(self, frame_ids: Int[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
        """Return the presentation time of each frame id, in seconds."""
        video_ids, _ = self.locate(frame_ids)
        time_base = self.columns.time_base[video_ids]
        return self.columns.pts[np.asarray(frame_ids)] * time_base[..., 0] / time_base[..., 1]

    @property
    def num_hdr(self) -> dict[str, int]:
        """Number of videos of a high dynamic range, by their transfer: `pq` and `hlg`."""
        transfer = self.columns.transfer
        return {"pq": int((transfer == PQ).sum()), "hlg": int((transfer == HLG).sum())}

    @property
    def deep(self) -> Int64[np.ndarray, " deep_videos"]:
        """Ids of the videos whose samples have more than 8 bits, which frames do not keep."""
        used, videos = np.unique(self.columns.pixel_format, return_inverse=True)
        is_deep = [any(c.bits > 8 for c in VideoFormat(self.names[int(number)]).components) for number in used]
        return np.flatnonzero(np.array(is_deep, bool)[videos])

    @property
    def keyframes(self) -> Int64[np.ndarray, " gops_and_end"]:
        """Frame ids from which decoding can begin, ascending, and N: GOP i is `[keyframes[i], keyframes[i + 1])`."""
        c = self.columns
        video_ids = np.repeat(np.arange(self.num_videos), np.diff(c.start_offset))
        return np.append(c.offset[video_ids] + c.start_frame, c.offset[-1])

    def find_start(self, video_id: int, frame: int) -> Start:
        """Return how to get to the keyframe at frame index `frame`.

        Raises:
            LookupError: Decoding cannot begin there.
        """
        c = self.columns
        row = c.start_row(video_id, frame)
        if row == c.start_offset[video_id + 1] or c.start_frame[row] != frame:
            raise LookupError(f"{self.path(video_id)}: decoding cannot begin at frame {frame}")
        return c.start_at(row)

    def checks_of_table(self, video_id: int) -> Int64[np.ndarray, " frames"]:
        """Return what each frame's packet is known by, of a video indexed from its container's table; else nothing."""
        begin, end = self.columns.start_offset[video_id : video_id + 2]
        return self.columns.start_check[begin : end if self.made(video_id) == "table" else begin]

    def start_frames(self, video_id: int) -> Int64[np.ndarray, " starts"]:
        """Return the frame indices of a video from which decoding can begin, ascending."""
        rows = slice(*self.columns.start_offset[video_id : video_id + 2].tolist())
        return self.columns.start_frame[rows].astype(np.int64)

    def gop_end(self, video_id: int, frame: int) -> int:
        """Return the frame index behind the GOP that begins at frame index `frame`."""
        row = self.columns.start_row(video_id, frame + 1)
        is_last = row == self.columns.start_offset[video_id + 1]
        return self.length(video_id) if is_last else int(self.columns.start_frame[row])

    def start_before(self, video_id: int, frame: int, back: int) -> Start | None:
        """Return the start that lies `back` starts before the one at frame index `frame`, or None."""
        row = self.columns.start_row(video_id, frame) - back
        return self.columns.start_at(row) if row >= self.columns.start_offset[video_id] else None

    def starts(self, video_id: int) -> list[Start]:
        """Return all places of a video from which decoding can begin, ascending."""
        return self.columns.starts(video_id)

    def splice(self, video_id: int) -> Splice | None:
        """Return what is put into a video's file when it is read, in the place of what its writer left out; or None."""
        return self.columns.splice(video_id)

    def damage(self, video_id: int) -> Sequence[Run]:
        """Return a video's damaged frames, in runs, ascending: `first`, `last` (damaged too), `why`."""
        return self.damaged_videos.get(video_id, ())

    @cached_property
    def new_times(self) -> NewTimes:
        """What is remembered of files whose time of change moved while this index was in use."""
        return NewTimes(self.columns)

    @cached_property
    def far(self) -> FarVideos | None:
        """What this process has in memory of videos far away; None where all are on disk."""
        return FarVideos(self.columns) if b"://" in self.columns.path_bytes.tobytes() else None

    def is_far(self, video_id: int) -> bool:
        """Tell whether a video's file is far away."""
        return self.far is not None and self.far.is_far(video_id)

    def expect(self, video_id: int, start: int) -> None:
        """Have in memory, soon, what decoding from frame index `start` needs of a file far away."""
        if self.far is not None:
            self.far.expect(video_id, start)

    def holding(self, video_id: int, start: int) -> AbstractContextManager[None]:
        """Have in memory, within a block, what decoding from frame index `start` needs of a file far away.

        Raises:
            OSError: The file is gone, or another than the one that was indexed.
            RemoteError: The store cannot be reached, or lets nobody in.
        """
        return nullcontext() if self.far is None else self.far.holding(video_id, start)

    def on_disk(self, video_id: int) -> AbstractContextManager[Path]:
        """Give the path of a video's file, or of a copy that is deleted when the block is left."""
        if self.far is None or not self.far.is_far(video_id):
            return nullcontext(Path(self.path(video_id)))
        return self.far.copied(video_id)

    @cached_property
    def damaged_videos(self) -> dict[int, list[Run]]:
        """The runs of damaged frames, by video id, of videos that have any."""
        damaged = np.flatnonzero(np.diff(self.columns.damage_offset)).tolist()
        return {video_id: self.columns.damage(video_id, self.names) for video_id in damaged}

    def num_damaged(self, video_id: int) -> int:
        """Return the number of a video's damaged frames."""
        return sum(run.last - run.first + 1 for run in self.damage(video_id))

    @property
    def short_files(self) -> list[tuple[int, int]]:
        """Video id and number of frames promised, of videos that fall short of their header."""
        short = np.flatnonzero(self.columns.expected > self.lengths)
        return [(video_id, int(self.columns.expected[video_id])) for video_id in short.tolist()]

    def left_out(self, video_id: int) -> frozenset[int]:
        """Return the keys of a video's packets that are not to be decoded."""
        return frozenset(self.columns.packets_left_out(video_id))

    def digest(self) -> str:
        """Return what names this data: the videos' names, sizes in bytes and frame counts, in order."""
        text = hashlib.blake2b(digest_size=16)
        names = [os.path.basename(path) + "\0" for path in self.paths]
        text.update("".join(names).encode(errors="surrogateescape"))
        text.update(np.ascontiguousarray(self.columns.size_bytes).tobytes())
        text.update(np.ascontiguousarray(self.columns.offset).tobytes())
        return text.hexdigest()


def warn_of_another_libavcodec(index: VideoIndex) -> None:
    """Say so where videos were indexed by decoding them with another libavcodec: pictures may be counted otherwise."""
    num_decoded = int((index.columns.made == MADE.index("decoded")).sum())
    if num_decoded and index.libavcodec != libavcodec():
        warnings.warn(
            f"{num_decoded} of {index.num_videos} videos were indexed by decoding them with libavcodec"
            f" {index.libavcodec or 'of an unknown version'}, and this is {libavcodec()}: index them anew, or check"
            " them by lit-video index FOLDER --verify.",
            stacklevel=2,
        )


def _mapped(
    folder: Path,
    described: Description | None,
    named_by: str | Path | Sequence[str | Path] | None,
    known_as: Sequence[str] | None,
) -> VideoIndex:
    return replace(_index_of(load_columns(folder)), described=described, named_by=named_by, known_as=known_as)


def _index_of(stored: Stored, **told: Any) -> VideoIndex:
    """Return what is stored as an index."""
    return VideoIndex(
        stored.columns,
        stored.names,
        stored.skipped,
        stored.folder,
        named_by=stored.named_by,
        libavcodec=stored.libavcodec,
        **told,
    )
