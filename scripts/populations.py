"""Draw docs/images/populations.png, and tell what populations cost by planning alone: `python scripts/populations.py`.

No frame is decoded: the picture asks `Population` which frames its samples hold, the table asks the planner what
an epoch of them would decode.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from rich.console import Console
from rich.table import Table

from lit_video.bias.clips import clips_holding
from lit_video.checks.stamps import write_stamped
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import Population, VideoIndex
from lit_video.index.intervals import read_intervals
from lit_video.loading.loader import VideoLoader
from lit_video.measuring.canvas import COLOURS, GUIDE, INK, png
from lit_video.planning.planner import plan
from lit_video.samplers.uniform import UniformSampler

STRETCHES = [("video.mp4", 3, 9), ("video.mp4", 14, 22)]  # in frames
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("every frame", {}),
    ("stride=3", {"stride": 3}),
    ("fps=8", {"fps": 8}),
    ("keyframes_only=true", {"keyframes_only": True}),
    ("intervals=FILE", {"intervals": STRETCHES}),
    ("… and stride=3", {"intervals": STRETCHES, "stride": 3}),
    ("exclude={first_seconds: 0.2}", {"exclude": {"first_seconds": 0.2}}),
]
CLIPS = ("inside", "pad", "circular")
COSTS: list[tuple[str, dict[str, Any]]] = [
    ("every frame", {}),
    ("stride=5", {"stride": 5}),
    ("fps=6", {"fps": 6}),
    ("stride=30", {"stride": 30}),
    ("keyframes_only=true", {"keyframes_only": True}),
    ("clip_length=8", {"clip_length": 8}),
    ("clip_length=8 stride=8", {"clip_length": 8, "stride": 8}),
    ("clip_length=8 clip_stride=4", {"clip_length": 8, "clip_stride": 4}),
    ("clip_length=32", {"clip_length": 32}),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the picture, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/populations.png"), help="where the picture goes")
    parser.add_argument(
        "--videos", type=int, default=200, help="of 600 frames each, that costs are planned for; 0: none"
    )
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_bytes(draw(scanned(Path(folder) / "one", 1, num_frames=24, gop=8)))
        if chosen.videos:
            Console().print(costs(scanned(Path(folder) / "many", chosen.videos, num_frames=600, gop=30)))


def scanned(folder: Path, num_videos: int, num_frames: int, gop: int) -> VideoIndex:
    """Return the index of one video of 30 frames/s, under as many names as are asked for."""
    folder.mkdir()
    write_stamped(folder / "video.mp4", num_frames, gop=gop, size=(48, 64))
    for number in range(1, num_videos):
        (folder / f"{number}.mp4").symlink_to("video.mp4")
    return VideoIndex.scan(folder, folder / "index", progress=False)


def of(index: VideoIndex, options: Mapping[str, Any]) -> Population:
    """Return the samples that options choose."""
    options = dict(options)
    if "intervals" in options:
        options["intervals"] = read_intervals(options["intervals"], index.paths, unit="frames")
    return Population(index, **options)


def draw(index: VideoIndex) -> bytes:
    """Return the picture: which frames are samples, three clips at each end, and how many clips hold each frame."""
    figure = Figure(figsize=(9, 8.2), dpi=90, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, hspace=0.04))
    top, middle, bottom = figure.subplots(3, 1, height_ratios=[2.2, 2.6, 1.5], sharex=True)
    draw_samples(top, index)
    draw_clips(middle, index)
    draw_counts(bottom, int(index.num_frames))
    for axes in (top, middle, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        for start in index.start_frames(0).tolist():
            axes.axvline(start - 0.5, color=GUIDE, linewidth=0.8, linestyle=":", zorder=0)
    bottom.set(xlabel="frame of a video of 24 frames, 30 frames/s; dotted: its keyframes", xlim=(-1.1, 23.9))
    bottom.set_xticks(range(0, 24, 2))
    return png(figure)


def draw_samples(axes: Axes, index: VideoIndex) -> None:
    """Draw a row for each choice: the frames at which samples begin."""
    axes.set_title("Which frames are samples", loc="left", fontsize=11, color=INK)
    for row, (_, options) in enumerate(ROWS):
        axes.scatter(range(24), np.full(24, row), s=7, color="#d5d5d5")
        samples = of(index, options)
        frames = samples.frames_of(np.arange(samples.num_samples))[0][:, 0]
        axes.scatter(frames, np.full(len(frames), row), s=46, color=COLOURS["uniform"])
    name_rows(axes, [name for name, _ in ROWS])


def draw_clips(axes: Axes, index: VideoIndex) -> None:
    """Draw the first two and the last two clips of 4 frames at stride 2, by end rule."""
    axes.set_title(
        "clip_length=4 clip_stride=2: the first two clips and the last two", loc="left", fontsize=11, color=INK
    )
    names, row = [], 0
    for ends in CLIPS:
        samples = of(index, {"clip_length": 4, "clip_stride": 2, "ends": ends})
        ids = np.array([0, 1, samples.num_samples - 2, samples.num_samples - 1])
        for number, (frames, is_pad) in zip(ids, zip(*samples.frames_of(ids), strict=True), strict=True):
            axes.scatter(range(24), np.full(24, row), s=5, color="#e4e4e4")
            axes.scatter(frames[~is_pad], np.full((~is_pad).sum(), row), s=40, color=COLOURS["chunked"])
            for frame, count in zip(*np.unique(frames[is_pad], return_counts=True), strict=True):
                axes.scatter(frame, row, s=110, facecolors="none", edgecolors=COLOURS["named"], linewidths=1.4)
                axes.annotate(
                    f"+{count}",
                    (frame, row),
                    (9 if frame else -22, -3),
                    textcoords="offset points",
                    fontsize=7.5,
                    color=INK,
                )
            names.append(f"{ends}, clip {number}")
            row += 1
        row += 0.6
        names.append("")
    rows = [r + 0.6 * group for group in range(3) for r in range(4 * group, 4 * group + 4)]
    name_rows(axes, [name for name in names if name], rows)
    axes.scatter(
        [], [], s=110, facecolors="none", edgecolors=COLOURS["named"], label="stands for padding, so many times"
    )
    axes.legend(loc="center", fontsize=8.5, frameon=True, framealpha=0.9, edgecolor="none")


def draw_counts(axes: Axes, num_frames: int) -> None:
    """Draw how many clips hold each frame, by end rule (F68)."""
    axes.set_title("How many of these clips hold a frame, padding left out", loc="left", fontsize=11, color=INK)
    for ends, colour, width in (("inside", COLOURS["uniform"], 2.2), ("circular", COLOURS["chunked"], 2.2)):
        label = ends if ends == "inside" else "pad, circular"
        axes.step(
            range(num_frames), clips_holding(num_frames, 4, 2, ends), where="mid", color=colour, lw=width, label=label
        )
    axes.set(ylim=(0, 4.6))
    axes.legend(loc="lower center", fontsize=8.5, frameon=False, ncols=2)


def name_rows(axes: Axes, names: Sequence[str], rows: Sequence[float] | None = None) -> None:
    """Write the names at the left, the first on top."""
    axes.set_yticks(range(len(names)) if rows is None else rows, names, fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.invert_yaxis()


def costs(index: VideoIndex) -> Table:
    """Return what an epoch of each population would decode, with 1 GiB for frames of 224 by 224 that wait."""
    title = f"{index.num_videos} videos of 600 frames, a keyframe every 30; 128 frames a batch; 1 GiB"
    table = Table("population", "samples", "look-ahead", "decoded", "per frame", title=title, title_justify="left")
    for name, options in COSTS:
        samples = of(index, options)
        clip = samples.frames_per_sample
        sampler = partial(UniformSampler, num_samples=min(samples.num_samples, index.num_frames // clip))(samples, 0)
        loader = VideoLoader(samples, sampler, PyAVDecoder, size=224, batch_size=128 // clip)
        reads = plan(sampler.order(0), samples, loader.budget.lookahead, loader.budget.held)
        for _ in reads:
            pass
        lookahead = f"{loader.budget.lookahead:,}"
        row = (f"{samples.num_samples:,}", lookahead, f"{reads.decoded_frames:,}", f"{reads.decode_amplification:.2f}")
        table.add_row(name, *row)
        loader.close()
    return table


if __name__ == "__main__":
    main()
