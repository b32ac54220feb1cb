"""Decode in order what a store lacks, and keep it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from lit_video.decoders.base import Decoder
from lit_video.decoders.limits import one_of
from lit_video.index import VideoIndex
from lit_video.planning.planner import GopRead
from lit_video.planning.reads import reads_in_order
from lit_video.store.collected import Collected
from lit_video.store.frames import FrameStore
from lit_video.store.keeper import decode_to_pack
from lit_video.support.errors import DataError

MakeDecoder = Callable[[VideoIndex, tuple[int, int]], Decoder]

GOPS_IN_A_ROW = 8  # that a thread decodes, so that even one video is decoded by all threads


@dataclass(slots=True)
class Filled:
    """What filling did.

    Attributes:
        kept: Frames that were decoded and kept.
        damaged: Frames that could not be decoded, or that the index knows to be damaged.
        is_full: The store took no more.
        given_up: Of what workers died, in words.
    """

    kept: int = 0
    damaged: int = 0
    is_full: bool = False
    given_up: list[str] = field(default_factory=list)


def look_of(decoder: object) -> str:
    """Return what determines a decoder's pixels, beside a frame's file and size.

    Raises:
        DataError: It does not say.
    """
    look = getattr(decoder, "look", None)
    if not isinstance(look, str) or not look:
        raise DataError(
            f"{type(decoder).__name__} does not say what its pixels depend on, so they cannot be kept in a store.\n"
            "Use decoder=pyav or torchcodec, or give it an attribute `look`: docs/adding-a-decoder.md"
        )
    return look


def fill_videos(
    store: FrameStore,
    index: VideoIndex,
    make_decoder: MakeDecoder,
    size: tuple[int, int],
    video_ids: Iterable[int],
    wanted: Bool[np.ndarray, " frames"] | None = None,
    threads: int = 1,
    tell: Callable[[int], None] = lambda num_frames: None,
) -> Filled:
    """Decode the frames of some videos that a store lacks, in order, a GOP at a time, and keep them.

    What was kept stays, however this ends. Frames that the index knows to be damaged, and those that cannot be decoded,
    are left out.

    Args:
        store: Of `index`, in the decoder's look and this size.
        index: The videos.
        make_decoder: Makes a decoder for each thread, on the CPU.
        size: Height and width of a frame.
        video_ids: Of the videos.
        wanted: Which frames of the index are to be kept; None: all.
        threads: That decode.
        tell: Called with the number of frames behind which somebody got, by any thread.

    Raises:
        DataError: The decoder does not say what its pixels depend on.
        KeyboardInterrupt: The user had enough; the threads have ended, each with its GOP.
    """
    make_decoder = one_of(threads, make_decoder)
    crew = _Crew(store, index, make_decoder, size, tell, missing_reads(store, index, video_ids, wanted))
    return crew.work(threads)


def missing_reads(
    store: FrameStore, index: VideoIndex, video_ids: Iterable[int], wanted: Bool[np.ndarray, " frames"] | None = None
) -> Iterator[list[GopRead]]:
    """Yield the reads of what a store lacks, in order, a few GOPs of one video at a time; their positions are nothing.

    Damaged frames are in no read.
    """
    for video_id in video_ids:
        first, length = int(index.offset[video_id]), index.length(video_id)
        lacks = ~store.has(np.arange(first, first + length))
        if wanted is not None:
            lacks &= wanted[first : first + length]
        for run in index.damage(video_id):
            lacks[run.first : run.last + 1] = False
        reads = list(reads_in_order(index, video_id, np.flatnonzero(lacks)))
        for place in range(0, len(reads), GOPS_IN_A_ROW):
            yield reads[place : place + GOPS_IN_A_ROW]


class _Crew:
    """Threads that take reads from one list."""

    def __init__(
        self,
        store: FrameStore,
        index: VideoIndex,
        make_decoder: MakeDecoder,
        size: tuple[int, int],
        tell: Callable[[int], None],
        runs: Iterator[list[GopRead]],
    ) -> None:
        self._store, self._index, self._size, self._tell = store, index, size, tell
        self._make_decoder, self._runs = make_decoder, runs
        self._filled, self._lock = Filled(), threading.Lock()
        self._ended = threading.Event()
        self._errors: list[BaseException] = []

    def work(self, num_threads: int) -> Filled:
        """Return what was done once nothing is left to do."""
        crew = [threading.Thread(target=self._work, name=f"lit_video-fill-{n}") for n in range(num_threads)]
        try:
            for thread in crew:
                thread.start()
            for thread in crew:
                while thread.is_alive():
                    thread.join(0.2)  # in pieces: a Ctrl-C is heard between two
        finally:
            self._ended.set()
            for thread in crew:
                if thread.ident is not None:
                    thread.join()
        if self._errors:
            raise self._errors[0]
        return self._filled

    def _work(self) -> None:
        try:
            decoder = self._make_decoder(self._index, self._size)
            try:
                self._check(decoder)
                while run := self._next():
                    for read in run:
                        if not self._ended.is_set():
                            self._keep(decoder, read)
            finally:
                decoder.close()
        except BaseException as error:
            self._errors.append(error)
            self._ended.set()

    @staticmethod
    def _check(decoder: Decoder) -> None:
        look_of(decoder)
        if decoder.device.type != "cpu":
            raise DataError(
                f"A store is filled on the CPU, and {type(decoder).__name__} decodes on {decoder.device}.\n"
                "Use decoder=pyav, whose frames are of a look of their own"
            )

    def _next(self) -> list[GopRead]:
        with self._lock:  # has() is asked in there, by one thread at a time
            return [] if self._ended.is_set() else next(self._runs, [])

    def _keep(self, decoder: Decoder, read: GopRead) -> None:
        """Decode one read and keep what comes out of it."""
        collected, origin = Collected(self._store), int(self._index.offset[read.video_id])
        frame_ids = [origin + frame for frame in read.frame_indices]
        lost = decode_to_pack(decoder, read, self._size, lambda place, frame: collected.add(frame_ids[place], frame))
        collected.put()
        with self._lock:
            self._filled.kept += collected.num_kept
            self._filled.damaged += lost
            self._filled.is_full |= collected.is_full
        if collected.is_full:
            self._ended.set()
        self._tell(len(read.frame_indices))
