"""A contender -> what it delivers: the loader itself runs, decoding for real, and every read is watched."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8
from torch import Tensor

from lit_video.decoders.base import Decoder
from lit_video.loader import Batch, VideoLoader
from lit_video.planner import Budget, GopRead
from lit_video.report.contenders import Contender
from lit_video.report.setting import Options, Setting

PARTS = 4  # of a measurement, whose rates say how sure the rate is


class Read(NamedTuple):
    """One read that ended."""

    ended: float  # a time of `time.perf_counter`
    seconds: float  # that its thread was busy
    decoded: int  # frames from the keyframe to the last wanted one
    wanted: int  # frames that were scaled and written
    filled: int  # positions of the order that they fill


class WatchedDecoder:
    """A decoder whose reads are written down.

    Args:
        decoder: What decodes.
        reads: Where each read is appended.
    """

    def __init__(self, decoder: Decoder, reads: list[Read]) -> None:
        self._decoder, self._reads = decoder, reads
        self.device, self.start_method = decoder.device, decoder.start_method
        self.default_threads = getattr(decoder, "default_threads", None)

    def decode(self, read: GopRead, out: Sequence[UInt8[Tensor, "3 height width"]]) -> None:
        """Decode, and note what it took."""
        began = time.perf_counter()
        self._decoder.decode(read, out)
        ended = time.perf_counter()
        filled = sum(map(len, read.positions))
        self._reads.append(Read(ended, ended - began, read.num_decoded, len(read.frame_indices), filled))

    def close(self) -> None:
        """Close all files."""
        self._decoder.close()


@dataclass(frozen=True)
class Measured:
    """What a contender did.

    Attributes:
        images_per_s: Positions that reads filled, for each second. Those that wait for their turn count as well: so a
            short measurement says what a long one would.
        standard_error: Of it, from the parts of the measurement.
        images: That were handed out meanwhile.
        seconds: How long the measurement was.
        first_batch_seconds: From the first request to the first batch, which is before the measurement.
        wait_seconds: For batches, the first apart.
        decoded_per_image: Decode amplification.
        wanted_per_image: Frames that were written; below 1 where a frame fills two positions.
        reads_per_image: Seeks.
        peak_held_frames: Slots in use at most.
        budget: How the memory was divided, and how far a read looked ahead.
        threads: That decoded.
        reads: All of them, those for the first batch too.
        warned: What the loader warned of.
    """

    images_per_s: float
    standard_error: float
    images: int
    seconds: float
    first_batch_seconds: float
    wait_seconds: float
    decoded_per_image: float
    wanted_per_image: float
    reads_per_image: float
    peak_held_frames: int
    budget: Budget
    threads: int
    reads: tuple[Read, ...]
    warned: tuple[str, ...]


def measure(setting: Setting, options: Options, contender: Contender) -> Measured:
    """Load with a contender: one batch to warm up, then until the time is over or enough images were made.

    Raises:
        DecodeError: A frame could not be decoded.
    """
    reads: list[Read] = []
    watched = lambda index, size: WatchedDecoder(setting.make_decoder(index, size), reads)  # noqa: E731
    loader = setting.make_loader(contender.make(setting.seed), contender.lookahead, watched)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            times = _load(loader, reads, options)
            return _summary(loader, reads, times, [str(w.message) for w in caught if w.category is UserWarning])
        finally:
            loader.close()


class _Times(NamedTuple):
    asked: float
    began: float  # when the first batch came
    ended: float


def _load(loader: VideoLoader, reads: Sequence[Read], options: Options) -> _Times:
    batches = _forever(loader)
    asked = time.perf_counter()
    next(batches)
    began = time.perf_counter()
    while not _enough(reads, began, options):
        next(batches)
    return _Times(asked, began, time.perf_counter())


def _forever(loader: VideoLoader) -> Iterator[Batch]:
    """Yield the batches of one epoch after another."""
    while True:
        yield from loader


def _enough(reads: Sequence[Read], began: float, options: Options) -> bool:
    filled = sum(read.filled for read in tuple(reads) if read.ended > began)
    return time.perf_counter() - began >= options.seconds or filled >= options.images


def _summary(loader: VideoLoader, reads: Sequence[Read], times: _Times, warned: Sequence[str]) -> Measured:
    found = [read for read in reads if times.began < read.ended <= times.ended]
    start = times.began
    if not found:  # all frames came with the first batch, so what that took is part of the measurement
        found, start = [read for read in reads if read.ended <= times.ended], times.asked
    filled, first, counts = sum(read.filled for read in found), times.began - times.asked, loader.counts
    rates = _rates_of_parts(found, start, times.ended)
    return Measured(
        images_per_s=filled / (times.ended - start),
        standard_error=float(np.std(rates, ddof=1) / PARTS**0.5),
        images=counts.images - loader.batch_size,
        seconds=times.ended - start,
        first_batch_seconds=first,
        wait_seconds=max(0.0, counts.wait_seconds - first),
        decoded_per_image=sum(read.decoded for read in found) / filled,
        wanted_per_image=sum(read.wanted for read in found) / filled,
        reads_per_image=len(found) / filled,
        peak_held_frames=counts.peak_held_frames,
        budget=loader.budget,
        threads=loader.threads,
        reads=tuple(reads),
        warned=tuple(dict.fromkeys(warned)),
    )


def _rates_of_parts(reads: Sequence[Read], start: float, end: float) -> Float64[np.ndarray, " parts"]:
    """Return the images per second in each of PARTS equal parts of the time."""
    times, filled = [read.ended for read in reads], [read.filled for read in reads]
    made, _ = np.histogram(times, bins=PARTS, range=(start, end), weights=filled)
    return made / ((end - start) / PARTS)
