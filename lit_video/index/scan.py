"""One video file -> one entry of the index: its packets are read, its pictures are not decoded.

Where each picture stands alone, the container's own table may do in the place of the packets (`container_table.py`).
Some is decoded all the same. The first picture, because PyAV tells rotation, colour and the pixel format that
the decoder makes only of pictures. What comes behind a few keyframes, where a container does not seek as it is told
(`ways.py`). And every picture, where packets cannot be trusted to say which pictures will come
out (`truth.py`): then the entry is marked `decoded`.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Int64

from lit_video.index.bitstream import (
    is_clean_start,
    is_independent,
    is_no_plain_picture,
    is_shown,
    is_skipped_leading,
    may_be_interlaced,
)
from lit_video.index.container_table import is_enough, told_by_table
from lit_video.index.crop import crop_of
from lit_video.index.cues import Passed, clusters_of, cues_of
from lit_video.index.damage import Packets, Run, runs_of
from lit_video.index.digest import UNKNOWN
from lit_video.index.pieces import decode_in_pieces
from lit_video.index.trials import find_starts
from lit_video.index.truth import Start, damage_between, remembers_its_beginning, second_look, starts_hold
from lit_video.index.ways import tried_starts
from lit_video.media.container import (
    SHORT,
    UNREADABLE,
    Seek,
    choose_stream,
    container_colours,
    decode,
    demux,
    duration_of,
    only_stream,
    open_video,
    reason_of,
)
from lit_video.media.picture import NO_CROP, NO_TRANSFER, Colours, colours_of, orientation_of
from lit_video.media.spliced import Splice

# Codecs whose decoders give one picture, with the packet's pts, for each packet that is_shown() lets pass. In those of
# the second kind pictures are shown in the order in which they are stored.
REORDERED = frozenset({"h264", "hevc"})
IN_ORDER = frozenset({"av1", "vp8", "vp9", "mjpeg", "prores", "png", "dnxhd"})

# Demuxers in which a seek by time lands at or before the keyframe asked for, or fails where it can be seen.
SEEKABLE_BY_TIME = frozenset({"mov", "mp4", "matroska", "webm"})


ROUGHLY = 0.2  # a header's number of frames is believed if it is about what the duration says

# H.264 keeps 16 pictures to refer to. What is so many pictures and starts away is not among them.
FAR_PICTURES, FAR_STARTS = 48, 4

MOST_OUT_OF_ORDER = 16  # steps by which times are out of order, where no recording begins anew
MOST_NOT_CUT_OFF = 128  # columns: FFmpeg's largest alignment


class NotAVideo(Exception):
    """A file without a usable video stream; the message is the reason that users read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index knows of one video.

    Attributes:
        stream: Index of the video stream among the file's streams.
        time_base: Seconds per unit of pts.
        width: Of the stored picture, in pixels, what the container cuts off left out, before rotation.
        height: Likewise.
        rotation: Counter-clockwise degrees that turn the stored picture upright: 0, 90, 180 or 270.
        aspect: Width over height of one stored pixel; 1 where the file does not say.
        codec: FFmpeg's name of the codec.
        pixel_format: FFmpeg's name of the format that the decoder makes.
        matrix: FFmpeg's number of the colour matrix, the first picture's own or the container's (2: not tagged).
        range: FFmpeg's number of the colour range, likewise (0: not tagged, 1: limited, 2: full).
        made: `exact` (from packets), `tried` (from packets, in a container that does not seek as it is told: some
            places were tried), `table` (from the container's table of packets) or `decoded` (all pictures were decoded
            once).
        pts: Of each picture in presentation order; where `decoded`, as the decoder gave it, ascending or not.
        starts: Where decoding can begin, ascending, frame 0 first.
        damage: Frames that are damaged, ascending.
        expected: Frames that the header promises, where the file falls short of it; else as many as there are.
        left_out: Keys (`truth.key_of`) of packets that are not to be decoded: damaged, and nobody refers to them.
        mirrored: Left and right of the stored picture change places before it is turned.
        crop: Columns and rows of the picture as decoded that are not to be seen: left, top, right, bottom.
        transfer: FFmpeg's number of the transfer, likewise (2: not tagged, 16: PQ, 18: HLG).
        digest: What stands for the file's bytes (`digest.digest_of`); whoever looked at them adds it.
        places: For each start, the bytes `[begin, end)` of all packets that decoding from there needs; none where the
            container does not tell.
        cues: What is put into the file when it is read, where its writer left out what seeking needs.
    """

    stream: int
    time_base: Fraction
    width: int
    height: int
    rotation: int
    aspect: float
    codec: str
    pixel_format: str
    matrix: int
    range: int
    made: str
    pts: Int64[np.ndarray, " frames"]
    starts: list[Start]
    damage: Sequence[Run] = ()
    expected: int = 0
    left_out: Sequence[int] = ()
    mirrored: bool = False
    crop: tuple[int, int, int, int] = NO_CROP
    transfer: int = NO_TRANSFER
    digest: bytes = UNKNOWN
    places: Sequence[tuple[int, int]] = ()
    cues: Splice | None = None


class Frames(NamedTuple):
    """What was found out about a file's frames: a part of its entry, which says what each is."""

    made: str
    pts: Int64[np.ndarray, " frames"]
    starts: list[Start]
    damage: Sequence[Run] = ()
    left_out: Sequence[int] = ()
    expected: int = 0
    places: Sequence[tuple[int, int]] = ()


def scan_file(path: Path, scan: str = "packets") -> Entry:
    """Return the entry of the video at `path`.

    Args:
        path: Of the file.
        scan: Read its `packets`, or believe its container's `table` where that is whole, or `auto`: where the packets
            would not tell more.

    Raises:
        NotAVideo: With the reason, if there is nothing to decode in it.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise NotAVideo("a folder that cannot be read")
        if not stat.S_ISREG(mode):
            raise NotAVideo("not a regular file")
        with open_video(path) as container:
            stream = choose_stream(container)
            colours, crop = container_colours(stream), crop_of(path, container, stream.index)
            number = stream.index
            stream = only_stream(container, number)
            if not is_enough(stream.codec_context.codec.canonical_name, scan):
                return _scan(path, container, stream, colours, crop)
            told = told_by_table(path, container, stream)
            if told is not None:
                frames = Frames("table", told.pts, told.starts, expected=len(told.pts))
                return _entry(stream, told.first, colours, crop, frames)
        with open_video(path) as container:
            return _scan(path, container, only_stream(container, number), colours, crop)
    except UNREADABLE as error:
        reason = reason_of(error)
        raise NotAVideo(reason[:1].lower() + reason[1:]) from error


def _scan(
    path: Path, container: InputContainer, stream: VideoStream, said: Colours, crop: tuple[int, int, int, int]
) -> Entry:
    packets = _read(container, stream)
    packets.check_for_pictures()
    common, doubtful = second_look(path, stream.index, packets.seen)
    if common or doubtful:
        with open_video(path) as again:
            packets = _read(again, only_stream(again, stream.index), common, doubtful)
    packets.seen.note_gaps()
    seekable = not SEEKABLE_BY_TIME.isdisjoint(container.format.name.split(","))
    frames = None
    if packets.can_be_trusted():
        if not seekable:
            frames = packets.tried_frames(path)
        elif starts_hold(path, stream.index, packets.recovery_points()):
            frames = packets.frames()
    frames = frames or _decode(path, stream, packets.seen)
    entry = entry_of(container, stream, packets, frames, said, crop)
    if entry.made != "exact":
        return entry
    clusters, is_cut_off = clusters_of(container, stream), entry.expected > len(entry.pts)
    cues = cues_of(path, container, stream, clusters, packets.passed(), is_cut_off)
    places = entry.places
    if places and clusters:  # a seek goes to where the cluster begins
        of_starts = zip(entry.starts, places, strict=True)
        places = [(min(begin, clusters.get(start.target, begin)), end) for start, (begin, end) in of_starts]
    return replace(entry, cues=cues, places=places)


def entry_of(
    container: InputContainer,
    stream: VideoStream,
    packets: StreamPackets,
    frames: Frames,
    said: Colours,
    crop: tuple[int, int, int, int] = NO_CROP,
) -> Entry:
    """Return the entry of a file, of whose packets all is known."""
    assert packets.first_picture is not None
    frames = frames._replace(expected=_expected(container, stream, packets, len(frames.pts)))
    return _entry(stream, packets.first_picture, said, crop, frames)


def _entry(
    stream: VideoStream, picture: VideoFrame, said: Colours, crop: tuple[int, int, int, int], frames: Frames
) -> Entry:
    """Return the entry of a file: which frames there are, and the rest as its first picture says."""
    codec = stream.codec_context.codec.canonical_name
    colours = colours_of(picture, codec, said)
    rotation, mirrored = orientation_of(picture)
    crop = (crop[0] + _columns_not_cut_off(codec, stream, picture), *crop[1:])
    if crop[0] + crop[2] >= picture.width or crop[1] + crop[3] >= picture.height:
        crop = NO_CROP  # nothing would be left
    return Entry(
        stream=stream.index,
        time_base=_fraction(stream.time_base),
        width=picture.width - crop[0] - crop[2],
        height=picture.height - crop[1] - crop[3],
        rotation=rotation,
        aspect=float(_fraction(stream.sample_aspect_ratio)),
        codec=codec,
        pixel_format=picture.format.name,
        matrix=colours.matrix,
        range=colours.range,
        mirrored=mirrored,
        crop=crop,
        transfer=colours.transfer,
        **frames._asdict(),
    )


def _read(
    container: InputContainer,
    stream: VideoStream,
    common: frozenset[str] = frozenset(),
    doubtful: frozenset[int] = frozenset(),
) -> StreamPackets:
    packets = StreamPackets(stream, Packets.of(container, stream, common, doubtful))
    for packet in demux(container, stream):
        packets.add(packet)
    return packets


def _expected(container: InputContainer, stream: VideoStream, packets: StreamPackets, frames: int) -> int:
    """Return the number of frames that the header promises, if the file falls short of it, else `frames`.

    Headers lie: a number of frames counts only in MP4, which lists them, and if it fits the duration; and a duration
    only where packets end before it.
    """
    times = np.unique(np.array([time for time in packets.seen.times if time is not None], np.int64))
    duration = duration_of(container, stream)
    if duration is None or len(times) < 2:
        return frames
    steps = np.diff(times)
    promised = round(duration / float(np.median(steps)))
    if "mov" in container.format.name.split(",") and abs(stream.frames - promised) <= ROUGHLY * promised:
        promised = stream.frames
    elif int(times[-1]) + 2 * int(steps.max()) >= (1 - SHORT) * duration:
        return frames
    not_shown = len(packets.seen.times) - len(packets.shown)
    return promised if frames + not_shown < (1 - SHORT) * promised - 2 else frames


def _columns_not_cut_off(codec: str, stream: VideoStream, picture: VideoFrame) -> int:
    """Return how many columns at the left the stream cuts off and FFmpeg does not: rows begin at round places."""
    context = stream.codec_context
    more = picture.width - context.width
    return more if codec in REORDERED and picture.height == context.height and 0 < more < MOST_NOT_CUT_OFF else 0


def unhidden(packet: Packet | None) -> Packet | None:
    """Return a packet as one whose picture is shown: of a hidden one, too, what the decoder makes can be seen."""
    if packet is None or not packet.is_discard:
        return packet
    copy = Packet(bytes(packet))
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    return copy


def _fraction(ratio: Any) -> Fraction:
    """Return a ratio of PyAV's, whose type differs between versions, and 1 where there is none."""
    return Fraction(ratio.numerator, ratio.denominator) if ratio else Fraction(1)


class StreamPackets:
    """What one pass over a stream's packets tells, and whether that is all there is to know."""

    def __init__(self, stream: VideoStream, seen: Packets) -> None:
        self.stream, self.seen = stream, seen
        self.codec = seen.codec
        self.shown: list[int] = []  # places among all packets of those that have a picture to show
        self._recovery_points: list[int] = []  # times of starts whose own bits are all that speaks for them
        self.pts: list[int | None] = []
        self._decoded_pts: list[int | None] = []  # with those of hidden pictures, which an edit list cuts off
        self._hidden_pts: list[int | None] = []
        self._places: list[tuple[int, int]] = []  # of the same packets: first byte, and size
        self.keyframe_pts: list[int] = []
        self.latest: int | None = None  # the largest pts so far
        self.trusted = self.codec in REORDERED | IN_ORDER
        self.first_picture: VideoFrame | None = None

    def add(self, packet: Packet | None) -> None:
        """Look at the next packet; None stands for a part of the file that cannot be read."""
        if self.first_picture is None:  # the packet of size 0 at the end, which drains the decoder, counts too
            self.first_picture = next(iter(decode(self.stream, unhidden(packet))), None)
        if packet is None:
            self.trusted = False
            return
        if not packet.size:
            return
        data = memoryview(packet)
        extradata = self.stream.codec_context.extradata
        is_start = packet.is_keyframe and is_clean_start(self.codec, bytes(data), extradata)
        self.seen.add(packet, is_start)
        if not is_shown(self.codec, data):
            return
        if len(self.keyframe_pts) == 1 and is_skipped_leading(self.codec, data, extradata):
            return
        if packet.is_discard:
            self._hidden_pts.append(packet.pts)
            self.trusted = self.trusted and not self.seen.broken[-1]
        else:
            self.shown.append(len(self.seen.why) - 1)
            self.pts.append(packet.pts)
        if not self._decoded_pts and self.codec == "h264" and may_be_interlaced(extradata, bytes(data)):
            self.trusted = False
        if self.seen.broken[-1]:  # its bits say nothing
            self._add_times(packet, is_start, packet.is_keyframe)
            return
        if is_no_plain_picture(self.codec, data, extradata):
            self.trusted = False
        self._add_times(packet, is_start, packet.is_keyframe)
        if packet.is_keyframe and not is_start:
            self.trusted = False
        if is_start and packet.pts is not None and not is_independent(self.codec, data, extradata):
            self._recovery_points.append(packet.pts)

    def _add_times(self, packet: Packet, is_start: bool, is_keyframe: bool) -> None:
        self._decoded_pts.append(packet.pts)
        self._places.append((-1 if packet.pos is None else packet.pos, packet.size))
        if packet.pts is None:
            return
        if is_keyframe and (is_start or not self.keyframe_pts):
            self.keyframe_pts.append(packet.pts)
        # What is stored before a keyframe is shown before it, and where nothing is reordered, before any picture.
        if self.latest is not None and packet.pts < self.latest and (is_keyframe or self.codec in IN_ORDER):
            self.trusted = False
        self.latest = packet.pts if self.latest is None else max(self.latest, packet.pts)

    def can_be_trusted(self) -> bool:
        """Tell whether these packets, sorted by pts, are the pictures that a sequential decode gives."""
        assert self.first_picture is not None
        return (
            self.trusted
            and not self.first_picture.interlaced_frame  # two packets may be the fields of one picture
            and None not in self._decoded_pts
            and len(set(self._decoded_pts)) == len(self._decoded_pts)
            and self._order_is_plain()
            and self._hidden_are_outside()
            # A stream that begins with a picture before its first keyframe begins with pictures nobody can decode.
            and bool(self.keyframe_pts)
            and self.keyframe_pts[0] <= min(pts for pts in self.pts if pts is not None)
        )

    def _hidden_are_outside(self) -> bool:
        """Tell whether hidden pictures come before the first that is shown and after the last one only.

        They are decoded, for others refer to them, and do not come out. Of several edits that hide pictures between
        others decoding tells.
        """
        shown = [pts for pts in self.pts if pts is not None]
        if not shown:
            return False
        first, last = min(shown), max(shown)
        return all(pts is not None and not first <= pts <= last for pts in self._hidden_pts)

    def _order_is_plain(self) -> bool:
        """Tell whether the times are those of the order in which a decoder shows pictures.

        One that is told of reordering reorders; where no time says so, the times are wrong. One that is not told finds
        out when it is too late for the first picture that it should have held back.
        """
        ascending = all(a < b for a, b in pairwise(pts for pts in self._decoded_pts if pts is not None))
        return self.codec in IN_ORDER or ascending != bool(self.stream.codec_context.has_b_frames)

    def check_for_pictures(self) -> None:
        """Check that there is something to decode.

        Raises:
            NotAVideo: There is not.
        """
        if self.first_picture is None:
            raise NotAVideo("no picture could be decoded" if self.pts else "its video stream has no packets")

    def frames(self) -> Frames:
        """Return pts in presentation order, the starts, and what is damaged.

        Pictures that follow an open GOP's keyframe in the file and precede it on the screen refer back across it.
        Counted in presentation order they belong to the keyframe before, from which they can be decoded. Where the
        first pictures are hidden, frame 0 is decoded from the last keyframe before it, hidden or not.
        """
        pts = np.sort(np.array(self.pts, np.int64))
        keyframes = np.sort(np.array(self.keyframe_pts, np.int64))
        frames = np.searchsorted(pts, keyframes).tolist()
        targets = dict(zip(frames, keyframes.tolist(), strict=True))  # of several at one frame, the last
        starts = [Start(frame, Seek.TIME, target) for frame, target in targets.items() if frame < len(pts)]
        return Frames("exact", pts, starts, self.damage(), places=self._places_from(pts, starts))

    def passed(self) -> Passed:
        """Return what seeking goes by."""
        pictures, places = np.array(self._decoded_pts, np.int64), np.array(self._places, np.int64).reshape(-1, 2)
        return Passed(self.seen.times, pictures, places[:, 0], sorted(self.keyframe_pts))

    def tried_frames(self, path: Path) -> Frames | None:
        """Return pts in presentation order, and starts that were tried: not every container seeks as it is told.

        None where anything is out of the ordinary: then all is decoded.
        """
        assert self.first_picture is not None
        seen, pixel_format = self.seen, self.first_picture.format.name
        remembers = remembers_its_beginning(self.codec, pixel_format)
        if remembers or seen.common or seen.may_hide_losses or any(seen.why) or self._hidden_pts:
            return None
        if self._recovery_points:  # what the encoder says of itself is tried picture by picture
            return None
        pts = np.sort(np.array(self.pts, np.int64))
        starts = tried_starts(path, self.stream.index, seen, pts)
        return None if starts is None else Frames("tried", pts, starts)

    def _places_from(self, pts: Int64[np.ndarray, " frames"], starts: Sequence[Start]) -> list[tuple[int, int]]:
        """Return for each start the bytes from its packet to the end of the last one of its frames, as stored."""
        if min(self._places, default=(-1, 0))[0] < 0:
            return []
        begin, size = np.array(self._places, np.int64).T
        times = np.array(self._decoded_pts, np.int64)
        frame = np.minimum(np.searchsorted(pts, times), len(pts) - 1)
        row = np.searchsorted([start.frame for start in starts], frame, side="right") - 1
        first, last = np.full(len(starts), np.iinfo(np.int64).max), np.zeros(len(starts), np.int64)
        np.minimum.at(first, row, begin)
        np.maximum.at(last, row, begin + size)
        # What is shown first refers to hidden pictures before it, and to none before their keyframe.
        first[0] = max(first[0], int(begin[times == starts[0].target].min()))
        return list(zip(first.tolist(), last.tolist(), strict=True))

    def damage(self) -> list[Run]:
        """Return the frames that are damaged, as their packets show."""
        pts = np.array(self.pts, np.int64)
        frames = np.searchsorted(np.sort(pts), pts).tolist()
        reasons = (self.seen.why[place] for place in self.shown)
        return runs_of({frame: why for frame, why in zip(frames, reasons, strict=True) if why})

    def recovery_points(self) -> list[tuple[int, int, int | None]]:
        """Return, of starts that must be tried, the time, that of a start well before, and that of the one after.

        Well before: the last that needs no trial, or so far that nothing before it is referred to any more.
        """
        times = sorted(self.keyframe_pts)
        untried = set(times) - set(self._recovery_points)
        pictures = sorted(pts for pts in self._decoded_pts if pts is not None)
        found = []
        for point in self._recovery_points:
            place = before = bisect_left(times, point)
            while before > 0:
                before -= 1
                far = bisect_left(pictures, point) - bisect_left(pictures, times[before]) >= FAR_PICTURES
                if times[before] in untried or (far and place - before >= FAR_STARTS):
                    break
            if place:
                found.append((point, times[before], next(iter(times[place + 1 : place + 2]), None)))
        return found


def _decode(path: Path, stream: VideoStream, packets: Packets) -> Frames:
    truth = decode_in_pieces(path, stream.index, packets)
    if not truth.pts:
        raise NotAVideo("no picture could be decoded")
    starts = find_starts(path, stream.index, truth, packets)
    rate, base = stream.guessed_rate, stream.time_base
    step = max(1, round(1 / (_fraction(rate) * _fraction(base)))) if rate and base else 1
    pts, damage = ascending(truth.pts, step), damage_between(truth, starts)
    return Frames("decoded", pts, starts, damage, sorted(truth.left_out))


def ascending(times: Sequence[int | None], step: int) -> np.ndarray:
    """Return times that never run backwards, of pictures in the order in which a decoder gave them.

    A time that is missing is a step after the one before. Times that are out of order by a few pictures, as containers
    with times of decoding have them, change places; a recording that begins anew goes on after what came before.

    >>> ascending([0, 2, 1, None, 4, 40, 3, 4], 1).tolist()
    [0, 1, 2, 2, 4, 40, 41, 42]
    """
    last = -step
    filled = [last := last + step if time is None else time for time in times]
    parts, latest = [[]], None
    for time in filled:
        if latest is not None and time < latest - MOST_OUT_OF_ORDER * step:
            parts.append([])
            latest = None
        parts[-1].append(time)
        latest = time if latest is None else max(latest, time)
    found: list[int] = []
    for part in map(sorted, parts):
        later = max(0, found[-1] + step - part[0]) if found else 0
        found += [time + later for time in part]
    return np.array(found, np.int64)
