"""`lit-video fuzz`: index and decode damaged videos by the thousand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lit_video.commands.parsing import Parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz as the command line says; end with 0 only if nothing crashed, hung, leaked or showed a bug."""
    chosen = parser().parse_args(arguments)
    from lit_video.checks.fuzz import fuzz, tell

    numbers = range(chosen.seed, chosen.seed + chosen.mutants) if chosen.only is None else [chosen.only]
    raise SystemExit(tell(fuzz(numbers, chosen.seconds, chosen.timeout, chosen.keep)))


def parser() -> Parser:
    """Return what reads the command line."""
    reads = Parser(description="Index and decode damaged videos.")
    reads.add_argument("--mutants", type=int, default=2000, help="how many")
    reads.add_argument("--seed", type=int, default=0, help="number of the first mutant")
    reads.add_argument("--only", type=int, help="this mutant alone")
    reads.add_argument("--seconds", type=float, default=600, help="stop after so many")
    reads.add_argument("--timeout", type=float, default=20, help="seconds after which a mutant is said to hang")
    reads.add_argument("--keep", type=Path, help="folder for mutants that fail")
    return reads
