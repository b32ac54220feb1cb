"""Packed frames on their way into a store."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from jaxtyping import UInt8

from lit_video.store.frames import FrameStore

TOGETHER_BYTES = 8 * 2**20  # of packed frames that wait in each thread, and are kept in one transaction


class Collected:
    """Frames that are packed as they come, and kept together.

    Args:
        store: Where.

    Attributes:
        num_kept: Frames that are there now.
        is_full: The store took no more.
    """

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._frame_ids, self._packed, self._num_bytes = list[int](), list[bytes](), 0
        self.num_kept, self.is_full = 0, False

    def add(self, frame_id: int, frame: UInt8[np.ndarray, "channels height row"]) -> None:
        """Pack a frame."""
        if self.is_full:
            return
        self._frame_ids.append(frame_id)
        self._packed.append(self._store.packing.pack(frame))
        self._num_bytes += len(self._packed[-1])
        if self._num_bytes >= TOGETHER_BYTES:
            self.put()

    def forget(self, frame_ids: Collection[int]) -> None:
        """Leave out frames that did not come after all."""
        left = [one for one in zip(self._frame_ids, self._packed, strict=True) if one[0] not in frame_ids]
        self._frame_ids, self._packed = [frame_id for frame_id, _ in left], [packed for _, packed in left]

    def put(self) -> None:
        """Keep what was packed."""
        there = self._store.put(self._frame_ids, self._packed) if self._frame_ids else 0
        self.num_kept += there
        self.is_full |= there < len(self._frame_ids)
        self._frame_ids, self._packed, self._num_bytes = [], [], 0
