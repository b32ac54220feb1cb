"""Which frames exist: the index as columns, not objects, so that 100,000 files cost no Python objects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from av.video.format import VideoFormat
from jaxtyping import Float64, Int, Int64

from lit_video.container import Seek
from lit_video.index.damage import Run
from lit_video.index.labels import Labels, find_labels
from lit_video.index.scan import Entry
from lit_video.index.truth import Start
from lit_video.picture import HLG, PQ, Colours, Presentation

if TYPE_CHECKING:
    from lit_video.verify import Verification

MADE = ("exact", "decoded")


class Skipped(NamedTuple):
    """A file that is not in the index, and why.

    Attributes:
        path: Of the file.
        reason: In words.
        size_bytes: Of the file, -1 where it was not even found.
        mtime_ns: Likewise.
        found_with: What else the reason may depend on: who may read the file, and what FFmpeg can decode.
    """

    path: str
    reason: str
    size_bytes: int
    mtime_ns: int
    found_with: str


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns as they lie on disk: V videos, N frames, K starts, R damaged runs, P packets.

    Ranges are half-open: `[offset[v], offset[v + 1])`.
    """

    # One row a frame, videos one after another, frames in presentation order.
    pts: np.ndarray  # int64 [N], in units of the video's time base
    start: np.ndarray  # int32 [N], frame index of the keyframe that decoding must begin at
    # One row a video.
    offset: np.ndarray  # int64 [V + 1], frame id of a video's first frame
    path_offset: np.ndarray  # int64 [V + 1], into path_bytes
    time_base: np.ndarray  # int64 [V, 2], seconds per unit of pts: numerator, denominator
    stream: np.ndarray  # int16 [V]
    width: np.ndarray  # int32 [V], stored pixels, what the container cuts off left out
    height: np.ndarray  # int32 [V]
    rotation: np.ndarray  # int16 [V], counter-clockwise degrees
    aspect: np.ndarray  # float32 [V], of one stored pixel
    codec: np.ndarray  # int16 [V], into names
    pixel_format: np.ndarray  # int16 [V], into names
    matrix: np.ndarray  # int16 [V], FFmpeg's number
    range: np.ndarray  # int16 [V], FFmpeg's number
    made: np.ndarray  # int8 [V], into MADE
    expected: np.ndarray  # int32 [V], frames that the header promises, where the file falls short of it
    size_bytes: np.ndarray  # int64 [V]
    mtime_ns: np.ndarray  # int64 [V]
    mirrored: np.ndarray  # bool [V], left and right change places before it is turned
    crop: np.ndarray  # int32 [V, 4], cut off the stored picture: left, top, right, bottom
    transfer: np.ndarray  # int16 [V], FFmpeg's number
    # One row a start.
    start_offset: np.ndarray  # int64 [V + 1]
    start_frame: np.ndarray  # int32 [K]
    start_how: np.ndarray  # int8 [K], Seek
    start_target: np.ndarray  # int64 [K]
    start_drop: np.ndarray  # int16 [K]
    start_check: np.ndarray  # int64 [K]
    # One row a run of damaged frames.
    damage_offset: np.ndarray  # int64 [V + 1]
    damage_first: np.ndarray  # int32 [R], frame index
    damage_last: np.ndarray  # int32 [R], frame index, damaged too
    damage_why: np.ndarray  # int16 [R], into names
    # One row a packet that is not to be decoded: damaged, and nobody refers to it.
    left_out_offset: np.ndarray  # int64 [V + 1]
    left_out: np.ndarray  # int64 [P], truth.key_of
    # All paths, UTF-8 (undecodable bytes escaped as Python does), one after another.
    path_bytes: np.ndarray  # uint8

    @classmethod
    def names_of_columns(cls) -> list[str]:
        """Return the names of all columns, which are also their files' names."""
        return [column.name for column in fields(cls)]


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
        label: int64 [V], class of each video, or None where the data set has no labels.
        classes: Names of the classes, by number.
    """

    columns: Columns
    names: Sequence[str]
    skipped: Sequence[Skipped] = ()
    folder: Path | None = None
    num_cached: int = 0
    seconds: float = 0.0
    label: np.ndarray | None = None
    classes: Sequence[str] = ()

    @staticmethod
    def scan(
        paths: str | Path | Sequence[str | Path], index_dir: str | Path | None = None, progress: bool = True
    ) -> VideoIndex:
        """Index the videos behind `paths`, reading only files that are new or changed since the last time.

        Args:
            paths: A folder (searched recursively), a file, a glob, or a list of these.
            index_dir: The folder to keep the index in; the user's cache folder by default.
            progress: Show a progress bar while files are read.

        Raises:
            DataError: Nothing there, or nothing usable.
            IndexStoreError: `index_dir` cannot be written.
        """
        from lit_video.index.build import build

        return build(paths, index_dir, progress)

    @staticmethod
    def load(folder: str | Path) -> VideoIndex:
        """Map the index in `folder`, as it is: files are not looked at.

        Raises:
            IndexStoreError: There is none, or it is damaged or of another version.
        """
        from lit_video.index.store import load

        return load(Path(folder))

    def with_labels(self, labels: Labels | None) -> VideoIndex:
        """Return this index with each video's class: by `folder`, by `video`, or by a CSV file or mapping of paths.

        Nothing is read or written but that file. `lit_video.index.labels.find_labels` says what it may hold.

        Raises:
            DataError: A video without a label, a path that names several, or a file that is no such list.
        """
        label, classes = (None, []) if labels is None else find_labels(self.paths, labels)
        return replace(self, label=label, classes=classes)

    def __reduce__(self) -> tuple:
        if self.folder is None:
            return VideoIndex, tuple(getattr(self, column.name) for column in fields(self))
        from lit_video.index.store import load_columns

        # A worker maps the columns instead of unpickling them. The folder of columns is named, not the index's own,
        # whose columns may be replaced before the worker looks.
        return load_columns, (self.folder, self.label, self.classes)

    @property
    def num_videos(self) -> int:
        """Number of videos, V."""
        return len(self.columns.offset) - 1

    @property
    def num_frames(self) -> int:
        """Number of frames of all videos, N."""
        return int(self.columns.offset[-1])

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

    def pts_of(self, video_id: int) -> Int64[np.ndarray, " frames"]:
        """Return the presentation timestamp of each frame of a video."""
        return self.columns.pts[slice(*self.columns.offset[video_id : video_id + 2])]

    def path(self, video_id: int) -> str:
        """Return the path of a video."""
        begin, end = self.columns.path_offset[video_id : video_id + 2]
        return self.columns.path_bytes[begin:end].tobytes().decode(errors="surrogateescape")

    @property
    def paths(self) -> list[str]:
        """Paths of all videos, a Python object each."""
        return [self.path(video_id) for video_id in range(self.num_videos)]

    def codec(self, video_id: int) -> str:
        """Return FFmpeg's name of a video's codec."""
        return self.names[int(self.columns.codec[video_id])]

    def pixel_format(self, video_id: int) -> str:
        """Return FFmpeg's name of the pixel format that a video's decoder makes."""
        return self.names[int(self.columns.pixel_format[video_id])]

    def made(self, video_id: int) -> str:
        """Return how a video's entry was made: `exact` from packets, or `decoded` once."""
        return MADE[self.columns.made[video_id]]

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

    def locate(self, frame_ids: Int[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return the video id and the frame index of each frame id."""
        frame_ids = np.asarray(frame_ids, np.int64)
        video_ids = np.searchsorted(self.columns.offset, frame_ids, side="right") - 1
        return video_ids, frame_ids - self.columns.offset[video_ids]

    def start_of(self, frame_ids: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return for each frame id the frame index, in its video, of the keyframe that decoding must begin at."""
        return self.columns.start[np.asarray(frame_ids)].astype(np.int64)

    def pts_seconds(self, frame_ids: Int[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Return the presentation time of each frame id, in seconds."""
        video_ids, _ = self.locate(frame_ids)
        numerator, denominator = self.columns.time_base[video_ids].T
        return self.columns.pts[np.asarray(frame_ids)] * numerator / denominator

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
        begin, end = self.columns.start_offset[video_id : video_id + 2]
        row = int(begin + np.searchsorted(self.columns.start_frame[begin:end], frame))
        if row == end or self.columns.start_frame[row] != frame:
            raise LookupError(f"{self.path(video_id)}: decoding cannot begin at frame {frame}")
        return self._start(row)

    def start_before(self, video_id: int, frame: int, back: int) -> Start | None:
        """Return the start that lies `back` starts before the one at frame index `frame`, or None."""
        begin, end = self.columns.start_offset[video_id : video_id + 2]
        row = int(begin + np.searchsorted(self.columns.start_frame[begin:end], frame)) - back
        return self._start(row) if row >= begin else None

    def starts(self, video_id: int) -> list[Start]:
        """Return all places of a video from which decoding can begin, ascending."""
        begin, end = self.columns.start_offset[video_id : video_id + 2]
        return [self._start(row) for row in range(begin, end)]

    def damage(self, video_id: int) -> Sequence[Run]:
        """Return a video's damaged frames, in runs, ascending: `first`, `last` (damaged too), `why`."""
        return self.damaged_videos.get(video_id, ())

    @cached_property
    def damaged_videos(self) -> dict[int, list[Run]]:
        """The runs of damaged frames, by video id, of videos that have any."""
        c, found = self.columns, dict[int, list[Run]]()
        for video_id in np.flatnonzero(np.diff(c.damage_offset)).tolist():
            rows = slice(*c.damage_offset[video_id : video_id + 2].tolist())
            runs = zip(c.damage_first[rows], c.damage_last[rows], c.damage_why[rows], strict=True)
            found[video_id] = [Run(int(first), int(last), self.names[int(why)]) for first, last, why in runs]
        return found

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
        c = self.columns
        return frozenset(c.left_out[slice(*c.left_out_offset[video_id : video_id + 2])].tolist())

    def _start(self, row: int) -> Start:
        c = self.columns
        return Start(
            frame=int(c.start_frame[row]),
            how=Seek(c.start_how[row]),
            target=int(c.start_target[row]),
            drop=int(c.start_drop[row]),
            check=int(c.start_check[row]),
        )

    def verify(self, video_id: int) -> Verification:
        """Check every frame of a video by random access, sample by sample, against one sequential decode.

        Raises:
            OSError: The file cannot be opened any more.
        """
        from lit_video.verify import verify

        return verify(self, video_id)

    def digest(self) -> str:
        """Return what names this data: the videos' names, sizes in bytes and frame counts, in order."""
        text = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            text.update(Path(path).name.encode(errors="surrogateescape") + b"\0")
        text.update(np.ascontiguousarray(self.columns.size_bytes).tobytes())
        text.update(np.ascontiguousarray(self.columns.offset).tobytes())
        return text.hexdigest()


def entry_of(index: VideoIndex, video_id: int) -> Entry:
    """Return the entry that a video's rows were made of."""
    c = index.columns
    begin, end = c.offset[video_id : video_id + 2]
    return Entry(
        stream=int(c.stream[video_id]),
        time_base=Fraction(*c.time_base[video_id].tolist()),
        width=int(c.width[video_id]),
        height=int(c.height[video_id]),
        rotation=int(c.rotation[video_id]),
        aspect=float(c.aspect[video_id]),
        codec=index.codec(video_id),
        pixel_format=index.pixel_format(video_id),
        matrix=int(c.matrix[video_id]),
        range=int(c.range[video_id]),
        made=index.made(video_id),
        pts=c.pts[begin:end],
        starts=index.starts(video_id),
        damage=list(index.damage(video_id)),
        expected=int(c.expected[video_id]),
        left_out=sorted(index.left_out(video_id)),
        mirrored=bool(c.mirrored[video_id]),
        crop=index.presentation(video_id).crop,
        transfer=int(c.transfer[video_id]),
    )


def columns_of(files: Sequence[tuple[str, int, int]], entries: Sequence[Entry]) -> tuple[Columns, list[str]]:
    """Return columns and names for `files` (path, size in bytes, mtime in nanoseconds) and their entries."""
    runs = [run for entry in entries for run in entry.damage]
    names = sorted({name for entry in entries for name in (entry.codec, entry.pixel_format)} | {r.why for r in runs})
    number = {name: place for place, name in enumerate(names)}
    paths = [path.encode(errors="surrogateescape") for path, _, _ in files]
    starts = [start for entry in entries for start in entry.starts]
    return Columns(
        pts=np.concatenate([entry.pts for entry in entries]).astype(np.int64),
        start=np.concatenate([_start_of_each_frame(entry) for entry in entries]),
        offset=_offsets([len(entry.pts) for entry in entries]),
        path_offset=_offsets([len(path) for path in paths]),
        time_base=np.array([entry.time_base.as_integer_ratio() for entry in entries], np.int64).reshape(-1, 2),
        stream=np.array([entry.stream for entry in entries], np.int16),
        width=np.array([entry.width for entry in entries], np.int32),
        height=np.array([entry.height for entry in entries], np.int32),
        rotation=np.array([entry.rotation for entry in entries], np.int16),
        aspect=np.array([entry.aspect for entry in entries], np.float32),
        codec=np.array([number[entry.codec] for entry in entries], np.int16),
        pixel_format=np.array([number[entry.pixel_format] for entry in entries], np.int16),
        matrix=np.array([entry.matrix for entry in entries], np.int16),
        range=np.array([entry.range for entry in entries], np.int16),
        made=np.array([MADE.index(entry.made) for entry in entries], np.int8),
        expected=np.array([max(entry.expected, len(entry.pts)) for entry in entries], np.int32),
        size_bytes=np.array([size for _, size, _ in files], np.int64),
        mtime_ns=np.array([mtime for _, _, mtime in files], np.int64),
        mirrored=np.array([entry.mirrored for entry in entries], bool),
        crop=np.array([entry.crop for entry in entries], np.int32).reshape(-1, 4),
        transfer=np.array([entry.transfer for entry in entries], np.int16),
        start_offset=_offsets([len(entry.starts) for entry in entries]),
        start_frame=np.array([start.frame for start in starts], np.int32),
        start_how=np.array([start.how for start in starts], np.int8),
        start_target=np.array([start.target for start in starts], np.int64),
        start_drop=np.array([start.drop for start in starts], np.int16),
        start_check=np.array([start.check for start in starts], np.int64),
        damage_offset=_offsets([len(entry.damage) for entry in entries]),
        damage_first=np.array([run.first for run in runs], np.int32),
        damage_last=np.array([run.last for run in runs], np.int32),
        damage_why=np.array([number[run.why] for run in runs], np.int16),
        left_out_offset=_offsets([len(entry.left_out) for entry in entries]),
        left_out=np.array([crc for entry in entries for crc in entry.left_out], np.int64),
        path_bytes=np.frombuffer(b"".join(paths), np.uint8),
    ), names


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _start_of_each_frame(entry: Entry) -> np.ndarray:
    frames = np.array([start.frame for start in entry.starts], np.int32)
    return frames[np.searchsorted(frames, np.arange(len(entry.pts)), side="right") - 1]
