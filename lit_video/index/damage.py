"""Where a file is damaged, as far as its packets show: what is broken, what is missing, and all that refers to it.

A decoder notices some damage and conceals it, and of some it notices nothing: arithmetic decoding of zeros gives a
picture, and so does a reference that is not the one meant. What is found here costs no decoding. Decision 14.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from lit_video.index.bitstream import has_wrong_checksum, is_cut_short, may_hide_losses, picture_units
from lit_video.index.jpeg import is_harmed_by
from lit_video.index.keyframes import Keyframes
from lit_video.index.references import MISSING, REFERS, Chain, references_of

ZEROS = "part of it was overwritten with zeros"
INCOMPLETE = "the container says that part of it was lost"
CHECKSUM = "its checksum is wrong"
CUT_SHORT = "its packet is cut short"
DOUBTFUL = "it decodes in two ways: something of it is missing"
FLAGGED = "the decoder says that it is damaged"

PARSED = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"})  # cut into pictures by FFmpeg's parsers
NUMBERED = frozenset({"h264", "hevc"})  # codecs that tell by themselves what is missing

# Zeros in a row that compressed data of a codec does not have. In H.264 and HEVC three would be a start code; but
# between units that start codes tell apart, zeros may be stuffed.
ZERO_RUN = {"h264": 16, "hevc": 16, "vp8": 32, "vp9": 32, "av1": 32, "mjpeg": 64}
NO_ZEROS = (b"\0\0\0", b"\0\0\1", b"\0\0\2")
STUFFED = 1  # zeros at a unit's end that are the writer's way

# So large a part of a file's packets that show a kind of damage are no damage: its writer's way.
COMMON = 0.5

# Steps in time: how far apart they are where pictures come regularly, and what part of them may be gaps.
SAME_STEP, GAP, MANY_GAPS = 0.02, 1.5, 0.1
FEWEST_STEPS = 8
PICTURES_WITHOUT_TIME = 16  # in a row, in program streams: small ones share a packet, and it has one time


class Run(NamedTuple):
    """Frames of a video, one after another, that are damaged.

    Attributes:
        first: Frame index of the first.
        last: Of the last, which is damaged too.
        why: In words.
    """

    first: int
    last: int
    why: str


class Packets:
    """Takes a stream's packets in the order in which they are stored, and tells which of their pictures are damaged.

    Args:
        codec: FFmpeg's name.
        extradata: The stream's global header.
        formats: Names of the container's format.
        common: Kinds of damage that are this file's way, and none.
        doubtful: Numbers of packets that decode in two ways.

    Attributes:
        why: Why each packet's picture is damaged; empty where it is not.
        broken: Why the packet itself is.
        is_start: Decoding can begin there.
        alone: Nobody refers to its picture, as far as one can tell.
        times: Presentation times, or where a container has none the times of decoding.
        keyframes: Those that the container flags, and whether headers change.
    """

    def __init__(
        self,
        codec: str,
        extradata: bytes | None,
        formats: str,
        common: frozenset[str] = frozenset(),
        doubtful: frozenset[int] = frozenset(),
    ) -> None:
        self._doubtful, self._looks_copied = doubtful, False
        self.codec, self.common, self._extradata = codec, common, extradata
        self.keyframes = Keyframes(codec, extradata)
        self._is_transport_stream = "mpegts" in formats.split(",")
        self._is_program_stream = "mpeg" in formats.split(",")
        self._references = Chain(codec) if MISSING in common else references_of(codec, extradata)
        self._marked = False  # the last packet, by the container
        self._first_shown: int | None = None  # time of the last start
        self.why: list[str] = []
        self.broken: list[str] = []
        self.is_start: list[bool] = []
        self.alone: list[bool] = []
        self.times: list[int | None] = []
        self._decoding_times: list[int | None] = []

    @classmethod
    def of(
        cls,
        container: InputContainer,
        stream: VideoStream,
        common: frozenset[str] = frozenset(),
        doubtful: frozenset[int] = frozenset(),
    ) -> Packets:
        """Return what will look at the packets of a stream, none of which was read yet."""
        context = stream.codec_context
        return cls(context.codec.canonical_name, context.extradata, container.format.name, common, doubtful)

    def add(self, packet: Packet, is_start: bool) -> None:
        """Look at a packet.

        Args:
            packet: The next one.
            is_start: Its own bits say that decoding can begin there.
        """
        data, broken = memoryview(packet), self._broken(packet)
        if not self.why:
            self._looks_copied = may_hide_losses(self.codec, data, self._extradata)
        time = packet.dts if packet.pts is None else packet.pts
        try:
            why = self._references.look(data, is_start, broken)
        except LookupError:  # a header that ends before it says all
            why = broken or CUT_SHORT
        if is_start:
            self._first_shown = time
        elif self._first_shown is not None and time is not None and time < self._first_shown:
            why = why or self._references.behind
        self.keyframes.add(packet, data)
        # What is hidden at the beginning of a cut may refer to what was cut off; it is not seen, nor who refers to it.
        self.why.append(broken if packet.is_discard else why)
        self.broken.append(broken)
        self.is_start.append(is_start and not broken)
        self.alone.append(self._references.alone)
        self.times.append(time)
        self._decoding_times.append(packet.dts)

    def add_unread(self, packet: Packet, is_start: bool) -> None:
        """Count a packet whose bytes are not there: nothing is known to be wrong with it."""
        self.why.append("")
        self.broken.append("")
        self.is_start.append(is_start)
        self.alone.append(False)
        self.times.append(packet.dts if packet.pts is None else packet.pts)
        self._decoding_times.append(packet.dts)

    def way_of_the_file(self) -> frozenset[str]:
        """Return the kinds of damage that most packets show: no damage, but how this file was written."""
        most = COMMON * len(self.why)
        found = {why for why in set(self.broken) - {""} if self.broken.count(why) > most}
        return frozenset(found | ({MISSING} if self._references.missing > most else set()))

    @property
    def may_hide_losses(self) -> bool:
        """Whether the file may be what is left of a transport stream, without the marks that one has."""
        if self.codec not in NUMBERED or self._is_transport_stream:
            return False
        harmed = {place for place, why in enumerate(self.why) if why}
        return self._looks_copied or any(self.broken) or not harmed <= set(self._leading() if harmed else ())

    def _leading(self) -> range:
        """Return the packets behind the file's first keyframe that are shown before it.

        They may refer to what was cut off.
        """
        places, times = range(len(self.times)), self.times
        first = next((place for place in places if self.is_start[place]), 0)
        begin = times[first]
        later = (place for place in places[first:] if begin is not None and (times[place] or begin) > begin)
        return range(first, next(later, first))

    def note_gaps(self) -> None:
        """Take it for damage where pictures come regularly and some are left out, in codecs that do not number them."""
        if self.codec in NUMBERED or all(self.is_start):
            return
        for gap in sorted(self._after_gaps()):
            place = self._start_before(gap - PICTURES_WITHOUT_TIME) if self._is_program_stream else gap
            start: int | None = None  # the next one's time: what precedes it on the screen may refer back across it
            for following in range(place, len(self.why)):
                time = self.times[following]
                if self.is_start[following] and following >= gap:
                    if start is not None:
                        break
                    start = time
                elif start is not None and (time is None or time > start):
                    break
                else:
                    self.why[following] = self.why[following] or MISSING

    def _start_before(self, place: int) -> int:
        return next((number for number in range(place, 0, -1) if self.is_start[number]), 0)

    def _after_gaps(self) -> set[int]:
        """Return the packets that are the first, as stored, that may refer to what is missing."""
        if self._decoding_times_tell():
            gaps = times_after_gaps(time for time in self._decoding_times if time is not None)
            return {place for place, time in enumerate(self._decoding_times) if time in gaps}
        order = sorted((time, place) for place, time in enumerate(self.times) if time is not None)
        earliest = list(accumulate((place for _, place in reversed(order)), min))[::-1]  # of those from there on
        gaps, found = times_after_gaps(time for time, _ in order), set()
        for number, (time, _) in enumerate(order):
            if time in gaps:
                first, before = earliest[number], number - 1
                while before >= 0 and self.alone[order[before][1]]:  # what is missing may be what B pictures refer to
                    first, before = min(first, order[before][1]), before - 1
                found.add(first)
        return found

    def _decoding_times_tell(self) -> bool:
        """Tell whether times of decoding say where something is missing: a container may begin without them."""
        known = [time for time in self._decoding_times if time is not None]
        return len(self._decoding_times) - len(known) <= FEWEST_STEPS and all(a < b for a, b in pairwise(known))

    def _broken(self, packet: Packet) -> str:
        # FFmpeg marks what it cuts out while it reads the transport packets that are incomplete; and a parser cuts a
        # picture out when it sees the next one begin. So the first that is marked is whole, and the one after the last
        # that is marked is not.
        before, self._marked = self._marked, packet.is_corrupt
        data = memoryview(packet)
        late = self._is_transport_stream and self.codec in PARSED
        if before if late else packet.is_corrupt or (before and self._is_transport_stream):
            why = INCOMPLETE
        elif is_cut_short(self.codec, data, self._extradata):
            why = CUT_SHORT
        else:
            why = damage_in(self.codec, data, self._extradata)
            why = why or (DOUBTFUL if len(self.why) in self._doubtful else "")
        return "" if why in self.common else why


def damage_in(codec: str, packet: Packet | memoryview, extradata: bytes | None) -> str:
    """Return what damage the bits of a packet show, whatever comes before and after it; empty where they show none."""
    if _has_zeros(codec, packet, extradata):
        return ZEROS
    return CHECKSUM if has_wrong_checksum(codec, memoryview(packet), extradata) else ""


def _has_zeros(codec: str, packet: Packet | memoryview, extradata: bytes | None) -> bool:
    run = ZERO_RUN.get(codec)
    if run is None:
        return False
    whole = bytes(packet)
    if codec == "mjpeg":
        return is_harmed_by(bytes(run), whole)
    if bytes(run) in whole:
        return True
    for unit in picture_units(codec, whole, extradata):
        kept = unit.rstrip(b"\0")
        if len(unit) - len(kept) > STUFFED or any(zeros in kept for zeros in NO_ZEROS):
            return True
    return False


def times_after_gaps(times: Iterable[int]) -> set[int]:
    """Return the times before which something is missing, of pictures that come regularly otherwise.

    A codec that numbers its pictures tells by itself what is missing; of others the clock is all there is. A recording
    whose steps vary, or that leaves many out, is that way by choice.

    >>> sorted(times_after_gaps([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14]))
    [12]
    >>> times_after_gaps([0, 1, 3, 4, 6, 7, 9, 10, 12, 13])
    set()
    >>> times_after_gaps([0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10])
    set()
    """
    found = np.fromiter(times, np.int64)
    ordered = np.unique(found)
    steps = np.diff(ordered)
    if len(steps) < FEWEST_STEPS:
        return set()
    step = float(np.median(steps))
    if len(found) == 1 + round(float(ordered[-1] - ordered[0]) / step):
        return set()  # none is missing: where pictures share a packet's time, FFmpeg guesses, some twice and some never
    same = np.abs(steps - step) <= max(min(1.0, step / 4), SAME_STEP * step)  # times may be rounded
    gaps = ~same & (steps > GAP * step)
    if gaps.sum() > MANY_GAPS * len(steps) or (~same & ~gaps).sum() > SAME_STEP * len(steps):
        return set()
    return set(ordered[1:][gaps].tolist())


def runs_of(reasons: Mapping[int, str]) -> list[Run]:
    """Return runs of damaged frames, given why each is.

    >>> runs_of({3: "a", 4: REFERS, 9: REFERS, 10: "b"})
    [Run(first=3, last=4, why='a'), Run(first=9, last=10, why='b')]
    """
    runs: list[Run] = []
    for frame, why in sorted(reasons.items()):
        if runs and runs[-1].last == frame - 1 and (why in (REFERS, runs[-1].why) or runs[-1].why == REFERS):
            before = runs.pop()
            runs.append(Run(before.first, frame, why if before.why == REFERS else before.why))
        else:
            runs.append(Run(frame, frame, why))
    return runs
