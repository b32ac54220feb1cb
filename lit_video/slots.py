"""The pool that decoded frames wait in: one tensor, allocated once, so that memory is a constant by construction."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import UInt8
from torch import Tensor


class SlotPool:
    """F slots of one frame each. A frame is freed singly; a batch is one `index_select` of its slots.

    Args:
        num_slots: F.
        size: Height and width of a frame, in pixels.
        device: Where the slots lie.
        pinned: Page-locked, where a GPU copies from them.

    Attributes:
        frames: uint8 [F, 3, height, width].
        num_held: Slots that are reserved now.
        peak_held: The most that ever were at a time.
    """

    def __init__(
        self, num_slots: int, size: tuple[int, int], device: torch.device | None = None, pinned: bool = False
    ) -> None:
        self.frames: UInt8[Tensor, "slots 3 height width"] = torch.empty(
            (num_slots, 3, *size), dtype=torch.uint8, device=device, pin_memory=pinned
        )
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
