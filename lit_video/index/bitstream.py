"""What a packet's first bits say of the picture in it, where the container's flags cannot be trusted.

Containers flag keyframes and hidden pictures carelessly: x264's intra refresh flags pictures from which decoding takes
seconds to recover, VP8 and VP9 store pictures that are never shown. These are a few bits of the header, read as the
codec's specification names them.
"""

from __future__ import annotations

from collections.abc import Iterator

H264_IDR, H264_SEI, H264_SPS, H264_SEI_RECOVERY_POINT = 5, 6, 7, 6
H264_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
PARAMETER_SETS = {"h264": frozenset({7, 8}), "hevc": frozenset({32, 33, 34})}
# Pictures with a broken link before them, end of sequence, end of bitstream: what follows may not be shown.
HEVC_BREAKS = frozenset({16, 17, 18, 36, 37})


def is_clean_start(codec: str, packet: bytes, extradata: bytes | None) -> bool:
    """Tell whether every picture after this keyframe, in presentation order, can be decoded from it on.

    Args:
        codec: FFmpeg's name of the codec.
        packet: One packet that the container flags as a keyframe.
        extradata: The stream's global header, if any.
    """
    if codec == "h264":
        return any(_h264_recovers_at_once(unit) for unit in _nal_units(packet, extradata, length_byte=4))
    if codec == "hevc":  # BLA, IDR and CRA pictures: NAL types 16 to 23
        return any(16 <= unit[0] >> 1 & 63 <= 23 for unit in _nal_units(packet, extradata, length_byte=21) if len(unit))
    return True


def is_no_plain_picture(codec: str, packet: memoryview, extradata: bytes | None) -> bool:
    """Tell whether a packet has more or less in it than one picture of the sequence that the header describes.

    A decoder that has read other parameter sets decodes what came before with the wrong ones. After the end of an HEVC
    sequence, or a broken link, pictures that are stored are not shown. And a packet may hold units, but no picture. One
    that holds no unit is damaged, which is for the decoder to tell.
    """
    if codec not in PARAMETER_SETS:
        return False
    has_picture = has_units = False
    for unit in _nal_units(packet, extradata, length_byte=4 if codec == "h264" else 21):
        if not len(unit):
            continue
        has_units = True
        kind = unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
        has_picture = has_picture or (1 <= kind <= 5 if codec == "h264" else kind < 32)
        if kind in PARAMETER_SETS[codec] and extradata and bytes(unit).rstrip(b"\0") not in extradata:
            return True
        if codec == "hevc" and kind in HEVC_BREAKS:
            return True
    return has_units and not has_picture


def may_be_interlaced(extradata: bytes | None, packet: bytes) -> bool:
    """Tell whether an H.264 stream's header leaves open that two packets are the fields of one picture.

    ITU-T H.264, section 7.3.2.1.1: frame_mbs_only_flag of the sequence parameter set.
    """
    units = [*_nal_units(packet, extradata, 4), *_header_units(extradata)]
    headers = [unit for unit in units if len(unit) > 4 and unit[0] & 31 == H264_SPS]
    return any(not _frame_mbs_only(bytes(unit)) for unit in headers)


def _header_units(extradata: bytes | None) -> Iterator[bytes]:
    """Yield the units of a global header: avcC has sequence parameter sets behind lengths of two bytes."""
    if extradata and extradata[0] == 1:
        place = 6
        for _ in range(extradata[5] & 31 if len(extradata) > 5 else 0):
            size = int.from_bytes(extradata[place : place + 2], "big")
            yield extradata[place + 2 : place + 2 + size]
            place += 2 + size
    elif extradata:
        yield from extradata.split(b"\0\0\1")[1:]


def _frame_mbs_only(unit: bytes) -> bool:
    bits = _Bits(unit[1:].replace(b"\0\0\3", b"\0\0"))
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    bits.golomb()
    if profile in H264_HIGH_PROFILES:
        if bits.golomb() == 3:  # chroma_format_idc: 4:4:4
            bits.take(1)
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):  # scaling matrices, which nobody writes: not worth reading
            return False
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        for _ in range(2):
            bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()
    bits.take(1)
    bits.golomb()
    bits.golomb()
    return bool(bits.take(1))


class _Bits:
    """Reads bits from the first on; behind the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte, bit = divmod(self._place, 8)
            value = 2 * value + (self._data[byte] >> 7 - bit & 1 if byte < len(self._data) else 0)
            self._place += 1
        return value

    def golomb(self) -> int:
        """Return an Exp-Golomb code's number (section 9.1), unsigned."""
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        return 2**zeros - 1 + self.take(zeros)


def is_shown(codec: str, packet: bytes | memoryview) -> bool:
    """Tell whether decoding this packet gives a picture to show."""
    if codec == "vp8":  # RFC 6386, section 9.1: bit 4 of the frame tag
        return bool(packet[0] >> 4 & 1)
    if codec == "vp9" and packet[-1] >> 5 != 0b110:  # else a superframe, which ends in a picture that is shown
        return _vp9_is_shown(packet[0])
    return True


def _vp9_is_shown(first: int) -> bool:
    # VP9 bitstream, section 6.2: frame_marker(2) profile(2) [reserved(1) if profile 3] show_existing_frame(1)
    # frame_type(1) show_frame(1).
    profile = (first >> 5 & 1) + 2 * (first >> 4 & 1)
    shift = 3 - (profile == 3)
    return bool(first >> shift & 1 or first >> shift - 2 & 1)


def _h264_recovers_at_once(unit: bytes | memoryview) -> bool:
    if not len(unit):
        return False
    kind = unit[0] & 31
    return kind == H264_IDR or (kind == H264_SEI and _recovery_frame_count_is_zero(bytes(unit[1:])))


def _recovery_frame_count_is_zero(sei: bytes) -> bool:
    for kind, payload in _sei_messages(sei.replace(b"\0\0\3", b"\0\0")):
        if kind == H264_SEI_RECOVERY_POINT and payload:
            return payload[0] >= 128  # recovery_frame_cnt is ue(v), and a leading 1 is its code for 0
    return False


def _sei_messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 2 <= len(data) and data[place:] != b"\x80":
        kind, place = _sei_number(data, place)
        size, place = _sei_number(data, place)
        yield kind, data[place : place + size]
        place += size


def _sei_number(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    while place < len(data) and data[place] == 255:
        value, place = value + 255, place + 1
    return value + (data[place] if place < len(data) else 0), place + 1


def _nal_units(packet: bytes | memoryview, extradata: bytes | None, length_byte: int) -> Iterator[bytes | memoryview]:
    """Yield the units of a packet: behind start codes, or behind lengths where the global header says so."""
    if extradata and extradata[0] == 1 and len(extradata) > length_byte:
        yield from _length_prefixed(packet, (extradata[length_byte] & 3) + 1)
    else:
        yield from bytes(packet).split(b"\0\0\1")[1:]


def _length_prefixed(packet: bytes | memoryview, width: int) -> Iterator[bytes | memoryview]:
    place = 0
    while place + width < len(packet):
        size = int.from_bytes(packet[place : place + width], "big")
        yield packet[place + width : place + width + size]
        place += width + size
