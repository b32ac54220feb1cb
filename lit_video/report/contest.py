"""A contender -> what it delivers: the loader itself runs, decoding for real, and every read is watched."""

from __future__ import annotations

import contextlib
import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import stats

from lit_video.loading.loader import VideoLoader
from lit_video.loading.resume import Place
from lit_video.measuring.reads import Read, WatchedDecoder
from lit_video.planning.budget import Budget
from lit_video.report.choices import Contender
from lit_video.report.setting import Options, Setting

PARTS = 4  # of a round, whose rates say how sure the rate is


class Round(NamedTuple):
    """One run of a contender."""

    reads: Sequence[Read]  # all that ended, those for the first batch too
    counted: Sequence[Read]  # those that ended during the measurement
    span: tuple[float, float]  # when the measurement began and ended, times of `time.perf_counter`
    first_batch_seconds: float  # from the first request to the first batch
    loader: VideoLoader  # closed
    warnings: Sequence[str]  # of the loader

    @property
    def rates(self) -> Float64[np.ndarray, " parts"]:
        """Images per second in each of PARTS equal parts of the measurement."""
        ended, filled = [read.ended for read in self.counted], [read.filled for read in self.counted]
        made, edges = np.histogram(ended, bins=PARTS, range=self.span, weights=filled)
        return made / np.diff(edges)


class Measured(NamedTuple):
    """What a contender did, all rounds together, after the first batch of each.

    Positions count as images when a read has filled them. Those that wait for their turn count as well: so a short
    measurement says what a long one would.
    """

    images_per_s: float
    standard_error: float  # of it, from parts of the measurement
    interval: float  # half of its 95 % interval, by Student's t
    seconds: float  # how long the measurement was
    first_batch_seconds: float  # from the first request to the first batch, which is before the measurement
    wait_seconds: float  # for batches, the first apart
    decoded_per_image: float  # decode amplification
    wanted_per_image: float  # frames that were written; below 1 where a frame fills two positions
    reads_per_image: float  # seeks
    peak_held_frames: int  # slots in use at most
    warnings: Sequence[str]  # of the loader
    budget: Budget  # how the memory was divided, and how far a read looked ahead
    threads: int  # that decoded
    reads: Sequence[Read]  # all of them, those for the first batch too


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

    The measurement begins with the first batch, unless all frames came with that: then how they came is part of it.

    Raises:
        DecodeError: A frame could not be decoded.
    """
    found: list[Read] = []
    watched = lambda index, size: WatchedDecoder(setting.make_decoder(index, size), found)  # noqa: E731
    sampler = contender.make(setting.seed)
    loader = setting.make_loader(sampler, decoder=watched, lookahead=contender.lookahead)
    loader.go_to(Place(number, 0))
    batches = itertools.chain.from_iterable(itertools.repeat(loader))  # one epoch after another
    with contextlib.closing(loader), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asked = time.perf_counter()
        next(batches)
        began = time.perf_counter()
        while not _enough(found, began, options):
            next(batches)
        ended = time.perf_counter()
    reads = [read for read in found if read.ended <= ended]
    later = [read for read in reads if read.ended > began]
    warned = [str(warning.message) for warning in caught if warning.category is UserWarning]
    return Round(reads, later or reads, (began if later else asked, ended), began - asked, loader, warned)


def _enough(reads: Sequence[Read], began: float, options: Options) -> bool:
    filled = sum(read.filled for read in tuple(reads) if read.ended > began)
    seconds = time.perf_counter() - began
    return seconds >= options.seconds / options.rounds or filled >= options.images / options.rounds


def together(rounds: Sequence[Round]) -> Measured:
    """Return what all rounds of a contender say."""
    reads, loaders = [read for one in rounds for read in one.counted], [one.loader for one in rounds]
    seconds, rates = sum(one.span[1] - one.span[0] for one in rounds), np.concatenate([one.rates for one in rounds])
    decoded, wanted, filled = (sum(getattr(read, what) for read in reads) for what in ("decoded", "wanted", "filled"))
    standard_error = float(stats.sem(rates))
    return Measured(
        images_per_s=filled / seconds,
        standard_error=standard_error,
        interval=float(stats.t.ppf(0.975, len(rates) - 1)) * standard_error,
        seconds=seconds,
        first_batch_seconds=float(np.mean([one.first_batch_seconds for one in rounds])),
        wait_seconds=sum(max(0.0, one.loader.counts.wait_seconds - one.first_batch_seconds) for one in rounds),
        decoded_per_image=decoded / filled,
        wanted_per_image=wanted / filled,
        reads_per_image=len(reads) / filled,
        peak_held_frames=max(loader.counts.peak_held_frames for loader in loaders),
        warnings=list(dict.fromkeys(warning for one in rounds for warning in one.warnings)),
        budget=loaders[0].budget,
        threads=loaders[0].threads,
        reads=[read for one in rounds for read in one.reads],
    )
