"""A batch as one picture: each frame with its video, frame index and time under it, and what else tells them apart."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import TYPE_CHECKING

from lit_video.index import VideoIndex
from lit_video.loading.epoch import Batch
from lit_video.measuring.canvas import INK, png, shortened
from lit_video.training.models import as_float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE, LINE = 1.6, 0.12  # inches: of a frame, and of a line under it
LETTERS = 24  # of equal width, that have room under a frame
LOWEST_DPI, HIGHEST_DPI = 100, 200  # between them a pixel of a frame is one of the sheet


def draw_batch(batch: Batch, index: VideoIndex) -> bytes:
    """Return the sheet as a PNG file.

    Args:
        batch: As a loader gives it, transformed or not.
        index: Of its videos.

    Raises:
        LitVideoError: matplotlib is not installed.
    """
    return png(make_sheet(batch, index))


def make_sheet(batch: Batch, index: VideoIndex) -> Figure:
    """Return a batch as a figure, frames in rows from the top left."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    images = as_float(batch["image"].cpu()).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    words = captions(batch, index)
    number, height, width, _ = images.shape
    columns = math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    caption = LINE * (words[0].count("\n") + 1) + 0.08
    figure = Figure(
        figsize=(WIDE * columns, (WIDE * height / width + caption) * rows),
        dpi=min(max(width / WIDE, LOWEST_DPI), HIGHEST_DPI),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0),
    )
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, image, text in zip(panels, images, words, strict=False):
        axes.imshow(image)
        axes.set_xlabel(text, fontsize=7, fontfamily="monospace", color=INK, labelpad=3)
        axes.set(xticks=[], yticks=[], anchor="S")  # room for the words is measured from the bottom
        axes.spines[:].set_visible(False)
    for axes in panels[number:]:
        axes.axis("off")
    return figure


def captions(batch: Batch, index: VideoIndex) -> list[str]:
    """Return the lines under each frame of a batch.

    They are the video's name, frame index and time, and in a third the class, where the data set has labels, and the
    weight, where those of the batch differ.
    """
    names = [PurePath(index.known_path(video)).name for video in batch["video_id"].tolist()]
    frames, times = batch["frame_index"].tolist(), batch["pts_seconds"].tolist()
    moments = [f"frame {frame} · {time:.2f} s" for frame, time in zip(frames, times, strict=True)]
    classes = [index.classes[label] for label in batch["label"].tolist()] if "label" in batch else []
    weights = [f"weight {weight:.2f}" for weight in batch["weight"].tolist()]
    lines = [names, moments, classes, weights if len(set(weights)) > 1 else []]
    return ["\n".join(shortened(line, LETTERS) for line in one) for one in zip(*filter(None, lines), strict=True)]
