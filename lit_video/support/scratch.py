"""Memory that a thread keeps for itself, and writes over again and again."""

from __future__ import annotations

import math
import threading

import numpy as np
from jaxtyping import UInt8


class Scratch(threading.local):
    """Bytes of a thread, as many as it ever needed at a time."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def memory(self, *shape: int) -> UInt8[np.ndarray, ...]:
        """Return an array of this shape, whose values are anything. The next call writes over it."""
        size = math.prod(shape)
        if self._memory.size < size:
            self._memory = np.empty(size, np.uint8)
        return self._memory[:size].reshape(shape)
