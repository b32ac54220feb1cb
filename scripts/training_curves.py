"""What frames cost that are alike: loss on all frames against frames seen. `python scripts/training_curves.py`.

Each order trains the same network with the same number of frames, and is judged on the same frames: all of them.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import GroupNorm
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

from lit_video.datamodule import MakeSampler, VideoDataModule
from lit_video.measuring.canvas import COLOURS, logarithmic, new_figure, png, require_matplotlib
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.demo import demo_clips
from lit_video.support.errors import told_in_a_sentence
from lit_video.training.models import FrameClassifier

NETWORK = partial(resnet18, norm_layer=partial(GroupNorm, 16))
ORDERS: dict[str, tuple[MakeSampler, str]] = {
    "uniform": (UniformSampler, COLOURS["uniform"]),
    "chunks of 8, 32 at a time": (partial(ChunkedSampler, chunk_length=8, lanes=32), COLOURS["reservoir"]),
    "whole GOPs, one at a time": (partial(ChunkedSampler, lanes=1), COLOURS["chunked"]),
}


class Point(NamedTuple):
    """One measurement: a row of the CSV file."""

    order: str
    seed: int
    frames: int
    loss: float


class Watch(Callback):
    """Notes the loss on all frames after every so many batches."""

    def __init__(self, images: Tensor, labels: Tensor, every: int) -> None:
        self.images, self.labels, self.every = images, labels, every
        self.seen, self.losses = 0, dict[int, float]()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the loss before the first step."""
        self._note(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the frames seen, and note the loss now and then."""
        self.seen += len(batch["image"])
        if trainer.global_step % self.every == 0:
            self._note(pl_module)

    def _note(self, model: LightningModule) -> None:
        with torch.no_grad():
            scores = torch.cat([model(part.to(model.device)).cpu() for part in self.images.split(128)])
        self.losses[self.seen] = float(cross_entropy(scores, self.labels))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write `training_curves.csv` and `training_curves.png`."""
    chosen = parse(arguments)
    with told_in_a_sentence():
        require_matplotlib()
        frames = all_frames(chosen)
        points = [
            point for seed in range(chosen.seeds) for order in ORDERS for point in train(chosen, order, seed, frames)
        ]
        chosen.out.mkdir(parents=True, exist_ok=True)
        write(points, chosen.out / "training_curves.csv")
        (chosen.out / "training_curves.png").write_bytes(draw(points))
        Console().print(summary(points))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--root", help="folder, file or glob; by default the demo's clips")
    parser.add_argument("--labels", default="video", help="what videos are of, as data.labels")
    parser.add_argument("--size", type=int, default=64, help="of the frames, in pixels")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each order")
    parser.add_argument("--every", type=int, default=4, help="batches from one measurement to the next")
    parser.add_argument("--out", type=Path, default=Path("outputs/training_curves"), help="folder to write to")
    return parser.parse_args(arguments)


def make_data(chosen: argparse.Namespace, sampler: MakeSampler, seed: int) -> VideoDataModule:
    """Return the data in an order."""
    root, size = chosen.root or demo_clips(), chosen.size
    return VideoDataModule(
        root, sampler, labels=chosen.labels, size=size, batch_size=chosen.batch_size, seed=seed, progress=False
    )


def all_frames(chosen: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return every frame once, and its class."""
    datamodule = make_data(chosen, SequentialSampler, 0)
    datamodule.setup()
    batches = list(datamodule.make_loader())
    return torch.cat([batch["image"] for batch in batches]), torch.cat([batch["label"] for batch in batches])


def train(chosen: argparse.Namespace, order: str, seed: int, frames: tuple[Tensor, Tensor]) -> list[Point]:
    """Return the losses of one run."""
    watch = Watch(*frames, chosen.every)
    trainer = Trainer(
        max_epochs=chosen.epochs, devices=1, callbacks=[watch], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(FrameClassifier(NETWORK, chosen.learning_rate, seed), make_data(chosen, ORDERS[order][0], seed))
    return [Point(order, seed, seen, loss) for seen, loss in watch.losses.items()]


def write(points: Sequence[Point], path: Path) -> None:
    """Write the measurements, a row each."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([Point._fields, *points])


def curves(points: Sequence[Point], order: str) -> tuple[list[int], np.ndarray]:
    """Return the frames seen, and the losses of each seed then: float64 [seeds, measurements]."""
    frames = sorted({point.frames for point in points})
    loss = {(point.seed, point.frames): point.loss for point in points if point.order == order}
    seeds = sorted({seed for seed, _ in loss})
    return frames, np.array([[loss[seed, seen] for seen in frames] for seed in seeds])


def draw(points: Sequence[Point]) -> bytes:
    """Return the picture: a thin line for each seed, a thick one for their mean."""
    figure, axes = new_figure("Loss on all frames, after equally many frames in three orders")
    for order, (_, colour) in ORDERS.items():
        frames, losses = curves(points, order)
        for one in losses:
            axes.plot(frames, one, color=colour, linewidth=0.7, alpha=0.45)
        axes.plot(frames, losses.mean(axis=0), color=colour, linewidth=2.2, label=order)
    axes.set(xlabel="frames seen", ylabel="cross entropy, mean over all frames")
    logarithmic(axes, "y")
    axes.set_xlim(left=0)
    axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    return png(figure)


def summary(points: Sequence[Point]) -> Table:
    """Return for each order what the last third of its training was like."""
    table = Table("order", "loss, last third", "worst", title="Loss on all frames", title_justify="left")
    for order in ORDERS:
        _, losses = curves(points, order)
        last = losses[:, -(-2 * losses.shape[1] // 3) :]
        each = last.mean(axis=1)
        table.add_row(order, f"{each.mean():.3f} ± {each.std():.3f} (seeds)", f"{last.max():.3f}")
    return table


if __name__ == "__main__":
    main()
