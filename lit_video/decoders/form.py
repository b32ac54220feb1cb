"""What a frame is: how many channels, and samples of which type. Everything behind the decoders keeps it as bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_video.support.errors import check_choice

DTYPES, CHANNELS = ("uint8", "uint16"), (1, 3)


class Form(NamedTuple):
    """What a decoder writes.

    Attributes:
        height: In pixels.
        width: In pixels.
        channels: 3, or 1 of grey.
        dtype: `uint8` or `uint16`.
    """

    height: int
    width: int
    channels: int = 3
    dtype: str = "uint8"

    @property
    def samples(self) -> torch.dtype:
        """Type of a sample."""
        return getattr(torch, self.dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a frame."""
        return self.channels, self.height, self.width

    @property
    def shape_in_bytes(self) -> tuple[int, int, int]:
        """Of a frame as uint8: so it waits, is packed, and is stored. A row is as many bytes longer."""
        return self.channels, self.height, self.width * self.samples.itemsize

    @property
    def num_bytes(self) -> int:
        """Of a frame."""
        channels, height, row = self.shape_in_bytes
        return channels * height * row

    def of_bytes(self, frames: Tensor) -> Tensor:
        """Return what was kept as bytes as frames, in the same memory."""
        return frames.view(self.samples)


def check_form(dtype: str, channels: int) -> None:
    """Check what a user wants of a frame.

    Raises:
        ValueError: It is none of `DTYPES`, or of `CHANNELS`.
    """
    check_choice("dtype", dtype, DTYPES)
    if channels not in CHANNELS:
        raise ValueError(f"channels must be 3, or 1 for grey, got {channels!r}")


def form_of(decoder: object, size: tuple[int, int]) -> Form:
    """Return what a decoder writes: uint8 of three channels, unless it says otherwise by `dtype` and `channels`."""
    return Form(*size, getattr(decoder, "channels", 3), getattr(decoder, "dtype", "uint8"))


def with_form(make_decoder: Callable[..., Any], dtype: str, channels: int) -> Callable[..., Any]:
    """Return a factory of decoders that write such frames.

    Raises:
        ValueError: These decoders write uint8 of three channels alone: they do not declare `dtypes`.
    """
    check_form(dtype, channels)
    if (dtype, channels) == ("uint8", 3):
        return make_decoder
    kind: Any = make_decoder
    while isinstance(kind, partial):
        kind = kind.func
    if dtype not in getattr(kind, "dtypes", ()):
        name = getattr(kind, "__name__", type(kind).__name__)
        raise ValueError(
            f"{name} writes frames of dtype='uint8' and channels=3 alone, got dtype={dtype!r} and channels={channels}:"
            " use decoder=pyav"
        )
    return partial(make_decoder, dtype=dtype, channels=channels)
