"""The samplers that compete: each family as it is meant to be used, and the one that this run names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

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
        name: For tables, with what is special about it.
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
        return self.name.split(" W=")[0]

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
    found = [contender for family in options.contenders for contender in _FAMILIES[family](setting, options)]
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


def _uniform(setting: Setting, options: Options) -> Iterator[Contender]:
    reach = uniform_reach(setting)
    for lookahead in sorted({max(1, round(share * reach)) for share in options.lookaheads}):
        yield uniform(setting, None if lookahead == reach else lookahead)


def uniform_reach(setting: Setting) -> int:
    """Return how many positions a read of uniform order looks ahead, as far as memory or the user lets it."""
    return setting.budget(setting.index.num_frames).lookahead


def uniform(setting: Setting, lookahead: int | None = None) -> Contender:
    """Return uniform order with a look-ahead of so many positions, or as far as it may."""
    index = setting.index
    return Contender(
        f"uniform W={lookahead or uniform_reach(setting)}",
        "uniform",
        lambda seed: UniformSampler(index, seed),
        lookahead or setting.lookahead,
        None,
        ("sampler=uniform", *(() if lookahead is None else (f"data.lookahead={lookahead}",))),
    )


def _chunked(setting: Setting, options: Options) -> Iterator[Contender]:
    for chunk in options.chunk_lengths:
        yield chunked(setting, None if chunk == "gop" else int(chunk), setting.batch_size)


def chunked(setting: Setting, chunk_length: int | None, lanes: int) -> Contender:
    """Return chunks of so many frames, or whole GOPs, in so many lanes."""
    index = setting.index
    return Contender(
        f"chunked k={chunk_length}" if chunk_length else "chunked gop",
        "chunked",
        lambda seed: ChunkedSampler(index, seed, chunk_length=chunk_length, lanes=lanes),
        setting.lookahead,
        chunk_length or "gop",
        ("sampler=chunked", *_set("chunk_length", chunk_length), f"data.sampler.lanes={lanes}"),
    )


def _reservoir(setting: Setting, options: Options) -> Iterator[Contender]:
    yield reservoir(setting, None, ReservoirSampler.buffer)


def reservoir(setting: Setting, chunk_length: int | None, buffer: int) -> Contender:
    """Return a shuffle buffer behind chunks of so many frames, or behind whole GOPs."""
    index = setting.index
    return Contender(
        f"reservoir {buffer}" + (f" k={chunk_length}" if chunk_length else ""),
        "reservoir",
        lambda seed: ReservoirSampler(index, seed, buffer=buffer, chunk_length=chunk_length),
        setting.lookahead,
        chunk_length or "gop",
        ("sampler=reservoir", f"data.sampler.buffer={buffer}", *_set("chunk_length", chunk_length)),
    )


def _sequential(setting: Setting, options: Options) -> Iterator[Contender]:
    index = setting.index
    make = lambda seed: SequentialSampler(index, seed)  # noqa: E731
    yield Contender("sequential", "sequential", make, setting.lookahead, None, ("sampler=sequential",))


def _set(argument: str, value: Any) -> tuple[str, ...]:
    return () if value is None else (f"data.sampler.{argument}={value}",)


_FAMILIES = {"uniform": _uniform, "chunked": _chunked, "reservoir": _reservoir, "sequential": _sequential}
