"""Frames -> vectors that stand for gradients: distances between them are what the report is about.

Best are gradients of a model's last layer, which need labels. Pixels and embeddings only say how alike frames look;
that usually overstates how alike their gradients are. Nothing is downloaded, and all weights are drawn by
`lit_video.support.rng`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from scipy.special import softmax
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

from lit_video.measuring.page import paragraph
from lit_video.report.setting import Setting
from lit_video.support.rng import rng
from lit_video.training.models import as_float
from lit_video.training.transforms import Draws

NUMBERS = 128  # in a vector: distances keep their size up to about a tenth, and R, a ratio, far better
SMALLEST = 32  # pixels a side that the network needs
STEPS, RATE = 100, 0.5  # of fitting the last layer

SENTENCES = {
    "pixels": f"""
        Pixels, projected at random to {NUMBERS} numbers. Frames usually look more alike than their gradients are, so R
        and the design effects of chunks are rather too high.
    """,
    "network": f"""
        Embeddings of a SqueezeNet with random weights, projected at random to {NUMBERS} numbers. They say how alike
        frames look to an untrained network; gradients are usually less alike, so R is rather too high.
    """,
    "gradients": f"""
        Gradients of the last layer of a small model: a SqueezeNet with random weights, and a layer fitted to the labels
        by {STEPS} steps; projected at random to {NUMBERS} numbers. A trained model's may be less alike.
    """,
}

Describe = Callable[[UInt8[Tensor, "n 3 height width"], Int64[np.ndarray, " n"]], Float[np.ndarray, "n numbers"]]
Finish = Callable[[Float[np.ndarray, "n numbers"], Int64[np.ndarray, " n"]], Float[np.ndarray, "n numbers"]]


@dataclass(frozen=True)
class Features:
    """A way to make vectors."""

    kind: str  # `pixels`, `network` or `gradients`
    describe: Describe  # images -> numbers, batch by batch
    finish: Finish  # all numbers and their frame ids -> vectors of at most NUMBERS
    sentence: str  # what they are, and how far to trust them


def make_features(setting: Setting, kind: str) -> Features:
    """Return the features called `kind`; `auto`: gradients where there are labels, else pixels.

    Raises:
        ValueError: Gradients of data without labels, or frames too small for the network.
    """
    if kind == "auto":
        kind = "pixels" if setting.index.label is None else "gradients"
    sentence = paragraph(SENTENCES[kind])
    if kind == "pixels":
        return Features(kind, partial(_mix_pixels, setting), lambda mixed, frame_ids: mixed, sentence)
    if min(setting.shape) < SMALLEST:
        raise ValueError(f"features={kind} needs frames of at least {SMALLEST} pixels a side, got {setting.shape}")
    if kind == "gradients" and setting.index.label is None:
        raise ValueError("features=gradients needs labels, and this data has none; take features=pixels or network")
    describe = partial(_embed, setting, _random_network(setting.seed))
    return Features(kind, describe, partial(_project if kind == "network" else _gradients, setting), sentence)


def _prepared(setting: Setting, images: UInt8[Tensor, "n 3 height width"], frame_ids: np.ndarray) -> Tensor:
    """Return images as training would see them, in [0, 1]."""
    if setting.transform is None:
        return as_float(images)
    return as_float(setting.transform(images, Draws(setting.seed, 0, frame_ids)))


def _mix_pixels(setting: Setting, images: Tensor, frame_ids: np.ndarray) -> np.ndarray:
    """Sum all pixels, each with a random sign, in NUMBERS random groups: distances survive on average."""
    pixels = _prepared(setting, images, frame_ids).flatten(1)
    draw = rng(setting.seed, "report.pixels")  # anew for each batch, so that all are mixed alike
    whole = pixels.shape[1] // NUMBERS * NUMBERS
    place = torch.from_numpy(draw.permutation(pixels.shape[1])[:whole]).to(pixels.device)
    sign = torch.from_numpy(draw.choice(np.array([-1, 1], np.float32), whole)).to(pixels.device)
    return (pixels[:, place] * sign).unflatten(1, (NUMBERS, -1)).sum(-1).cpu().numpy()


def _embed(setting: Setting, network: nn.Module, images: Tensor, frame_ids: np.ndarray) -> np.ndarray:
    """Run a network and average over the picture."""
    with torch.inference_mode():
        prepared = _prepared(setting, images, frame_ids)
        return network.to(prepared.device)(prepared - 0.45).mean((2, 3)).cpu().numpy()


def _random_network(seed: int) -> nn.Module:
    """Return SqueezeNet's convolutions with weights drawn as He et al. do (2015), so that signals keep their size."""
    with torch.device("meta"):  # made without drawing from torch's own generator
        network = squeezenet1_1(weights=None).features.eval()
    drawn = {}
    for number, (name, weight) in enumerate(network.named_parameters()):
        scale = np.float32((2 / weight[0].numel()) ** 0.5 if weight.dim() > 1 else 0)  # biases begin at 0
        drawn[name] = torch.from_numpy(
            scale * rng(seed, "report.network", number).standard_normal(tuple(weight.shape), np.float32)
        )
    network.load_state_dict(drawn, assign=True)
    return network


def _project(setting: Setting, vectors: np.ndarray, frame_ids: np.ndarray) -> np.ndarray:
    draw = rng(setting.seed, "report.projection")
    return vectors @ draw.standard_normal((vectors.shape[1], NUMBERS)) / np.sqrt(NUMBERS)


def _gradients(setting: Setting, vectors: np.ndarray, frame_ids: np.ndarray) -> np.ndarray:
    assert setting.index.label is not None
    return last_layer_gradients(vectors, setting.index.label[setting.index.locate(frame_ids)[0]], setting.seed)


def last_layer_gradients(
    features: Float[np.ndarray, "n numbers"], labels: Int64[np.ndarray, " n"], seed: int
) -> Float[np.ndarray, "n projected"]:
    """Return (softmax − one-hot) ⊗ features of a fitted softmax layer, projected at random."""
    spread = features.std(axis=0)
    inputs = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    inputs = np.c_[inputs / np.sqrt(inputs.shape[1]), np.ones(len(inputs))]
    classes, target = np.unique(labels, return_inverse=True)
    wanted = np.eye(len(classes))[target]
    layer = np.zeros((inputs.shape[1], len(classes)))
    for _ in range(STEPS):
        layer -= RATE * inputs.T @ (softmax(inputs @ layer, axis=1) - wanted) / len(inputs)
    draw = rng(seed, "report.projection")
    left = draw.choice(np.array([-1.0, 1.0]), (len(classes), NUMBERS))
    right = draw.choice(np.array([-1.0, 1.0]), (inputs.shape[1], NUMBERS))
    # A random sign for each class times one for each feature is a random sign for each weight of the layer.
    return ((softmax(inputs @ layer, axis=1) - wanted) @ left) * (inputs @ right) / np.sqrt(NUMBERS)
