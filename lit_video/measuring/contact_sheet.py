"""A batch as one picture: each frame with its video, time and weight under it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath

from lit_video.index import VideoIndex
from lit_video.loading.epoch import Batch
from lit_video.measuring.canvas import INK, png
from lit_video.training.models import as_float

WIDE, CAPTION = 1.6, 0.36  # inches: of a frame, and of two lines under it
LONGEST_NAME = 18  # characters that have room under a frame


def draw_batch(batch: Batch, index: VideoIndex) -> bytes:
    """Return a batch as a PNG file, frames in rows from the top left.

    Args:
        batch: As a loader gives it, transformed or not.
        index: Of its videos.

    Raises:
        LitVideoError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    images = as_float(batch["image"].cpu()).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    tall = WIDE * images.shape[1] / images.shape[2]
    figure = Figure(figsize=(WIDE * columns, (tall + CAPTION) * rows), dpi=100)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.subplots_adjust(left=0.005, right=0.995, top=0.995, bottom=CAPTION / figure.get_figheight())
    figure.subplots_adjust(wspace=0.03, hspace=CAPTION / tall)
    for axes in panels:
        axes.axis("off")
    for axes, image, words in zip(panels, images, captions(batch, index), strict=False):
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.text(0.5, -0.03, words, transform=axes.transAxes, ha="center", va="top", fontsize=7, color=INK)
    return png(figure)


def captions(batch: Batch, index: VideoIndex) -> Sequence[str]:
    """Return video, time and weight of each frame of a batch."""
    names = [_short(PurePath(index.path(video)).name) for video in batch["video_id"].tolist()]
    times, weights = batch["pts_seconds"].tolist(), batch["weight"].tolist()
    return [f"{n}\n{time:.2f} s · weight {w:.2f}" for n, time, w in zip(names, times, weights, strict=True)]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9]}…{name[-8:]}"
