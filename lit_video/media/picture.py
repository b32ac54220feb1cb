"""Facts about one decoded picture that PyAV does not tell directly."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

# FFmpeg's numbers (AVColorSpace, AVColorRange, AVColorTransferCharacteristic).
NO_MATRIX, NO_RANGE, NO_TRANSFER = 2, 0, 2
LIMITED_RANGE, FULL_RANGE = 1, 2
PQ, HLG = 16, 18

NO_CROP = (0, 0, 0, 0)  # left, top, right, bottom

# A bitstream of VP8 names no colours, yet FFmpeg's decoder says BT.601 and limited of each picture.
NAMES_NO_COLOURS = frozenset({"vp8"})

PALETTE_BYTES = 1024  # 256 colours; FFmpeg sends them once, and a decoder that begins elsewhere has none


@dataclass(frozen=True, slots=True)
class Colours:
    """How the samples of a picture are to be taken: FFmpeg's numbers.

    Attributes:
        matrix: Of luma and chroma; 2 where nobody says.
        range: 1 limited, 2 full, 0 where nobody says.
        transfer: From light to samples; 2 where nobody says.
    """

    matrix: int = NO_MATRIX
    range: int = NO_RANGE
    transfer: int = NO_TRANSFER


def colours_of(picture: VideoFrame, codec: str, container: Colours) -> Colours:
    """Return the colours of a picture: its own where it names them and its codec can, else those of its container.

    Its decoder must not have been told the container's, or it gives them out as the picture's: `only_stream`.

    Args:
        picture: As decoded.
        codec: FFmpeg's name of the codec.
        container: What the container says, or the index.
    """
    matrix, range_, transfer = int(picture.colorspace), int(picture.color_range), int(picture.color_trc)
    transfer = container.transfer if transfer == NO_TRANSFER else transfer
    if codec in NAMES_NO_COLOURS:
        matrix = matrix if container.matrix == NO_MATRIX else container.matrix
        return Colours(matrix, range_ if container.range == NO_RANGE else container.range, transfer)
    # Of all but H.264, decoders also say limited where a stream says nothing. It counts if a matrix is named with it.
    names_range = range_ == FULL_RANGE or (range_ == LIMITED_RANGE and (matrix != NO_MATRIX or codec == "h264"))
    range_ = range_ if names_range or container.range == NO_RANGE else container.range
    return Colours(container.matrix if matrix == NO_MATRIX else matrix, range_, transfer)


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a file says that its stored pictures are to be shown: cut, then mirrored, then turned.

    Attributes:
        rotation: Counter-clockwise degrees that turn a picture upright: 0, 90, 180 or 270.
        mirrored: Left and right are to be exchanged, before turning.
        crop: Columns and rows of a stored picture that are cut off: left, top, right, bottom.
        colours: Of pictures that do not say, or whose codec cannot.
        codec: FFmpeg's name of the codec.
    """

    rotation: int = 0
    mirrored: bool = False
    crop: tuple[int, int, int, int] = NO_CROP
    colours: Colours = Colours()
    codec: str = ""


AS_STORED = Presentation()


def orientation_of(frame: VideoFrame) -> tuple[int, bool]:
    """Return what makes a picture upright: its rotation, and whether it is to be mirrored before, as in `Presentation`.

    As stored, (0, False), where it is turned by an angle that is no right one. Ask it of few pictures: one that was
    asked for its side data refers to itself, and stays in memory until Python's garbage collector comes by.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # side data of a kind that PyAV does not know
        matrix = None
    if matrix is None:
        return right_angle(frame.rotation), False
    return orientation(np.frombuffer(bytes(matrix), np.int32, count=5))


def orientation(matrix: np.ndarray) -> tuple[int, bool]:
    """Return rotation and mirroring of a display matrix (libavutil/display.h): x' = ax + cy, y' = bx + dy, y downwards.

    >>> orientation(np.array([0, -1, 0, 1, 0])), orientation(np.array([1, 0, 0, 0, -1]))  # turned; upside down
    ((90, False), (180, True))
    """
    a, b, _, c, d = matrix[:5].astype(float)
    mirrored = bool(a * d - b * c < 0)
    # What is left to do after mirroring. Scaled, as FFmpeg does: a matrix may stretch, too.
    sign = -1 if mirrored else 1
    degrees = -np.degrees(np.arctan2(sign * b / (np.hypot(b, d) or 1), sign * a / (np.hypot(a, c) or 1)))
    turns = round(degrees / 90)
    return (turns % 4 * 90, mirrored) if abs(degrees - 90 * turns) <= 1 else (0, False)


def right_angle(degrees: float) -> int:
    """Return `degrees` as 0, 90, 180 or 270, and 0 where it is no right angle. PyAV rounds towards 0.

    >>> right_angle(-90), right_angle(-89), right_angle(180), right_angle(37)
    (270, 270, 180, 0)
    """
    turns = round(degrees / 90)
    return turns % 4 * 90 if abs(degrees - 90 * turns) <= 1 else 0


def plane_rows(frame: VideoFrame, index: int) -> np.ndarray:
    """Return plane `index` of a picture in system memory: uint8 [height, bytes per row], padding cut off, no copy."""
    return rows_of(frame.planes[index], _pixel_bytes(frame.format.name)[index])


@cache
def _pixel_bytes(pixel_format: str) -> tuple[int, ...]:
    """Return how many bytes a pixel has in each plane of a format that FFmpeg names so."""
    components = VideoFormat(pixel_format).components
    planes = range(max(c.plane for c in components) + 1)
    return tuple(sum((c.bits + 7) // 8 for c in components if c.plane == plane) for plane in planes)


def rows_of(plane: Any, pixel_bytes: int) -> np.ndarray:
    """Return a plane, a buffer, of pixels of so many bytes, as `plane_rows` does."""
    line_bytes = abs(plane.line_size)
    rows = np.frombuffer(plane, np.uint8, count=line_bytes * plane.height).reshape(plane.height, line_bytes)
    return rows[:: 1 if plane.line_size >= 0 else -1, : plane.width * pixel_bytes]


def checksum(frame: VideoFrame) -> int:
    """Return a 32-bit checksum of every stored sample of a picture, before any conversion, and of its palette."""
    pixel_format, planes = frame.format.name, frame.planes
    value = zlib.crc32(bytes(planes[1])[:PALETTE_BYTES]) if pixel_format == "pal8" else 0
    for plane, pixel_bytes in zip(planes, _pixel_bytes(pixel_format), strict=False):
        value = zlib.crc32(rows_of(plane, pixel_bytes).tobytes(), value)
    return value
