"""Slots for a decoder's frames, of which most are the same memory: what has no slot is packed before the next comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import overload

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from lit_video.decoders.base import Decoder
from lit_video.decoders.form import form_of
from lit_video.planning.reads import GopRead
from lit_video.support.errors import DecodeError

Pack = Callable[[int, UInt8[np.ndarray, "channels height row"]], None]


class Keeper(Sequence[Tensor]):
    """`out` for `Decoder.decode`, when frames are wanted that nobody waits for: a whole GOP in the memory of one frame.

    A decoder takes each tensor once, and writes it before it takes the next. So when the next is taken, or at
    `finish`, the frame before is whole, and is packed. Where `decode` raises `DecodeError`, what was taken is whole
    too, and `finish` may be called; after any other error it may not.

    Args:
        out: The frames that have a tensor of their own, by place in the read. These are not packed.
        memory: For one frame of those that have none.
        num_frames: Of the read.
        pack: Called with place and frame, uint8 `[channels, height, bytes of a row]`, for each other frame that was
            decoded. The frame's memory is written over afterwards.
    """

    def __init__(
        self,
        out: Mapping[int, Tensor],
        memory: Tensor,
        num_frames: int,
        pack: Pack,
    ) -> None:
        self._out, self._num_frames, self._pack = out, num_frames, pack
        self._frame = memory
        self._place: int | None = None  # of the frame that is being written and has no tensor of its own

    def __len__(self) -> int:
        return self._num_frames

    @overload
    def __getitem__(self, place: int) -> Tensor: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, place: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(place, slice):
            raise TypeError("place must be a number: the tensors of a Keeper are one memory, and taken one by one")
        if not 0 <= place < self._num_frames:
            raise IndexError(f"place must be in [0, {self._num_frames}), got {place}")
        self.finish()
        if place in self._out:
            return self._out[place]
        self._place = place
        return self._frame

    def finish(self) -> None:
        """Pack the frame that was taken last, if it has no tensor of its own."""
        if self._place is not None:
            place, self._place = self._place, None
            self._pack(place, self._frame.view(torch.uint8).numpy())


def decode_to_pack(decoder: Decoder, read: GopRead, size: tuple[int, int], pack: Pack) -> int:
    """Decode a read in the memory of one frame, and return how many of its frames did not come.

    Args:
        decoder: On the CPU.
        read: That nobody waits for.
        size: Height and width of a frame.
        pack: As `Keeper` takes it.
    """
    form, lost = form_of(decoder, size), 0
    out = Keeper({}, torch.empty(form.shape, dtype=form.samples), len(read.frame_indices), pack)
    try:
        decoder.decode(read, out)
    except DecodeError as error:
        lost = len(error.missing)
    out.finish()
    return lost
