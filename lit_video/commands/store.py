"""`lit-video store`: decode once, and keep what was decoded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_video.commands.parsing import Parser
from lit_video.support.errors import INTERRUPTED, told_in_a_sentence

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill, look into, check or delete a store, as the command line says."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["fill"]:
        _fill(given[1:])
        return
    chosen = parser().parse_args(given)
    with told_in_a_sentence():
        from lit_video.store.folder import store_folder

        COMMANDS[chosen.command](store_folder(chosen.folder), **_options(chosen))


def _options(chosen) -> dict:
    return {"mend": chosen.mend} if chosen.command == "verify" else {}


def parser() -> Parser:
    """Return what reads the command line, but for what `fill` is given: that is composed as for train.py."""
    reads = Parser(description="Keep decoded frames on disk: every later epoch, and run, is served from there.")
    commands = reads.add_subparsers(dest="command", required=True)
    commands.add_parser("fill", help="decode what is missing: fill data.root=VIDEOS data.store=FOLDER", add_help=False)
    info = commands.add_parser("info", help="say what a store holds")
    verify = commands.add_parser("verify", help="read all frames back; ends with 1 if any is damaged")
    verify.add_argument("--mend", action="store_true", help="delete the damaged ones, which are then decoded anew")
    drop = commands.add_parser("drop", help="delete a store")
    for command in (info, verify, drop):
        command.add_argument("folder", nargs="?", default="auto", help="of the store; auto: in the user's cache folder")
    return reads


def _fill(overrides: Sequence[str]) -> None:
    from lit_video.commands.hydra_front import compose_and_run

    sys.argv = ["lit-video store fill", *overrides]
    compose_and_run("store_fill", run)


def run(cfg: DictConfig) -> None:
    """Decode in order, on all cores, what a store lacks of the videos that `cfg.data` describes."""
    from lit_video.commands.store_filling import fill

    try:
        fill(cfg)
    except KeyboardInterrupt:
        print("\nInterrupted: what is done is kept, and the same command goes on from there.", file=sys.stderr)
        # At once: everything is on disk, and libraries' own threads that outlive the interpreter abort now and then.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(INTERRUPTED)


def _info(folder: Path) -> None:
    from rich.table import Table

    from lit_video.store.contents import opened, shares
    from lit_video.support.screen import screen

    table = Table(title=f"Store in {folder}", title_justify="left")
    for column in ("videos in", "videos", "frames", "MB", "kB a frame", "size", "kept as", "look"):
        table.add_column(column, overflow="fold", justify="right" if column in RIGHT else "left")
    for share in shares(folder):
        size, each = "×".join(map(str, share.size)), share.num_bytes / share.num_frames / 1e3
        counts = f"{share.num_videos}", f"{share.num_frames}", f"{share.num_bytes / 1e6:.1f}", f"{each:.1f}"
        table.add_row(share.folder, *counts, size, share.packing, share.look)
    console = screen()
    (console if console.is_terminal else screen(width=160)).print(table)
    with opened(folder) as environment:
        print(f"The data file takes {environment.num_bytes / 1e6:.1f} MB; {_free_bytes(folder) / 1e9:.1f} GB are free.")


RIGHT = ("videos", "frames", "MB", "kB a frame", "size")


def _free_bytes(folder: Path) -> int:
    import shutil

    return shutil.disk_usage(folder).free


def _verify(folder: Path, mend: bool) -> None:
    from lit_video.commands.store_filling import bar
    from lit_video.store.contents import opened, verify

    with opened(folder) as environment:
        num_entries = environment.num_entries
    with bar("entries") as progress:
        task = progress.add_task("Verifying", total=num_entries)
        num_frames, num_bad = verify(folder, mend, lambda number: progress.advance(task, number))
    what = "deleted, to be decoded anew" if mend else "delete them: lit-video store verify FOLDER --mend"
    print(f"{num_frames} frames, all whole" if not num_bad else f"{num_bad} of {num_frames} frames are damaged; {what}")
    raise SystemExit(1 if num_bad else 0)


def _drop(folder: Path) -> None:
    from lit_video.store.contents import drop

    for path in drop(folder):
        print(f"deleted {path}")


COMMANDS: dict[str, Callable[..., None]] = {"info": _info, "verify": _verify, "drop": _drop}
