"""Facts about one decoded picture that PyAV does not tell directly."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from av.video.frame import VideoFrame


def right_angle(degrees: float) -> int:
    """Return `degrees` as 0, 90, 180 or 270, and 0 where the file's field is no right angle.

    >>> right_angle(-90), right_angle(180), right_angle(37)
    (270, 180, 0)
    """
    turns, rest = divmod(round(degrees), 90)
    return turns % 4 * 90 if rest == 0 else 0


def plane_rows(frame: VideoFrame, index: int) -> np.ndarray:
    """Return plane `index` of a picture in system memory: uint8 [height, bytes per row], padding cut off, no copy."""
    plane: Any = frame.planes[index]  # a buffer, which its type does not say
    pixel_bytes = sum((c.bits + 7) // 8 for c in frame.format.components if c.plane == index)
    line_bytes = abs(plane.line_size)
    rows = np.frombuffer(plane, np.uint8, count=line_bytes * plane.height).reshape(plane.height, line_bytes)
    return rows[:: 1 if plane.line_size >= 0 else -1, : plane.width * pixel_bytes]


def checksum(frame: VideoFrame) -> int:
    """Return a 32-bit checksum of every stored sample of a picture, before any conversion."""
    value = 0
    for index in range(max(c.plane for c in frame.format.components) + 1):
        value = zlib.crc32(plane_rows(frame, index).tobytes(), value)
    return value
