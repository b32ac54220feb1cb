"""The pool that decoded frames wait in: one tensor, allocated once, so that memory is a constant by construction."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import UInt8
from torch import Tensor

from lit_video.decoders.form import Form
from lit_video.support.errors import WorkerError


class SlotPool:
    """F slots of one frame each. A frame is freed singly; a batch is one copy of its slots.

    Args:
        num_slots: F.
        form: Of a frame.
        device: Where the slots lie.
        shared: In memory that worker processes can share.

    Raises:
        WorkerError: Too little shared memory.

    Attributes:
        form: Of a frame.
        frames: uint8 [F, channels, height, bytes of a row].
        num_held: Slots that are reserved now.
        peak_held: The most that ever were at a time.
    """

    def __init__(self, num_slots: int, form: Form, device: torch.device | None = None, shared: bool = False) -> None:
        self.form = form
        frames = torch.empty((num_slots, *form.shape_in_bytes), dtype=torch.uint8, device=device)
        self.frames: UInt8[Tensor, "slots channels height row"] = share(frames) if shared else frames
        # Last freed, first reserved: pages of the pool that were never needed are never touched.
        self._free = list(range(num_slots - 1, -1, -1))
        self.peak_held = 0

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def num_held(self) -> int:
        """Slots that are reserved now."""
        return len(self) - len(self._free)

    def reserve(self, count: int) -> list[int]:
        """Take `count` slots out of the pool. That there are as many is what the admission rule guarantees."""
        assert count <= len(self._free), f"{count} slots wanted, {len(self._free)} of {len(self)} free"
        taken = [self._free.pop() for _ in range(count)]
        self.peak_held = max(self.peak_held, self.num_held)
        return taken

    def free(self, slots: Iterable[int]) -> None:
        """Give slots back."""
        self._free.extend(slots)

    def free_all(self) -> None:
        """Give all slots back. Nobody may still write into any."""
        self._free = list(range(len(self) - 1, -1, -1))


def share(slots: Tensor) -> Tensor:
    """Return `slots` in memory that worker processes can share.

    Raises:
        WorkerError: There is too little of it, or torch was told to take a GPU's memory in a way that cannot be shared.
    """
    if slots.is_cuda:
        refuse_expandable_segments(os.environ)
        return slots
    needed = slots.numel()
    try:
        folder = os.statvfs("/dev/shm")
        free = folder.f_bavail * folder.f_frsize
        if needed > free:
            raise WorkerError(_too_little(needed, free))
    except OSError:
        pass  # no such folder: shared memory is kept elsewhere here
    try:
        return slots.share_memory_()
    except RuntimeError as error:
        raise WorkerError(_too_little(needed, None)) from error


def _too_little(needed: int, free: int | None) -> str:
    has = "has too little room" if free is None else f"has {free / 2**20:.0f} MiB free"
    return (
        f"Frames for worker processes need {needed / 2**20:.0f} MiB of shared memory, and /dev/shm {has}.\n"
        "Lower data.lookahead_bytes, use data.num_workers=0, or raise the limit (docker run --shm-size=8g)"
    )


def refuse_expandable_segments(environment: Mapping[str, str]) -> None:
    """Refuse what has a worker die while it is handed the pool: in containers such memory cannot be passed on.

    Raises:
        WorkerError: With the variable that says so.
    """
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        if "expandable_segments:true" in environment.get(name, "").lower().replace(" ", ""):
            raise WorkerError(
                f"{name} has expandable_segments:True, with which worker processes cannot be given the slots on the"
                " GPU that they write frames into.\nTake it out, or use data.num_workers=0"
            )
