"""Decoding on an NVIDIA GPU: NVDEC through PyAV, and frames that never leave the device.

Two routes. `hwaccel`: FFmpeg's own parser with NVDEC behind it, which keeps its hardware decoder over all seeks of an
open file. `cuvid`: NVIDIA's parser, which makes a new hardware decoder at every seek (50 to 70 ms on an H100) and
scales while it decodes. docs/gpu.md says what was verified on what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import av
import torch
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor

from lit_video.colour import LUMA_WEIGHTS, planes_to_frame
from lit_video.container import UNREADABLE
from lit_video.decoders.geometry import FITS, INTERPOLATIONS, Geometry, check_choice, fit_picture, parse_size
from lit_video.decoders.reader import OpenVideos
from lit_video.decoders.scaler import FULL_RANGE, UNTAGGED
from lit_video.errors import DecodeError, DeviceError
from lit_video.index import VideoIndex
from lit_video.nvml import num_decoders
from lit_video.planner import GopRead

ROUTES = ("hwaccel", "cuvid")

# FFmpeg's names of the codecs that NVDEC decodes; what a certain GPU lacks of them shows when a file is opened.
CODECS = frozenset({"h264", "hevc", "av1", "vp9", "vp8", "mpeg1video", "mpeg2video", "mpeg4", "vc1"})


@runtime_checkable
class DeviceOps(Protocol):
    """All that a decoder does with CUDA itself. Picklable, so that a worker gets the same."""

    def resolve(self, device: str) -> torch.device:
        """Return the device that a name such as `cuda` means here, where its frames lie.

        Raises:
            DeviceError: There is none.
        """
        ...

    def bind(self, device: torch.device) -> None:
        """Make the device's context current in the calling thread."""
        ...

    def plane_to_tensor(self, plane: VideoPlane) -> Tensor:
        """Return a decoded plane as a tensor on the same memory, without a copy."""
        ...

    def synchronize(self) -> None:
        """Wait until all that the calling thread asked of the device is done."""
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
        found = torch.device(device)
        return torch.device("cuda", torch.cuda.current_device() if found.index is None else found.index)

    def bind(self, device: torch.device) -> None:
        """Set the thread's device, and run one operation on it: only that makes torch's context current."""
        torch.cuda.set_device(device)
        torch.zeros(1, device=device)

    def plane_to_tensor(self, plane: VideoPlane) -> Tensor:
        """Return a plane as a CUDA tensor. torch would pass a stream, which PyAV does not take; so by hand."""
        return torch.from_dlpack(plane.__dlpack__())  # pyright: ignore[reportPrivateImportUsage]

    def synchronize(self) -> None:
        """Wait for the thread's current stream."""
        torch.cuda.current_stream().synchronize()


class CuvidDecoder:
    """Decodes with NVDEC; frames are converted, scaled and kept on the GPU.

    Args:
        index: The videos.
        size: Of the frames, `[height, width]` in pixels; an int is a square.
        device: Such as `cuda` (the process's current device) or `cuda:1`.
        route: `hwaccel` or `cuvid`.
        fit: `crop` keeps the largest box in the middle that has the frame's shape; `squash` distorts.
        interpolation: `bilinear` or `area`. The cuvid route scales as NVDEC does.
        untagged: The colour matrix of videos that do not say: `bt601` as on the CPU, or `bt709`.
        max_open: Files that stay open at most, each with a hardware decoder.
        device_ops: All that touches CUDA.

    Raises:
        DeviceError: There is no such device.
        ValueError: An argument out of range.
    """

    start_method: str | None = "spawn"

    def __init__(
        self,
        index: VideoIndex,
        size: int | Sequence[int] = 224,
        device: str = "cuda",
        route: str = "hwaccel",
        fit: str = "crop",
        interpolation: str = "bilinear",
        untagged: str = "bt601",
        max_open: int = 16,
        device_ops: DeviceOps | None = None,
    ) -> None:
        for name, value, allowed in (
            ("route", route, ROUTES),
            ("fit", fit, FITS),
            ("interpolation", interpolation, INTERPOLATIONS),
            ("untagged", untagged, tuple(UNTAGGED)),
        ):
            check_choice(name, value, allowed)
        if max_open < 1:
            raise ValueError(f"max_open must be at least 1, got {max_open}")
        self._ops = CudaOps() if device_ops is None else device_ops
        self.device = self._ops.resolve(device)
        self._index, self._size, self._route, self._fit = index, parse_size(size), route, fit
        self._interpolation, self._untagged = interpolation, UNTAGGED[untagged]
        self._videos = OpenVideos(index, max_open, open_codec=self._open_codec)
        self._thread_is_bound = False

    @property
    def default_threads(self) -> int:
        """One for each NVDEC engine where NVML tells their number, else 2: many more are slower."""
        return (num_decoders(self.device.index or 0) if self.device.type == "cuda" else None) or 2

    @property
    def num_opened(self) -> int:
        """Containers opened so far."""
        return self._videos.num_opened

    def decode(self, read: GopRead, out: Sequence[UInt8[Tensor, "3 height width"]]) -> None:
        """Write the wanted frames of `read` into `out`; they are there when this returns, for any stream.

        Raises:
            DecodeError: A frame cannot be had exactly.
            DeviceError: The GPU does not decode this codec.
        """
        if not self._thread_is_bound:
            self._ops.bind(self.device)
            self._thread_is_bound = True
        place = {frame_index: number for number, frame_index in enumerate(read.frame_indices)}
        for frame_index, picture in self._videos.read(read):
            out[place[frame_index]].copy_(self._convert(picture, read))
        self._ops.synchronize()

    def close(self) -> None:
        """Close all files."""
        self._videos.close()
        self._thread_is_bound = False

    def _convert(self, picture: VideoFrame, read: GopRead) -> UInt8[Tensor, "3 height width"]:
        if picture.format.name != "cuda":
            path, frames = self._index.path(read.video_id), int(self._index.lengths[read.video_id])
            raise DecodeError(path, read.frame_indices, frames, f"decoded to {picture.format.name}, not on the GPU")
        luma, chroma = (self._ops.plane_to_tensor(plane) for plane in picture.planes)
        matrix = int(picture.colorspace)
        matrix = matrix if matrix in LUMA_WEIGHTS else self._untagged
        geometry = self._geometry(picture, read.video_id)
        full = int(picture.color_range) == FULL_RANGE
        return planes_to_frame(luma, chroma, geometry, matrix, full, self._interpolation)

    def _geometry(self, picture: VideoFrame, video_id: int) -> Geometry:
        rotation = int(self._index.columns.rotation[video_id])
        if self._route == "hwaccel":
            return fit_picture((picture.height, picture.width), rotation, self._size, self._fit)
        # NVDEC has cut and scaled already.
        return Geometry(0, 0, picture.width, picture.height, picture.width, picture.height, rotation // 90)

    def _open_codec(self, stream: VideoStream, video_id: int) -> GpuCodec:
        codec = stream.codec_context.codec.canonical_name
        if codec not in CODECS:
            raise DeviceError(
                f"{stream.container.name}: NVDEC does not decode {codec}.\n"
                "Use decoder=pyav for these videos, or transcode them: docs/gpu.md"
            )
        options = {}
        if self._route == "cuvid":
            options = cuvid_options(stream, int(self._index.columns.rotation[video_id]), self._size, self._fit)
        name = codec if self._route == "hwaccel" else f"{codec}_cuvid"
        return GpuCodec(stream, name, self.device.index or 0, options)


def cuvid_options(stream: VideoStream, rotation: int, size: tuple[int, int], fit: str) -> dict[str, str]:
    """Return what has NVDEC cut out and scale a frame: its box by what is cut off at top, bottom, left and right."""
    width, height = stream.codec_context.width, stream.codec_context.height
    g = fit_picture((height, width), rotation, size, fit)
    right, bottom = width - g.left - g.box_width, height - g.top - g.box_height
    return {"crop": f"{g.top}x{bottom}x{g.left}x{right}", "resize": f"{g.width}x{g.height}"}


class GpuCodec:
    """A decoder of its own for an open file's packets, whose pictures stay on the device.

    Args:
        stream: Where the packets come from.
        name: FFmpeg's name of the decoder.
        device: Ordinal.
        options: Of the decoder.

    Raises:
        DeviceError: FFmpeg cannot use the device.
    """

    def __init__(self, stream: VideoStream, name: str, device: int, options: dict[str, str]) -> None:
        # primary_ctx=1, PyAV's default, fails once torch has initialised CUDA (PyAV #2339); current_ctx takes the
        # context that DeviceOps.bind made current in this thread.
        hwaccel = HWAccel(
            "cuda",
            device=str(device),
            is_hw_owned=True,
            allow_software_fallback=False,
            options={"primary_ctx": "0", "current_ctx": "1"},
        )
        source = stream.codec_context
        try:
            context = av.CodecContext.create(name, "r", hwaccel=hwaccel)
        except (*UNREADABLE, RuntimeError) as error:
            raise DeviceError(
                f"FFmpeg cannot decode with {name} on this GPU ({error}).\n"
                "Use decoder=pyav, or see what is missing: python scripts/doctor.py"
            ) from error
        assert isinstance(context, VideoCodecContext)
        context.extradata = source.extradata  # without: no error, and no frames
        context.width, context.height = source.width, source.height
        # PyAV 18 presets the format `cuda`, which FFmpeg 8 takes for 4:4:4 and refuses with errno 22.
        context.pix_fmt = "nv12" if name.endswith("_cuvid") else source.pix_fmt
        context.options = options
        if name.endswith("_cuvid"):
            context.flags |= Flags.low_delay
        self._context, self._path = context, stream.container.name

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        """Return the pictures that come out when `packet` goes in; the empty packet at the end drains, as None does."""
        try:
            return self._context.decode(packet if packet is not None and packet.size else None)
        except PermissionError as error:  # what FFmpeg makes of NVDEC's refusal
            raise DeviceError(
                f"{self._path}: NVDEC on this GPU does not decode it: its codec, bit depth or size is not supported.\n"
                "Use decoder=pyav for these videos; what the GPU decodes: python scripts/doctor.py"
            ) from error

    def flush(self) -> None:
        """Forget all pictures: `container.seek` does not reach this decoder."""
        self._context.flush_buffers()

    def skip(self, unless_referred_to: bool) -> None:
        """Do nothing: that skipping is safe was not shown for NVDEC."""
