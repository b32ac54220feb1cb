"""Augmentation of whole batches on the device, each sample with parameters of its own.

torchvision's transforms draw once a call, from the global generator: one crop for the whole batch, and another one
after a resume. Here a transform asks for the numbers that belong to each sample, and uses them all at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision.transforms.v2 import functional as F

from lit_video.support.rng import uniforms


@dataclass(frozen=True)
class Draws:
    """The random numbers of one batch's samples: a function of seed, epoch and position, and of nothing else."""

    seed: int
    epoch: int
    positions: np.ndarray

    def uniform(self, stream: str, count: int) -> np.ndarray:
        """Return `count` uniform numbers in [0, 1) for each sample: float64 [B, count]."""
        return uniforms(self.seed, stream, self.epoch, self.positions, count)


@runtime_checkable
class Transform(Protocol):
    """Whole batch in, whole batch out, on the device that it is on."""

    def __call__(self, images: UInt[Tensor, "batch channels height width"], draws: Draws, /) -> Tensor:
        """Return the transformed images; randomness comes from `draws` alone."""
        ...


class NoTransform:
    """Leaves the frames as they were decoded, uint8; the model scales them."""

    def __call__(self, images: UInt[Tensor, "batch channels height width"], draws: Draws) -> Tensor:
        """Return `images`."""
        return images


class ExerciseTransform:
    """The exercise's augmentation: a random resized crop, then colour jitter, both as torchvision defines them.

    Args:
        size: Height and width of the result, in pixels.
        scale: Share of the picture's area that the crop keeps: at least, at most.
        ratio: Width over height of the crop: at least, at most.
        jitter: Strength of brightness, contrast, saturation and hue; 0 leaves colours alone.

    Raises:
        ValueError: An argument out of range.
    """

    def __init__(
        self,
        size: int = 224,
        scale: Sequence[float] = (0.9, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        jitter: float = 0.5,
    ) -> None:
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"size must be at least 1, got {size!r}")
        for name, pair in (("scale", scale), ("ratio", ratio)):
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise ValueError(f"{name} must be two numbers above 0, the smaller one first, got {list(pair)}")
        if scale[1] > 1:
            raise ValueError(f"scale must be at most 1, got {list(scale)}")
        if not 0 <= jitter <= 0.5:
            raise ValueError(f"jitter must be in [0, 0.5], got {jitter}")
        self.size, self.scale, self.ratio, self.jitter = size, tuple(scale), tuple(ratio), jitter

    def __call__(
        self, images: UInt[Tensor, "batch channels height width"], draws: Draws
    ) -> Float[Tensor, "batch 3 h w"]:
        """Return float32 [B, 3, size, size] in [0, 1]."""
        if images.dtype != torch.uint8 or images.shape[-3] != 3:
            raise ValueError(
                f"images must be uint8 of 3 channels, got {images.dtype} of {images.shape[-3]}: use transform=none, or"
                " one of your own"
            )
        boxes = crop_boxes(images.shape[-2:], self.scale, self.ratio, draws.uniform("crop", 2 * ATTEMPTS + 2))
        numbers = draws.uniform("jitter", 8)
        parts = []
        # A few images at a time: on a CPU every step then finds them in the cache.
        step = len(images) if images.is_cuda else 8
        for begin in range(0, len(images), step):
            part = slice(begin, begin + step)
            cropped = resized_crop(images[part].float().div_(255), boxes[part], self.size)
            parts.append(color_jitter(cropped, self.jitter, numbers[part]) if self.jitter else cropped)
        return torch.cat(parts) if parts else images.float()


ATTEMPTS = 10  # torchvision's: so often a box is drawn before the whole picture is taken


def crop_boxes(
    picture: Sequence[int], scale: Sequence[float], ratio: Sequence[float], numbers: np.ndarray
) -> np.ndarray:
    """Return the boxes of `torchvision.transforms.RandomResizedCrop`: int64 [B, 4], top, left, height, width.

    Args:
        picture: Height and width.
        scale: Of the area: at least, at most.
        ratio: Width over height: at least, at most; drawn uniformly in its logarithm.
        numbers: Uniform in [0, 1), [B, 2 * ATTEMPTS + 2].
    """
    height, width = picture
    areas = height * width * (scale[0] + (scale[1] - scale[0]) * numbers[:, :ATTEMPTS])
    logs = math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * numbers[:, ATTEMPTS : 2 * ATTEMPTS]
    widths, heights = np.rint(np.sqrt(areas * np.exp(logs))), np.rint(np.sqrt(areas * np.exp(-logs)))
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = fits.argmax(axis=1)
    rows = np.arange(len(numbers))
    # If none fits: what is in the middle, as near to the whole picture as the ratio allows.
    middle_height, middle_width = min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))
    found = fits[rows, first]
    h = np.where(found, heights[rows, first], middle_height)
    w = np.where(found, widths[rows, first], middle_width)
    top = np.where(found, np.floor((height - h + 1) * numbers[:, -2]), (height - h) // 2)
    left = np.where(found, np.floor((width - w + 1) * numbers[:, -1]), (width - w) // 2)
    return np.stack([top, left, h, w], axis=1).astype(np.int64)


def resized_crop(
    images: Float[Tensor, "batch 3 height width"], boxes: np.ndarray, size: int
) -> Float[Tensor, "batch 3 size size"]:
    """Cut one box out of each image and scale it bilinearly to `size`, smoothed where it shrinks."""
    result = images.new_empty((len(images), 3, size, size))
    shrinks = boxes[:, 2:].max(axis=1) > size
    for number in np.flatnonzero(shrinks).tolist():
        top, left, h, w = boxes[number].tolist()
        result[number] = F.resized_crop(images[number], top, left, h, w, [size, size], antialias=True)
    if not shrinks.all():
        grows = torch.from_numpy(np.flatnonzero(~shrinks)).to(images.device)
        result[grows] = _enlarged(images[grows], boxes[~shrinks], size)
    return result


def _enlarged(images: Tensor, boxes: np.ndarray, size: int) -> Tensor:
    """Do it for all images at once: at a picture's edges its outermost pixels are repeated."""
    height, width = images.shape[-2:]
    top, left, h, w = torch.from_numpy(boxes).to(images.device, torch.float32).T
    # grid_sample's coordinates: -1 and 1 are the outer edges of the picture.
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 0, 2] = w / width, (2 * left + w) / width - 1
    theta[:, 1, 1], theta[:, 1, 2] = h / height, (2 * top + h) / height - 1
    grid = torch.nn.functional.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def color_jitter(
    images: Float[Tensor, "batch 3 height width"], strength: float, numbers: np.ndarray
) -> Float[Tensor, "batch 3 height width"]:
    """Change brightness, contrast, saturation and hue as `torchvision.transforms.ColorJitter(*[strength] * 4)` does.

    Args:
        images: In [0, 1]; overwritten.
        strength: Factors lie in [1 - strength, 1 + strength], hue shifts in [-strength, strength] turns.
        numbers: Uniform in [0, 1), [B, 8]: four factors, then four keys that order the four steps of each image.
    """
    amounts = torch.from_numpy((2 * numbers[:, :4] - 1) * strength).to(images.device, torch.float32)
    order = numbers[:, 4:].argsort(axis=1)
    for turn in range(4):
        for number, adjust in enumerate(ADJUSTMENTS):
            mine = torch.from_numpy(np.flatnonzero(order[:, turn] == number)).to(images.device)
            if len(mine):
                images[mine] = adjust(images[mine], amounts[mine, number, None, None, None])
    return images


def _brighten(images: Tensor, amount: Tensor) -> Tensor:
    return images.mul_(1 + amount).clamp_(0, 1)


def _contrast(images: Tensor, amount: Tensor) -> Tensor:
    return _blend(images, _gray(images).mean(dim=(-2, -1), keepdim=True), amount)


def _saturate(images: Tensor, amount: Tensor) -> Tensor:
    return _blend(images, _gray(images), amount)


def _shift_hue(images: Tensor, amount: Tensor) -> Tensor:
    """Turn hues by `amount` of a full turn, saturation and value kept: to HSV and back (Smith, 1978) in one step."""
    red, green, blue = images.unbind(dim=-3)
    low, value = images.aminmax(dim=-3)
    chroma = value - low
    scale = 1 / chroma.clamp(min=torch.finfo(images.dtype).tiny)
    hue = torch.where(value == green, (blue - red) * scale + 2, (red - green) * scale + 4)
    hue = torch.where(value == red, (green - blue) * scale, hue) + 6 * amount.squeeze(-3)
    for channel, offset in enumerate((5, 3, 1)):
        k = (hue + offset).remainder(6)
        images[:, channel] = value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)
    return images


ADJUSTMENTS = (_brighten, _contrast, _saturate, _shift_hue)


def _blend(images: Tensor, other: Tensor, amount: Tensor) -> Tensor:
    return torch.lerp(other.expand_as(images), images, (1 + amount).expand_as(images)).clamp_(0, 1)


def _gray(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(dim=-3)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(-3)
