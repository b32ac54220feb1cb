"""Models that consume batches: the exercise's, which shows what loading costs, and none at all."""

from __future__ import annotations

import time

import torch
from lightning import LightningModule
from torch import Tensor, nn


def as_float(images: Tensor) -> Tensor:
    """Return images in [0, 1]: what is not yet floating point is divided by 255."""
    return images if images.is_floating_point() else images.float() / 255


class DummyModel(LightningModule):
    """The exercise's model: a 3 -> 64, 3x3 convolution with stride 2, forward only, no gradient.

    Args:
        images_per_s: Consume at most so many images each second, as a model of that speed would; None: as they come.

    Raises:
        ValueError: `images_per_s` not above 0.
    """

    def __init__(self, images_per_s: float | None = None) -> None:
        super().__init__()
        if images_per_s is not None and not images_per_s > 0:
            raise ValueError(f"images_per_s must be above 0, got {images_per_s}")
        self.automatic_optimization = False
        self.images_per_s = images_per_s
        self.convolution = nn.Conv2d(3, 64, kernel_size=3, stride=2)
        self._busy_until = 0.0

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Run the convolution on a batch, and then wait while a model of the given speed would still be busy."""
        began = time.perf_counter()
        with torch.no_grad():
            self.convolution(as_float(batch["image"]))
        if self.images_per_s is not None:
            self._busy_until = max(began, self._busy_until) + len(batch["image"]) / self.images_per_s
            time.sleep(max(0.0, self._busy_until - time.perf_counter()))

    def configure_optimizers(self) -> list:
        """Return no optimizer: nothing is learned."""
        return []


class NoModel(LightningModule):
    """Takes batches and does nothing with them: what `run_model=false` trains."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Do nothing."""

    def configure_optimizers(self) -> list:
        """Return no optimizer: nothing is learned."""
        return []
