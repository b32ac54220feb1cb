"""The promise that every decoder makes. `lit_video.testing.check_decoder` holds a decoder to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor

from lit_video.planning.planner import GopRead


@runtime_checkable
class Decoder(Protocol):
    """Decodes exactly the frames that it is asked for. Used by one thread at a time; threads have one each.

    Made by a factory `(index, size) -> Decoder`, which opens nothing: files are opened in the thread or process that
    reads them, and at most a fixed number stay open.

    Attributes:
        device: Where the frames are written.
        start_method: How worker processes with this decoder must start: `spawn` where a GPU decodes, else None for any.
    """

    device: torch.device
    start_method: str | None

    def decode(self, read: GopRead, out: Sequence[UInt8[Tensor, "3 height width"]]) -> None:
        """Write the wanted frames of `read` into `out`, one tensor a frame, in the order of `read.frame_indices`.

        Raises:
            DecodeError: A frame cannot be had exactly. A neighbour is never given in its place.
        """
        ...

    def close(self) -> None:
        """Close all files. A closed decoder opens them again when asked for frames."""
        ...

    @classmethod
    def __subclasshook__(cls, subclass: type, /) -> bool:
        """Tell whether a class has these methods: LightningCLI asks it of a `class_path`."""
        # Python itself refuses to answer for a protocol with attributes.
        if cls is not Decoder:
            return NotImplemented
        return hasattr(subclass, "decode") and hasattr(subclass, "close")
