"""`lit-video index`: index videos, say what is in them, and check the index."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from lit_video.commands.engine_words import TOLD, make_engine, without_engine
from lit_video.commands.parsing import Parser
from lit_video.support.errors import ended_by_ctrl_c, told_in_a_sentence


def main(arguments: Sequence[str] | None = None) -> None:
    """Index, print what was found, and with `--verify` end with 0 only if every video is as its index says."""
    words, others = without_engine(sys.argv[1:] if arguments is None else arguments)
    chosen = parser().parse_args(others)
    with ended_by_ctrl_c("what is indexed is kept, and the same command goes on from there"):
        _run(chosen, words)  # once something is scanned, the index tells itself


def _run(chosen: Namespace, words: Sequence[str]) -> None:
    with told_in_a_sentence():
        engine = make_engine(words, parser())
        from lit_video.commands.index_summary import print_index, verify_all
        from lit_video.index import VideoIndex

        index = VideoIndex.scan(
            chosen.root, chosen.index_dir, exclude=chosen.exclude or (), scan=chosen.scan, engine=engine or "auto"
        )
        if chosen.out:
            index.save(chosen.out)
        print_index(index)
        if chosen.verify:
            raise SystemExit(0 if verify_all(index) else 1)


def parser() -> Parser:
    """Return what reads the command line."""
    reads = Parser(description="Index videos; --verify checks each against a sequential decode.", epilog=TOLD)
    reads.add_argument("root", nargs="+", help="folder, file or glob; or a URL of one that is far away")
    reads.add_argument("--index-dir", help="where the index is kept; by default in the user's cache folder")
    reads.add_argument("--scan", choices=("auto", "packets", "table"), default="auto", help="as data.scan")
    reads.add_argument("--exclude", action="append", metavar="GLOB", help="files to leave out: '*_proxy.mp4'")
    reads.add_argument("--out", metavar="FOLDER", help="write the index there, for data.index=FOLDER")
    reads.add_argument("--verify", action="store_true", help="read every frame by random access and compare")
    return reads
