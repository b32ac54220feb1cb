"""What a store lacks, decoded by an engine's workers: each leaves files of packed frames, which the driver puts in.

Workers need not be on the store's machine, nor does its disk hold more than one file for each of them besides.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from lit_video.decoders.base import Decoder
from lit_video.engines.base import Engine, Work
from lit_video.engines.driver import work_off
from lit_video.index import VideoIndex
from lit_video.planning.reads import GopRead, in_runs, reads_in_order
from lit_video.store.fill import Filled, MakeDecoder, look_of, missing_reads
from lit_video.store.frames import FrameStore
from lit_video.store.keeper import decode_to_pack
from lit_video.store.packing import Packing
from lit_video.support.errors import DataError, StoreError

INCOMING = "incoming"  # in the store's folder: files on their way into it
NUMBER, CHECKSUM = np.dtype("<i8"), 4  # of the numbers in a file, and bytes of the checksum at its end


class Piece(NamedTuple):
    """Some neighbouring GOPs of a video, or what of them is missing: what one file holds the frames of.

    Attributes:
        video_id: Of the video.
        runs: Of frames, first and last, ascending.
    """

    video_id: int
    runs: tuple[tuple[int, int], ...]

    @staticmethod
    def of(reads: Sequence[GopRead]) -> Piece:
        """Return the piece that reads of one video make."""
        return Piece(reads[0].video_id, in_runs(np.concatenate([read.frame_indices for read in reads])))

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.video_id}-{self.runs[0][0]}-{self.runs[-1][1]}"

    @property
    def frames(self) -> Int64[np.ndarray, " n"]:
        """The frames that are wanted."""
        return np.concatenate([np.arange(first, last + 1) for first, last in self.runs])


def fill_elsewhere(
    store: FrameStore,
    index: VideoIndex,
    make_decoder: MakeDecoder,
    look: str,
    size: tuple[int, int],
    video_ids: Iterable[int],
    wanted: Bool[np.ndarray, " frames"] | None,
    engine: Engine,
    folder: Path,
    tell: Callable[[int], None] = lambda num_frames: None,
) -> Filled:
    """Do what `fill_videos` does, by an engine's workers.

    Args:
        store: Of `index`, in the decoder's look and this size.
        index: The videos.
        make_decoder: Makes a decoder for each worker, on the CPU; it can be pickled.
        look: Of these decoders.
        size: Height and width of a frame.
        video_ids: Of the videos.
        wanted: Which frames of the index are to be kept; None: all.
        engine: Whose workers decode.
        folder: Which workers and this process see, for frames on their way.
        tell: Called with the number of frames behind which somebody got.

    Raises:
        WorkerError: The engine's workers cannot live.
        KeyboardInterrupt: The user had enough; what was put in stays.
    """
    told = repr((index.digest(), look, size, store.packing)).encode()
    folder = folder / hashlib.blake2b(told, digest_size=16).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    work = partial(_decodes, index, make_decoder, look, size, store.packing, folder)
    job = _Filling(store, index, work, folder, tell)
    job.put_in()  # what a run left that was killed
    pieces = [Piece.of(reads) for reads in missing_reads(store, index, video_ids, wanted) if reads]
    try:
        work_off(engine, job, pieces)
    finally:
        job.put_in()
        with contextlib.suppress(OSError):  # another data set's may lie beside it
            folder.rmdir()
            folder.parent.rmdir()
    return job.filled


class _Filling:
    """What an engine is given (`engines.base.Job`)."""

    def __init__(
        self,
        store: FrameStore,
        index: VideoIndex,
        work: Work[Piece],
        folder: Path,
        tell: Callable[[int], None],
    ) -> None:
        self.work, self.filled = work, Filled()
        self._store, self._index, self._folder, self._tell = store, index, folder, tell
        self._done = set[str]()

    def put_in(self) -> None:
        """Put into the store what workers left, and remove it."""
        for path in sorted(self._folder.glob("*.frames")):
            video_id, frames, packed, lost = _read(path)
            if not self.filled.is_full and frames is not None:
                frame_ids = int(self._index.offset[video_id]) + frames
                there = self._store.put(frame_ids, packed) if len(packed) else 0
                self.filled.kept += there
                self.filled.damaged += lost
                self.filled.is_full |= there < len(packed)
                self._tell(len(packed) + lost)
                self._done.add(path.stem)
            path.unlink()

    def left(self, items: Sequence[Piece]) -> list[Piece]:
        self.put_in()
        return [] if self.filled.is_full else [item for item in items if item.name not in self._done]

    def weight(self, item: Piece) -> float:
        return float(item.runs[-1][1] - item.runs[0][0] + 1)

    def give_up(self, item: Piece, why: str) -> None:
        path, frames = self._index.path(item.video_id), item.frames
        self.filled.damaged += len(frames)
        self.filled.given_up.append(f"{path}: frames {frames[0]} to {frames[-1]}: whoever decodes them dies ({why})")
        self._done.add(item.name)

    def tell(self, num_left: int) -> None:
        """Frames are told as they come."""


@contextlib.contextmanager
def _decodes(
    index: VideoIndex, make_decoder: MakeDecoder, look: str, size: tuple[int, int], packing: Packing, folder: Path
) -> Iterator[Callable[[Piece], None]]:
    """Yield what decodes a piece, in a worker."""
    with contextlib.closing(make_decoder(index, size)) as decoder:
        if look_of(decoder) != look:
            raise DataError(
                f"A worker's pixels would be of another look, {look_of(decoder)}, than the store's, {look}.\n"
                "Install the same versions on all machines"
            )
        yield partial(_decode, index, decoder, size, packing, folder)


def _decode(
    index: VideoIndex, decoder: Decoder, size: tuple[int, int], packing: Packing, folder: Path, piece: Piece
) -> None:
    frames, packed = list[int](), list[bytes]()
    for read in reads_in_order(index, piece.video_id, piece.frames):
        wanted = read.frame_indices

        def keep(place: int, frame: np.ndarray, wanted: Sequence[int] = wanted) -> None:
            frames.append(wanted[place])
            packed.append(packing.pack(frame))

        decode_to_pack(decoder, read, size, keep)
    _write(folder, piece, frames, packed)


def _write(folder: Path, piece: Piece, frames: Sequence[int], packed: Sequence[bytes]) -> None:
    lost = len(piece.frames) - len(frames)
    head = np.array([piece.video_id, len(frames), lost, *frames, *map(len, packed)], NUMBER).tobytes()
    content = b"".join([head, *packed])
    part = folder / f"{piece.name}-{uuid.uuid4().hex}.part"
    try:
        part.write_bytes(content + zlib.crc32(content).to_bytes(CHECKSUM, "little"))
        part.replace(folder / f"{piece.name}.frames")
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise StoreError(
            f"{folder}: frames on their way to the store cannot be written here ({error.strerror or error}).\n"
            "Make room, or name another folder: engine.folder=FOLDER"
        ) from error


def _read(path: Path) -> tuple[int, np.ndarray | None, list[bytes], int]:
    """Return video, frames, each packed, and how many could not be decoded; no frames where the file is damaged."""
    content = path.read_bytes()
    body, checksum = content[:-CHECKSUM], content[-CHECKSUM:]
    if zlib.crc32(body).to_bytes(CHECKSUM, "little") != checksum:
        return 0, None, [], 0
    video_id, number, lost = np.frombuffer(body, NUMBER, 3).tolist()
    told = np.frombuffer(body, NUMBER, 2 * number, 3 * NUMBER.itemsize)
    ends = (3 + 2 * number) * NUMBER.itemsize + np.cumsum(told[number:])
    begins = ends - told[number:]
    return video_id, told[:number], [body[a:b] for a, b in zip(begins.tolist(), ends.tolist(), strict=True)], lost
