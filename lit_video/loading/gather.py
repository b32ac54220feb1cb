"""Slots -> the images of a batch, on the device where the model is, ready for the stream that the model runs on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

# Batches whose copies may be under way: two that are finished, and the one being made.
BUFFERS = 3


class Gathered(NamedTuple):
    """Images, and when they are there: an event to wait for, or None where they are."""

    images: UInt8[Tensor, "batch channels height row"]
    ready: torch.cuda.Event | None = None

    def take(self) -> UInt8[Tensor, "batch channels height row"]:
        """Return the images for use on the calling thread's current stream."""
        if self.ready is not None:
            stream = torch.cuda.current_stream(self.images.device)
            stream.wait_event(self.ready)
            self.images.record_stream(stream)  # made on another stream: its memory must not be reused too early
        return self.images


class Gather:
    """Makes batches in main memory, of slots there."""

    def __call__(self, slots: UInt8[Tensor, "slots channels height row"], index: Int64[Tensor, " batch"]) -> Gathered:
        """Return the images of the slots of these numbers; the slots may be written to again after this."""
        images = torch.empty((len(index), *slots.shape[1:]), dtype=slots.dtype)
        copy_slots(slots, index, images)
        return Gathered(images)


class GatherOnGpu:
    """Likewise for slots on a GPU, on a stream of its own beside the model's.

    Args:
        device: Of the slots.
        model: Where the images are wanted; as a rule the same.
    """

    def __init__(self, device: torch.device, model: torch.device) -> None:
        self._device, self._model, self._stream = device, model, torch.cuda.Stream(device)

    def __call__(self, slots: UInt8[Tensor, "slots channels height row"], index: Int64[Tensor, " batch"]) -> Gathered:
        """Return the images of the slots of these numbers."""
        # The device too: a thread that leaves a stream goes back to its own device, and has a context made there.
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            images = slots.index_select(0, index.to(slots.device))
            ready = torch.cuda.Event(blocking=True)  # else the wait below spins on a core
            ready.record()
        # Only then are the slots given back, and a decoder, on a stream that knows nothing of this one, fills them.
        ready.synchronize()
        return Gathered(images, ready) if self._model == self._device else Gathered(images.to(self._model))


class GatherToGpu:
    """For slots in main memory and a model on a GPU: one gathering copy into page-locked memory, one transfer.

    The transfer runs on a stream of its own while the model works on the batch before.

    Args:
        device: Of the model.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._buffers: list[Tensor | None] = [None] * BUFFERS
        self._copied: list[torch.cuda.Event | None] = [None] * BUFFERS
        self._turn = 0

    def __call__(self, slots: UInt8[Tensor, "slots channels height row"], index: Int64[Tensor, " batch"]) -> Gathered:
        """Return the images of the slots of these numbers, on their way to the device."""
        turn, self._turn = self._turn, (self._turn + 1) % BUFFERS
        if (copied := self._copied[turn]) is not None:
            copied.synchronize()
        buffer = self._buffers[turn]
        if buffer is None or len(buffer) < len(index):
            shape = len(index), *slots.shape[1:]
            buffer = self._buffers[turn] = torch.empty(shape, dtype=slots.dtype, pin_memory=True)
        copy_slots(slots, index, buffer[: len(index)])
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            images = buffer[: len(index)].to(self._device, non_blocking=True)
            ready = self._copied[turn] = torch.cuda.Event(blocking=True)
            ready.record()
        return Gathered(images, ready)


def copy_slots(
    slots: UInt8[Tensor, "slots channels height row"],
    index: Int64[Tensor, " batch"],
    images: UInt8[Tensor, "batch channels height row"],
) -> None:
    """Copy the slots of these numbers into `images`, all in main memory, on this thread alone.

    torch's `index_select` would share the work among as many threads as there are cores, spinning where they wait for
    each other; but the cores are decoding.
    """
    assert not len(index) or 0 <= int(index.min()) <= int(index.max()) < len(slots)
    # The mode that checks the numbers copies `images` first, since it must leave them alone if one is wrong.
    np.take(slots.numpy(), index.numpy(), axis=0, out=images.numpy(), mode="clip")


def choose_gather(slots: torch.device, model: torch.device) -> Gather | GatherOnGpu | GatherToGpu:
    """Return how batches are made of slots on one device for a model on another."""
    if slots.type == "cuda":
        return GatherOnGpu(slots, model)
    return GatherToGpu(model) if model.type == "cuda" else Gather()
