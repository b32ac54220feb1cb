"""Opening a video file the way all of lit_video opens one."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lit_video.picture import NO_MATRIX, NO_RANGE, NO_TRANSFER, Colours

RGB_MATRIX = 0

# Tags that are not UTF-8 are common in old files, and nobody here reads tags. PyAV 19 reads them without being told.
TAGS: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}

# What PyAV raises of a damaged file. FFmpegError alone is not enough: some of it PyAV finds out itself.
UNREADABLE = (av.error.FFmpegError, OSError, ValueError, LookupError)


def reason_of(error: Exception) -> str:
    """Return what went wrong in a few words, without numbers and paths."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def open_video(path: Path | str, **options: Any) -> InputContainer:
    """Open the container at `path` for reading. Use it in a `with` block, or close it.

    An open decoder with threads of its own that a forked child collects as garbage hangs that child for ever
    (`avcodec_free_context` waits for threads that fork did not copy); hence close early, and `only_stream`.

    Args:
        path: A file.
        options: Further arguments of `av.open`, such as `hwaccel`.

    Raises:
        OSError, av.FFmpegError: A file that is not there, or is no container that FFmpeg knows.
    """
    return av.open(str(path), **TAGS, **options)


def choose_stream(container: InputContainer) -> VideoStream:
    """Return the video stream that a player would show: never cover art.

    Raises:
        LookupError: There is none, or none that can be decoded.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise LookupError("cover art only, no video stream" if container.streams.video else "no video stream")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise LookupError("no decoder for its codec in this build of FFmpeg")
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) and best in decodable else decodable[0]


def container_colours(stream: VideoStream) -> Colours:
    """Return what the container says of a stream's colours. Ask before `only_stream` is asked, and before decoding."""
    context = stream.codec_context
    return Colours(int(context.colorspace), int(context.color_range), int(context.color_trc))


def only_stream(container: InputContainer, index: int) -> VideoStream:
    """Return stream `index`, decoding on the calling thread, all other streams discarded while demuxing.

    Its decoder is not told the container's colours, so that its pictures say what they themselves say.
    """
    for stream in container.streams:
        stream.discard = Discard.default if stream.index == index else Discard.all
    stream = container.streams[index]
    assert isinstance(stream, VideoStream)
    stream.codec_context.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    _forget_colours(stream.codec_context)
    return stream


def _forget_colours(context: VideoCodecContext) -> None:
    if int(context.colorspace) != RGB_MATRIX:  # by which a decoder chooses its pixel format
        context.colorspace = NO_MATRIX
    context.color_range, context.color_trc = NO_RANGE, NO_TRANSFER


class Seek(IntEnum):
    """How a container is brought to a keyframe."""

    BEGINNING = 0  # by opening it anew
    TIME = 1  # by timestamp, in the stream's time base
    BYTE = 2  # by place in the file


def seek(container: InputContainer, stream: VideoStream, how: Seek, target: int) -> None:
    """Bring an open container to `target`, and its decoders back to their initial state.

    Raises:
        av.FFmpegError: The container cannot seek, or not to there.
    """
    if how is Seek.BYTE:
        container.seek(target, stream=stream, unsupported_byte_offset=True)
    else:
        container.seek(target, stream=stream)


def demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet | None]:
    """Yield a stream's packets, and None in the place of the rest of a file that is cut off or damaged.

    In an undamaged file a packet of size 0 comes last. Both have a decoder give what it holds back.
    """
    try:
        yield from container.demux(stream)
    except UNREADABLE:
        yield None


def decode(stream: VideoStream, packet: Packet | None) -> list[VideoFrame]:
    """Return the pictures that come out when `packet` goes in; a damaged packet gives none and does not stop a file."""
    try:
        return stream.decode(packet)
    except UNREADABLE:
        return []
