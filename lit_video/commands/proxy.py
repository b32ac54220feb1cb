"""`lit-video proxy`: a data set once more, small, for random access."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from lit_video.commands.engine_words import TOLD, make_engine, without_engine
from lit_video.commands.parsing import Parser
from lit_video.support.errors import ended_by_ctrl_c, told_in_a_sentence

LISTED = 20  # videos without a proxy that are named


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the proxies that the folder lacks; end with 0 if all videos have one."""
    words, others = without_engine(sys.argv[1:] if arguments is None else arguments)
    chosen = parser().parse_args(others)
    with ended_by_ctrl_c("what is done is kept, and the same command goes on from there"), told_in_a_sentence():
        raise SystemExit(_make(chosen, words))


def _make(chosen: Namespace, words: Sequence[str]) -> int:
    from lit_video.commands.store_filling import bar
    from lit_video.engines.local import LocalEngine
    from lit_video.index import VideoIndex
    from lit_video.proxies.make import make_proxies
    from lit_video.proxies.settings import Settings

    names = ("size", "crf", "gop", "preset", "fit", "untagged", "hdr")
    settings = Settings(**{name: getattr(chosen, name) for name in names})
    *roots, folder = chosen.root
    if not roots:
        parser().error("name the videos and, last, the folder for their proxies")
    engine = make_engine(words, parser()) or LocalEngine()
    index = VideoIndex.scan(roots, chosen.index_dir)
    with bar("videos") as progress:
        task = progress.add_task("Transcoding", total=None)
        tell = lambda left, todo: progress.update(task, total=todo, completed=todo - left)  # noqa: E731
        made = make_proxies(index, roots, Path(folder), settings, engine, tell)
    print(f"{made.num_there} of {made.num_videos} videos have a proxy in {folder}, {made.num_made} of them made now")
    if made.num_lost:
        print(f"{made.num_lost} frames could not be decoded and are damaged in the proxies too")
    for path, why in list(made.missing.items())[:LISTED]:
        print(f"no proxy of {path}: {why}")
    if len(made.missing) > LISTED:
        print(f"and of {len(made.missing) - LISTED} more")
    for skipped in index.skipped:
        print(f"skipped {skipped.path}: {skipped.reason}")
    print(f"Read them: data.root={' '.join(roots)} data.proxy={folder}")
    return 1 if made.missing else 0


def parser() -> Parser:
    """Return what reads the command line."""
    reads = Parser(
        description="Transcode a data set once to small copies of the same frames at the same times, each a keyframe.",
        epilog=TOLD,
    )
    reads.add_argument("root", nargs="+", help="folders, files or globs, and last the folder for the proxies")
    reads.add_argument("--size", type=_size, default=256, help="short side in pixels, or HEIGHTxWIDTH")
    reads.add_argument("--crf", type=int, default=23, help="quality, as x264 takes it: lower is better and larger")
    reads.add_argument("--gop", type=int, default=1, help="frames from one keyframe to the next")
    reads.add_argument("--preset", default="medium", help="of x264: slower is smaller")
    reads.add_argument("--fit", default="crop", help="to HEIGHTxWIDTH: crop, or squash")
    reads.add_argument("--untagged", default="bt601", help="colours of videos that do not say: bt601, bt709 or auto")
    reads.add_argument("--hdr", default="as_stored", help="of HDR: as_stored, or sdr, which maps it")
    reads.add_argument("--index-dir", help="where the index is kept; by default in the user's cache folder")
    return reads


def _size(text: str) -> int | list[int]:
    """Return a short side, or height and width."""
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number of pixels or HEIGHTxWIDTH, got {text!r}") from None
    return sides[0] if len(sides) == 1 else sides
