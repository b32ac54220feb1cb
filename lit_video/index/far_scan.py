"""One file far away -> one entry of the index, from its table of samples where it has one: the rest is not fetched.

MP4 and MOV list all samples. FFmpeg is given the list, the first keyframe, and zeros for all other samples, and hands
out packets with their times, flags and places whatever their bytes are. So what only bytes tell, damage above all, is
not looked for here; it is noticed when a frame is read. Other containers are fetched whole, and indexed as files are.
"""

from __future__ import annotations

from itertools import zip_longest
from operator import attrgetter

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from jaxtyping import Int64

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
from lit_video.media.ranges import FarFile, Fetcher, RangedFile
from lit_video.media.remote import Remote

# Codecs of which a sample of MP4 is one picture to show, whatever its bytes are.
ONE_PICTURE_A_SAMPLE = frozenset({"h264", "hevc", "av1", "vp9", "mjpeg", "prores", "png", "dnxhd"})


def scan_far(remote: Remote, fetcher: Fetcher) -> Entry:
    """Return the entry of a video far away.

    Raises:
        NotAVideo: With the reason, if there is nothing to decode in it.
        RemoteError: The store cannot be reached, or lets nobody in.
    """
    file = RangedFile(FarFile(remote), fetcher)
    try:
        with open_video(file) as container:
            entry = _from_table(container, file)
    except UNREADABLE as error:
        reason = reason_of(error)
        raise NotAVideo(reason[:1].lower() + reason[1:]) from error
    return entry or _from_all(remote, fetcher)


def _from_table(container: InputContainer, file: RangedFile) -> Entry | None:
    """Return the entry that a file's table of samples gives, or None where that does not tell all."""
    stream = choose_stream(container)
    if "mov" not in container.format.name.split(",") or not len(stream.index_entries):
        return None
    colours, stream = container_colours(stream), only_stream(container, stream.index)
    if stream.codec_context.codec.canonical_name not in ONE_PICTURE_A_SAMPLE:
        return None
    samples = list(stream.index_entries)
    file.leave_out(_bytes_of_samples(container, first=samples[0].pos))
    packets = _TablePackets(stream, Packets.of(container, stream))
    for sample, packet in zip_longest(samples, filter(attrgetter("size"), container.demux(stream))):
        if sample is None or packet is None or packet.pos != sample.pos:  # parts of DASH are found while it is read
            return None
        packets.add_sample(packet, sample.is_keyframe)
    if file.error is not None:
        raise file.error
    packets.check_for_pictures()
    return entry_of(container, stream, packets, packets.frames(), colours) if packets.can_be_trusted() else None


def _bytes_of_samples(container: InputContainer, first: int) -> Int64[np.ndarray, "samples 2"]:
    """Return begin and end of all samples of all streams, but of the one that begins at `first`."""
    samples = (sample for stream in container.streams for sample in stream.index_entries if sample.pos != first)
    return np.array([(sample.pos, sample.pos + sample.size) for sample in samples], np.int64).reshape(-1, 2)


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


def _from_all(remote: Remote, fetcher: Fetcher) -> Entry:
    """Return the entry of a file that is fetched whole."""
    with copied(FarFile(remote), fetcher) as path:
        return scan_file(path)
