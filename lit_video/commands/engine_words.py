"""`engine=ray engine.num_cpus=64` on the command lines that argparse reads, as Hydra reads it on the others."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from lit_video.commands.parsing import Parser, nearest
from lit_video.engines.base import Engine

ENGINES = ("local", "ray", "submitit")
TOLD = "engine=local, submitit or ray, and its options such as engine.num_cpus=64: whose workers do it; docs/scale.md"


def without_engine(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words about the engine, and the others.

    >>> without_engine(["videos", "engine=ray", "--verify", "engine.num_cpus=4"])
    (['engine=ray', 'engine.num_cpus=4'], ['videos', '--verify'])
    """
    words = [word for word in arguments if "=" in word and word.partition("=")[0].partition(".")[0] == "engine"]
    return words, [word for word in arguments if word not in words]


def make_engine(words: Sequence[str], reads: Parser) -> Engine | None:
    """Return the engine that the words choose; None without words.

    Raises:
        MachineError: What the engine needs is not there.
        ValueError: A value out of range.
    """
    if not words:
        return None
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    names = [word.partition("=")[2] for word in words if word.startswith("engine=")]
    name = names[-1] if names else "local"
    if name not in ENGINES:
        reads.error(f"no engine {name!r}{nearest(name, ENGINES)}; there are {', '.join(ENGINES)}")
    options = OmegaConf.load(str(files("lit_video.commands.conf").joinpath("engine", f"{name}.yaml")))
    given = OmegaConf.from_dotlist([word.removeprefix("engine.") for word in words if not word.startswith("engine=")])
    for key in given:
        if key not in options:
            reads.error(f"engine={name} has no {key!r}{nearest(str(key), list(options))}; there are {_keys(options)}")
    return instantiate(OmegaConf.merge(options, given))


def _keys(options) -> str:
    return ", ".join(key for key in options if key != "_target_")
