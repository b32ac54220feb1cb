"""What the headers of sequences and pictures say of references: who may refer to whom, and who is not there.

Bits in the order of the codecs' specifications, as far as the last one that is of use here.
"""

from __future__ import annotations

from typing import NamedTuple

H264_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
AV1_SEQUENCE_HEADER, AV1_FRAME_HEADER, AV1_FRAME = 1, 3, 6
MOST_BITS = 16  # of a counter, by both specifications; a damaged header may say anything
MOST_REFERENCES = 16
HEVC_IDR, HEVC_RANDOM_ACCESS = (19, 20), range(16, 24)


class Bits:
    """Reads bits from the first on; behind the end there are zeros.

    Args:
        data: The bytes; only the first so many are read.
        limit: So many.
    """

    def __init__(self, data: bytes | memoryview, limit: int = 4096) -> None:
        part = bytes(data[:limit])
        self._value, self._left = int.from_bytes(part, "big"), 8 * len(part)

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        self._left -= count
        if self._left < 0:
            return 0
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """Return an Exp-Golomb code's number, unsigned (ITU-T H.264, section 9.1)."""
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        return 2**zeros - 1 + self.take(zeros)

    def signed(self) -> int:
        """Return an Exp-Golomb code's number, signed."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def unescaped(unit: bytes | memoryview, limit: int = 4096) -> bytes:
    """Return a unit's first bytes without those that keep start codes from appearing in it."""
    return bytes(unit[:limit]).replace(b"\0\0\3", b"\0\0")


class H264Sequence(NamedTuple):
    """Of a sequence parameter set (ITU-T H.264, section 7.3.2.1.1)."""

    identity: int
    frame_num_bits: int
    gaps_allowed: bool
    frames_only: bool
    separate_planes: bool


def h264_sequence(unit: bytes | memoryview) -> H264Sequence:
    """Read a sequence parameter set, its header byte included."""
    bits = Bits(unescaped(unit)[1:])
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    identity, separate = bits.golomb(), False
    if profile in H264_HIGH_PROFILES:
        chroma = bits.golomb()
        if chroma == 3:
            separate = bool(bits.take(1))
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            _skip_h264_scaling(bits, 12 if chroma == 3 else 8)
    frame_num_bits = min(bits.golomb() + 4, MOST_BITS)
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(255, bits.golomb())):
            bits.golomb()
    bits.golomb()
    gaps_allowed = bool(bits.take(1))
    bits.golomb()
    bits.golomb()
    return H264Sequence(identity, frame_num_bits, gaps_allowed, bool(bits.take(1)), separate)


def _skip_h264_scaling(bits: Bits, lists: int) -> None:
    for number in range(lists):
        if bits.take(1):
            last = following = 8
            for _ in range(16 if number < 6 else 64):
                if following:
                    following = (last + bits.signed()) % 256
                last = following or last


class HevcSequence(NamedTuple):
    """Of a sequence parameter set (ITU-T H.265, section 7.3.2.2)."""

    identity: int
    order_bits: int
    separate_planes: bool
    sets: tuple[tuple[tuple[int, bool], ...], ...]  # reference picture sets: differences in order, and whether used
    long_term: tuple[tuple[int, bool], ...] | None  # order's low bits, and whether used; None: there are none


def hevc_sequence(unit: bytes | memoryview) -> HevcSequence:
    """Read a sequence parameter set, its two header bytes included."""
    bits = Bits(unescaped(unit)[2:])
    bits.take(4)
    layers = bits.take(3)
    bits.take(1)
    _skip_hevc_profile(bits, layers)
    identity, separate = bits.golomb(), False
    if bits.golomb() == 3:
        separate = bool(bits.take(1))
    bits.golomb()
    bits.golomb()
    if bits.take(1):  # conformance window
        for _ in range(4):
            bits.golomb()
    bits.golomb()
    bits.golomb()
    order_bits = min(bits.golomb() + 4, MOST_BITS)
    for _ in range(layers + 1 if bits.take(1) else 1):
        for _ in range(3):
            bits.golomb()
    for _ in range(6):
        bits.golomb()
    if bits.take(1) and bits.take(1):
        _skip_hevc_scaling(bits)
    bits.take(2)
    if bits.take(1):  # PCM
        bits.take(8)
        bits.golomb()
        bits.golomb()
        bits.take(1)
    sets: list[tuple[tuple[int, bool], ...]] = []
    for number in range(min(64, bits.golomb())):
        sets.append(_hevc_set(bits, number, sets, in_slice=False))
    long_term = None
    if bits.take(1):
        long_term = tuple((bits.take(order_bits), bool(bits.take(1))) for _ in range(min(32, bits.golomb())))
    return HevcSequence(identity, order_bits, separate, tuple(sets), long_term)


def _skip_hevc_profile(bits: Bits, layers: int) -> None:
    bits.take(88)
    bits.take(8)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile)
        bits.take(8 * level)


def _skip_hevc_scaling(bits: Bits) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits.take(1):
                bits.golomb()
                continue
            if size > 1:
                bits.signed()
            for _ in range(min(64, 16 << 2 * size)):
                bits.signed()


def _hevc_set(
    bits: Bits, number: int, sets: list[tuple[tuple[int, bool], ...]], in_slice: bool
) -> tuple[tuple[int, bool], ...]:
    """Read a short-term reference picture set (section 7.3.7)."""
    if number and bits.take(1):
        base = sets[max(0, number - 1 - (bits.golomb() if in_slice else 0))]
        sign = bits.take(1)
        shift = (1 - 2 * sign) * (bits.golomb() + 1)
        found = []
        for difference in [*(d for d, _ in base), 0]:
            used = bool(bits.take(1))
            if used or bits.take(1):
                found.append((difference + shift, used))
        negative = sorted((pair for pair in found if pair[0] < 0), reverse=True)
        return (*negative, *sorted(pair for pair in found if pair[0] > 0))[:MOST_REFERENCES]
    before, after = min(16, bits.golomb()), min(16, bits.golomb())
    pairs: list[tuple[int, bool]] = []
    for sign, count in ((-1, before), (1, after)):
        difference = 0
        for _ in range(count):
            difference += sign * (bits.golomb() + 1)
            pairs.append((difference, bool(bits.take(1))))
    return tuple(pairs)


class HevcPictures(NamedTuple):
    """Of a picture parameter set (section 7.3.2.3)."""

    identity: int
    sequence: int
    output_flag: bool
    extra_bits: int


def hevc_pictures(unit: bytes | memoryview) -> HevcPictures:
    """Read a picture parameter set, its two header bytes included."""
    bits = Bits(unescaped(unit, 64)[2:])
    identity, sequence = bits.golomb(), bits.golomb()
    bits.take(1)
    return HevcPictures(identity, sequence, bool(bits.take(1)), bits.take(3))


class HevcSlice(NamedTuple):
    """What the first slice of a picture says of its references.

    Attributes:
        kind: Of the unit.
        order_low: Low bits of the picture's place in presentation order.
        short_term: Differences in order, and whether this picture uses them.
        long_term: Low bits of order, or all that is known of it, and whether this picture uses them.
    """

    kind: int
    order_low: int
    short_term: tuple[tuple[int, bool], ...]
    long_term: tuple[tuple[int, bool], ...]


def hevc_slice(
    unit: bytes | memoryview, sequences: dict[int, HevcSequence], pictures: dict[int, HevcPictures]
) -> HevcSlice | None:
    """Read the header of the first slice of a picture (section 7.3.6.1), None of others and of unknown sequences."""
    kind = unit[0] >> 1 & 63
    bits = Bits(unescaped(unit, 256)[2:])
    if not bits.take(1):
        return None
    if kind in HEVC_RANDOM_ACCESS:
        bits.take(1)
    parameters = pictures.get(bits.golomb())
    sequence = sequences.get(parameters.sequence) if parameters else None
    if parameters is None or sequence is None:
        return None
    bits.take(parameters.extra_bits)
    bits.golomb()
    if parameters.output_flag:
        bits.take(1)
    if sequence.separate_planes:
        bits.take(2)
    if kind in HEVC_IDR:
        return HevcSlice(kind, 0, (), ())
    order = bits.take(sequence.order_bits)
    if bits.take(1):
        width = max(0, len(sequence.sets) - 1).bit_length()
        chosen = bits.take(width)
        short = sequence.sets[chosen] if chosen < len(sequence.sets) else ()
    else:
        short = _hevc_set(bits, len(sequence.sets), list(sequence.sets), in_slice=True)
    return HevcSlice(kind, order, short, _hevc_long_term(bits, sequence))


def _hevc_long_term(bits: Bits, sequence: HevcSequence) -> tuple[tuple[int, bool], ...]:
    if sequence.long_term is None:
        return ()
    listed = sequence.long_term
    from_sequence = bits.golomb() if listed else 0
    found = []
    for number in range(min(33, from_sequence + bits.golomb())):
        if number < from_sequence:
            place = bits.take((len(listed) - 1).bit_length()) if len(listed) > 1 else 0
            found.append(listed[min(place, len(listed) - 1)])
        else:
            found.append((bits.take(sequence.order_bits), bool(bits.take(1))))
        if bits.take(1):
            bits.golomb()
    return tuple(found)


class Av1Sequence(NamedTuple):
    """Of an AV1 sequence header (AV1 bitstream specification, section 5.5)."""

    is_still: bool
    decoder_model: bool
    equal_interval: bool
    presentation_bits: int
    removal_bits: int
    operating_points: tuple[tuple[int, bool], ...]  # idc, and whether a decoder model is given for it
    frame_id_bits: int
    screen_content: int
    integer_mv: int
    order_hint_bits: int


def av1_sequence(unit: bytes | memoryview) -> Av1Sequence:
    """Read a sequence header, without the header of its unit."""
    bits = Bits(unit, 256)
    bits.take(4)
    is_still = bool(bits.take(1))
    model = equal = False
    presentation = removal = delay = 0
    points: list[tuple[int, bool]] = []
    if is_still:
        bits.take(5)
        points.append((0, False))
    else:
        if bits.take(1):  # timing
            bits.take(64)
            equal = bool(bits.take(1))
            if equal:
                bits.golomb()
            model = bool(bits.take(1))
            if model:
                delay = bits.take(5) + 1
                bits.take(32)
                removal, presentation = bits.take(5) + 1, bits.take(5) + 1
        has_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            points.append(_operating_point(bits, model, delay, bool(has_delay)))
    width, height = bits.take(4) + 1, bits.take(4) + 1
    bits.take(width + height)
    identity_bits = 0
    if not is_still and bits.take(1):
        shorter = bits.take(4) + 2
        identity_bits = shorter + bits.take(3) + 1
    bits.take(3)
    screen = integer = 2
    order_bits = 0
    if not is_still:
        bits.take(4)
        has_order = bits.take(1)
        if has_order:
            bits.take(2)
        screen = 2 if bits.take(1) else bits.take(1)
        integer = (2 if bits.take(1) else bits.take(1)) if screen else 2
        order_bits = bits.take(3) + 1 if has_order else 0
    return Av1Sequence(
        is_still, model, equal, presentation, removal, tuple(points), identity_bits, screen, integer, order_bits
    )


def _operating_point(bits: Bits, model: bool, delay_bits: int, has_delay: bool) -> tuple[int, bool]:
    idc = bits.take(12)
    if bits.take(5) > 7:
        bits.take(1)
    given = bool(model and bits.take(1))
    if given:
        bits.take(2 * delay_bits + 1)
    if has_delay and bits.take(1):
        bits.take(4)
    return idc, given


class Av1Frame(NamedTuple):
    """What a frame header says of references (section 5.9.2).

    Attributes:
        shows: Slot of the picture that is shown in place of a new one, or None.
        refreshed: Slots that the frame is put into, a bit each.
        slots: That it refers to; None where it takes more than a header to tell.
    """

    shows: int | None
    refreshed: int
    slots: tuple[int, ...] | None


def av1_frame(unit: bytes | memoryview, sequence: Av1Sequence, extension: tuple[int, int]) -> Av1Frame:
    """Read a frame header, without the header of its unit.

    Args:
        unit: Its bytes.
        sequence: The header before it.
        extension: Temporal and spatial layer, of the unit's header.
    """
    bits = Bits(unit, 128)
    if sequence.is_still:
        return Av1Frame(None, 255, ())
    if bits.take(1):
        return Av1Frame(bits.take(3), 0, ())
    kind, shown = bits.take(2), bits.take(1)
    if shown and sequence.decoder_model and not sequence.equal_interval:
        bits.take(sequence.presentation_bits)
    if not shown:
        bits.take(1)
    switches, key = kind == 3, kind == 0
    resilient = bool(switches or (key and shown) or bits.take(1))
    bits.take(1)
    screen = bits.take(1) if sequence.screen_content == 2 else sequence.screen_content
    if screen and sequence.integer_mv == 2:
        bits.take(1)
    bits.take(sequence.frame_id_bits)
    if not switches:
        bits.take(1)
    bits.take(sequence.order_hint_bits)
    intra = kind in (0, 2)
    if not (intra or resilient):
        bits.take(3)
    if sequence.decoder_model and bits.take(1):
        for idc, given in sequence.operating_points:
            if given and (not idc or (idc >> extension[0] & 1 and idc >> extension[1] + 8 & 1)):
                bits.take(sequence.removal_bits)
    refreshed = 255 if switches or (key and shown) else bits.take(8)
    if intra:
        return Av1Frame(None, refreshed, ())
    if resilient and sequence.order_hint_bits:
        bits.take(8 * sequence.order_hint_bits)
    if sequence.frame_id_bits or (sequence.order_hint_bits and bits.take(1)):  # told by order hints, or with identities
        return Av1Frame(None, refreshed, None)
    return Av1Frame(None, refreshed, tuple(bits.take(3) for _ in range(7)))


def av1_units(packet: bytes | memoryview) -> list[tuple[int, tuple[int, int], bytes | memoryview]]:
    """Return a temporal unit's open bitstream units: kind, temporal and spatial layer, payload (section 5.3)."""
    found, place = [], 0
    while place < len(packet):
        header = packet[place]
        place += 1
        layers = (0, 0)
        if header & 4:
            if place >= len(packet):
                break
            layers = packet[place] >> 5, packet[place] >> 3 & 3
            place += 1
        size, shift = len(packet) - place, 0
        if header & 2:
            size = 0
            while place < len(packet) and shift < 56:
                byte = packet[place]
                size |= (byte & 127) << shift
                place, shift = place + 1, shift + 7
                if byte < 128:
                    break
        found.append((header >> 3 & 15, layers, packet[place : place + size]))
        place += size
    return found
