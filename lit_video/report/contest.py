"""A contender -> what it delivers: the loader itself runs, decoding for real, and every read is watched."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8
from scipy import stats
from torch import Tensor

from lit_video.decoders.base import Decoder
from lit_video.loading.loader import VideoLoader
from lit_video.loading.resume import Place
from lit_video.planning.planner import Budget, GopRead
from lit_video.report.choices import Contender
from lit_video.report.setting import Options, Setting

PARTS = 4  # of a round, whose rates say how sure the rate is


class Read(NamedTuple):
    """One read that ended."""

    ended: float  # a time of `time.perf_counter`
    seconds: float  # that its thread was busy
    cpu_seconds: float  # of these, that it had a core
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
        began, cpu_began = time.perf_counter(), time.thread_time()
        self._decoder.decode(read, out)
        ended, cpu_ended = time.perf_counter(), time.thread_time()
        filled = sum(map(len, read.positions))
        costs = read.num_decoded, len(read.frame_indices), filled
        self._reads.append(Read(ended, ended - began, cpu_ended - cpu_began, *costs))

    def close(self) -> None:
        """Close all files."""
        self._decoder.close()


@dataclass(frozen=True, eq=False)
class Round:
    """One run of a contender.

    Attributes:
        reads: All that ended, those for the first batch too.
        asked: When the first batch was asked for, a time of `time.perf_counter`.
        began: When it came.
        ended: When the last one came.
        loader: Closed.
        warnings: Of the loader.
    """

    reads: tuple[Read, ...]
    asked: float
    began: float
    ended: float
    loader: VideoLoader
    warnings: tuple[str, ...]

    @property
    def span(self) -> tuple[float, float]:
        """When the measurement began and ended.

        It begins with the first batch, unless all frames came with that: then how they came is part of it.
        """
        return self.began if self.reads and self.reads[-1].ended > self.began else self.asked, self.ended

    @property
    def counted(self) -> list[Read]:
        """The reads that ended meanwhile."""
        return [read for read in self.reads if self.span[0] < read.ended <= self.span[1]]

    @property
    def rates(self) -> Float64[np.ndarray, " parts"]:
        """Images per second in each of PARTS equal parts of the time."""
        ended, filled = [read.ended for read in self.counted], [read.filled for read in self.counted]
        made, _ = np.histogram(ended, bins=PARTS, range=self.span, weights=filled)
        return made / ((self.span[1] - self.span[0]) / PARTS)


@dataclass(frozen=True)
class Measured:
    """What a contender did, all rounds together.

    Attributes:
        images_per_s: Positions that reads filled, for each second. Those that wait for their turn count as well: so a
            short measurement says what a long one would.
        standard_error: Of it, from parts of the measurement.
        interval: Half of its 95 % interval, by Student's t.
        seconds: How long the measurement was.
        first_batch_seconds: From the first request to the first batch, which is before the measurement.
        wait_seconds: For batches, the first apart.
        decoded_per_image: Decode amplification.
        wanted_per_image: Frames that were written; below 1 where a frame fills two positions.
        reads_per_image: Seeks.
        peak_held_frames: Slots in use at most.
        warnings: Of the loader.
        budget: How the memory was divided, and how far a read looked ahead.
        threads: That decoded.
        reads: All of them, those for the first batch too.
    """

    images_per_s: float
    standard_error: float
    interval: float
    seconds: float
    first_batch_seconds: float
    wait_seconds: float
    decoded_per_image: float
    wanted_per_image: float
    reads_per_image: float
    peak_held_frames: int
    warnings: tuple[str, ...]
    budget: Budget
    threads: int
    reads: tuple[Read, ...]


def compete(
    setting: Setting, options: Options, contenders: Sequence[Contender], tell: Callable[[str], None]
) -> dict[Contender, Measured]:
    """Measure contenders, in turn in each round; `tell` is told which."""
    rounds: dict[Contender, list[Round]] = {contender: [] for contender in contenders}
    for number in range(options.rounds):
        for contender in contenders:
            tell(f"Measuring {contender.name}, round {number + 1} of {options.rounds}")
            rounds[contender].append(load(setting, options, contender, number))
    return {contender: together(found) for contender, found in rounds.items()}


def load(setting: Setting, options: Options, contender: Contender, number: int) -> Round:
    """Load with a contender, in a round of this number: one batch to warm up, then until time or images are over.

    Raises:
        DecodeError: A frame could not be decoded.
    """
    reads: list[Read] = []
    watched = lambda index, size: WatchedDecoder(setting.make_decoder(index, size), reads)  # noqa: E731
    loader = setting.make_loader(contender.make(setting.seed), contender.lookahead, watched)
    loader.go_to(Place(number, 0))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            asked, began, ended = _run(loader, reads, options)
            warned = tuple(str(w.message) for w in caught if w.category is UserWarning)
            return Round(tuple(read for read in reads if read.ended <= ended), asked, began, ended, loader, warned)
        finally:
            loader.close()


def _run(loader: VideoLoader, reads: Sequence[Read], options: Options) -> tuple[float, float, float]:
    """Return when the first batch was asked for, when it came, and when the last one came."""
    batches = itertools.chain.from_iterable(itertools.repeat(loader))  # one epoch after another
    asked = time.perf_counter()
    next(batches)
    began = time.perf_counter()
    while not _enough(reads, began, options):
        next(batches)
    return asked, began, time.perf_counter()


def _enough(reads: Sequence[Read], began: float, options: Options) -> bool:
    filled = sum(read.filled for read in tuple(reads) if read.ended > began)
    seconds = time.perf_counter() - began
    return seconds >= options.seconds / options.rounds or filled >= options.images / options.rounds


def together(rounds: Sequence[Round]) -> Measured:
    """Return what all rounds of a contender say."""
    reads, rates = [read for one in rounds for read in one.counted], np.concatenate([one.rates for one in rounds])
    seconds = sum(one.span[1] - one.span[0] for one in rounds)
    filled = sum(read.filled for read in reads)
    standard_error = float(stats.sem(rates))
    return Measured(
        images_per_s=filled / seconds,
        standard_error=standard_error,
        interval=float(stats.t.ppf(0.975, len(rates) - 1)) * standard_error,
        seconds=seconds,
        first_batch_seconds=float(np.mean([one.began - one.asked for one in rounds])),
        wait_seconds=sum(max(0.0, one.loader.counts.wait_seconds - (one.began - one.asked)) for one in rounds),
        decoded_per_image=sum(read.decoded for read in reads) / filled,
        wanted_per_image=sum(read.wanted for read in reads) / filled,
        reads_per_image=len(reads) / filled,
        peak_held_frames=max(one.loader.counts.peak_held_frames for one in rounds),
        warnings=tuple(dict.fromkeys(warning for one in rounds for warning in one.warnings)),
        budget=rounds[0].loader.budget,
        threads=rounds[0].loader.threads,
        reads=tuple(read for one in rounds for read in one.reads),
    )
