"""Facts about one decoded picture that PyAV does not tell directly."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

PALETTE_BYTES = 1024  # 256 colours; FFmpeg sends them once, and a decoder that begins elsewhere has none


def rotation_of(frame: VideoFrame) -> int:
    """Return the counter-clockwise degrees that turn a picture upright: 0 if it is mirrored or turned by odd angles.

    Ask it of few pictures: one that was asked for its side data refers to itself, and stays in memory until Python's
    garbage collector comes by.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # side data of a kind that PyAV does not know
        matrix = None
    if matrix is not None:
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32, count=5).astype(float)
        if a * d - b * c < 0:
            return 0  # mirrored: PyAV's rotation is that of another picture
    return right_angle(frame.rotation)


def right_angle(degrees: float) -> int:
    """Return `degrees` as 0, 90, 180 or 270, and 0 where it is no right angle. PyAV rounds towards 0.

    >>> right_angle(-90), right_angle(-89), right_angle(180), right_angle(37)
    (270, 270, 180, 0)
    """
    turns = round(degrees / 90)
    return turns % 4 * 90 if abs(degrees - 90 * turns) <= 1 else 0


def plane_rows(frame: VideoFrame, index: int) -> np.ndarray:
    """Return plane `index` of a picture in system memory: uint8 [height, bytes per row], padding cut off, no copy."""
    plane: Any = frame.planes[index]  # a buffer, which its type does not say
    pixel_bytes = sum((c.bits + 7) // 8 for c in frame.format.components if c.plane == index)
    line_bytes = abs(plane.line_size)
    rows = np.frombuffer(plane, np.uint8, count=line_bytes * plane.height).reshape(plane.height, line_bytes)
    return rows[:: 1 if plane.line_size >= 0 else -1, : plane.width * pixel_bytes]


def checksum(frame: VideoFrame) -> int:
    """Return a 32-bit checksum of every stored sample of a picture, before any conversion, and of its palette."""
    value = zlib.crc32(bytes(frame.planes[1])[:PALETTE_BYTES]) if frame.format.name == "pal8" else 0
    for index in range(max(c.plane for c in frame.format.components) + 1):
        value = zlib.crc32(plane_rows(frame, index).tobytes(), value)
    return value
