"""What a packet's first bits say of the picture in it, where the container's flags cannot be trusted.

Containers flag keyframes and hidden pictures carelessly: x264's intra refresh flags pictures from which decoding takes
seconds to recover, VP8 and VP9 store pictures that are never shown. These are a few bits of the header, read as the
codec's specification names them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from lit_video.index.headers import h264_sequence

H264_IDR, H264_SEI, H264_SPS, H264_SEI_RECOVERY_POINT = 5, 6, 7, 6
PARAMETER_SETS = {"h264": frozenset({7, 8}), "hevc": frozenset({32, 33, 34})}
# Pictures with a broken link before them, end of sequence, end of bitstream: what follows may not be shown.
HEVC_SEI = (39, 40)
DELIMITER = {"h264": 9, "hevc": 35}
OTHER_END, FEWEST_BYTES = (7, 2), 32  # of a slice: bytes before its end that are changed, where it is long enough
START_CODE = b"\0\0\1"
# What a picture begins with, and headers: of a sequence and its extension; of a video object, its layers, its encoder.
MPEG_HEADERS = {
    **dict.fromkeys(("mpeg1video", "mpeg2video"), (0x00, frozenset({0xB3, 0xB5}))),
    "mpeg4": (0xB6, frozenset({*range(0x30), 0xB0, 0xB2, 0xB5})),
    "vc1": (0x0D, frozenset({0x0E, 0x0F})),
}
HEVC_RASL = (8, 9)
HEVC_BREAKS = frozenset({16, 17, 18, 36, 37})
FFV1_FOOTERS = 8, 3  # bytes at the end of a slice, with and without a checksum
BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def is_clean_start(codec: str, packet: bytes, extradata: bytes | None) -> bool:
    """Tell whether every picture after this keyframe, in presentation order, can be decoded from it on.

    Args:
        codec: FFmpeg's name of the codec.
        packet: One packet that the container flags as a keyframe.
        extradata: The stream's global header, if any.
    """
    if codec == "h264":
        return any(_h264_recovers_at_once(unit) for unit in nal_units(codec, packet, extradata))
    if codec == "hevc":  # BLA, IDR and CRA pictures: NAL types 16 to 23
        return any(16 <= unit[0] >> 1 & 63 <= 23 for unit in nal_units(codec, packet, extradata) if len(unit))
    return True


def is_independent(codec: str, packet: memoryview, extradata: bytes | None) -> bool:
    """Tell whether a clean start is one by what the codec is, and not only because it says so of itself.

    H.264's recovery points are the encoder's word; pictures behind one may refer to pictures before it.
    """
    if codec != "h264":
        return True
    return any(len(unit) and unit[0] & 31 == H264_IDR for unit in nal_units(codec, packet, extradata))


def is_no_plain_picture(codec: str, packet: memoryview, extradata: bytes | None) -> bool:
    """Tell whether a packet has more or less in it than one picture of the sequence that the header describes.

    A decoder that has read other parameter sets decodes what came before with the wrong ones. After the end of an HEVC
    sequence, or a broken link, pictures that are stored are not shown. And a packet may hold units, but no picture. One
    that holds no unit is damaged, which is for the decoder to tell.
    """
    if codec not in PARAMETER_SETS:
        return False
    has_picture = has_units = False
    for unit in nal_units(codec, packet, extradata):
        if not len(unit):
            continue
        has_units = True
        kind = _kind(codec, unit)
        has_picture = has_picture or _is_slice(codec, unit)
        if kind in PARAMETER_SETS[codec] and extradata and bytes(unit).rstrip(b"\0") not in extradata:
            return True
        if codec == "hevc" and kind in HEVC_BREAKS:
            return True
    return has_units and not has_picture


def may_be_interlaced(extradata: bytes | None, packet: bytes) -> bool:
    """Tell whether an H.264 stream's header leaves open that two packets are the fields of one picture.

    ITU-T H.264, section 7.3.2.1.1: frame_mbs_only_flag of the sequence parameter set.
    """
    units = [*nal_units("h264", packet, extradata), *header_units("h264", extradata)]
    headers = [unit for unit in units if len(unit) > 4 and unit[0] & 31 == H264_SPS]
    return any(not h264_sequence(unit).frames_only for unit in headers)


def headers_in(codec: str, packet: memoryview, extradata: bytes | None) -> Iterator[bytes]:
    """Yield the headers that stand before a packet's picture: what a decoder needs to know, and remembers.

    Those of H.264, HEVC, VC-1, MPEG-1, -2 and -4 (where the encoder's name is one: decoders work around its bugs).
    Packets of other codecs have none, or have all in themselves.
    """
    if codec in PARAMETER_SETS:
        for unit in _units_before_the_picture(codec, packet, extradata):
            if _kind(codec, unit) in PARAMETER_SETS[codec]:
                yield bytes(unit).rstrip(b"\0")
    elif codec in MPEG_HEADERS:
        picture, kinds = MPEG_HEADERS[codec]
        for unit in _units_between_start_codes(packet):
            if unit[0] == picture:
                return
            if unit[0] in kinds:
                yield unit.rstrip(b"\0")


def _units_before_the_picture(codec: str, packet: memoryview, extradata: bytes | None) -> Iterator[bytes | memoryview]:
    width = _length_width(codec, extradata)
    for unit in _length_prefixed(packet, width) if width else _units_between_start_codes(packet):
        if not len(unit) or _is_slice(codec, unit):
            return
        yield unit


def _units_between_start_codes(packet: memoryview) -> Iterator[bytes]:
    data = bytes(packet)
    place = data.find(START_CODE)
    while 0 <= place < len(data) - len(START_CODE):
        following = data.find(START_CODE, place + 3)
        yield data[place + 3 : following if following >= 0 else len(data)]
        place = following


def header_units(codec: str, extradata: bytes | None) -> Iterator[bytes]:
    """Yield the units of H.264's or HEVC's global header, whichever of its two forms it has."""
    if not extradata:
        return
    if extradata[0] != 1:
        yield from extradata.split(b"\0\0\1")[1:]
        return
    place = 5 if codec == "h264" else 22
    lists = 2 if codec == "h264" else extradata[place] if len(extradata) > place else 0
    place += codec == "hevc"
    for number in range(lists):
        if codec == "hevc":
            place, count = place + 3, int.from_bytes(extradata[place + 1 : place + 3], "big")
        else:
            place, count = place + 1, (extradata[place] if len(extradata) > place else 0) & (255 if number else 31)
        for _ in range(count):
            size = int.from_bytes(extradata[place : place + 2], "big")
            yield extradata[place + 2 : place + 2 + size]
            place += 2 + size


def is_shown(codec: str, packet: bytes | memoryview) -> bool:
    """Tell whether decoding this packet gives a picture to show."""
    if codec == "vp8":  # RFC 6386, section 9.1: bit 4 of the frame tag
        return bool(packet[0] >> 4 & 1)
    if codec == "vp9" and packet[-1] >> 5 != 0b110:  # else a superframe, which ends in a picture that is shown
        return _vp9_is_shown(packet[0])
    return True


def is_skipped_leading(codec: str, packet: bytes | memoryview, extradata: bytes | None) -> bool:
    """Tell whether a picture of HEVC is one that a decoder leaves out behind the keyframe with which it began.

    ITU-T H.265, 7.4.2.2: RASL pictures (NAL types 8 and 9) refer to what comes before their keyframe.
    """
    return codec == "hevc" and any(
        unit[0] >> 1 & 63 in HEVC_RASL for unit in nal_units(codec, packet, extradata) if len(unit)
    )


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


def nal_units(codec: str, packet: bytes | memoryview, extradata: bytes | None) -> Iterator[bytes | memoryview]:
    """Yield the units of a packet of H.264 or HEVC: behind start codes, or behind lengths where the header says so."""
    width = _length_width(codec, extradata)
    if width:
        yield from _length_prefixed(packet, width)
    else:
        yield from bytes(packet).split(b"\0\0\1")[1:]


def picture_units(codec: str, packet: bytes, extradata: bytes | None) -> Iterator[bytes]:
    """Yield the units that have parts of a picture, of packets in which units are told apart by lengths."""
    width = _length_width(codec, extradata) if codec in PARAMETER_SETS else 0
    for unit in _length_prefixed(packet, width) if width else ():
        if len(unit) and (unit[0] & 31 <= 5 if codec == "h264" else unit[0] >> 1 & 63 < 32):
            yield bytes(unit)


def rewritten(codec: str, packet: bytes, extradata: bytes | None, behind: bytes) -> bytes:
    """Return a packet in which all is changed that must not matter to a picture.

    Of HEVC, messages beside the pictures are left out, and slices have bytes behind their end. Of H.264 nothing is:
    decoding may begin at such a message, and the end of what codes of varying length say is found from behind.
    """
    if codec != "hevc":
        return packet
    width = _length_width(codec, extradata)
    kept = [
        unit for unit in map(bytes, nal_units(codec, packet, extradata)) if unit and _kind(codec, unit) not in HEVC_SEI
    ]
    return _joined([_followed_by(unit, behind, width) if _is_slice(codec, unit) else unit for unit in kept], width)


def with_other_ends(codec: str, packet: bytes, extradata: bytes | None, salt: int) -> Iterator[bytes]:
    """Yield a packet once for each slice in it, with other bytes shortly before that slice's end.

    Args:
        codec: FFmpeg's name of the codec.
        packet: One packet.
        extradata: The stream's global header, if any.
        salt: Another one gives other bytes.
    """
    width = _length_width(codec, extradata)
    units = [bytes(unit).rstrip(b"\0") for unit in nal_units(codec, packet, extradata)]
    for place, unit in enumerate(units):
        if len(unit) >= FEWEST_BYTES and _is_slice(codec, unit):
            begin, end = len(unit) - OTHER_END[0], len(unit) - OTHER_END[1]
            other = bytes(4 + (byte + 37 * salt + 11 * number) % 250 for number, byte in enumerate(unit[begin:end]))
            yield _joined([*units[:place], unit[:begin] + other + unit[end:], *units[place + 1 :]], width)


def may_hide_losses(codec: str, packet: memoryview, extradata: bytes | None) -> bool:
    """Tell whether a picture may have lost parts unseen: HEVC, or several slices of H.264, behind a delimiter.

    Transport streams must have delimiters, and MP4 that was no transport stream seldom has. In H.264 the decoder misses
    little where a picture is one slice.
    """
    units = [unit for unit in nal_units(codec, packet, extradata) if len(unit)] if codec in DELIMITER else []
    if not units or _kind(codec, units[0]) != DELIMITER[codec]:
        return False
    return codec == "hevc" or sum(_is_slice(codec, unit) for unit in units) > 1


def _kind(codec: str, unit: bytes | memoryview) -> int:
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def _is_slice(codec: str, unit: bytes | memoryview) -> bool:
    return 1 <= _kind(codec, unit) <= 5 if codec == "h264" else _kind(codec, unit) < 32


def _followed_by(unit: bytes, behind: bytes, width: int) -> bytes:
    """Return a unit with bytes behind its end, or as it is where its length would not fit the bytes that say it."""
    longer = unit.rstrip(b"\0") + behind
    return unit if width and len(longer) >= 256**width else longer


def _joined(units: Iterable[bytes], width: int) -> bytes:
    return b"".join((len(unit).to_bytes(width, "big") if width else b"\0\0\1") + unit for unit in units)


def is_cut_short(codec: str, packet: memoryview, extradata: bytes | None) -> bool:
    """Tell whether a unit of a packet would end behind it."""
    width = _length_width(codec, extradata) if codec in PARAMETER_SETS else 0
    place = 0
    while width and place + width < len(packet):
        place += width + int.from_bytes(packet[place : place + width], "big")
    return bool(width) and place > len(packet)


def has_wrong_checksum(codec: str, packet: bytes | memoryview, extradata: bytes | None) -> bool:
    """Tell whether a packet of FFV1 has checksums, and one is wrong, or is not where it should be.

    RFC 9043, section 4.9: a slice ends in its size (3 bytes), and where there are checksums, in an error status and a
    CRC that makes that of the whole slice 0. FFmpeg's decoder hides such damage and does not say so.
    """
    if codec != "ffv1" or not extradata:  # before version 3 there are none
        return False
    data = bytes(packet)
    if _ffv1_slices(data, FFV1_FOOTERS[1]):
        return False
    slices = _ffv1_slices(data, FFV1_FOOTERS[0])
    return not slices or any(_ffv1_crc(one) for one in slices)


def _ffv1_slices(data: bytes, footer: int) -> list[bytes]:
    """Return the slices of a packet, the last one first; none if footers of so many bytes do not fit."""
    slices, end = list[bytes](), len(data)
    while end >= footer:
        begin = end - footer - int.from_bytes(data[end - footer : end - footer + 3], "big")
        if begin < 0:
            return []
        slices.append(data[begin:end])
        end = begin
    return slices if end == 0 else []


def _ffv1_crc(data: bytes) -> int:
    """Return the CRC with 0x04C11DB7, which begins with 0 and takes first bits first: zlib's takes the last."""
    return zlib.crc32(data.translate(BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF


def _length_width(codec: str, extradata: bytes | None) -> int:
    """Return how many bytes a unit's length has, 0 where units are told apart by start codes."""
    place = 4 if codec == "h264" else 21
    return (extradata[place] & 3) + 1 if extradata and extradata[0] == 1 and len(extradata) > place else 0


def _length_prefixed(packet: bytes | memoryview, width: int) -> Iterator[bytes | memoryview]:
    place = 0
    while place + width < len(packet):
        size = int.from_bytes(packet[place : place + width], "big")
        yield packet[place + width : place + width + size]
        place += width + size
