"""Where decoding may begin: what the packets say of each keyframe, and how its packet is known when it is met again."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from av.packet import Packet

from lit_video.index.bitstream import headers_in

# By which a decoder is told other headers, or another palette, than those it began with.
TOLD_BESIDE = ("new_extradata", "palette")


class Keyframe(NamedTuple):
    """A packet that the container flags.

    Attributes:
        number: Of the packet, as stored.
        pts: Its time of presentation, or None.
        dts: Its time of decoding, or None.
        byte: Its place in the file, or None where it begins within what the container packs.
        before: Places of the two packets before it that have one, the nearest first.
        check: What it is known by; None where others cannot be told from it.
    """

    number: int
    pts: int | None
    dts: int | None
    byte: int | None
    before: tuple[int, ...]
    check: int | None


class Keyframes:
    """Takes a stream's packets in the order in which they are stored, and remembers the keyframes.

    Args:
        codec: FFmpeg's name.
        extradata: The stream's global header.

    Attributes:
        headers_change: Later packets bring other headers than the first that has any.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec, self._extradata = codec, extradata
        self._headers = frozenset[bytes]()
        self._places: list[int] = []  # the last two
        self._found: list[Keyframe] = []
        self._checks: list[tuple[int, int]] = []
        self._number = 0
        self.headers_change = False

    def add(self, packet: Packet, data: memoryview) -> None:
        """Look at the next packet."""
        headers = frozenset(headers_in(self._codec, data, self._extradata))
        self._headers = self._headers or headers
        self.headers_change |= not headers <= self._headers or any(map(packet.has_sidedata, TOLD_BESIDE))
        byte = packet.pos if packet.pos is not None and packet.pos >= 0 else None
        if packet.is_keyframe:
            found = Keyframe(self._number, packet.pts, packet.dts, byte, tuple(reversed(self._places)), None)
            self._found.append(found)
            self._checks.append(checks_of(packet))
        self._number += 1
        if byte is not None:
            self._places = [*self._places, byte][-2:]

    def __iter__(self) -> Iterator[Keyframe]:
        """Yield all keyframes, each with what it is known by among them."""
        by_bytes, with_times = (
            (Counter(checks) for checks in zip(*self._checks, strict=True)) if self._checks else ((), ())
        )
        for keyframe, (check, longer) in zip(self._found, self._checks, strict=True):
            known = check if by_bytes[check] == 1 else longer if with_times[longer] == 1 else None
            yield keyframe._replace(check=known)


def checks_of(packet: Packet) -> tuple[int, int]:
    """Return checksums of a packet: of its bytes, and of these with its times and place.

    After a seek a container may give other times and places. But where nothing moves, many packets have the same bytes.
    """
    of_bytes = zlib.crc32(packet)
    return of_bytes, zlib.crc32(f"{packet.pts} {packet.dts} {packet.pos}".encode(), of_bytes)
