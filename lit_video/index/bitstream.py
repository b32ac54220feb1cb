"""What a packet's first bits say of the picture in it, where the container's flags cannot be trusted.

Containers flag keyframes and hidden pictures carelessly: x264's intra refresh flags pictures from which decoding takes
seconds to recover, VP8 and VP9 store pictures that are never shown. These are a few bits of the header, read as the
codec's specification names them.
"""

from __future__ import annotations

from collections.abc import Iterator

H264_IDR, H264_SEI, H264_SEI_RECOVERY_POINT = 5, 6, 6


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
        return any(16 <= unit[0] >> 1 & 63 <= 23 for unit in _nal_units(packet, extradata, length_byte=21) if unit)
    return True


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


def _h264_recovers_at_once(unit: bytes) -> bool:
    if not unit:
        return False
    kind = unit[0] & 31
    return kind == H264_IDR or (kind == H264_SEI and _recovery_frame_count_is_zero(unit[1:]))


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


def _nal_units(packet: bytes, extradata: bytes | None, length_byte: int) -> Iterator[bytes]:
    """Yield the units of a packet: behind start codes, or behind lengths where the global header says so."""
    if extradata and extradata[0] == 1 and len(extradata) > length_byte:
        yield from _length_prefixed(packet, (extradata[length_byte] & 3) + 1)
    else:
        yield from packet.split(b"\0\0\1")[1:]


def _length_prefixed(packet: bytes, width: int) -> Iterator[bytes]:
    place = 0
    while place + width < len(packet):
        size = int.from_bytes(packet[place : place + width], "big")
        yield packet[place + width : place + width + size]
        place += width + size
