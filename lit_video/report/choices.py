"""The samplers that can be chosen: those that compete, the one that the run names, the one that the law proposes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lit_video.bias import Recommendation
from lit_video.report.setting import Options, Setting
from lit_video.samplers.base import Sampler
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.reservoir import ReservoirSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler

NAMED = "named"  # the family of a sampler that is of none of the others


@dataclass(frozen=True)
class Contender:
    """One way to load the data.

    Attributes:
        name: For tables: the sampler, and those of its options that tell it from the others.
        family: Of FAMILIES, or NAMED.
        make: From a seed to the sampler.
        lookahead: Positions that a read looks ahead; None: as far as the memory lasts.
        chunk: Frames in a chunk; `gop`; or None where there are no chunks.
        arguments: For the command line: what choosing it means.
    """

    name: str
    family: str
    make: Callable[[int], Sampler]
    lookahead: int | None
    chunk: int | str | None
    arguments: tuple[str, ...]

    @property
    def sampler_name(self) -> str:
        """Without the look-ahead, which makes no difference to the order."""
        return self.name.split(" lookahead=")[0]

    def same_order_as(self, other: Contender) -> bool:
        """Tell whether both load the same frames in the same order."""
        mine, its = self.make(0), other.make(0)
        return type(mine) is type(its) and mine == its


def list_contenders(setting: Setting, options: Options, named: str) -> list[Contender]:
    """Return all contenders, none twice.

    Args:
        setting: The data, and the sampler that the run names.
        options: Which families, and what of them.
        named: What the run calls its sampler.

    Raises:
        ValueError: A sampler's argument is out of range.
    """
    found = [contender for family in options.contenders for contender in _family(family, setting, options)]
    index = setting.index
    make = lambda seed: setting.make_sampler(index=index, seed=seed)  # noqa: E731
    own = Contender(f"{named}, as named", NAMED, make, setting.lookahead, None, ())
    known = any(own.same_order_as(one) and own.lookahead == one.lookahead for one in found)
    return found if known else [own, *found]


def different(contenders: Iterable[Contender]) -> list[Contender]:
    """Return one contender of each order."""
    found: list[Contender] = []
    for contender in contenders:
        if not any(contender.same_order_as(other) for other in found):
            found.append(contender)
    return found


def _family(family: str, setting: Setting, options: Options) -> Iterator[Contender]:
    if family == "uniform":
        reach = uniform_reach(setting)
        for lookahead in sorted({max(1, round(share * reach)) for share in options.lookaheads}):
            yield uniform(setting, None if lookahead == reach else lookahead)
    elif family == "chunked":
        for chunk in options.chunk_lengths:
            yield chunked(setting, None if chunk == "gop" else int(chunk), setting.batch_size)
    elif family == "reservoir":
        yield reservoir(setting, None, ReservoirSampler.buffer)
    else:
        make = lambda seed: SequentialSampler(setting.index, seed)  # noqa: E731
        yield Contender("sequential", "sequential", make, setting.lookahead, None, ("sampler=sequential",))


def uniform_reach(setting: Setting) -> int:
    """Return how many positions a read of uniform order looks ahead, as far as memory or the user lets it."""
    return setting.budget(setting.index.num_frames).lookahead


def uniform(setting: Setting, lookahead: int | None = None) -> Contender:
    """Return uniform order with a look-ahead of so many positions, or as far as memory or the user lets it."""
    make = lambda seed: UniformSampler(setting.index, seed)  # noqa: E731
    if lookahead is not None:
        arguments = ("sampler=uniform", f"data.lookahead={lookahead}")
        return Contender(f"uniform lookahead={lookahead}", "uniform", make, lookahead, None, arguments)
    memory = () if setting.lookahead else (f"data.lookahead_bytes={setting.lookahead_bytes}",)
    return Contender("uniform", "uniform", make, setting.lookahead, None, ("sampler=uniform", *memory))


def chunked(setting: Setting, chunk_length: int | None, lanes: int) -> Contender:
    """Return chunks of so many frames, or whole GOPs, in so many lanes."""
    length = (f"chunk_length={chunk_length}",) if chunk_length else ()
    return Contender(
        " ".join(("chunked", *(length or ("whole GOPs",)))),
        "chunked",
        lambda seed: ChunkedSampler(setting.index, seed, chunk_length=chunk_length, lanes=lanes),
        setting.lookahead,
        chunk_length or "gop",
        ("sampler=chunked", *(f"data.sampler.{argument}" for argument in (*length, f"lanes={lanes}"))),
    )


def reservoir(setting: Setting, chunk_length: int | None, buffer: int) -> Contender:
    """Return a shuffle buffer behind chunks of so many frames, or behind whole GOPs."""
    arguments = (f"buffer={buffer}", *((f"chunk_length={chunk_length}",) if chunk_length else ()))
    return Contender(
        " ".join(("reservoir", *arguments)),
        "reservoir",
        lambda seed: ReservoirSampler(setting.index, seed, buffer=buffer, chunk_length=chunk_length),
        setting.lookahead,
        chunk_length or "gop",
        ("sampler=reservoir", *(f"data.sampler.{argument}" for argument in arguments)),
    )


def translate(found: Recommendation, setting: Setting, lookahead: int) -> Contender:
    """Return the sampler of this package that a recommendation of `lit_video.bias` means.

    That counts lanes and the jitter's width; the samplers here take `lanes`, of which the look-ahead must reach over
    all, and `buffer`, half a width.

    Args:
        found: The recommendation.
        setting: The data.
        lookahead: Positions that a read looks ahead.
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
    chosen = ("sampler=", "data.sampler.", "data.lookahead")
    return contender.arguments or tuple(part for part in given if part.lstrip("+~").startswith(chosen))


def command(contender: Contender, given: Sequence[str]) -> str:
    """Return the command that trains with a contender.

    Args:
        contender: The sampler.
        given: Overrides of this run; those of the sampler and of the report are left out, what a contender sets wins.
    """
    sets = {argument.split("=")[0] for argument in contender.arguments}
    dropped = ("report.", "hydra.", *(("sampler=", "data.sampler.") if contender.arguments else ()))
    kept = [part for part in given if not part.lstrip("+~").startswith(dropped) and part.split("=")[0] not in sets]
    return " ".join(["python train.py", *contender.arguments, *map(shlex.quote, kept)])
