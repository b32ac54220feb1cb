"""`lit-video bench`: compare ways to load random frames, or make data to compare them on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from lit_video.bench import CONTENDERS
from lit_video.commands.parsing import Parser, nearest, positive
from lit_video.support.errors import told_in_a_sentence

PACKINGS = ("raw", "lossless", "jpeg")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make data, or compare contenders, as the command line says."""
    chosen = parser().parse_args(arguments)
    with told_in_a_sentence():
        if chosen.command == "exercise-data":
            from lit_video.bench.exercise_data import make_exercise_data

            print(make_exercise_data(Path(chosen.out), chosen.frames, chosen.links))
        elif chosen.command == "far-index":
            from lit_video.bench.of_far import index_far

            print(json.dumps(index_far(chosen.root, chosen.delay), indent=2))
        else:
            from lit_video.bench.compare import compare, print_rows
            from lit_video.measuring.throughput import machine

            rows = compare(chosen)
            if chosen.json:
                Path(chosen.json).write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
            print_rows(rows, chosen)


def parser() -> Parser:
    """Return what reads the command line."""
    reads = Parser(description="Compare ways to load random frames of videos.")
    commands = reads.add_subparsers(dest="command", required=True)
    data = commands.add_parser("exercise-data", help="write the exercise's kind of input from real footage")
    data.add_argument("out", help="folder")
    data.add_argument("--frames", type=positive, default=600, help="of the video")
    data.add_argument("--links", type=positive, default=200, help="to it, each a file of its own")
    far = commands.add_parser("far-index", help="index files through a server of this machine, and say what that took")
    far.add_argument("root", help="folder, file or glob")
    far.add_argument("--delay", type=float, default=0.05, help="seconds before each answer")
    run = commands.add_parser("run", help="measure contenders in turn")
    run.add_argument("root", help="folder, file or glob")
    run.add_argument("--contenders", type=_names, default="baseline,sequential,ours", help=", ".join(CONTENDERS))
    run.add_argument("--videos", type=_numbers, help="numbers of videos, such as 1,20,200; all by default")
    run.add_argument("--images", type=_counts, default="1280", help="to time: 1280, or baseline=256,1280")
    run.add_argument("--skip", type=_counts, default="0", help="to load before the clock starts: 0, or ours=600,128")
    run.add_argument("--rounds", type=positive, default=3, help="in which all contenders take turns")
    run.add_argument("--size", type=positive, default=224, help="of the images, in pixels")
    run.add_argument("--batch-size", type=positive, default=128, help="in images")
    run.add_argument("--workers", type=positive, default=2, help="threads or processes that decode")
    run.add_argument("--augment", action="store_true", help="random resized crop and colour jitter in all contenders")
    run.add_argument("--lookahead-bytes", type=positive, default=2**30, help="for frames that wait")
    run.add_argument("--keep", choices=(*PACKINGS, "auto"), default="auto", help="how frames that wait are kept")
    run.add_argument("--store", help="folder in which VideoLoader stores decoded frames, or auto; none by default")
    run.add_argument("--store-packing", choices=PACKINGS, default="lossless", help="how the store keeps frames")
    run.add_argument("--store-bytes", type=positive, help="room for stored frames; by default what the disk has")
    run.add_argument("--delay", type=float, default=0.05, help="seconds before each answer where files are far away")
    run.add_argument(
        "--drop-caches", action="store_true", help="drop the page cache before the clock starts; root only"
    )
    run.add_argument("--prepared", help="folder in which JPEGs, chunks and indexes stay for the next run; else deleted")
    run.add_argument("--images-per-s", type=float, help="speed of a model that consumes the images")
    run.add_argument("--json", help="also write all rows to this file")
    return reads


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no contender {unknown[0]!r}{nearest(unknown[0], CONTENDERS)}; there are {', '.join(CONTENDERS)}"
        )
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError("each contender once, please: --rounds repeats them in turn")
    return names


def _numbers(text: str) -> list[int]:
    return [positive(number) for number in text.split(",")]


def _counts(text: str) -> dict[str, int]:
    """Return images by contender; the name '' stands for all others."""
    pairs = [part.rpartition("=") for part in text.split(",")]
    return {"": 0} | {name: int(number) for name, _, number in pairs}
