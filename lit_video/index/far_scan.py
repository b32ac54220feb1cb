"""One file far away -> one entry of the index, from its table of samples where it has one: the rest is not fetched.

MP4 and MOV list all samples. FFmpeg is given the list, the first keyframe, and zeros for all other samples, and hands
out packets with their times, flags and places whatever their bytes are. So what only bytes tell, damage above all, is
not looked for here; it is noticed when a frame is read. Other containers are fetched whole, and indexed as files are.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from operator import attrgetter
from threading import Semaphore
from typing import Any

from av.container import InputContainer
from av.packet import Packet

from lit_video.index.bitstream import is_clean_start, is_no_plain_picture, is_shown, may_be_interlaced
from lit_video.index.damage import Packets
from lit_video.index.far_videos import copied
from lit_video.index.scan import Entry, NotAVideo, StreamPackets, entry_of, scan_file, unhidden
from lit_video.media.container import (
    UNREADABLE,
    choose_stream,
    container_colours,
    decode,
    only_stream,
    open_video,
    reason_of,
)
from lit_video.media.ranges import FarFile, Fetcher, RangedFile, left
from lit_video.media.remote import Remote

# To open a file FFmpeg decodes a picture, and here one is decoded anyway. What it does not know without is how many
# pictures a decoder holds back, where headers do not say: that shows in the order of the packets.
UNDECODED: dict[str, Any] = {"options": {"skip_frame": "all"}, "container_options": {"probesize": "32"}}

# FFmpeg asks for so much at a time: of a file of zeros, less often.
BUFFER_BYTES = 2**20

# Codecs of which a sample of MP4 is one picture to show, whatever its bytes are.
ONE_PICTURE_A_SAMPLE = frozenset({"h264", "hevc", "av1", "vp9", "mjpeg", "prores", "png", "dnxhd"})


def scan_far(remote: Remote, fetcher: Fetcher, core: Semaphore) -> Entry:
    """Return the entry of a video far away.

    Args:
        remote: The video.
        fetcher: Asks for its bytes.
        core: Held by who calls, and left to others while bytes are waited for.

    Raises:
        NotAVideo: With the reason, if there is nothing to decode in it.
        RemoteError: The store cannot be reached, or lets nobody in.
    """
    far = FarFile(remote)
    try:
        entry = _look(far, fetcher, core, UNDECODED) or _look(far, fetcher, core, {})
    except UNREADABLE as error:
        reason = reason_of(error)
        raise NotAVideo(reason[:1].lower() + reason[1:]) from error
    return entry or _from_all(remote, fetcher, core)


def look_far(fetcher: Fetcher, core: Semaphore, remote: Remote) -> Entry | str:
    """Return the entry of a video far away, or why it has none: many wait at once, and as many compute as may.

    Raises:
        RemoteError: The store cannot be reached, or lets nobody in.
    """
    try:
        with core:
            return scan_far(remote, fetcher, core)
    except NotAVideo as error:
        return str(error)


def _look(far: FarFile, fetcher: Fetcher, core: Semaphore, options: dict[str, Any]) -> Entry | None:
    """Return the entry that a file's table of samples gives to who opens it so, or None."""
    file = RangedFile(far, fetcher, core)
    with open_video(file, buffer_size=BUFFER_BYTES, **options) as container:
        far.head = [*far.head, *file.take_blocks()]
        return _from_table(container, file)


def _from_table(container: InputContainer, file: RangedFile) -> Entry | None:
    """Return the entry that a file's table of samples gives, or None where that does not tell all."""
    stream = choose_stream(container)
    if "mov" not in container.format.name.split(",") or not len(stream.index_entries):
        return None
    colours, stream = container_colours(stream), only_stream(container, stream.index)
    if stream.codec_context.codec.canonical_name not in ONE_PICTURE_A_SAMPLE:
        return None
    samples = [(sample.pos, sample.size, sample.is_keyframe) for sample in stream.index_entries]
    others = (other.index_entries for other in container.streams if other.index != stream.index)
    places = chain(samples[1:], ((sample.pos, sample.size, False) for entries in others for sample in entries))
    file.leave_out((begin, begin + size) for begin, size, _ in places)
    packets = _TablePackets(stream, Packets.of(container, stream))
    for sample, packet in zip_longest(samples, filter(attrgetter("size"), container.demux(stream))):
        if sample is None or packet is None or packet.pos != sample[0]:  # parts of DASH are found while it is read
            return None
        packets.add_sample(packet, is_keyframe=sample[2])
    if file.error is not None:
        raise file.error
    packets.check_for_pictures()
    return entry_of(container, stream, packets, packets.frames(), colours) if packets.can_be_trusted() else None


class _TablePackets(StreamPackets):
    """What packets tell whose bytes are not there, but for those of the first."""

    def add_sample(self, packet: Packet, is_keyframe: bool) -> None:
        """Look at a packet's times, and at what the table says of it: FFmpeg asks its bytes if it is a keyframe."""
        is_start = is_keyframe and (bool(self.seen.times) or self._look_at(packet))
        self.seen.add_unread(packet, is_start)
        if packet.is_discard:
            self._hidden_pts.append(packet.pts)
        else:
            self.shown.append(len(self.seen.times) - 1)
            self.pts.append(packet.pts)
        self._add_times(packet, is_start, is_keyframe)

    def _look_at(self, packet: Packet) -> bool:
        """Decode the first packet, and tell whether decoding can begin there."""
        data, extradata = bytes(packet), self.stream.codec_context.extradata
        for one in (unhidden(packet), None):
            self.first_picture = self.first_picture or next(iter(decode(self.stream, one)), None)
        if self.codec == "h264" and may_be_interlaced(extradata, data):
            self.trusted = False
        plain = is_shown(self.codec, data) and not is_no_plain_picture(self.codec, memoryview(data), extradata)
        self.trusted = self.trusted and plain
        return is_clean_start(self.codec, data, extradata)


def _from_all(remote: Remote, fetcher: Fetcher, core: Semaphore) -> Entry:
    """Return the entry of a file that is fetched whole."""
    with left(core), copied(FarFile(remote), fetcher) as path, core:
        return scan_file(path)
