"""Models that consume batches: the exercise's, which shows what loading costs, none at all, and one that learns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lit_video.support.errors import DataError, ResumeError


def as_float(images: Tensor) -> Tensor:
    """Return images in [0, 1]: what is not floating point is divided by the most that its type holds."""
    return images if images.is_floating_point() else images.float() / torch.iinfo(images.dtype).max


class DummyModel(LightningModule):
    """The exercise's model: a 3 -> 64, 3x3 convolution with stride 2, forward only, no gradient.

    Args:
        images_per_s: Consume at most so many images each second, as a model of that speed would; None: as they come.

    Raises:
        ValueError: `images_per_s` not above 0.
    """

    def __init__(self, images_per_s: float | None = None) -> None:
        super().__init__()
        if images_per_s is not None and not (isinstance(images_per_s, int | float) and images_per_s > 0):
            raise ValueError(f"images_per_s must be above 0, got {images_per_s!r}")
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

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the training where it was to end."""
        _stop_at_max_steps(self.trainer)

    def configure_optimizers(self) -> list:
        """Return no optimizer: nothing is learned."""
        return []


class NoModel(LightningModule):
    """Takes batches and does nothing with them: what `run_model=false` trains."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.nothing = nn.Parameter(torch.zeros(1))  # DDP refuses a model that has none

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Do nothing."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the training where it was to end."""
        _stop_at_max_steps(self.trainer)

    def configure_optimizers(self) -> list:
        """Return no optimizer: nothing is learned."""
        return []


def _stop_at_max_steps(trainer: Trainer) -> None:
    """End the training after `max_steps` batches: Lightning counts steps of optimizers, and there is none here."""
    if 0 < trainer.max_steps <= trainer.fit_loop.total_batch_idx + 1:
        trainer.should_stop = True


class FrameClassifier(LightningModule):
    """Learns to tell which class a frame or clip is of, by any network of torchvision's.

    The network is made when the data has told its classes, with weights that come from `seed` and from nothing else.
    Checkpoints hold the classes: one is read without the data, and not resumed with others. Of each batch of validation
    and test every sample counts by its weight, over all ranks; padding has weight 0 (`judge`).

    Args:
        network: Factory `(num_classes=) -> network`, such as `torchvision.models.resnet18`.
        learning_rate: Of gradient descent with momentum 0.9.
        seed: Of the weights.
        clips: Whether the network takes clips, [B, 3, T, H, W], as `torchvision.models.video` has them. Otherwise each
            frame of a clip is scored on its own, and the scores of a clip are their mean.

    Attributes:
        classes: Names, by the numbers of the labels; none before the data has told them.
        network: Images in, scores out; None likewise.
    """

    def __init__(
        self, network: Callable[..., nn.Module], learning_rate: float = 0.002, seed: int = 0, clips: bool = False
    ) -> None:
        super().__init__()
        self._make_network, self.learning_rate, self.seed, self.clips = network, learning_rate, seed, clips
        self.classes: list[str] = []
        self.network: nn.Module | None = None

    def setup(self, stage: str) -> None:
        """Make the network for the data's classes.

        Raises:
            DataError: There are fewer than two, or they are of several columns.
        """
        classes = getattr(self.trainer.datamodule, "classes", [])  # type: ignore[attr-defined]
        if not isinstance(classes, list):
            raise DataError(
                f"A classifier learns one column of labels, and the data has {', '.join(classes)}.\n"
                "Name one: data.label_column=NAME"
            )
        if len(classes) < 2:
            raise DataError(
                f"A classifier needs two classes or more, and the data has {len(classes)}.\n"
                "Say what videos are of: data.labels=folder, data.labels=video, or data.labels=FILE.csv"
            )
        self._make(classes)

    def forward(self, images: Tensor) -> Float[Tensor, "batch classes"]:
        """Return a score for each class, from frames or clips as they come in a batch.

        Raises:
            ValueError: The network takes clips, and these are frames.
        """
        assert self.network is not None, "there is no network before the classes are known"
        images = (as_float(images) - 0.45) / 0.225
        if self.clips:
            if images.dim() != 5:
                raise ValueError("this model takes clips: give data.clip_length, such as 8, or take model=classifier")
            return self.network(images.transpose(1, 2))
        if images.dim() == 5:
            return self.network(images.flatten(0, 1)).unflatten(0, images.shape[:2]).mean(dim=1)
        return self.network(images)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch, and log it with the share of samples that were told right."""
        scores = self(batch["image"])
        loss = weighted_loss(scores, batch["label"], batch["weight"])
        self.log("loss", loss, prog_bar=True)
        self.log("accuracy", (scores.argmax(dim=1) == batch["label"]).float().mean(), prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Log `val/loss` and `val/accuracy`."""
        self._log_of("val", batch)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Log `test/loss` and `test/accuracy`."""
        self._log_of("test", batch)

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return the probability of each class, [B, C], and which samples these are; in main memory."""
        named = {key: batch[key].cpu() for key in ("video_id", "frame_index", "pts_seconds", "weight")}
        return named | {"probability": self(batch["image"]).softmax(dim=1).cpu()}

    def _log_of(self, stage: str, batch: dict[str, Tensor]) -> None:
        means, weight = judge(self(batch["image"]), batch["label"], batch["weight"])
        # Lightning adds up `mean * batch_size` and `batch_size` over batches and ranks, and divides once.
        share: Any = weight.item()
        for name, mean in means.items():
            self.log(f"{stage}/{name}", mean, prog_bar=True, on_epoch=True, sync_dist=True, batch_size=share)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return gradient descent with momentum."""
        return torch.optim.SGD(self.parameters(), self.learning_rate, momentum=0.9)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the classes with the weights."""
        checkpoint["classes"] = self.classes

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the network for the checkpoint's classes, where there is none yet.

        Raises:
            ResumeError: The data has other classes.
        """
        classes = checkpoint["classes"]
        if self.classes and self.classes != classes:
            raise ResumeError(
                f"This checkpoint's classes are {', '.join(classes)}, and the data's are {', '.join(self.classes)}.\n"
                "Resume with the labels that it was trained with."
            )
        self._make(classes)

    def _make(self, classes: Sequence[str]) -> None:
        if self.network is None:
            self.classes = list(classes)
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(self.seed)
                self.network = self._make_network(num_classes=len(classes))


def weighted_loss(
    scores: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"], weights: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Return the cross entropy of a batch whose expected gradient is that of the mean over all samples.

    The sum is divided by the number of samples, which is constant. To divide by the sum of the weights, as usual, would
    bring a bias back (section 8 of docs/bias.md). Samples without a label, of class -1, count as 0.
    """
    return (cross_entropy(scores, labels, reduction="none", ignore_index=-1) * weights).sum() / len(weights)


def judge(
    scores: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"], weights: Float[Tensor, " batch"]
) -> tuple[dict[str, Tensor], Float[Tensor, ""]]:
    """Return the weighted means of `loss` and `accuracy` over a batch, and the sum of the weights.

    Nothing is learned from them, so they are divided by the weights' sum: a sample that stands there for the second
    time, so that all ranks have as many, has weight 0 and counts not at all. Nor do samples of class -1.
    """
    weights = weights * (labels >= 0)
    total = weights.sum()
    loss = cross_entropy(scores, labels, reduction="none", ignore_index=-1)
    each = {"loss": loss, "accuracy": (scores.argmax(dim=1) == labels).float()}
    return {name: (value * weights).sum() / total.clamp(min=1e-12) for name, value in each.items()}, total
