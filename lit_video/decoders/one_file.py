"""One file, and where its demuxer and decoder stand: from a `GopRead` to pictures, by seeking or by going on.

A picture is recognised by its pts where the index was made from packets, and by counting from a place that was tried
before where it was made by decoding. A picture that does not come is looked for again from further back, and in the
end from the beginning of the file, before it is given up.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import chain

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame

from lit_video.decoders.codecs import OpenCodec, depends_on_first_packet
from lit_video.decoders.refusals import refused_runs
from lit_video.index import VideoIndex
from lit_video.index.bitstream import is_clean_start, is_shown
from lit_video.index.container_table import is_as_told
from lit_video.index.landing import packets_at
from lit_video.index.truth import OWN, Start, is_left_out
from lit_video.media.container import UNREADABLE, Seek, demux, number_of, only_stream, open_video, reason_of, seek
from lit_video.media.ranges import RangedFile
from lit_video.planning.planner import GopRead

# Starts before one at which reading cannot begin, counted backwards, that are tried in its place.
EARLIER = (1, 4, 16)
DAMAGED = "its picture is damaged, or one that it refers to"
OTHER_PACKET = "its packet is damaged, or not the one that the container's table tells of; data.scan=packets tells more"


class OpenVideo:
    """One file, and where its demuxer and decoder stand.

    Attributes:
        cause: What FFmpeg said of the last packet that it could not decode.
    """

    def __init__(
        self,
        index: VideoIndex,
        video_id: int,
        skip_unwanted: bool,
        open_codec: OpenCodec,
        trust_flags: bool,
        lost: set[int],
    ) -> None:
        self._index, self._video_id, self._open_codec = index, video_id, open_codec
        self._trust_flags, self._lost = trust_flags, lost
        self._path, self._splice = index.path(video_id), index.splice(video_id)
        self._pts = index.pts_of(video_id)
        self._exact, self._codec_name = not index.is_counted(video_id), index.codec(video_id)
        self._is_told = index.made(video_id) == "tried"  # counted, and the packets tell each picture's time
        self._checks = index.checks_of_table(video_id)
        # Safe under this rule only: H.264, one thread, a pts for each packet that names one picture. HEVC, AV1 and
        # MPEG-4 gave wrong or missing pictures when they were skipped.
        self._skips = skip_unwanted and self._exact and self._codec_name == "h264"
        # Damaged packets are not decoded: no undamaged picture refers to them.
        runs = refused_runs(index, video_id, trust_flags)
        self._damaged = {int(pts) for run in runs for pts in self._pts[run.first : run.last + 1]} if self._exact else ()
        self._left_out = index.left_out(video_id)
        self._opened = 0
        self._open()

    def pictures(self, read: GopRead) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frame index and picture for each wanted frame that comes out."""
        self.cause = ""
        yield from self._by_pts(read) if self._exact else self._by_count(read)
        if self._file is not None and self._file.error is not None:
            raise self._file.error

    @property
    def decoder(self) -> object:
        """What decodes this file; another one may share it."""
        return self._codec.decoder

    def leave_spoilt_decoder(self) -> None:
        """Open the file anew, with another decoder, if the one it had met damage."""
        if self._codec.is_spoilt:
            self._reopen()

    def count_opened(self) -> int:
        """Return how often the file was opened since this was last asked."""
        opened, self._opened = self._opened, 0
        return opened

    def close(self) -> None:
        """Close the file."""
        # A decoder lives as long as anything refers to it, its GPU memory too.
        for name in ("_codec", "_stream"):
            vars(self).pop(name, None)
        if container := vars(self).pop("_container", None):
            container.close()

    # Opening and seeking.

    def _open(self) -> None:
        check_unchanged(self._index, self._video_id)
        self._container, self._file = self._opened_file()
        try:
            self._stream = only_stream(self._container, int(self._index.columns.stream[self._video_id]))
            self._codec = self._open_codec(self._stream, self._video_id)
        except BaseException:
            self._container.close()
            raise
        self._opened += 1
        self._next_frame: int | None = 0  # what the next packet, or picture, continues from; None: nothing
        self._began = 0  # frame index of the start from which it is counted
        self._of_own = False  # counted from the picture of the first packet fed
        if self._exact and depends_on_first_packet(self._index, self._video_id):
            self._decode(next(self._container.demux(self._stream), None))
            self._next_frame = None

    def _opened_file(self) -> tuple[InputContainer, RangedFile | None]:
        """Return an open container, and what it reads if the file is far away."""
        far = self._index.far
        if far is None or not far.is_far(self._video_id):
            return open_video(self._path, self._splice), None
        return far.open(self._video_id, self._splice)

    def _reopen(self) -> None:
        self.close()
        self._open()

    def _seek(self, how: Seek, target: int) -> None:
        seek(self._container, self._stream, how, target)
        self._codec.flush()

    def _decode(self, packet: Packet | None) -> list[VideoFrame]:
        return self._try_to_decode(packet)[0]

    def _try_to_decode(self, packet: Packet | None) -> tuple[list[VideoFrame], bool]:
        """Return the pictures that come out when `packet` goes in, and whether that failed."""
        try:
            return self._codec.decode(packet), False
        except UNREADABLE as error:
            self.cause = reason_of(error)
            return [], True

    # Pictures by their pts.

    def _by_pts(self, read: GopRead) -> Iterator[tuple[int, VideoFrame]]:
        wanted = {int(self._pts[frame]): frame for frame in read.frame_indices}
        begin = int(self._pts[read.start])
        while wanted:
            for packets in self._approaches(read):
                damaged = yield from self._feed(packets, wanted, begin)
                self.leave_spoilt_decoder()
                if damaged in wanted and self._skips:
                    # Once more without it: where nobody refers to it, it is skipped now, as in reads that never wanted
                    # it. So whether a frame can be had does not depend on what else was asked for.
                    del wanted[damaged]
                    break
                if not wanted:
                    return
            else:
                return

    def _approaches(self, read: GopRead) -> Iterator[Iterable[Packet]]:
        """Yield the ways to the wanted pictures, the cheapest first: each is the packets to feed from there on."""
        if self._can_go_on(read):
            yield self._container.demux(self._stream)
        start = self._index.find_start(self._video_id, read.start)
        ways = [self._seek_to(start)]
        if ways[0] is not None:
            yield ways[0]
        for back in (1, 4):
            earlier = self._index.start_before(self._video_id, read.start, back)
            if earlier is not None:
                ways.append(self._seek_before(earlier, start))
                if ways[-1] is not None:
                    yield ways[-1]
        if all(way is None for way in ways):  # not for damage, which decoding a whole file again would not mend
            self._splice = None
            self._reopen()
            yield self._container.demux(self._stream)

    def _can_go_on(self, read: GopRead) -> bool:
        """Tell whether decoding may continue where the last read ended: within this GOP, or right before it."""
        if self._next_frame is None or not self._codec.is_undisturbed:
            return False
        return read.start <= self._next_frame <= read.frame_indices[0]

    def _seek_to(self, start: Start) -> Iterable[Packet] | None:
        """Return the packets from the start's keyframe on, or None where seeking overshoots it."""
        for packet, rest in self._packets_at(start.target):
            if packet.pts == start.target:
                return chain([packet], rest) if self._may_begin_with(packet) else None
            if packet.is_keyframe and packet.pts is not None and packet.pts > start.target:
                return None
        return None

    def _may_begin_with(self, packet: Packet) -> bool:
        """Tell whether decoding can begin with a keyframe's packet: of a file far away nobody looked at its bytes."""
        context = self._stream.codec_context
        return self._file is None or is_clean_start(self._codec_name, bytes(packet), context.extradata)

    def _seek_before(self, earlier: Start, start: Start) -> Iterable[Packet] | None:
        """Return the packets from any keyframe before the start's on, or None where seeking overshoots that."""
        for packet, rest in self._packets_at(earlier.target):
            if packet.is_keyframe:
                return chain([packet], rest) if packet.pts is not None and packet.pts < start.target else None
        return None

    def _packets_at(self, target: int) -> Iterator[tuple[Packet, Iterator[Packet]]]:
        self._next_frame = None
        try:
            self._seek(Seek.TIME, target)
        except UNREADABLE as error:
            self.cause = reason_of(error)
            return
        packets = self._container.demux(self._stream)
        yield from ((packet, packets) for packet in packets)

    def _feed(
        self, packets: Iterable[Packet], wanted: dict[int, int], begin: int
    ) -> Generator[tuple[int, VideoFrame], None, int | None]:
        """Feed packets until all wanted ones are in, and yield what comes out; then drain what was held back.

        Stops at the first damage from the pts `begin` on, and returns the pts of the picture that is lost: what comes
        after refers to it, and only looks like a picture.
        """
        self._next_frame = None  # unknown until this went well
        owed, last = set(wanted), None
        for packet in packets:
            if not packet.size:
                break
            if len(self._checks) and not self._is_as_told(packet):
                return None
            if packet.pts is not None and packet.pts in self._damaged:
                last = packet.pts if last is None else max(last, packet.pts)
                continue
            if self._skips:
                self._codec.skip(unless_referred_to=packet.pts not in wanted)
            pictures, failed = self._try_to_decode(packet)
            # What the decoder still holds when a packet fails came before it.
            held = self._try_to_decode(None)[0] if failed and self._trust_flags else []
            damaged = yield from self._pick(chain(pictures, held), wanted, begin)
            if (failed and self._trust_flags) or damaged is not None:
                self._codec.spoil()
                return packet.pts if damaged is None else damaged
            if is_shown(self._codec_name, memoryview(packet)):  # VP8 gives a hidden picture the time of the next one
                owed.discard(packet.pts)
            if packet.pts is not None:
                last = packet.pts if last is None else max(last, packet.pts)
            if not owed:
                break
        if wanted:
            damaged = yield from self._pick(self._decode(None), wanted, begin)
            if damaged is not None:
                self._codec.spoil()
            return damaged
        if last is not None:
            self._next_frame = int(self._pts.searchsorted(last, side="right"))
        return None

    def _is_as_told(self, packet: Packet) -> bool:
        """Tell whether a packet is the one of its time in the container's table, by which the file was indexed."""
        frame = len(self._pts) if packet.pts is None else int(self._pts.searchsorted(packet.pts))
        is_known = frame < len(self._pts) and self._pts[frame] == packet.pts
        if is_known and is_as_told(packet, self._stream.codec_context, int(self._checks[frame])):
            return True
        self.cause = OTHER_PACKET
        return False

    def _pick(
        self, pictures: Iterable[VideoFrame], wanted: dict[int, int], begin: int
    ) -> Generator[tuple[int, VideoFrame], None, int | None]:
        """Yield the wanted ones of pictures, up to the first that the decoder could not decode; return its pts."""
        for picture in pictures:
            if picture.pts is None or picture.pts < begin:
                continue
            if picture.is_corrupt and self._trust_flags:
                self.cause = self.cause or DAMAGED
                return picture.pts
            frame_index = wanted.pop(picture.pts, None)
            if frame_index is not None:
                yield frame_index, picture
        return None

    # Pictures by counting.

    def _by_count(self, read: GopRead) -> Iterator[tuple[int, VideoFrame]]:
        wanted = set(read.frame_indices)
        start = self._index.find_start(self._video_id, read.start)
        if self._can_go_on(read) and self._may_go_on_from(start):
            yield from self._count(demux(self._container, self._stream), wanted, self._of_own)
        for place in self._places(read, start):
            if not wanted:
                return
            packets = self._go_to(place)
            if packets is not None:
                complains = yield from self._count(packets, wanted, place.drop == OWN)
                if complains and self._is_told:  # it is damaged: nobody says that it was decoded whole before
                    return
            if wanted and place.how is not Seek.BEGINNING:
                self._lost.add(place.frame)

    def _may_go_on_from(self, start: Start) -> bool:
        """Tell whether what is decoded now goes on into the GOP of a start.

        What is behind damage was tried from the start of its GOP, and not from before the damage.
        """
        if self._index.damage(self._video_id):
            return self._began == start.frame
        return not start.how.is_anew or self._began in (0, start.frame)

    def _places(self, read: GopRead, start: Start) -> Iterator[Start]:
        """Yield the starts to try, the nearest first, the beginning of the file last; none that failed before."""
        damage = self._index.damage(self._video_id)
        if damage and damage[0].first <= read.frame_indices[-1]:  # nothing was tried from before damage to behind it
            yield start
            return
        seen = set[Start]()
        for place in self._nearest_first(read, start):
            if place not in seen and (place.how is Seek.BEGINNING or place.frame not in self._lost):
                seen.add(place)
                yield place

    def _nearest_first(self, read: GopRead, start: Start) -> Iterator[Start]:
        yield start
        for back in EARLIER:
            earlier = self._index.start_before(self._video_id, read.start, back)
            if earlier is not None:
                yield earlier
        yield Start(0)

    def _go_to(self, start: Start) -> Iterable[Packet | None] | None:
        """Return the packets from a start on, or None where seeking lands elsewhere.

        A start that was tried in a file just opened is used so: what a container and a decoder learned while they read
        elsewhere may lead seeking to another place, and have more pictures dropped or held back.
        """
        if start.how.is_anew or self._codec.is_spoilt:
            self._reopen()
        self._next_frame = None
        packets = demux(self._container, self._stream)
        if start.how is not Seek.BEGINNING:
            try:
                packets = packets_at(self._container, self._stream, start)
            except UNREADABLE as error:
                self.cause = reason_of(error)
                return None
            self._codec.flush()
        if packets is not None:
            self._began, self._of_own = start.frame, start.drop == OWN
            self._next_frame = start.frame - max(0, start.drop)
        return packets

    def _count(
        self, packets: Iterable[Packet | None], wanted: set[int], is_own: bool
    ) -> Generator[tuple[int, VideoFrame], None, bool]:
        """Feed packets, the last one that drains the decoder too, until all wanted pictures are out.

        Args:
            packets: What to feed.
            wanted: Frames that did not come out yet; those that do are taken away.
            is_own: Counting begins with the picture that carries its frame index, and ends where the decoder
                complains. Otherwise what was tried gives the right pictures, errors or not.

        Where the packets tell each picture's time, counting ends with the first that has another; and if what the
        decoder complains of is to be delivered, pictures go by their times.

        Returns:
            Whether the decoder complained.
        """
        frame, self._next_frame = self._next_frame, None
        assert frame is not None
        listens = self._trust_flags or not self._is_told
        is_strict = is_own or self._is_told
        counts, failed, complains = not is_own or frame != self._began, False, False
        for packet in packets:
            if packet is not None and is_left_out(packet, self._left_out):
                continue
            pictures, error = self._try_to_decode(packet)
            failed = complains = complains or (error and counts and listens)
            for picture in pictures:
                counts = counts or number_of(picture) == frame
                if not counts:
                    continue
                if picture.is_corrupt and listens:
                    complains, self.cause = True, self.cause or DAMAGED
                if not listens and picture.pts is not None:
                    frame = int(self._pts.searchsorted(picture.pts))
                failed = complains or (self._is_told and not self._is_of(frame, picture))
                if failed and is_strict:
                    break
                if frame in wanted and frame >= self._began:
                    wanted.discard(frame)
                    yield frame, picture
                frame += 1
            if not wanted or (failed and is_strict):
                going_on = packet is not None and packet.size and not failed
                self._next_frame = frame if going_on else None
                break
        if failed:  # such a decoder is not for anything else
            self._codec.spoil()
        return complains

    def _is_of(self, frame: int, picture: VideoFrame) -> bool:
        """Tell whether a picture has the time of a frame."""
        return frame < len(self._pts) and picture.pts == int(self._pts[frame])


def check_unchanged(index: VideoIndex, video_id: int) -> None:
    """Refuse a file that was replaced or written to: what is open is of it, and what will be opened is not.

    Where only the time of change moved, and not its bytes, it is the same file.

    Raises:
        OSError: It was, or is gone.
    """
    if not index.new_times.is_unchanged(video_id):
        raise OSError(0, "the file changed after it was indexed; start again, and it is indexed anew")
