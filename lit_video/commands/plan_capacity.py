"""`lit-video plan-capacity`: what a data set and a rate ask of machines."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from lit_video.commands.parsing import Parser, positive
from lit_video.support.errors import told_in_a_sentence


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each way takes, and what to type."""
    chosen = parser().parse_args(arguments)
    with told_in_a_sentence():
        _plan(chosen)


def _plan(chosen: Namespace) -> None:
    from rich.table import Table

    from lit_video.measuring.capacity import DAY, Constants, Wanted, ways
    from lit_video.support.screen import screen

    names = ("files", "frames", "height", "width", "gop", "frame_bytes", "images_per_s", "epochs", "size", "ranks")
    wanted = Wanted(
        **{name: getattr(chosen, name) for name in names},
        lookahead_bytes=chosen.lookahead_bytes,
        price=chosen.price_per_million,
    )
    constants = Constants.read(chosen.costs) if chosen.costs else Constants()
    found = ways(wanted, constants)
    table = Table(
        title=f"{wanted.frames:,} frames of {wanted.files:,} files, {wanted.images_per_s:,.0f} images/s,"
        f" {wanted.epochs:g} epochs in {wanted.seconds / DAY:.2f} days; constants of {constants.where}",
        title_justify="left",
    )
    table.add_column("")
    for way in found:
        table.add_column(way.name, justify="right")
    for name, values in _rows(found):
        table.add_row(name, *values)
    console = screen()
    (console if console.is_terminal else screen(width=130)).print(table)
    for way in found:
        print(f"{way.name}: {way.options}")


def _rows(found: Sequence) -> list[tuple[str, list[str]]]:
    return [
        ("frames decoded an image", [f"{way.decoded:.2f}" for way in found]),
        ("cores, all machines", [f"{way.cores:.1f}" for way in found]),
        ("or NVDEC engines", ["–" if way.engines is None else f"{way.engines:.1f}" for way in found]),
        ("memory for frames, GiB", [f"{way.memory_bytes / 2**30:.1f}" for way in found]),
        ("disk, GB", [f"{way.disk_bytes / 1e9:,.1f}" for way in found]),
        ("once, core hours", [f"{way.once_core_hours:,.1f}" for way in found]),
        ("network if remote, MB/s", [f"{way.network_bytes_per_s / 1e6:,.1f}" for way in found]),
        ("requests/s if remote", [f"{way.requests_per_s:,.1f}" for way in found]),
        ("price of requests", [f"{way.price:,.2f}" for way in found]),
    ]


def parser() -> Parser:
    """Return what reads the command line."""
    reads = Parser(
        description="Say what a data set and a rate ask of machines: cores, memory, disk, network, requests."
    )
    reads.add_argument("--files", type=positive, required=True, help="videos")
    reads.add_argument("--frames", type=positive, required=True, help="of all of them")
    reads.add_argument("--height", type=positive, default=1080, help="of a picture, in pixels")
    reads.add_argument("--width", type=positive, default=1920, help="likewise")
    reads.add_argument("--gop", type=positive, default=30, help="frames from one keyframe to the next")
    reads.add_argument("--frame-bytes", type=float, default=25e3, help="of a compressed frame, on average")
    reads.add_argument("--images-per-s", type=float, required=True, help="that all ranks together ask for")
    reads.add_argument("--epochs", type=float, default=1, help="of training")
    reads.add_argument("--size", type=positive, default=224, help="of an image's side, in pixels")
    reads.add_argument("--ranks", type=positive, default=1, help="that share the order")
    reads.add_argument("--lookahead-bytes", type=positive, default=2**30, help="for frames that wait, of each rank")
    reads.add_argument("--price-per-million", type=float, default=0.4, help="requests; your store's list has it")
    reads.add_argument("--costs", help="constants of your machine: lit-video doctor --costs FILE writes them")
    return reads
