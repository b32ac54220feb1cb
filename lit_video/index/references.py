"""Who refers to whom: what of a file is lost with a picture that is damaged or was never stored.

Fed with a stream's packets in the order in which they are stored. Where a codec's headers tell, the answer is exact
(HEVC's reference picture sets, AV1's slots), or as exact as it is of use (H.264: what nobody refers to is lost alone).
Of other codecs all that follows a damaged picture is lost, up to the next start.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lit_video.index.bitstream import header_units, nal_units
from lit_video.index.headers import (
    AV1_FRAME,
    AV1_FRAME_HEADER,
    AV1_SEQUENCE_HEADER,
    Av1Frame,
    Av1Sequence,
    Bits,
    H264Sequence,
    HevcPictures,
    HevcSequence,
    HevcSlice,
    av1_frame,
    av1_sequence,
    av1_units,
    h264_sequence,
    hevc_pictures,
    hevc_sequence,
    hevc_slice,
    unescaped,
)

MISSING = "a picture that it refers to is missing"
REFERS = "it refers to a damaged picture"

EXACT = frozenset({"hevc", "av1"})  # codecs of which it is known which pictures refer to a damaged one

HEADER_BYTES, HEADER_ZEROS = 32, 8  # of a damaged AV1 frame: so many zeros in its first bytes, and its header is none


@runtime_checkable
class References(Protocol):
    """Takes packets in the order in which they are stored, and tells which pictures are damaged.

    Attributes:
        behind: Why pictures are damaged that follow the last start in the file and precede it on the screen; empty
            where they are not.
        missing: Packets so far that refer to what is not there.
        alone: Nobody refers to the picture of the last packet, as far as one can tell without those that follow.
    """

    behind: str
    missing: int
    alone: bool

    def look(self, packet: memoryview, is_start: bool, broken: str) -> str:
        """Return why a packet's picture is damaged, or an empty string.

        Args:
            packet: Its bytes.
            is_start: Decoding can begin there.
            broken: Why the packet itself is damaged, or an empty string.
        """
        ...


class Chain:
    """Any codec: each picture refers to the one before it, but for those that nobody refers to.

    Args:
        codec: FFmpeg's name.
    """

    def __init__(self, codec: str) -> None:
        self._codec, self._why = codec, ""
        self.behind, self.missing, self.alone = "", 0, False

    def look(self, packet: memoryview, is_start: bool, broken: str) -> str:
        """Return why a packet's picture is damaged."""
        if is_start:
            self.behind, self._why = self._why, ""
        self.alone = not is_start and is_disposable(self._codec, packet)
        why = self._why or broken
        if not self.alone:
            self._why = self._why or (broken and REFERS)
        return why


class H264References:
    """H.264: numbers of frames, without gaps where the sequence allows none, and pictures that nobody refers to.

    ITU-T H.264, section 7.4.3: frame_num counts the pictures that others may refer to.

    Args:
        extradata: The stream's global header.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._extradata, self._why, self._last = extradata, "", -1
        self._sequences: dict[int, H264Sequence] = {}
        self._sequence_of: dict[int, int] = {}
        self.behind, self.missing, self.alone = "", 0, False
        for unit in header_units("h264", extradata):
            self._remember(unit)

    def look(self, packet: memoryview, is_start: bool, broken: str) -> str:
        """Return why a packet's picture is damaged."""
        unit = None
        for unit in nal_units("h264", packet, self._extradata):
            if len(unit) and 1 <= unit[0] & 31 <= 5:
                break
            self._remember(unit)
        else:
            unit = None
        is_reference = unit is None or bool(unit[0] >> 5 & 3)
        self.alone = not is_reference
        gap = False if unit is None else self._is_gap(unit, is_reference)
        self.missing += gap
        lost = MISSING if gap else ""
        if is_start:
            self.behind, self._why, lost = self._why or (lost and REFERS), "", ""
        why = self._why or broken or lost
        if lost or (broken and is_reference):
            self._why = self._why or REFERS
        return why

    def _remember(self, unit: bytes | memoryview) -> None:
        kind = unit[0] & 31 if len(unit) > 1 else 0
        if kind == 7:
            sequence = h264_sequence(unit)
            self._sequences[sequence.identity] = sequence
        elif kind == 8:
            bits = Bits(unescaped(unit, 32)[1:])
            identity = bits.golomb()
            self._sequence_of[identity] = bits.golomb()

    def _is_gap(self, unit: bytes | memoryview, is_reference: bool) -> bool:
        """Tell whether a picture that others may refer to is missing before this one."""
        bits = Bits(unescaped(unit, 32)[1:])
        bits.golomb()
        bits.golomb()
        sequence = self._sequences.get(self._sequence_of.get(bits.golomb(), -1))
        if sequence is None or not sequence.frames_only:
            return False
        if sequence.separate_planes:
            bits.take(2)
        number, last = bits.take(sequence.frame_num_bits), self._last
        if is_reference:
            self._last = number
        if unit[0] & 31 == 5 or last < 0 or sequence.gaps_allowed:
            return False
        return number not in (last, (last + 1) % (1 << sequence.frame_num_bits))


class HevcReferences:
    """HEVC: each picture names all that it and those after it may refer to, by their place in presentation order.

    ITU-T H.265, sections 8.3.1 and 8.3.2.

    Args:
        extradata: The stream's global header.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._extradata = extradata
        self._sequences: dict[int, HevcSequence] = {}
        self._pictures: dict[int, HevcPictures] = {}
        self._held: dict[int, str] = {}  # by place in presentation order: why it is damaged
        self._anchor = 0  # place of the last picture that counting goes on from
        self._began = False
        self._chain = Chain("hevc")  # where headers cannot be read
        self.behind, self.missing, self.alone = "", 0, False
        for unit in header_units("hevc", extradata):
            self._remember(unit)

    def look(self, packet: memoryview, is_start: bool, broken: str) -> str:
        """Return why a packet's picture is damaged."""
        header, layer = None, 0
        for unit in nal_units("hevc", packet, self._extradata):
            if len(unit) < 3 or (unit[0] & 1) << 5 | unit[1] >> 3:  # of another layer
                continue
            if unit[0] >> 1 & 63 < 32:
                header = hevc_slice(unit, self._sequences, self._pictures)
                layer = (unit[1] & 7) - 1
                break
            self._remember(unit)
        if header is None:
            # The first slice is lost, and with it the place: who refers to it will find nobody there.
            return broken or MISSING if self._began else self._chain.look(packet, is_start, broken)
        return self._place(header, layer, broken)

    def _place(self, header: HevcSlice, layer: int, broken: str) -> str:
        sequence_bits = next(iter(self._sequences.values())).order_bits
        size = 1 << sequence_bits
        restarts = 16 <= header.kind <= 20 or not self._began
        high = 0 if restarts else self._high(header.order_low, size)
        order = high + header.order_low
        if restarts:
            self._held.clear()
        self._began = True
        references = {order + difference: used for difference, used in header.short_term}
        for low, used in header.long_term:
            references |= {held: used for held in self._held if held % size == low % size}
        why = broken
        if not 16 <= header.kind <= 23:
            for place, used in references.items():
                if used and place not in self._held:
                    self.missing += 1
                    why = why or MISSING
                elif used and self._held[place]:
                    why = why or REFERS
            if any(used and all(h % size != low % size for h in self._held) for low, used in header.long_term):
                self.missing += 1
                why = why or MISSING
        self._held = {place: reason for place, reason in self._held.items() if place in references}
        self._held[order] = why
        # Leading pictures, and those that no picture of their layer refers to, are not counted on from.
        if layer == 0 and not (6 <= header.kind <= 9 or (header.kind <= 14 and header.kind % 2 == 0)):
            self._anchor = order
        return why

    def _high(self, low: int, size: int) -> int:
        before = self._anchor % size
        high = self._anchor - before
        if low < before and before - low >= size // 2:
            return high + size
        return high - size if low > before and low - before > size // 2 else high

    def _remember(self, unit: bytes | memoryview) -> None:
        kind = unit[0] >> 1 & 63 if len(unit) > 2 else 0
        if kind == 33:
            sequence = hevc_sequence(unit)
            self._sequences[sequence.identity] = sequence
        elif kind == 34:
            pictures = hevc_pictures(unit)
            self._pictures[pictures.identity] = pictures


class Av1References:
    """AV1: eight slots, and each frame says which it is put into and which it refers to.

    Args:
        extradata: The stream's global header.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._sequence: Av1Sequence | None = None
        self._slots = [""] * 8
        self._chain = Chain("av1")  # where headers cannot be read
        self.behind, self.missing, self.alone = "", 0, False
        for kind, _, unit in av1_units((extradata or b"")[4:]):
            self._remember(kind, unit)

    def look(self, packet: memoryview, is_start: bool, broken: str) -> str:
        """Return why the picture that a packet shows is damaged."""
        if is_start and not broken:
            self._slots = [""] * 8
        units, why, found = av1_units(packet), broken, False
        refreshed = 0
        for kind, layers, unit in units:
            self._remember(kind, unit)
            if kind in (AV1_FRAME_HEADER, AV1_FRAME) and len(unit) and self._sequence:
                found = True
                readable = not broken or bytes(HEADER_ZEROS) not in bytes(unit[:HEADER_BYTES])
                why, slots = self._frame(av1_frame(unit, self._sequence, layers), broken)
                slots = slots if readable else 255
                refreshed |= slots
                self._slots = [why and REFERS if slots >> slot & 1 else old for slot, old in enumerate(self._slots)]
        if self._sequence is None:
            return self._chain.look(packet, is_start, broken)
        if broken and not found:
            refreshed, self._slots = 255, [REFERS] * 8
        self.alone = not is_start and not refreshed
        return why

    def _frame(self, frame: Av1Frame, broken: str) -> tuple[str, int]:
        if frame.shows is not None:
            return broken or self._slots[frame.shows], 0
        used = self._slots if frame.slots is None else [self._slots[slot] for slot in frame.slots]
        return broken or next(filter(None, used), ""), frame.refreshed

    def _remember(self, kind: int, unit: bytes | memoryview) -> None:
        if kind == AV1_SEQUENCE_HEADER and len(unit):
            self._sequence = av1_sequence(unit)


def is_disposable(codec: str, packet: memoryview) -> bool:
    """Tell whether nobody refers to the picture in a packet of MPEG-1, MPEG-2 or MPEG-4: a B picture."""
    data = bytes(packet[:4096])
    if codec in ("mpeg1video", "mpeg2video"):
        place = data.find(b"\0\0\1\0")
        return place >= 0 and len(data) > place + 5 and data[place + 5] >> 3 & 7 == 3
    if codec == "mpeg4":
        places = data.split(b"\0\0\1\xb6")[1:]
        return bool(places) and all(part and part[0] >> 6 == 2 for part in places)
    return False


def references_of(codec: str, extradata: bytes | None) -> References:
    """Return what follows the references of a codec's pictures."""
    if codec == "h264":
        return H264References(extradata)
    if codec == "hevc":
        return HevcReferences(extradata)
    return Av1References(extradata) if codec == "av1" else Chain(codec)
