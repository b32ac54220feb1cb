"""Videos that say in every picture which video and which frame it is.

The stamp is a grid of black and white cells in the middle of a green picture. Green shows where the grid lies, so it
is read after cropping, squashing, turning and lossy coding; a ramp of greys would not survive these.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor

CELLS = 6  # a side; 2 cells tell white from black, then the numbers' bits, then their checksum's
VIDEO_BITS, FRAME_BITS, CHECK_BITS = 12, 18, 4

CLOSED_GOP = {
    "libx264": {"sc_threshold": "0", "preset": "ultrafast", "crf": "18"},
    "libx265": {"preset": "ultrafast", "crf": "18"},
    "libsvtav1": {"preset": "8", "crf": "10"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "1M"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": "1M", "row-mt": "0"},
}


def write_stamped(
    path: Path | str,
    num_frames: int = 60,
    video_id: int = 0,
    codec: str = "libx264",
    gop: int = 12,
    b_frames: int = 0,
    fps: Fraction | int = 30,
    size: tuple[int, int] = (96, 128),
    rotation: int = 0,
    pixel_format: str = "yuv420p",
    pts: Sequence[int] | None = None,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    mirrored: bool = False,
    colours: tuple[int, int, int, int] | None = None,
) -> Path:
    """Encode a stamped video and return its path.

    Args:
        path: Its ending chooses the container.
        num_frames: How many.
        video_id: What the stamps say.
        codec: FFmpeg's name of an encoder.
        gop: Frames from one keyframe to the next.
        b_frames: B-frames in a row, at most.
        fps: Frames per second.
        size: Height and width as stored, in pixels.
        rotation: Counter-clockwise degrees that turn the stored pictures upright: 0, 90, 180 or 270.
        pixel_format: As stored.
        pts: Of each frame, in units of 1 / fps, ascending; 0, 1, 2, … by default.
        options: For the encoder, beside those that make GOPs regular.
        container_options: For the muxer.
        mirrored: Stored pictures are to be mirrored before they are turned.
        colours: FFmpeg's numbers of matrix, range, transfer and primaries, for encoder and muxer to name.
    """
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder tells its whole configuration else
    with priority_kept(), av.open(str(path), "w", options=dict(container_options or {})) as container:
        stream = container.add_stream(
            codec, rate=fps, options=_encoder_options(codec, gop, b_frames) | dict(options or {})
        )
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        stream.gop_size, stream.max_b_frames = gop, b_frames
        stream.codec_context.thread_count = 1
        if rotation or mirrored:
            stream.set_display_matrix(_display_matrix(rotation, mirrored))
        if colours is not None:
            _name_colours(stream.codec_context, colours)
        times = range(num_frames) if pts is None else pts
        for frame_index, time in zip(range(num_frames), times, strict=True):
            picture = av.VideoFrame.from_ndarray(
                draw_stamped(video_id, frame_index, size, rotation, mirrored), format="rgb24"
            )
            picture = picture.reformat(format=pixel_format)
            if colours is not None:
                _name_colours(picture, colours)
            picture.pts, picture.time_base = time, 1 / Fraction(fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return Path(path)


@contextlib.contextmanager
def priority_kept() -> Iterator[None]:
    """Put this thread's scheduling back: run by root, the AV1 encoder gives who calls it real-time priority for good.

    All else on the machine would wait for it, and for the threads and programs that it starts.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


def draw_stamped(
    video_id: int, frame_index: int, size: tuple[int, int], rotation: int = 0, mirrored: bool = False
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a stamped picture as it is stored: mirroring it, or not, and turning it by `rotation` makes it upright."""
    height, width = size if rotation % 180 == 0 else size[::-1]
    picture = np.empty((height, width, 3), np.uint8)
    # Bands that move give the encoder motion to code, and differ in brightness only.
    shade = 96 + 64 * ((np.arange(height)[:, None] + np.arange(width)[None, :] + 3 * frame_index) // 8 % 2)
    picture[...] = np.stack([0 * shade, shade, 0 * shade], axis=-1)
    side = min(height, width) // (2 * CELLS) * 2  # of a cell, even: chroma is stored by pairs of pixels
    side = max(side if side * CELLS <= min(height, width) else side - 2, 1)
    cells = np.kron(_cells(video_id, frame_index), np.full((side, side), 255, np.uint8))
    top, left = ((height - side * CELLS) // 4 * 2, (width - side * CELLS) // 4 * 2)
    picture[top : top + side * CELLS, left : left + side * CELLS] = cells[:, :, None]
    stored = np.rot90(picture, -rotation // 90)
    return np.ascontiguousarray(stored[:, ::-1] if mirrored else stored)


def _display_matrix(rotation: int, mirrored: bool) -> list[int]:
    """Return what mirrors and then turns, as in libavutil/display.h: x' = ax + cy, y' = bx + dy, y downwards."""
    one, sign = 1 << 16, -1 if mirrored else 1
    angle = np.radians(rotation)
    cosine, sine = round(np.cos(angle) * one), round(np.sin(angle) * one)
    return [sign * cosine, -sign * sine, 0, sine, cosine, 0, 0, 0, 1 << 30]


def _name_colours(named: Any, colours: tuple[int, int, int, int]) -> None:
    named.colorspace, named.color_range, named.color_trc, named.color_primaries = colours


def read_stamp(image: UInt8[Tensor, "3 height width"] | UInt8[np.ndarray, "3 height width"]) -> tuple[int, int]:
    """Return video id and frame index that an image says.

    Args:
        image: RGB, any size from about 36 pixels a side on.

    Raises:
        ValueError: No stamp is to be read there, or not with certainty.
    """
    array = np.asarray(image.cpu() if isinstance(image, Tensor) else image).astype(np.float64)
    gray = array.mean(axis=0)
    box = gray[_gray_box(array)]
    values = np.array(
        [[_middle(cell) for cell in np.array_split(row, CELLS, axis=1)] for row in np.array_split(box, CELLS)]
    )
    white, black = values.flat[0], values.flat[1]
    if white - black < 64:
        raise ValueError("there is no stamp to be read in this image")
    bits = values.ravel()[2:] > (white + black) / 2
    video_id, frame_index, check = _numbers(bits)
    if not np.array_equal(bits, _cells(video_id, frame_index).ravel()[2:].astype(bool)):
        raise ValueError(f"the stamp reads {(video_id, frame_index)}, but its checksum {check} does not fit")
    return video_id, frame_index


def _encoder_options(codec: str, gop: int, b_frames: int) -> dict[str, str]:
    options = {"g": str(gop), "keyint_min": str(gop), **CLOSED_GOP.get(codec, {})}
    if codec == "libx265":
        parameters = (
            f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes={b_frames}:pools=none:frame-threads=1"
        )
        options["x265-params"] = f"{parameters}:log-level=none"
    return options


def _cells(video_id: int, frame_index: int) -> np.ndarray:
    check = (video_id * 7 + frame_index * 5 + 3) % 2**CHECK_BITS ^ (frame_index >> 4) % 2**CHECK_BITS
    numbers = ((video_id, VIDEO_BITS), (frame_index, FRAME_BITS), (check, CHECK_BITS))
    bits = [number >> place & 1 for number, count in numbers for place in range(count)]
    return np.array([1, 0, *bits], np.uint8).reshape(CELLS, CELLS)


def _numbers(bits: np.ndarray) -> Iterator[int]:
    begin = 0
    for count in (VIDEO_BITS, FRAME_BITS, CHECK_BITS):
        yield int(sum(int(bit) << place for place, bit in enumerate(bits[begin : begin + count])))
        begin += count


def _gray_box(array: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns that are mostly grey."""
    grey = np.abs(array - array.mean(axis=0)).max(axis=0) < 24
    middle = tuple(slice(side // 4, -(-3 * side // 4)) for side in grey.shape)
    rows = np.flatnonzero(grey[:, middle[1]].mean(axis=1) > 0.5)
    columns = np.flatnonzero(grey[middle[0]].mean(axis=0) > 0.5)
    if not len(rows) or not len(columns):
        raise ValueError("there is no stamp to be read in this image")
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _middle(cell: np.ndarray) -> float:
    height, width = cell.shape
    inner = cell[
        height // 3 : max(height // 3 + 1, height - height // 3), width // 3 : max(width // 3 + 1, width - width // 3)
    ]
    return float(inner.mean())
