"""Opening a video file the way all of lit_video opens one."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from io import FileIO
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

from lit_video.media.picture import NO_MATRIX, NO_RANGE, NO_TRANSFER, Colours
from lit_video.media.ranges import RangedFile
from lit_video.media.spliced import Splice, SplicedFile

RGB_MATRIX = 0

# Tags that are not UTF-8 are common in old files, and nobody here reads tags. PyAV 19 reads them without being told.
TAGS: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}

# What PyAV raises of a damaged file. FFmpegError alone is not enough: some of it PyAV finds out itself.
SHORT = 0.02  # so large a part of a file is missing before it falls short of its header: they lie by less
AV_TIME_BASE = 1_000_000  # units of a container's duration in a second
# What a file is read through that has a splice in it, and that its list of fragments, if one was put in, is believed.
SPLICED: dict[str, Any] = {"buffer_size": 2**16, "container_options": {"use_mfra_for": "pts"}}
UNREADABLE = (av.error.FFmpegError, OSError, ValueError, LookupError)


def reason_of(error: Exception) -> str:
    """Return what went wrong in a few words, without numbers and paths."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def open_video(path: Path | str | RangedFile, splice: Splice | None = None, **options: Any) -> InputContainer:
    """Open the container at `path` for reading. Use it in a `with` block, or close it.

    An open decoder with threads of its own that a forked child collects as garbage hangs that child for ever
    (`avcodec_free_context` waits for threads that fork did not copy); hence close early, and `only_stream`.

    Args:
        path: A file, or what reads one that is far away.
        splice: What to put into it.
        options: Further arguments of `av.open`, such as `hwaccel`.

    Raises:
        OSError, av.FFmpegError: A file that is not there, or is no container that FFmpeg knows.
    """
    file: Any = path if isinstance(path, RangedFile) else str(path)
    if splice is not None:
        file = SplicedFile(path if isinstance(path, RangedFile) else FileIO(path), splice)
        options = SPLICED | options
    try:
        return av.open(file, **TAGS, **options)
    except Exception:
        if isinstance(path, RangedFile) and path.error is not None:  # which FFmpeg took for the end of the file
            raise path.error from None
        raise


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
    TIME_ANEW = 3  # by opening it anew, and then by timestamp
    BYTE_ANEW = 4

    @property
    def is_anew(self) -> bool:
        """Whether the file is opened for it."""
        return self not in (Seek.TIME, Seek.BYTE)

    @property
    def anew(self) -> Seek:
        """The same in a file that was just opened."""
        return Seek.BYTE_ANEW if self is Seek.BYTE else Seek.TIME_ANEW


def seek(container: InputContainer, stream: VideoStream, how: Seek, target: int) -> None:
    """Bring an open container to `target`, and its decoders back to their initial state.

    Raises:
        av.FFmpegError: The container cannot seek, or not to there.
    """
    if how in (Seek.BYTE, Seek.BYTE_ANEW):
        container.seek(target, stream=stream, unsupported_byte_offset=True)
    else:
        container.seek(target, stream=stream)


def demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet | None]:
    """Yield a stream's packets, and None in the place of each part of a file that cannot be read.

    Behind such a part the file goes on: a demuxer that gave up is asked again, and is brought to a later time or byte
    where it ends before the header says, until nothing new comes. In an undamaged file a packet of size 0 comes last;
    both have a decoder give what it holds back.
    """
    place = _Place()
    while True:
        end: Packet | None = None
        try:
            for packet in container.demux(stream):
                if not packet.size:
                    end = packet
                    break
                if place.is_new(packet):
                    yield packet
        except UNREADABLE:
            pass
        if end is not None and not place.falls_short(container, stream):
            yield end
            return
        yield None
        if not place.go_on(container, stream):
            return


class _Place:
    """How far a file was read, and the next way to try behind a place where its demuxer gave up."""

    STEPS = 12  # in each way, each twice as far as the one before: a second and more, 64 KiB and more
    REORDERED = 18  # pictures between decoding and showing, and one or two for what the last ones last

    def __init__(self) -> None:
        self._time: int | None = None
        self._first: int | None = None
        self._byte = 0
        self._largest = 0
        self._failed = 0  # ways tried since the last new packet
        self._behind: int | None = None  # after a seek: packets up to this time were seen before

    def is_new(self, packet: Packet) -> bool:
        """Note how far a packet takes the reading, and tell whether it was not read before."""
        time = packet.dts if packet.dts is not None else packet.pts
        if self._behind is not None:
            if time is None or time <= self._behind:
                return False
            self._behind = None
        self._failed = 0
        if time is not None:
            self._first = time if self._first is None else min(self._first, time)
            if self._time is not None:
                self._largest = max(self._largest, time - self._time)
            self._time = time if self._time is None else max(self._time, time)
        if packet.pos is not None and packet.pos >= 0:
            self._byte = max(self._byte, packet.pos + packet.size)
        return True

    def falls_short(self, container: InputContainer, stream: VideoStream) -> bool:
        """Tell whether the file ended before its header says."""
        if self._failed:
            return self._failed < 2 * self.STEPS + 1
        duration = duration_of(container, stream)
        if duration is None or self._time is None or self._first is None or not self._largest:
            return False
        first = self._first if stream.start_time is None else min(self._first, stream.start_time)  # after a seek
        if "mov" in container.format.name.split(","):  # an edit list may hide what comes before 0, and no part of it
            first = max(0, first)
        covered = self._time - first + self.REORDERED * self._largest
        return covered < (1 - SHORT) * duration and self._byte < (1 - SHORT) * (container.size or 0)

    def go_on(self, container: InputContainer, stream: VideoStream) -> bool:
        """Bring the container behind the place where it ended; tell whether there is a way left to try."""
        while self._failed <= 2 * self.STEPS and self._time is not None:
            way, self._failed = self._failed, self._failed + 1
            if way == 0:
                return True  # where it stands: MP4 has the next sample elsewhere
            try:
                self._behind = self._time
                if way <= self.STEPS:
                    ahead = max(self._largest, round(2 ** (way - 1) / stream.time_base)) if stream.time_base else 1
                    if self._time + ahead > (duration_of(container, stream) or 0) + max(0, self._first or 0):
                        continue
                    container.seek(self._time + ahead, stream=stream, backward=False)
                else:
                    byte = self._byte + (65536 << way - self.STEPS - 1)
                    if byte >= (container.size or 0):
                        return False
                    container.seek(byte, stream=stream, unsupported_byte_offset=True)
            except UNREADABLE:
                continue
            return True
        return False


def duration_of(container: InputContainer, stream: VideoStream) -> int | None:
    """Return what the header says a stream lasts, in its time base, or None where it says nothing."""
    if stream.duration and stream.duration > 0:
        return stream.duration
    if container.duration and container.duration > 0 and stream.time_base:
        return round(container.duration / AV_TIME_BASE / stream.time_base)
    return None


def decode(stream: VideoStream, packet: Packet | None) -> list[VideoFrame]:
    """Return the pictures that come out when `packet` goes in; a damaged packet gives none and does not stop a file."""
    try:
        return pictures_of(stream.codec_context, packet)
    except UNREADABLE:
        return []


class Number:
    """A packet's number, for `Packet.opaque`: PyAV tells what is handed through by identity, and equal ints are one.

    Args:
        value: The number.
    """

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


def number_of(picture: VideoFrame) -> int | None:
    """Return the number of the packet that a picture was in, where it was handed through."""
    return picture.opaque.value if isinstance(picture.opaque, Number) else None


def pictures_of(context: VideoCodecContext, packet: Packet | None) -> list[VideoFrame]:
    """Return the pictures to show that come out when `packet` goes in.

    A packet of VP9 with spatial layers has the same picture in several sizes; FFmpeg gives them all, the largest last.

    Raises:
        av.FFmpegError: The packet is damaged.
    """
    pictures = context.decode(packet)
    if len(pictures) < 2 or context.codec.canonical_name != "vp9":
        return pictures
    last = {picture.pts: picture for picture in pictures}
    return [picture for picture in pictures if last[picture.pts] is picture]
