"""The samplers that can be chosen: those that compete, the one that the run names, the one that the law proposes."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from lit_video.bias import Conditions, Recommendation, recommend
from lit_video.report.setting import Options, Setting
from lit_video.samplers.base import Sampler
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.reservoir import ReservoirSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler

SAMPLERS = ("sampler=", "data.sampler.")  # what overrides begin with that choose a sampler


@dataclass(frozen=True)
class Contender:
    """One way to load the data."""

    name: str  # for tables: the sampler, and those of its options that tell it from the others
    family: str  # of FAMILIES, or `named`
    make: Callable[[int], Sampler]  # from a seed
    lookahead: int | None  # positions that a read looks ahead; None: as far as the memory lasts
    arguments: tuple[str, ...]  # for the command line: what choosing it means
    chunk: int | str | None = None  # frames in a chunk; `gop`; or None where there are no chunks

    @property
    def sampler_name(self) -> str:
        """Without the look-ahead, which makes no difference to the order."""
        return self.name.split(" lookahead=")[0]

    def same_order_as(self, other: Contender) -> bool:
        """Tell whether both load the same frames in the same order."""
        mine, its = self.make(0), other.make(0)
        return type(mine) is type(its) and mine == its

    def among(self, contenders: Iterable[Contender]) -> list[Contender]:
        """Return those that load the same frames in the same order, with the same look-ahead."""
        return [one for one in contenders if self.same_order_as(one) and self.lookahead == one.lookahead]


def list_contenders(setting: Setting, options: Options, named: str) -> list[Contender]:
    """Return all contenders, none twice; `named` is what the run calls its own sampler.

    Raises:
        ValueError: A sampler's argument is out of range.
    """
    found = [contender for family in options.contenders for contender in _family(family, setting, options)]
    make = partial(setting.make_sampler, setting.index)
    own = Contender(f"{named}, as named", "named", make, setting.lookahead, ())
    return found if own.among(found) else [own, *found]


def different(contenders: Iterable[Contender]) -> list[Contender]:
    """Return one contender of each order."""
    found: list[Contender] = []
    for contender in contenders:
        if not any(contender.same_order_as(other) for other in found):
            found.append(contender)
    return found


def _family(family: str, setting: Setting, options: Options) -> Iterator[Contender]:
    if family == "uniform":
        reach = setting.reach
        for lookahead in sorted({max(1, round(share * reach)) for share in options.lookaheads}):
            yield uniform(setting, None if lookahead == reach else lookahead)
    elif family == "chunked":
        for chunk in options.chunk_lengths:
            yield chunked(setting, None if chunk == "gop" else int(chunk), setting.batch_size)
    elif family == "reservoir":
        yield reservoir(setting, None, ReservoirSampler.buffer)
    else:
        make = partial(SequentialSampler, setting.index)
        yield Contender("sequential", "sequential", make, setting.lookahead, ("sampler=sequential",))


def uniform(setting: Setting, lookahead: int | None = None) -> Contender:
    """Return uniform order with a look-ahead of so many positions, or as far as memory or the user lets it."""
    make = partial(UniformSampler, setting.index)
    if lookahead is not None:
        arguments = ("sampler=uniform", f"data.lookahead={lookahead}")
        return Contender(f"uniform lookahead={lookahead}", "uniform", make, lookahead, arguments)
    memory = () if setting.lookahead else (f"data.lookahead_bytes={setting.lookahead_bytes}",)
    return Contender("uniform", "uniform", make, setting.lookahead, ("sampler=uniform", *memory))


def chunked(setting: Setting, chunk_length: int | None, lanes: int) -> Contender:
    """Return chunks of so many frames, or whole GOPs, in so many lanes."""
    name = f"chunked chunk_length={chunk_length}" if chunk_length else "chunked whole GOPs"
    return _of_chunks(name, setting, ChunkedSampler, chunk_length=chunk_length, lanes=lanes)


def reservoir(setting: Setting, chunk_length: int | None, buffer: int) -> Contender:
    """Return a shuffle buffer behind chunks of so many frames, or behind whole GOPs."""
    name = f"reservoir buffer={buffer}" + (f" chunk_length={chunk_length}" if chunk_length else "")
    return _of_chunks(name, setting, ReservoirSampler, buffer=buffer, chunk_length=chunk_length)


def _of_chunks(name: str, setting: Setting, sampler: Callable[..., Sampler], **options: Any) -> Contender:
    """Return a sampler of chunks with its options, of which None is the default and is not typed."""
    family, chosen = name.split()[0], {key: value for key, value in options.items() if value is not None}
    arguments = (f"sampler={family}", *(f"data.sampler.{key}={value}" for key, value in chosen.items()))
    make = partial(sampler, setting.index, **chosen)
    return Contender(name, family, make, setting.lookahead, arguments, chosen.get("chunk_length", "gop"))


def propose(
    setting: Setting, options: Options, R: ArrayLike, decode_seconds: float, seek_seconds: float, threads: int
) -> Recommendation:
    """Return what section 9 of docs/bias.md recommends for `threads` that decode, with costs that were measured."""
    gops = setting.gop_lengths
    return recommend(
        Conditions(
            gop_lengths=gops,
            R=R,
            b=setting.batch_size,
            decode_seconds=decode_seconds,
            seek_seconds=seek_seconds,
            frame_bytes=setting.frame_bytes,
            memory_bytes=setting.lookahead_bytes,
            noise_scale=options.noise_scale or math.inf,
            num_decoders=threads,
            consumer_rate=options.images_per_s or math.inf,
            # A lane is no open file here but a chunk whose frames wait: as many as a look-ahead reaches over.
            max_open=max(1, int(setting.reach * gops.sum() / (gops @ gops))),
        )
    )


def translate(found: Recommendation, setting: Setting, lookahead: int) -> Contender:
    """Return the sampler of this package that a recommendation of `lit_video.bias` means.

    That counts lanes and the jitter's width; the samplers here take `lanes`, of which the look-ahead must reach over
    all, and `buffer`, half a width.
    """
    parameters = found.parameters
    if found.sampler == "uniform":  # the loader looks ahead as far as its memory lets it
        return uniform(setting)
    k = int(parameters["k"])
    chunk_length = None if parameters["whole_gops"] else k
    if found.sampler == "chunked":
        return chunked(setting, chunk_length, max(1, min(int(parameters["lanes"]), lookahead // k)))
    return reservoir(setting, chunk_length, max(1, min(int(parameters["jitter"]), lookahead - k) // 2))


def overrides(contender: Contender, given: Sequence[str]) -> tuple[str, ...]:
    """Return what chooses a contender on the command line, of those of the run where it names it itself."""
    chosen = (*SAMPLERS, "data.lookahead")
    return contender.arguments or tuple(part for part in given if part.lstrip("+~").startswith(chosen))


def command(contender: Contender, given: Sequence[str]) -> str:
    """Return the command that trains with a contender, and with what else the run was `given`."""
    chosen = overrides(contender, given)
    sets = {part.split("=")[0] for part in chosen}
    dropped = ("report.", "hydra.", *SAMPLERS)
    kept = [part for part in given if not part.lstrip("+~").startswith(dropped) and part.split("=")[0] not in sets]
    return " ".join(["python train.py", *map(shlex.quote, (*chosen, *kept))])
