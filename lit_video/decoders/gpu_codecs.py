"""FFmpeg's decoders with NVDEC behind them, as files' codecs: one for all files encoded alike, as on the CPU."""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable

import av
import av.error
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lit_video.decoders.codecs import StreamCodec, parameters
from lit_video.decoders.geometry import container_left, fit_picture
from lit_video.index import VideoIndex
from lit_video.media.container import UNREADABLE, reason_of
from lit_video.support.errors import DeviceError

# FFmpeg's decoders with NVIDIA's parser are called after the codec, but for these.
CUVID_NAMES = {"mpeg1video": "mpeg1_cuvid", "mpeg2video": "mpeg2_cuvid"}

# What FFmpeg says before the first picture where the GPU does not decode a stream. Of damage it says "invalid data".
REFUSED = frozenset({errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENOMEM})


class OnGpu:
    """Makes decoders whose pictures stay on a GPU.

    Args:
        index: The videos.
        device: The GPU's ordinal.
    """

    def __init__(self, index: VideoIndex, device: int) -> None:
        self._index, self._device = index, device

    def key(self, stream: VideoStream, video_id: int) -> Hashable:
        """Return what the container says."""
        return parameters(stream.codec_context)

    def __call__(self, stream: VideoStream, video_id: int) -> VideoCodecContext:
        """Return a decoder with FFmpeg's own parser.

        Raises:
            DeviceError: FFmpeg cannot use the device.
        """
        context = create(self._index.codec(video_id), stream.codec_context, self._device)
        context.pix_fmt = stream.codec_context.pix_fmt  # PyAV 18 presets `cuda`
        return context


class OnGpuByCuvid:
    """Likewise with NVIDIA's parser, which has NVDEC cut out and scale what is wanted.

    Args:
        index: The videos.
        device: The GPU's ordinal.
        size: Of the frames: height, width.
        fit: As in `geometry`.
    """

    def __init__(self, index: VideoIndex, device: int, size: tuple[int, int], fit: str) -> None:
        self._index, self._device, self._size, self._fit = index, device, size, fit

    def key(self, stream: VideoStream, video_id: int) -> Hashable:
        """Return what the container says, and what NVDEC is to make of pictures."""
        return *parameters(stream.codec_context), *self._options(stream, video_id).items()

    def __call__(self, stream: VideoStream, video_id: int) -> VideoCodecContext:
        """Return a decoder.

        Raises:
            DeviceError: FFmpeg cannot use the device.
        """
        codec = self._index.codec(video_id)
        context = create(CUVID_NAMES.get(codec, f"{codec}_cuvid"), stream.codec_context, self._device)
        context.pix_fmt = "nv12"  # PyAV 18 presets `cuda`, which FFmpeg 8 takes for 4:4:4 and refuses with errno 22
        context.options = self._options(stream, video_id)
        context.flags |= Flags.low_delay
        return context

    def _options(self, stream: VideoStream, video_id: int) -> dict[str, str]:
        """Return the box by what is cut off at top, bottom, left and right."""
        p, width, height = self._index.presentation(video_id), stream.codec_context.width, stream.codec_context.height
        left = container_left(width, int(self._index.columns.width[video_id]), p.crop)
        g = fit_picture((height, width), p.rotation, self._size, self._fit, p.mirrored, (left, *p.crop[1:]))
        right, bottom = width - g.left - g.box_width, height - g.top - g.box_height
        return {"crop": f"{g.top}x{bottom}x{g.left}x{right}", "resize": f"{g.width}x{g.height}"}


def create(name: str, source: VideoCodecContext, device: int) -> VideoCodecContext:
    """Return FFmpeg's decoder of this name for a stream's packets, in the CUDA context that is current in this thread.

    Raises:
        DeviceError: FFmpeg cannot use the device.
    """
    # primary_ctx=1, PyAV's default, fails once torch has initialised CUDA (PyAV #2339); current_ctx takes the
    # context that DeviceOps.bind made current in this thread.
    hwaccel = HWAccel(
        "cuda",
        device=str(device),
        is_hw_owned=True,
        allow_software_fallback=False,
        options={"primary_ctx": "0", "current_ctx": "1"},
    )
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
    # Without: pictures that come out of order, until the first of a stream that says how many are held back.
    context.reorder_depth = source.reorder_depth
    context.thread_count = 1  # else as many threads as cores, with nothing to do
    return context


class GpuCodec:
    """One open file's use of a hardware decoder.

    Args:
        codec: The decoder, and the name under which it knows this file.
        refusal: Makes, of FFmpeg's reason, what to raise where the GPU does not decode the file.
        skips: Whether pictures that nobody refers to or wants may be left out; NVIDIA's parser cannot.
    """

    def __init__(self, codec: StreamCodec, refusal: Callable[[str], DeviceError], skips: bool) -> None:
        self._codec, self._refusal, self._skips = codec, refusal, skips

    @property
    def decoder(self) -> object:
        """What decodes; files that were encoded alike have the same."""
        return self._codec.decoder

    @property
    def is_undisturbed(self) -> bool:
        """Whether no other file's packets went through the decoder since this one's last, or since it was made."""
        return self._codec.is_undisturbed

    @property
    def is_spoilt(self) -> bool:
        """Whether the decoder met damage, in whatever file."""
        return self._codec.is_spoilt

    def spoil(self) -> None:
        """Note that the decoder met damage: files that are opened from now on get another.

        One that never gave a picture stays: what it says next tells whether the GPU refuses the stream.
        """
        if self._codec.decoder.has_worked:
            self._codec.spoil()

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        """Return the pictures that come out when `packet` goes in; the empty packet at the end drains, as None does."""
        packet = packet if packet is not None and packet.size else None
        try:
            return self._decode(packet)
        except UNREADABLE:
            if self._codec.decoder.has_worked or packet is None:
                raise
        # H.264 whose hardware decoder could not be made is told as invalid data; then FFmpeg decodes on the CPU, and of
        # that the pictures tell. What is damaged is damaged again.
        self._codec.flush()
        return self._decode(packet)

    def _decode(self, packet: Packet | None) -> list[VideoFrame]:
        try:
            return self._codec.decode(packet)
        except UNREADABLE as error:
            # "Generic error in an external library": CUDA failed, whenever that is.
            failed = isinstance(error, av.error.ExternalError)
            if failed or (not self._codec.decoder.has_worked and getattr(error, "errno", None) in REFUSED):
                raise self._refusal(reason_of(error)) from error
            raise

    def flush(self) -> None:
        """Forget all pictures: `container.seek` does not reach this decoder."""
        self._codec.flush()

    def skip(self, unless_referred_to: bool) -> None:
        """Have FFmpeg's parser leave pictures out before NVDEC sees them: they are neither decoded nor mapped."""
        if self._skips:
            self._codec.skip(unless_referred_to)
