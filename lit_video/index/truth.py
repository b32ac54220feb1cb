"""What really comes out of a decoder: the index of files whose packets cannot be trusted to say.

The truth is one sequential decode of the whole file, in output order. A keyframe is a place to start from only if
decoding was tried from there and gave the same pictures, sample by sample, up to the next such place; so a file costs
two decodes here, and nothing is believed.

A decoder that met damage remembers it beyond the next keyframe, so another takes over there. What the one before gave
since then is damaged, whatever it looks like.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lit_video.index.bitstream import is_clean_start
from lit_video.index.damage import FLAGGED, Packets, Run, runs_of
from lit_video.index.doubt import doubtful_packets, ended_early
from lit_video.index.references import EXACT, REFERS
from lit_video.media.container import (
    UNREADABLE,
    Number,
    Seek,
    decode,
    demux,
    number_of,
    only_stream,
    open_video,
    pictures_of,
    seek,
)
from lit_video.media.picture import checksum

OWN = -1  # pictures to drop: all that come out before that of the packet from which decoding begins
# Recovery points of a file that are tried: the first, the last, and between them.
RECOVERY_POINTS_TRIED = 5


@dataclass(frozen=True, slots=True)
class Start:
    """A place in a file from which decoding gives known pictures.

    Attributes:
        frame: Frame index of the first good picture.
        how: The way to get there.
        target: A timestamp in the stream's time base, or a byte, as `how` says.
        drop: Pictures that come out before the first good one; or `OWN`: the first good one is that of the packet
            that `check` names, which may stand some packets behind the place where seeking ends.
        check: What the first packet to decode is known by (`keyframes.checks_of`). A container's own index grows as it
            is read, and the same seek may then land elsewhere; this notices.
    """

    frame: int
    how: Seek = Seek.BEGINNING
    target: int = 0
    drop: int = 0
    check: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """The pictures of one sequential decode.

    Attributes:
        pts: That each came with.
        sums: A checksum of each.
        why: Why each is damaged; empty where it is not.
        numbers: Of each one's packet, as stored.
        are_keyframes: Whether the decoder says of each that it refers to no other.
        renewed: Packets at which another decoder took over.
        looks: How pictures are, and how many a decoder held back as it gave them: codec, format, width, height, depth.
        left_out: Keys of packets that were not decoded: damaged, and nobody refers to them.
        breaks: Frames before which damage was met, whether or not it gave a picture.
    """

    pts: list[int | None] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    are_keyframes: list[bool] = field(default_factory=list)
    renewed: set[int] = field(default_factory=set)
    looks: set[tuple[str, str, int, int, int]] = field(default_factory=set)
    left_out: set[int] = field(default_factory=set)
    breaks: set[int] = field(default_factory=set)

    @property
    def is_even(self) -> bool:
        """Whether all pictures look alike, and nothing of the file's first packets matters later."""
        return len(self.looks) == 1 and not any(
            remembers_its_beginning(codec, pixel_format) for codec, pixel_format, *_ in self.looks
        )

    def pictures(self, begin: int, end: int | None = None) -> list[tuple[int | None, int, int, bool]]:
        """Return time, checksum, packet's number and kind of the pictures of some frames."""
        some = slice(begin, end)
        return list(zip(self.pts[some], self.sums[some], self.numbers[some], self.are_keyframes[some], strict=True))

    def ends(self) -> list[int]:
        """Return the frames that are damaged, or that come after damage, ascending: what is sound ends before them."""
        return sorted(self.breaks | {frame for frame, why in enumerate(self.why) if why})


def remembers_its_beginning(codec: str, pixel_format: str) -> bool:
    """Tell whether a decoder goes by what the file's first packets told: a palette; x264's version, in 4:4:4."""
    return pixel_format == "pal8" or goes_by_version(codec, pixel_format)


def goes_by_version(codec: str, pixel_format: str) -> bool:
    """Tell whether FFmpeg works around bugs of old x264 by the version that the file's first packet names."""
    return codec == "h264" and "420" not in pixel_format


def watch_packets(path: Path, stream_index: int) -> Packets:
    """Return what a file's packets show of damage, but for what is common to most of them."""
    packets = _watch(path, stream_index)
    common, doubtful = second_look(path, stream_index, packets)
    if common or doubtful:
        packets = _watch(path, stream_index, common, doubtful)
    packets.note_gaps()
    return packets


def _watch(
    path: Path, stream_index: int, common: frozenset[str] = frozenset(), doubtful: frozenset[int] = frozenset()
) -> Packets:
    with open_video(path) as container:
        stream = only_stream(container, stream_index)
        packets, extradata = Packets.of(container, stream, common, doubtful), stream.codec_context.extradata
        for packet in demux(container, stream):
            if packet is not None and packet.size:
                packets.add(packet, packet.is_keyframe and is_clean_start(packets.codec, bytes(packet), extradata))
    return packets


def second_look(path: Path, stream_index: int, packets: Packets) -> tuple[frozenset[str], frozenset[int]]:
    """Return what packets must be looked at again for: damage that is the file's way, and packets that are doubtful."""
    common = packets.way_of_the_file()
    if not packets.may_hide_losses:
        return common, frozenset()
    doubtful = doubtful_packets(path, stream_index, packets)
    if common or doubtful:
        packets = _watch(path, stream_index, common, doubtful)
    return common, doubtful | ended_early(path, stream_index, packets)


def decode_sequentially(path: Path, stream_index: int, packets: Packets | None = None) -> Truth:
    """Decode the whole file once, on one thread, and return what came out.

    Args:
        path: Of the file.
        stream_index: Of the video stream.
        packets: What its packets show of damage, where that is known.
    """
    packets = packets or watch_packets(path, stream_index)
    with open_video(path) as container, contextlib.ExitStack() as others:
        stream = only_stream(container, stream_index)
        decoding = Decoding(path, stream, packets, others)
        for packet in demux(container, stream):
            decoding.feed(packet)
        return decoding.truth()


class Decoding:
    """One sequential decode, with a new decoder where the last one met damage.

    Pictures are known by the number of their packet, which FFmpeg hands through, whatever their times are.

    Args:
        path: Of the file.
        stream: Its video stream, nothing of which was decoded yet.
        packets: What its packets show.
        others: Closes the file that a new decoder comes from.
        first: Number of the first packet that will be fed.

    Attributes:
        number: Of the last packet that was fed.
    """

    def __init__(
        self, path: Path, stream: VideoStream, packets: Packets, others: contextlib.ExitStack, first: int = 0
    ) -> None:
        self._path, self._stream, self._packets, self._others = path, stream, packets, others
        self._stream_index = stream.index
        stream.codec_context.copy_opaque = True
        self._truth = Truth()
        self._numbers = self._truth.numbers
        self.number = first - 1
        self._spoilt: list[tuple[int, int, str]] = []  # half-open ranges of packets after damage
        self._met: tuple[int, str] | None = None  # damage: the first packet, and why
        self._awaited: int | None = None  # a new decoder's first packet, until its picture comes

    def expects(self, packet: Packet) -> bool:
        """Tell whether a packet is the one that comes next, by its time, or the end of the file where that comes."""
        number, times = self.number + 1, self._packets.times
        if not packet.size or number >= len(times):
            return not packet.size and number == len(times)
        return times[number] == (packet.dts if packet.pts is None else packet.pts)

    def feed(self, packet: Packet | None) -> None:
        """Decode a packet; None stands for a part of the file that cannot be read."""
        if packet is None or not packet.size:
            self._drain()
            if packet is None:
                self._meet(self.number + 1, "what is before it cannot be read")
            return
        self.number += 1
        number, packets = self.number, self._packets
        if number >= len(packets.why):  # the file grew
            return
        begins = self._met is not None and packets.is_start[number]
        if begins:
            self._drain()
            self._renew()
            self._truth.renewed.add(number)
        if packets.why[number] and (packets.alone[number] or packets.codec in EXACT):
            self._truth.left_out.add(key_of(packet))
            return
        if packets.why[number]:
            self._meet(number, packets.why[number])
        packet.opaque = Number(number)
        try:
            self._take(pictures_of(self._stream.codec_context, packet))
        except UNREADABLE:
            self._meet(number, FLAGGED)

    def truth(self) -> Truth:
        """Return what came out."""
        if self._met is not None:
            self._spoilt.append((self._met[0], self.number + 1, self._met[1]))
        for first, end, why in self._spoilt:
            after = (place for place, number in enumerate(self._numbers) if number >= first)
            self._truth.breaks.add(next(after, len(self._numbers)))
            for place, number in enumerate(self._numbers):
                if first <= number < end:
                    self._truth.why[place] = self._truth.why[place] or why
        return self._truth

    def _meet(self, number: int, why: str) -> None:
        if self._met is None or number < self._met[0]:
            self._met = number, why

    def _renew(self) -> None:
        """Have another decoder take over: that of the file opened once more."""
        assert self._met is not None
        self._spoilt.append((self._met[0], self.number, self._met[1]))
        self._met, self._awaited = None, self.number
        with contextlib.suppress(*UNREADABLE):  # a stream that appears late: the old one, flushed, has to do
            other = open_video(self._path)
            self._stream = only_stream(other, self._stream_index)
            self._stream.codec_context.copy_opaque = True
            self._others.close()
            self._others.push(other)

    def _drain(self) -> None:
        with contextlib.suppress(*UNREADABLE):
            self._take(self._stream.decode(None))
        self._stream.codec_context.flush_buffers()

    def _take(self, pictures: Sequence[VideoFrame]) -> None:
        for picture in pictures:
            number = number_of(picture)
            number = self.number if number is None else number
            self._numbers.append(number)
            self._truth.pts.append(picture.pts)
            self._truth.sums.append(checksum(picture))
            self._truth.are_keyframes.append(bool(picture.key_frame))
            depth, form = self._stream.codec_context.reorder_depth, picture.format.name
            self._truth.looks.add((self._packets.codec, form, picture.width, picture.height, depth))
            if number == self._awaited:
                self._awaited = None
            # What is shown before the first picture of a new decoder refers to what that one has not seen.
            self._truth.why.append(REFERS if self._awaited is not None and number > self._awaited else "")
            if picture.is_corrupt:
                self._meet(number, FLAGGED)


def damage_between(truth: Truth, starts: Sequence[Start]) -> list[Run]:
    """Return the damaged frames: those that are, and those behind them up to the next place to start from.

    What a decoder makes up in the place of damage differs from one time to the next, so that what comes behind it
    cannot be tried.
    """
    reasons, begins, since = {}, {start.frame for start in starts}, ""
    for frame, why in enumerate(truth.why):
        if frame in begins:
            since = ""
        elif frame in truth.breaks:
            since = since or REFERS
        if why or since:
            reasons[frame] = why or since
            since = since or REFERS
    return runs_of(reasons)


def starts_hold(path: Path, stream_index: int, points: Sequence[tuple[int, int, int | None]]) -> bool:
    """Tell whether decoding from recovery points gives what decoding from the start before gives.

    Args:
        path: Of the file.
        stream_index: Of the video stream.
        points: Time of each recovery point, of a start well before, and of the start after it.
    """
    last = max(0, len(points) - 1)
    chosen = {round(place * last / (RECOVERY_POINTS_TRIED - 1)) for place in range(RECOVERY_POINTS_TRIED)}
    return not points or _hold(path, stream_index, [points[place] for place in sorted(chosen)])


def _hold(path: Path, stream_index: int, points: Sequence[tuple[int, int, int | None]]) -> bool:
    known, fresh, compared = dict[int | None, int](), dict[int | None, int](), set[int]()
    with open_video(path) as container:
        stream = only_stream(container, stream_index)
        packets: Iterator[Packet] = iter(())
        packet: Packet | None = None
        for point, before, after in points:
            if packet is None or packet.pts != point:  # else the decoder stands there, and what it knows is known
                _note(known, decode(stream, None))
                packets = _packets_to(container, stream, before, point)
                packet = next(packets, None)
            if packet is None or packet.pts != point:
                return False
            with open_video(path) as other:
                beginner = only_stream(other, stream_index)
                while packet is not None and packet.size and (after is None or packet.pts != after):
                    if packet.pts is not None and packet.pts >= point:
                        compared.add(packet.pts)
                    _note(known, decode(stream, packet))
                    _note(fresh, decode(beginner, packet))
                    packet = next(packets, None)
                _note(fresh, decode(beginner, None))
        _note(known, decode(stream, None))
    return all(fresh.get(pts) == known[pts] for pts in compared & known.keys())


def _packets_to(container: InputContainer, stream: VideoStream, before: int, point: int) -> Iterator[Packet]:
    """Decode from one time up to another; return the packets from there on, or the last one."""
    seek(container, stream, Seek.TIME, before)
    stream.codec_context.skip_frame = "NONREF"  # before the point, what nobody refers to does not matter
    packets = container.demux(stream)
    for packet in packets:
        if packet.pts == point or not packet.size:
            stream.codec_context.skip_frame = "DEFAULT"
            return chain([packet], packets)
        decode(stream, packet)
    return packets


def _note(sums: dict[int | None, int], pictures: Iterable[VideoFrame]) -> None:
    """Add the checksums of pictures by their times, but of those that are there."""
    for picture in pictures:
        if picture.pts not in sums:
            sums[picture.pts] = checksum(picture)


def is_left_out(packet: Packet, left_out: Collection[int]) -> bool:
    """Tell whether a packet is one of those that are not to be decoded."""
    return bool(left_out) and packet.size > 0 and key_of(packet) in left_out


def key_of(packet: Packet) -> int:
    """Return a checksum of a packet and its time: packets of a few bytes, which show an old picture, are many alike."""
    time = packet.dts if packet.pts is None else packet.pts
    return zlib.crc32(bytes(packet), zlib.crc32(str(time).encode()))
