"""Memory for packed frames that wait: pages of one block, allocated once, so that memory is a constant."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from lit_video.loading.slots import share

PAGE_BYTES = 2048  # of which half is lost with each frame


class Pages:
    """Pages that are given to packed frames and taken back singly. A frame's pages need not lie together.

    Args:
        num_bytes: Of all pages.
        shared: In memory that worker processes can share.

    Attributes:
        memory: uint8 [pages, PAGE_BYTES].

    Raises:
        WorkerError: Too little shared memory.
    """

    def __init__(self, num_bytes: int, shared: bool = False) -> None:
        memory = torch.empty((num_bytes // PAGE_BYTES, PAGE_BYTES), dtype=torch.uint8)
        self.memory: UInt8[Tensor, "pages bytes"] = share(memory) if shared else memory
        self.free_all()

    @property
    def num_held(self) -> int:
        """Pages that are given to frames now."""
        return len(self.memory) - len(self._free)

    def reserve(self, num_bytes: int) -> Sequence[int]:
        """Take pages for so many bytes; none where there are too few."""
        count = -(-num_bytes // PAGE_BYTES)
        if count > len(self._free):
            return ()
        taken = self._free[-count:]
        del self._free[-count:]
        return taken

    def keep(self, pages: Sequence[int], num_bytes: int) -> Sequence[int]:
        """Return the pages that so many bytes need, and give the rest of them back."""
        needed = -(-num_bytes // PAGE_BYTES)
        self.free(pages[needed:])
        return pages[:needed]

    def free(self, pages: Sequence[int]) -> None:
        """Give pages back."""
        self._free.extend(pages)

    def free_all(self) -> None:
        """Give all pages back. Nobody may still read or write any."""
        self._free = array("i", range(len(self.memory) - 1, -1, -1))


def write_pages(memory: UInt8[np.ndarray, "pages bytes"], pages: Sequence[int], packed: bytes) -> bool:
    """Write a packed frame into its pages; tell whether it has room there."""
    full, rest = divmod(len(packed), PAGE_BYTES)
    if len(packed) > PAGE_BYTES * len(pages):
        return False
    values = np.frombuffer(packed, np.uint8)
    memory[np.asarray(pages[:full], np.intp)] = values[: full * PAGE_BYTES].reshape(full, PAGE_BYTES)
    if rest:
        memory[pages[full], :rest] = values[full * PAGE_BYTES :]
    return True


def read_pages(memory: UInt8[np.ndarray, "pages bytes"], pages: Sequence[int], num_bytes: int) -> memoryview:
    """Return the packed frame that was written into pages."""
    return memory[np.asarray(pages, np.intp)].reshape(-1)[:num_bytes].data
