"""`lit-video sweep`: rank the jobs of a sweep again, or of one that was broken off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lit_video.commands.parsing import Parser
from lit_video.support.errors import told_in_a_sentence


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report into the sweep's folder, as the sweep itself does at its end."""
    chosen = parser().parse_args(arguments)
    with told_in_a_sentence():
        from lit_video.sweep.summary import report

        report(chosen.folder)


def parser() -> Parser:
    """Return what reads the command line."""
    reads = Parser(description="Rank the jobs of a sweep again, or of one that was broken off.")
    reads.add_argument("folder", type=Path, help="of the sweep, with the jobs' folders in it")
    return reads
