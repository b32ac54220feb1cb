"""Packets in, pictures out: one decoder for all open files that it fits.

A decoder of 1080p keeps about 18 MiB of pictures, and the first ones cost as much as the memory they are written into:
200 files with one decoder between them are read faster than with one for each. Decision 12.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Protocol, runtime_checkable
from weakref import WeakValueDictionary

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lit_video.index import VideoIndex
from lit_video.index.truth import goes_by_version
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


@runtime_checkable
class MakeContext(Protocol):
    """How FFmpeg's decoders are made, and for which files one will do."""

    def key(self, stream: VideoStream, video_id: int) -> Hashable:
        """Return what is the same of two files that one decoder may serve."""
        ...

    def __call__(self, stream: VideoStream, video_id: int) -> VideoCodecContext:
        """Return a decoder for an open file's stream."""
        ...


class OnCpu:
    """The decoder that comes with a stream that was opened."""

    def key(self, stream: VideoStream, video_id: int) -> Hashable:
        """Return what the container says."""
        return parameters(stream.codec_context)

    def __call__(self, stream: VideoStream, video_id: int) -> VideoCodecContext:
        """Return the stream's own decoder. It outlives the container."""
        return stream.codec_context


class SharedCodecs:
    """Opens codecs on decoders of which files that were encoded alike share one.

    Only files whose frames are known by their pts do, where parameter sets in the stream repeat the header's.

    Args:
        index: The videos.
        make: Makes decoders.
        num_kept: Decoders that stay after the last file that used them was closed, those that were used last. On a GPU
            a new one costs as much as several frames, and the end of one may wait for all that the GPU has to do.
    """

    def __init__(self, index: VideoIndex, make: MakeContext | None = None, num_kept: int = 0) -> None:
        self._index, self._make, self._num_kept = index, make or OnCpu(), num_kept
        self._decoders: WeakValueDictionary[Hashable, Decoder] = WeakValueDictionary()
        self._kept: OrderedDict[Hashable, Decoder] = OrderedDict()

    def __call__(self, stream: VideoStream, video_id: int) -> StreamCodec:
        """Return a codec for an open file's stream."""
        if not self._may_share(video_id):
            return StreamCodec(Decoder(self._make(stream, video_id)))
        key = self._make.key(stream, video_id)
        decoder = self._decoders.get(key)
        if decoder is None or decoder.is_spoilt:
            decoder = self._decoders[key] = Decoder(self._make(stream, video_id))
        return StreamCodec(decoder, partial(self._keep, key, decoder) if self._num_kept else None)

    def close(self) -> None:
        """Let go of the decoders that no open file uses."""
        self._kept.clear()

    def _keep(self, key: Hashable, decoder: Decoder) -> None:
        if decoder.is_spoilt:
            return
        self._kept[key] = decoder
        self._kept.move_to_end(key)
        while len(self._kept) > self._num_kept:
            self._kept.popitem(last=False)

    def _may_share(self, video_id: int) -> bool:
        index = self._index
        exact = index.made(video_id) == "exact"
        return exact and index.codec(video_id) in SHARED and not depends_on_first_packet(index, video_id)


def depends_on_first_packet(index: VideoIndex, video_id: int) -> bool:
    """Tell whether the decoder must have seen the file's first packet, wherever it begins.

    FFmpeg works around bugs of old x264 by the version that this packet names. In 4:4:4 every picture depends on it.
    """
    return goes_by_version(index.codec(video_id), index.pixel_format(video_id))


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
    """FFmpeg's decoder, and whose packets it last had.

    Args:
        context: Made for the first file that needed one.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        self.context = context
        context.copy_opaque = True  # a picture is known by the packet it was in
        self.user: object = None
        self.is_spoilt = False
        self.has_worked = False  # it gave a picture, of whatever file


class StreamCodec:
    """One open file's use of a decoder.

    Args:
        decoder: Perhaps of other files, too.
        on_use: Called when the decoder is taken over.
    """

    def __init__(self, decoder: Decoder, on_use: Callable[[], None] | None = None) -> None:
        self.decoder = decoder
        self._on_use = on_use
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
        pictures = pictures_of(self.decoder.context, packet)
        self.decoder.has_worked = self.decoder.has_worked or bool(pictures)
        return pictures

    def flush(self) -> None:
        """Forget all pictures."""
        self.decoder.context.flush_buffers()
        self.decoder.user = self._name
        if self._on_use is not None:
            self._on_use()

    def skip(self, unless_referred_to: bool) -> None:
        """Set what FFmpeg may leave out."""
        self.decoder.context.skip_frame = "NONREF" if unless_referred_to else "DEFAULT"
