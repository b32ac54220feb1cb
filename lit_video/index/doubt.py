"""Pictures that come out otherwise when they are decoded another way: something of them is missing.

Where packets of a transport stream are lost and the rest is copied into an MP4 or MKV, nothing says any more that bytes
are missing in the middle of a picture, and FFmpeg's HEVC decoder notices little of it: it stops early, and leaves what
was in memory before, or reads on behind the end. A whole picture comes out the same however it is decoded; what is not
whole depends on all that the standard leaves open. So each picture is decoded twice: as ever, and with everything else
changed that must not matter. Decision 14.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from av.codec import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from lit_video.index.bitstream import rewritten, with_other_ends
from lit_video.index.damage import COMMON, Packets
from lit_video.index.references import EXACT
from lit_video.media.container import UNREADABLE, Number, demux, number_of, only_stream, open_video, pictures_of
from lit_video.media.picture import checksum

# What is held back does not return to the decoder's pool, so that another picture lies in memory before the next one.
HELD = 32
TRIALS = 8  # decoded pictures for each of a file, to see whether the ends of some matter
SALTS = 3  # other ends that are tried before one is believed not to matter
ROW_THREADS = 2  # rows that can be decoded side by side are then found by their entry points, and not one by another
BEHIND = bytes(range(1, 255))  # behind each slice, where a whole one is not read


def doubtful_packets(path: Path, stream_index: int, packets: Packets) -> frozenset[int]:
    """Return the numbers of packets that decode in two ways, where a file may have lost some bytes unseen.

    Those that are known to be damaged are left out.

    Args:
        path: Of the file.
        stream_index: Of its video stream.
        packets: What its packets show.
    """
    if not packets.may_hide_losses:
        return frozenset()
    with contextlib.closing(_TwoDecoders(path, stream_index)) as both:
        for number, packet in _numbered(path, stream_index, packets):
            if packet is not None and packets.is_start[number] and both.part:
                both.feed(number - 1, None)
                both.renew()
            both.feed(number, packet)
    if len(both.parted) > COMMON * len(packets.why):
        return frozenset()
    return frozenset(number for number in both.parted if not packets.why[number])


def ended_early(path: Path, stream_index: int, packets: Packets) -> frozenset[int]:
    """Return the numbers of packets of which a decoder does not read the end, as other bytes there show.

    What a picture looks like with another end is seen by decoding all from the start before once more, so this is for
    pictures most likely to have lost something: large ones, and those that are soon decoded.

    Args:
        path: Of the file.
        stream_index: Of its video stream.
        packets: What its packets show.
    """
    if not packets.may_hide_losses:
        return frozenset()
    trials = TRIALS if any(packets.why) else 0
    found: set[int] = set()
    gop = _Gop(path, stream_index)
    for number, packet in _numbered(path, stream_index, packets):
        if packet is None:
            continue
        if packets.is_start[number]:
            found |= gop.ended_early(trials)
            gop.packets.clear()
        if not packets.why[number]:
            gop.packets.append((number, bytes(packet)))
    found |= gop.ended_early(trials)
    return frozenset(found) if len(found) <= COMMON * len(packets.why) else frozenset()


def _numbered(path: Path, stream_index: int, packets: Packets) -> Iterator[tuple[int, Packet | None]]:
    """Yield packets with their numbers; None, with the last one's, for the end and for what cannot be read."""
    number = -1
    with open_video(path) as container:
        for packet in demux(container, only_stream(container, stream_index)):
            if packet is None or not packet.size:
                yield number, None
                continue
            number += 1
            if number >= len(packets.is_start):  # the file grew
                return
            yield number, packet


class _Gop:
    """Packets that are sound as far as one knows, from a start on, with their numbers."""

    def __init__(self, path: Path, stream_index: int) -> None:
        self.packets: list[tuple[int, bytes]] = []
        with open_video(path) as container:
            context = only_stream(container, stream_index).codec_context
            self._codec, self._extradata = context.codec.canonical_name, context.extradata

    def ended_early(self, trials: int) -> set[int]:
        """Return the numbers of packets whose ends do not matter.

        Args:
            trials: Pictures to decode for each that there is; the first one is tried in any case.
        """
        if not self.packets:
            return set()
        sums = self._decode(len(self.packets), None)
        places = sorted(range(len(self.packets)), key=lambda place: (place + 1) / len(self.packets[place][1]))
        chosen, budget = [0], trials * len(self.packets)
        for place in places:
            budget -= place + 1
            if budget < 0:
                break
            chosen.append(place)
        found: set[int] = set()
        for place in sorted(set(chosen)):
            number = self.packets[place][0]
            if number in sums and self._ends_early(place, sums[number]):
                found.add(number)
                if self._codec not in EXACT:
                    break
        return found

    def _ends_early(self, place: int, whole: int) -> bool:
        number, data = self.packets[place]
        doubt = None  # slices whose end may not matter
        for salt in range(SALTS):
            others = with_other_ends(self._codec, data, self._extradata, salt)
            same = {
                slice_
                for slice_, other in enumerate(others)
                if (doubt is None or slice_ in doubt) and self._decode(place, other).get(number) == whole
            }
            doubt = same if doubt is None else doubt & same
            if not doubt:
                return False
        return True

    def _decode(self, count: int, last: bytes | None) -> dict[int | None, int]:
        """Return checksums of the first `count` packets' pictures, and of one after them."""
        decoder = CodecContext.create(self._codec, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.extradata, decoder.copy_opaque = self._extradata, True
        decoder.thread_type, decoder.thread_count = "NONE", 1
        sums: dict[int | None, int] = {}
        datas = self.packets[:count] if last is None else [*self.packets[:count], (self.packets[count][0], last)]
        for number, data in [*datas, (-1, None)]:
            packet = None if data is None else Packet(data)
            if packet is not None:
                packet.opaque = Number(number)
            with contextlib.suppress(*UNREADABLE):
                for picture in decoder.decode(packet):
                    if last is None or number_of(picture) == datas[-1][0]:
                        sums[number_of(picture)] = checksum(picture)
        return sums


class _TwoDecoders:
    """A decoder, one that does the same in another way, and the numbers of packets whose pictures part."""

    def __init__(self, path: Path, stream_index: int) -> None:
        self._path, self._stream_index = path, stream_index
        self._files = contextlib.ExitStack()
        self._parted: set[int] = set()
        self.renew()

    @property
    def parted(self) -> frozenset[int]:
        """Numbers of packets whose pictures part."""
        return frozenset(self._parted)

    def renew(self) -> None:
        """Begin anew: what was seen before a picture that parts spoils what comes behind it."""
        self.close()
        streams = [only_stream(self._files.enter_context(open_video(self._path)), self._stream_index) for _ in range(2)]
        self._decoder, self._other = (stream.codec_context for stream in streams)
        self._codec, self._extradata = self._decoder.codec.canonical_name, self._decoder.extradata
        self._other.thread_type, self._other.thread_count = "SLICE", ROW_THREADS
        self._other.options = {"err_detect": "explode"}
        self._decoder.copy_opaque = self._other.copy_opaque = True
        self._held: deque[VideoFrame] = deque(maxlen=HELD)
        self._sums: tuple[dict[int | None, int], dict[int | None, int]] = {}, {}
        self.part = False

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def feed(self, number: int, packet: Packet | None) -> None:
        """Decode a packet in both ways; None for what is held back."""
        copy = None
        if packet is not None:
            packet.opaque = Number(number)
            copy = Packet(rewritten(self._codec, bytes(packet), self._extradata, BEHIND))
            copy.pts, copy.dts, copy.time_base, copy.opaque = packet.pts, packet.dts, packet.time_base, Number(number)
            copy.is_keyframe = packet.is_keyframe
        ones, others = self._sums
        try:
            for picture in pictures_of(self._decoder, packet):
                ones[number_of(picture)] = checksum(picture)
        except UNREADABLE:  # noticed without us
            self._part(number)
        try:
            for picture in pictures_of(self._other, copy):
                others[number_of(picture)] = checksum(picture)
                self._held.append(picture)
        except UNREADABLE:
            self._part(number)
        for both in ones.keys() & others.keys():
            if ones.pop(both) != others.pop(both):
                self._part(both)
        if packet is None:
            for alone in ones.keys() | others.keys():
                self._part(alone)
            ones.clear()
            others.clear()
            for decoder in (self._decoder, self._other):
                decoder.flush_buffers()

    def _part(self, number: int | None) -> None:
        if number is not None:
            self._parted.add(number)
        self.part = True
