"""Packets in, pictures out, on the CPU: one decoder for all open files that it fits.

A decoder of 1080p keeps about 18 MiB of pictures, and the first ones cost as much as the memory they are written into:
200 files with one decoder between them are read faster than with one for each. Decision 12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from weakref import WeakValueDictionary

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lit_video.index import VideoIndex
from lit_video.media.container import pictures_of

# A keyframe and the global header are all that these remember once they are flushed. MPEG-4's, for one, take note of
# the encoder that wrote a file, and work around its bugs from there on.
SHARED = frozenset({"h264", "hevc", "av1", "vp8", "vp9"})


class Codec(Protocol):
    """Packets of one open file in, pictures out."""

    @property
    def decoder(self) -> object:
        """What decodes; codecs that share it have the same one here."""
        ...

    @property
    def is_undisturbed(self) -> bool:
        """Whether no other file's packets went through the decoder since this one's last, or since it was made."""
        ...

    @property
    def is_spoilt(self) -> bool:
        """Whether the decoder met damage, in whatever file: what it gives from then on cannot be trusted."""
        ...

    def spoil(self) -> None:
        """Note that the decoder met damage. It is not used again; files that are opened from now on get another."""
        ...

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        """Return the pictures that come out when `packet` goes in; None drains what is held back.

        Raises:
            av.FFmpegError: The packet is damaged.
        """
        ...

    def flush(self) -> None:
        """Forget all pictures, after the container was brought elsewhere."""
        ...

    def skip(self, unless_referred_to: bool) -> None:
        """Have the next packet's picture decoded only if others refer to it, or in any case."""
        ...


OpenCodec = Callable[[VideoStream, int], Codec]


class SharedCodecs:
    """Opens codecs on the calling thread's decoders: files whose streams have equal parameters share one.

    Only files whose frames are known by their pts do, where parameter sets in the stream repeat the header's.

    Args:
        index: The videos.
    """

    def __init__(self, index: VideoIndex) -> None:
        self._index = index
        self._decoders: WeakValueDictionary[object, Decoder] = WeakValueDictionary()

    def __call__(self, stream: VideoStream, video_id: int) -> StreamCodec:
        """Return a codec for an open file's stream."""
        key = parameters(stream.codec_context) if self._may_share(video_id) else stream
        decoder = self._decoders.get(key)
        if decoder is None or decoder.is_spoilt:
            decoder = Decoder(stream.codec_context)
        self._decoders[key] = decoder
        return StreamCodec(decoder)

    def _may_share(self, video_id: int) -> bool:
        index = self._index
        exact = index.made(video_id) == "exact"
        return exact and index.codec(video_id) in SHARED and not depends_on_first_packet(index, video_id)


def depends_on_first_packet(index: VideoIndex, video_id: int) -> bool:
    """Tell whether the decoder must have seen the file's first packet, wherever it begins.

    FFmpeg works around bugs of old x264 by the version that this packet names. In 4:4:4 every picture depends on it.
    """
    return index.codec(video_id) == "h264" and "420" not in index.pixel_format(video_id)


def parameters(context: VideoCodecContext) -> tuple[object, ...]:
    """Return all that the container tells the decoder before the first packet."""
    ratio = context.sample_aspect_ratio
    return (
        context.name,
        context.codec_tag,
        context.profile,
        context.level,
        context.extradata,
        context.width,
        context.height,
        context.pix_fmt,
        int(context.color_range),
        int(context.colorspace),
        int(context.color_primaries),
        int(context.color_trc),
        (ratio.numerator, ratio.denominator) if ratio else None,
        context.reorder_depth,
        context.bits_per_coded_sample,
    )


class Decoder:
    """A decoder on the calling thread, and whose packets it last had.

    Args:
        context: Of the first file that needed one. It outlives that file's container.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        self.context = context
        self.user: object = None
        self.is_spoilt = False


class StreamCodec:
    """One open file's use of a decoder."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._name = object()  # the decoder knows this one by it, without a cycle that would keep both

    @property
    def is_undisturbed(self) -> bool:
        """Whether no other file's packets went through the decoder since this one's last, or since it was made."""
        return self.decoder.user in (None, self._name)

    @property
    def is_spoilt(self) -> bool:
        """Whether the decoder met damage, in whatever file."""
        return self.decoder.is_spoilt

    def spoil(self) -> None:
        """Note that the decoder met damage."""
        self.decoder.is_spoilt = True

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        """Return the pictures that come out when `packet` goes in."""
        if self.decoder.user is not self._name:
            self.flush()
        return pictures_of(self.decoder.context, packet)

    def flush(self) -> None:
        """Forget all pictures."""
        self.decoder.context.flush_buffers()
        self.decoder.user = self._name

    def skip(self, unless_referred_to: bool) -> None:
        """Set what FFmpeg may leave out."""
        self.decoder.context.skip_frame = "NONREF" if unless_referred_to else "DEFAULT"
