"""The index as columns, not objects, so that 100,000 files cost no Python objects: what lies on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lit_video.index.damage import Run
from lit_video.index.digest import DIGEST_BYTES
from lit_video.index.scan import Entry
from lit_video.index.truth import Start
from lit_video.media.container import Seek
from lit_video.media.spliced import Splice

MADE = ("exact", "decoded", "table", "tried")
NO_SPLICE = Splice(0, 0, b"")
COUNTED = frozenset({"decoded", "tried"})  # whose pictures are counted from places that were tried


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
    digest: np.ndarray  # uint8 [V, 16], of the file's bytes; zeros where it changed while it was looked at
    # One row a start.
    start_offset: np.ndarray  # int64 [V + 1]
    start_frame: np.ndarray  # int32 [K]
    start_how: np.ndarray  # int8 [K], Seek
    start_target: np.ndarray  # int64 [K]
    start_drop: np.ndarray  # int16 [K]
    start_check: np.ndarray  # int64 [K]
    start_bytes: np.ndarray  # int64 [K, 2], half-open: of all packets that decoding from there needs; zeros: not known
    # One row a run of damaged frames.
    damage_offset: np.ndarray  # int64 [V + 1]
    damage_first: np.ndarray  # int32 [R], frame index
    damage_last: np.ndarray  # int32 [R], frame index, damaged too
    damage_why: np.ndarray  # int16 [R], into names
    # One row a packet that is not to be decoded: damaged, and nobody refers to it.
    left_out_offset: np.ndarray  # int64 [V + 1]
    left_out: np.ndarray  # int64 [P], truth.key_of
    # What is put into a file when it is read, in the place of its bytes `[begin, end)`.
    cues_offset: np.ndarray  # int64 [V + 1], into cues
    cues_at: np.ndarray  # int64 [V, 2]
    cues: np.ndarray  # uint8
    # All paths, UTF-8 (undecodable bytes escaped as Python does), one after another.
    path_bytes: np.ndarray  # uint8

    @property
    def paths(self) -> list[str]:
        """Paths of all videos, a Python object each."""
        text = self.path_bytes.tobytes()
        return [text[begin:end].decode(errors="surrogateescape") for begin, end in pairwise(self.path_offset.tolist())]

    def path(self, video_id: int) -> str:
        """Return the path of a video."""
        begin, end = self.path_offset[video_id : video_id + 2]
        return self.path_bytes[begin:end].tobytes().decode(errors="surrogateescape")

    def starts(self, video_id: int) -> list[Start]:
        """Return all places of a video from which decoding can begin, ascending."""
        begin, end = self.start_offset[video_id : video_id + 2]
        return [self.start_at(row) for row in range(begin, end)]

    def start_at(self, row: int) -> Start:
        """Return the start in a row."""
        return Start(
            frame=int(self.start_frame[row]),
            how=Seek(self.start_how[row]),
            target=int(self.start_target[row]),
            drop=int(self.start_drop[row]),
            check=int(self.start_check[row]),
        )

    def start_row(self, video_id: int, frame: int) -> int:
        """Return the row of a video's first start at or behind a frame index, or the row behind its last one."""
        begin, end = self.start_offset[video_id : video_id + 2]
        # A number of another type would have the whole column converted at each call.
        return int(begin + self.start_frame[begin:end].searchsorted(self.start_frame.dtype.type(frame)))

    def bytes_from(self, video_id: int, frame: int) -> tuple[int, int] | None:
        """Return where in a file lies what decoding from the start at a frame index needs, or None: nobody knows."""
        first, last = self.start_bytes[self.start_row(video_id, frame)].tolist()
        return (first, last) if last else None

    def damage(self, video_id: int, names: Sequence[str]) -> list[Run]:
        """Return a video's damaged frames, in runs, ascending."""
        rows = slice(*self.damage_offset[video_id : video_id + 2].tolist())
        runs = zip(self.damage_first[rows], self.damage_last[rows], self.damage_why[rows], strict=True)
        return [Run(int(first), int(last), names[int(why)]) for first, last, why in runs]

    def packets_left_out(self, video_id: int) -> list[int]:
        """Return the keys of a video's packets that are not to be decoded."""
        return self.left_out[slice(*self.left_out_offset[video_id : video_id + 2])].tolist()

    def splice(self, video_id: int) -> Splice | None:
        """Return what is put into a video's file when it is read, or None."""
        first, last = self.cues_offset[video_id : video_id + 2]
        begin, end = self.cues_at[video_id].tolist()
        return Splice(begin, end, self.cues[first:last].tobytes()) if first < last else None

    @classmethod
    def names_of_columns(cls) -> list[str]:
        """Return the names of all columns, which are also their files' names."""
        return [column.name for column in fields(cls)]


class Stored(NamedTuple):
    """An index as it is kept.

    Attributes:
        columns: The numbers.
        names: Codecs, pixel formats and reasons by number.
        skipped: Files that hold no usable video.
        folder: Where the columns lie, or None where they could not be written.
        named_by: What its videos were found by, made absolute; None where nobody told.
        libavcodec: The version of the library that decoded what was indexed by decoding.
    """

    columns: Columns
    names: Sequence[str]
    skipped: Sequence[Skipped]
    folder: Path | None = None
    named_by: Sequence[str] | None = None
    libavcodec: str = ""


def columns_of(files: Sequence[tuple[str, int, int]], entries: Sequence[Entry]) -> tuple[Columns, list[str]]:
    """Return columns and names for `files` (path, size in bytes, mtime in nanoseconds) and their entries."""
    runs = [run for entry in entries for run in entry.damage]
    names = sorted({name for entry in entries for name in (entry.codec, entry.pixel_format)} | {r.why for r in runs})
    number = {name: place for place, name in enumerate(names)}
    paths = [path.encode(errors="surrogateescape") for path, _, _ in files]
    starts = [start for entry in entries for start in entry.starts]
    cues = [entry.cues or NO_SPLICE for entry in entries]
    return Columns(
        pts=np.concatenate([np.empty(0, np.int64), *(entry.pts for entry in entries)]).astype(np.int64),
        start=np.concatenate([np.empty(0, np.int32), *(_start_of_each_frame(entry) for entry in entries)]),
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
        digest=np.frombuffer(b"".join(entry.digest for entry in entries), np.uint8).reshape(-1, DIGEST_BYTES),
        start_offset=_offsets([len(entry.starts) for entry in entries]),
        start_frame=np.array([start.frame for start in starts], np.int32),
        start_how=np.array([start.how for start in starts], np.int8),
        start_target=np.array([start.target for start in starts], np.int64),
        start_drop=np.array([start.drop for start in starts], np.int16),
        start_check=np.array([start.check for start in starts], np.int64),
        start_bytes=np.concatenate([np.empty((0, 2), np.int64), *map(_bytes_of, entries)]),
        damage_offset=_offsets([len(entry.damage) for entry in entries]),
        damage_first=np.array([run.first for run in runs], np.int32),
        damage_last=np.array([run.last for run in runs], np.int32),
        damage_why=np.array([number[run.why] for run in runs], np.int16),
        left_out_offset=_offsets([len(entry.left_out) for entry in entries]),
        left_out=np.array([crc for entry in entries for crc in entry.left_out], np.int64),
        cues_offset=_offsets([len(splice.data) for splice in cues]),
        cues_at=np.array([(splice.begin, splice.end) for splice in cues], np.int64).reshape(-1, 2),
        cues=np.frombuffer(b"".join(splice.data for splice in cues), np.uint8),
        path_bytes=np.frombuffer(b"".join(paths), np.uint8),
    ), names


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _bytes_of(entry: Entry) -> np.ndarray:
    return np.array(entry.places or [(0, 0)] * len(entry.starts), np.int64).reshape(-1, 2)


def _start_of_each_frame(entry: Entry) -> np.ndarray:
    frames = np.array([start.frame for start in entry.starts], np.int32)
    return frames[np.searchsorted(frames, np.arange(len(entry.pts)), side="right") - 1]
