"""`lit-video doctor`: say in one screen what works on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.table import Table
from rich.text import Text

from lit_video.commands.parsing import Parser
from lit_video.support.screen import screen

COLOURS = {"ok": "green", "failed": "red", "skipped": "yellow"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all checks, print them, and end with 0 only if all that could be made passed."""
    chosen = parser().parse_args(arguments)
    if chosen.gpu:
        ask_the_gpu()
    if chosen.costs:
        measure(Path(chosen.costs))
    from lit_video.checks import doctor

    with tempfile.TemporaryDirectory() as folder:
        findings = list(doctor.examine(Path(folder)))
    table = Table(title="lit_video on this machine", title_justify="left")
    for column in ("check", "", "what was found"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(finding.name, Text(finding.status, COLOURS[finding.status]), finding.text)
    console = screen()
    (console if console.is_terminal else screen(width=130)).print(table)
    failed = [finding.name for finding in findings if finding.status == "failed"]
    print(f"Failed: {', '.join(failed)}." if failed else "All that can run here passed.")
    raise SystemExit(1 if failed else 0)


def measure(path: Path) -> NoReturn:
    """Write the constants that capacity is planned with."""
    from lit_video.checks.costs import measure_costs
    from lit_video.support.errors import told_in_a_sentence

    with told_in_a_sentence(), tempfile.TemporaryDirectory() as folder:
        measure_costs(Path(folder)).write(path)
    print(f"Constants of this machine: {path}. Now: lit-video plan-capacity --costs {path} ...")
    raise SystemExit(0)


def ask_the_gpu() -> NoReturn:
    """Print what only a GPU can answer, a line a question; end with 0 if there is one and no answer is a failure."""
    from lit_video.checks import gpu
    from lit_video.support.errors import told_in_a_sentence

    failed = []
    with told_in_a_sentence(), tempfile.TemporaryDirectory() as folder:
        for answer in gpu.ask(gpu.Trial(Path(folder))):
            print(f"{answer.question:36} {'failed: ' if answer.failed else ''}{answer.text}", flush=True)
            failed += [answer.question] if answer.failed else []
    print(f"Failed: {', '.join(failed)}." if failed else "All was answered. Now: pytest -m gpu")
    raise SystemExit(1 if failed else 0)


def parser() -> Parser:
    """Return what reads the command line."""
    built = Parser(
        description="Try for real what this package rests on: FFmpeg, torch, decoders, start methods, colours, a GPU "
        "where there is one. Takes a minute."
    )
    built.add_argument(
        "--gpu", action="store_true", help="ask a GPU what only hardware can answer; takes three minutes"
    )
    built.add_argument(
        "--costs", metavar="FILE", help="measure what plan-capacity needs, and write it there; takes half a minute"
    )
    return built
