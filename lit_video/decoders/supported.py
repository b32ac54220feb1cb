"""Which videos of an index a GPU decodes: the driver is asked of all of them, before the first frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from av.video.format import VideoFormat

from lit_video.decoders.device import NO_LIBRARY
from lit_video.decoders.nvdec import CHROMA_420, NUMBERS, capabilities, is_installed
from lit_video.index import VideoIndex
from lit_video.support.errors import DeviceError

LISTED = 10  # files that are named for each reason

# Width and height of chroma where luma has 16: cudaVideoChromaFormat, and its name.
CHROMA = {(8, 8): (CHROMA_420, "4:2:0"), (8, 16): (2, "4:2:2"), (16, 16): (3, "4:4:4")}

# Stored in whole blocks. Of other codecs FFmpeg asks NVDEC for an odd size where the stream has one, and looks for
# chroma behind an odd number of rows; NVDEC rounds up.
IN_BLOCKS = frozenset({"h264", "hevc"})
BLOCK = 16


def refused_videos(index: VideoIndex) -> dict[int, str]:
    """Return why videos are not decoded by the GPU whose context is current in this thread; those that are, left out.

    Empty where there is no driver to ask.
    """
    if not is_installed():
        return {}
    c = index.columns
    kinds = np.stack([c.codec, c.pixel_format, c.width + c.crop[:, [0, 2]].sum(1), c.height + c.crop[:, [1, 3]].sum(1)])
    kinds, kind_of = np.unique(kinds, axis=1, return_inverse=True)
    reasons = [
        _reason(index.names[int(codec)], index.names[int(form)], int(w), int(h)) for codec, form, w, h in kinds.T
    ]
    return {video_id: why for video_id, kind in enumerate(kind_of.ravel().tolist()) if (why := reasons[kind])}


def _reason(codec: str, pixel_format: str, width: int, height: int) -> str:
    """Return why pictures of so many stored pixels are not decoded; empty: they are."""
    if codec not in NUMBERS:
        return f"NVDEC does not decode {codec}"
    form = VideoFormat(pixel_format)
    is_plain = sum(1 for _ in form.components) > 2 and not form.is_rgb and not form.has_palette
    number, name = CHROMA.get((form.chroma_width(16), form.chroma_height(16)), (None, "")) if is_plain else (None, "")
    if number is None:
        return f"NVDEC does not decode {codec} of format {pixel_format}"
    bits = max(component.bits for component in form.components)
    found = capabilities(codec, bits, number)
    if found is None:
        return f"this GPU does not decode {codec} of {bits} bits in {name}"
    if number != CHROMA_420:
        return f"PyAV hands pictures in {name} to nobody on a GPU"
    if codec not in IN_BLOCKS and (width % 2 or height % 2):
        return f"FFmpeg and NVDEC take odd sizes of {codec} differently ({width} × {height})"
    blocks = -(-width // BLOCK) * -(-height // BLOCK)
    too_large = width > found.max_width or height > found.max_height or blocks > found.max_blocks
    too_small = -(-width // BLOCK) * BLOCK < found.min_width or -(-height // BLOCK) * BLOCK < found.min_height
    if too_large or too_small:
        least, most = f"{found.min_width} × {found.min_height}", f"{found.max_width} × {found.max_height}"
        return f"this GPU decodes {codec} from {least} to {most} ({width} × {height})"
    return ""


def in_words(index: VideoIndex, refused: Mapping[int, str]) -> str:
    """Return why the GPU does not decode videos, and for each reason which these are."""
    files: dict[str, list[str]] = {}
    for video_id, why in refused.items():
        files.setdefault(why, []).append(index.path(video_id))
    parts = []
    for why, paths in files.items():
        more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
        parts.append(f"{why}: {', '.join(paths[:LISTED])}{more}")
    return "; ".join(parts)


def refusal(index: VideoIndex, video_id: int, cause: str) -> DeviceError:
    """Return what to raise where FFmpeg, with the GPU, could not decode a file at all."""
    path = index.path(video_id)
    if not is_installed():
        return DeviceError(f"{path}: {NO_LIBRARY}")
    if why := refused_videos(index).get(video_id):
        return DeviceError(
            f"{path}: {why} ({cause}).\n"
            "Use decoder=pyav, or data.decoder.fallback=cpu; what the GPU decodes: python scripts/doctor.py"
        )
    return DeviceError(
        f"{path}: the GPU decodes such videos, and did not decode this one ({cause}): as a rule it is out of memory for"
        " pictures, or out of decoding sessions.\n"
        "Lower data.decoder.max_decoders, data.threads or data.num_workers, or decode on the CPU: decoder=pyav"
    )
