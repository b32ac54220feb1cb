"""What NVIDIA's management library tells of a GPU's video decoders, where it is installed and tells anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def num_decoders(device: int) -> int | None:
    """Return the number of NVDEC engines of a GPU, or None where NVML does not tell."""
    return _ask(device, lambda nvml, handle: nvml.nvmlDeviceGetAttributes_v2(handle).decoderCount)


def decoder_utilization(device: int) -> int | None:
    """Return how busy the NVDEC engines were of late, in percent, or None where NVML does not tell."""
    return _ask(device, lambda nvml, handle: nvml.nvmlDeviceGetDecoderUtilization(handle)[0])


def _ask(device: int, question: Callable[[Any, Any], int]) -> int | None:
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            return int(question(pynvml, pynvml.nvmlDeviceGetHandleByIndex(device)))
        finally:
            pynvml.nvmlShutdown()
    except (pynvml.NVMLError, AttributeError):
        return None
