"""What a GPU's video decoders can do, as NVIDIA's decoding library says and its management library sees."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

LIBRARY = "libnvcuvid.so.1"

# FFmpeg's names of codecs -> cudaVideoCodec.
NUMBERS = {
    "mpeg1video": 0,
    "mpeg2video": 1,
    "mpeg4": 2,
    "vc1": 3,
    "h264": 4,
    "hevc": 8,
    "vp8": 9,
    "vp9": 10,
    "av1": 11,
}
CHROMA_420 = 1  # cudaVideoChromaFormat


class Capabilities(NamedTuple):
    """What is decoded of a codec, in one depth and chroma format.

    Attributes:
        num_engines: That decode it; 0 where the driver is too old to tell.
        max_width: In pixels.
        max_height: In pixels.
        max_blocks: Of 16 × 16 pixels in a picture.
        min_width: In pixels.
        min_height: In pixels.
    """

    num_engines: int
    max_width: int
    max_height: int
    max_blocks: int
    min_width: int
    min_height: int


class _Question(ctypes.Structure):
    """CUVIDDECODECAPS of NVIDIA's Video Codec SDK."""

    _fields_ = (
        ("codec", ctypes.c_int),
        ("chroma", ctypes.c_int),
        ("depth_minus_8", ctypes.c_uint),
        ("reserved_1", ctypes.c_uint * 3),
        ("supported", ctypes.c_ubyte),
        ("num_engines", ctypes.c_ubyte),
        ("output_formats", ctypes.c_ushort),
        ("max_width", ctypes.c_uint),
        ("max_height", ctypes.c_uint),
        ("max_blocks", ctypes.c_uint),
        ("min_width", ctypes.c_ushort),
        ("min_height", ctypes.c_ushort),
        ("reserved_2", ctypes.c_uint * 11),
    )


def is_installed() -> bool:
    """Tell whether the decoding library can be loaded. Containers get it with the capability `video` only."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def capabilities(codec: str, bits: int = 8, chroma: int = CHROMA_420) -> Capabilities | None:
    """Return what the GPU whose context is current in this thread decodes of a codec; None: nothing.

    Args:
        codec: FFmpeg's name.
        bits: Of a sample.
        chroma: cudaVideoChromaFormat: 0 none, 1 of 4:2:0, 2 of 4:2:2, 3 of 4:4:4.
    """
    if codec not in NUMBERS or not is_installed():
        return None
    question = _Question(codec=NUMBERS[codec], chroma=chroma, depth_minus_8=bits - 8)
    status = ctypes.CDLL(LIBRARY).cuvidGetDecoderCaps(ctypes.byref(question))
    if status or not question.supported:
        return None
    return Capabilities(*(getattr(question, name) for name in Capabilities._fields))


def decoder_utilization(device: int) -> int | None:
    """Return how busy the NVDEC engines were of late, in percent, or None where NVML does not tell."""
    return _ask(device, lambda nvml, handle: nvml.nvmlDeviceGetDecoderUtilization(handle)[0])


def max_video_clock(device: int) -> int | None:
    """Return the highest clock of the NVDEC engines in MHz, or None where NVML does not tell."""
    return _ask(device, lambda nvml, handle: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_VIDEO))


def _ask(device: int, question: Callable[[Any, Any], int]) -> int | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            # By its name: NVML counts all GPUs, and CUDA those that CUDA_VISIBLE_DEVICES leaves.
            uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
            return int(question(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)))
        finally:
            pynvml.nvmlShutdown()
    except (pynvml.NVMLError, AttributeError):
        return None
