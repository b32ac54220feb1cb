"""All that a decoder does with CUDA itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

import torch
from av.video.plane import VideoPlane
from torch import Tensor

from lit_video.decoders.nvdec import LIBRARY, is_installed
from lit_video.support.errors import DeviceError

NO_LIBRARY = (
    f"the driver is there, but not its video library, {LIBRARY}.\n"
    "In a container, start it with NVIDIA_DRIVER_CAPABILITIES=compute,video,utility"
)


@runtime_checkable
class DeviceOps(Protocol):
    """What a decoder asks of a device. Picklable, so that a worker gets the same."""

    def resolve(self, device: str) -> torch.device:
        """Return the device that a name such as `cuda` means here, where its frames lie.

        Raises:
            DeviceError: There is none.
        """
        ...

    def decoding(self, device: torch.device) -> AbstractContextManager[None]:
        """Have the calling thread work on the device, in the order of NVDEC's pictures, and then as before."""
        ...

    def bind(self, device: torch.device) -> None:
        """Make the device's context current in the calling thread, which is `decoding`. Once a thread is enough."""
        ...

    def plane_to_tensor(self, plane: VideoPlane) -> Tensor:
        """Return a decoded plane as a tensor on the same memory, without a copy."""
        ...

    def synchronize(self) -> None:
        """Wait until all that the calling thread, which is `decoding`, asked of the device is done."""
        ...


class CudaOps:
    """The real device."""

    def resolve(self, device: str) -> torch.device:
        """Return the device, `cuda` being the one that is current in this thread."""
        if not torch.cuda.is_available():
            raise DeviceError(
                "decoder=cuvid needs an NVIDIA GPU, and there is no NVIDIA driver here that torch can use.\n"
                "Use decoder=pyav, or see what is missing: python scripts/doctor.py"
            )
        if not is_installed():
            raise DeviceError(f"{device}: {NO_LIBRARY}")
        found = torch.device(device)
        return torch.device("cuda", torch.cuda.current_device() if found.index is None else found.index)

    @contextmanager
    def decoding(self, device: torch.device) -> Iterator[None]:
        """Have the thread work on the device's default stream, where FFmpeg queues NVDEC's pictures.

        On a stream of the caller's own pictures would be read before they are there, and overwritten too early.
        """
        default, callers = torch.cuda.default_stream(device), torch.cuda.current_stream(device)
        if callers != default:
            default.wait_stream(callers)  # which may still read what the frames are written into
        with torch.cuda.stream(default):
            yield

    def bind(self, device: torch.device) -> None:
        """Run one operation on the device: only that makes torch's context current."""
        torch.zeros(1, device=device)

    def plane_to_tensor(self, plane: VideoPlane) -> Tensor:
        """Return a plane as a CUDA tensor. torch would pass a stream, which PyAV does not take; so by hand."""
        return torch.from_dlpack(plane.__dlpack__())  # pyright: ignore[reportPrivateImportUsage]

    def synchronize(self) -> None:
        """Wait for the thread's current stream, asleep: fourteen threads that spin are fourteen cores."""
        done = torch.cuda.Event(blocking=True)
        done.record()
        done.synchronize()
