"""Decoding on an NVIDIA GPU: NVDEC through PyAV, and frames that never leave the device.

Two routes. `hwaccel`: FFmpeg's own parser with NVDEC behind it, which keeps its hardware decoder over all seeks of an
open file. `cuvid`: NVIDIA's parser, which makes a new hardware decoder at every seek (50 to 70 ms on an H100) and
scales while it decodes. docs/gpu.md says what was verified on what.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import av
import av.error
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

from lit_video.decoders.colour import LUMA_WEIGHTS, planes_to_frame
from lit_video.decoders.geometry import FITS, INTERPOLATIONS, Geometry, check_choice, fit_picture, parse_size
from lit_video.decoders.nvdec import LIBRARY, NUMBERS, capabilities, is_installed
from lit_video.decoders.reader import OpenVideos
from lit_video.decoders.scaler import UNTAGGED, matrix_of_untagged
from lit_video.index import VideoIndex
from lit_video.media.container import UNREADABLE, pictures_of, reason_of
from lit_video.media.picture import FULL_RANGE, Presentation, colours_of
from lit_video.planning.planner import GopRead
from lit_video.support.errors import DeviceError

ROUTES = ("hwaccel", "cuvid")

# FFmpeg's decoders with NVIDIA's parser are called after the codec, but for these.
CUVID_NAMES = {"mpeg1video": "mpeg1_cuvid", "mpeg2video": "mpeg2_cuvid"}

# What FFmpeg says before the first picture where the GPU does not decode a stream. Of damage it says "invalid data".
REFUSED = frozenset({errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENOMEM})


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
        untagged: The colour matrix of videos that do not say: `bt601` as on the CPU, `bt709` or `auto`.
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
            ("untagged", untagged, UNTAGGED),
        ):
            check_choice(name, value, allowed)
        if max_open < 1:
            raise ValueError(f"max_open must be at least 1, got {max_open}")
        self._ops = CudaOps() if device_ops is None else device_ops
        self.device = self._ops.resolve(device)
        self._index, self._size, self._route, self._fit = index, parse_size(size), route, fit
        self._interpolation, self._untagged = interpolation, untagged
        self._videos = OpenVideos(index, max_open, open_codec=self._open_codec)
        self._bound = threading.local()  # a decoder outlives the threads that use it: each epoch has new ones

    @property
    def default_threads(self) -> int:
        """One for each NVDEC engine where the driver tells their number, else 2: many more are slower."""
        if is_installed():
            self._bind()
        found = capabilities("h264")
        return found.num_engines if found and found.num_engines else 2

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
        self._bind()
        place = {frame_index: number for number, frame_index in enumerate(read.frame_indices)}
        try:
            for frame_index, picture in self._videos.read(read):
                out[place[frame_index]].copy_(self._convert(picture, read))
        finally:
            self._ops.synchronize()  # where one frame could not be had, the others are delivered

    def close(self) -> None:
        """Close all files."""
        self._videos.close()

    def _bind(self) -> None:
        if not hasattr(self._bound, "device"):
            self._ops.bind(self.device)
            self._bound.device = self.device

    def _convert(self, picture: VideoFrame, read: GopRead) -> UInt8[Tensor, "3 height width"]:
        if picture.format.name != "cuda":
            raise refusal(self._index.path(read.video_id), f"FFmpeg decoded to {picture.format.name} on the CPU")
        luma, chroma = (self._ops.plane_to_tensor(plane) for plane in picture.planes)
        presentation = self._index.presentation(read.video_id)
        colours = colours_of(picture, presentation.codec, presentation.colours)
        matrix = colours.matrix
        if matrix not in LUMA_WEIGHTS:
            matrix = matrix_of_untagged(self._untagged, *self._stored_size(picture, read.video_id))
        geometry = self._geometry(picture, presentation)
        return planes_to_frame(luma, chroma, geometry, matrix, colours.range == FULL_RANGE, self._interpolation)

    def _stored_size(self, picture: VideoFrame, video_id: int) -> tuple[int, int]:
        """Return width and height before NVDEC scaled."""
        if self._route == "hwaccel":
            return picture.width, picture.height
        columns, (left, top, right, bottom) = self._index.columns, self._index.presentation(video_id).crop
        return int(columns.width[video_id]) + left + right, int(columns.height[video_id]) + top + bottom

    def _geometry(self, picture: VideoFrame, p: Presentation) -> Geometry:
        stored = picture.height, picture.width
        g = fit_picture(stored, p.rotation, self._size, self._fit, p.mirrored, p.crop)
        if self._route == "hwaccel":
            return g
        # NVDEC has cut and scaled already, but to even numbers.
        return replace(g, left=0, top=0, box_width=picture.width, box_height=picture.height)

    def _open_codec(self, stream: VideoStream, video_id: int) -> GpuCodec:
        codec, path = stream.codec_context.codec.canonical_name, self._index.path(video_id)
        if codec not in NUMBERS:
            raise DeviceError(
                f"{path}: NVDEC does not decode {codec}.\n"
                "Use decoder=pyav for these videos, or transcode them: docs/gpu.md"
            )
        if self._route == "hwaccel":
            return GpuCodec(stream, codec, path, self.device.index or 0, {})
        if self._index.made(video_id) != "exact":
            # Its frames were counted as FFmpeg's parser finds them, and NVIDIA's may find others.
            raise DeviceError(
                f"{path}: decoder.route=cuvid finds frames by timestamps, which this file does not have for all.\n"
                "Use decoder.route=hwaccel, the default"
            )
        options = cuvid_options(stream, self._index.presentation(video_id), self._size, self._fit)
        return GpuCodec(stream, CUVID_NAMES.get(codec, f"{codec}_cuvid"), path, self.device.index or 0, options)


def cuvid_options(stream: VideoStream, p: Presentation, size: tuple[int, int], fit: str) -> dict[str, str]:
    """Return what has NVDEC cut out and scale a frame: its box by what is cut off at top, bottom, left and right."""
    width, height = stream.codec_context.width, stream.codec_context.height
    g = fit_picture((height, width), p.rotation, size, fit, p.mirrored, p.crop)
    right, bottom = width - g.left - g.box_width, height - g.top - g.box_height
    return {"crop": f"{g.top}x{bottom}x{g.left}x{right}", "resize": f"{g.width}x{g.height}"}


def refusal(path: str, cause: str) -> DeviceError:
    """Return what to raise where the GPU does not decode a file."""
    if not is_installed():
        return DeviceError(
            f"{path}: the driver is there, but not its video library, {LIBRARY}.\n"
            "In a container, start it with NVIDIA_DRIVER_CAPABILITIES=compute,video,utility"
        )
    return DeviceError(
        f"{path}: NVDEC on this GPU does not decode it: its codec, bit depth or size is not supported ({cause}).\n"
        "Use decoder=pyav for these videos; what the GPU decodes: python scripts/doctor.py"
    )


class GpuCodec:
    """A decoder of its own for an open file's packets, whose pictures stay on the device.

    Args:
        stream: Where the packets come from.
        name: FFmpeg's name of the decoder.
        path: Of the file.
        device: Ordinal.
        options: Of the decoder.

    Raises:
        DeviceError: FFmpeg cannot use the device.
    """

    def __init__(self, stream: VideoStream, name: str, path: str, device: int, options: dict[str, str]) -> None:
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
        context.thread_count = 1  # else as many threads as cores, in each open file, with nothing to do
        if name.endswith("_cuvid"):
            context.flags |= Flags.low_delay
        self.decoder: object = context
        self.is_undisturbed = True  # no other file uses it
        self._context, self._path = context, path
        self._worked = False  # it gave a picture
        self.is_spoilt = False

    def spoil(self) -> None:
        """Note that the decoder met damage: the file is opened anew, and has another then.

        One that never gave a picture stays: what it says next tells whether the GPU refuses the stream.
        """
        self.is_spoilt = self._worked

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        """Return the pictures that come out when `packet` goes in; the empty packet at the end drains, as None does."""
        try:
            pictures = pictures_of(self._context, packet if packet is not None and packet.size else None)
        except UNREADABLE as error:
            # "Generic error in an external library": CUDA failed, whenever that is.
            failed = isinstance(error, av.error.ExternalError)
            if failed or (not self._worked and getattr(error, "errno", None) in REFUSED):
                raise refusal(self._path, reason_of(error)) from error
            raise
        self._worked = self._worked or bool(pictures)
        return pictures

    def flush(self) -> None:
        """Forget all pictures: `container.seek` does not reach this decoder."""
        self._context.flush_buffers()

    def skip(self, unless_referred_to: bool) -> None:
        """Do nothing: that skipping is safe was not shown for NVDEC."""
