"""Whether zeros in a JPEG are damage: by tables of an encoder's own, flat parts of a picture are zeros. Decision 14."""

from __future__ import annotations

import re
from collections.abc import Iterator

import simplejpeg

END = b"\xff\xd9"
LOSSLESS, TABLES, SCAN = 0xC3, 0xC4, 0xDA
BETWEEN = re.compile(rb"(?<=\xff\xd9)\0*(?=\xff\xd8)")  # of the two fields of a picture
LOST = ("Corrupt", "Premature")  # how what libjpeg says of damaged data begins


def is_harmed_by(zeros: bytes, packet: bytes) -> bool:
    """Tell whether so many zeros in a row are damage in a packet of MJPEG."""
    with_zeros = (image for image in _images(packet) if zeros in image)
    return any(not _may_have_zeros(image) or not _is_whole(image) for image in with_zeros)


def _images(packet: bytes) -> list[bytes]:
    """Return the images in a packet of MJPEG, without what is stuffed behind them."""
    images = BETWEEN.split(packet)
    return [image[: image.rfind(END) + len(END)] if END in image else image for image in images]


def _may_have_zeros(image: bytes) -> bool:
    """Tell whether flat parts of a JPEG are zeros: by all tables in use that code means no change, or the block's end.

    ITU-T T.81, B.2.4.2: a Huffman table lists values by the lengths of their codes, and the first code is zeros.
    """
    segments = list(_segments(image))
    is_lossless = any(kind == LOSSLESS for kind, _ in segments)  # which has no use for tables of class 1
    tables = (table for kind, payload in segments if kind == TABLES for table in _huffman_tables(payload))
    firsts = [table[17] for table in tables if len(table) > 17 and not (is_lossless and table[0] >> 4)]
    return bool(firsts) and not any(firsts)


def _segments(image: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and payload of each segment before a JPEG's scan."""
    place = 2
    while len(image) > place + 3 and image[place] == 0xFF and image[place + 1] != SCAN:
        end = place + 2 + int.from_bytes(image[place + 2 : place + 4], "big")
        yield image[place + 1], image[place + 4 : end]
        place = end


def _huffman_tables(payload: bytes) -> Iterator[bytes]:
    """Yield the tables in a segment: class and number, 16 counts of codes by length, and values."""
    while payload:
        size = 17 + sum(payload[1:17])
        yield payload[:size]
        payload = payload[size:]


def _is_whole(image: bytes) -> bool:
    """Tell whether libjpeg, which counts what it decodes as FFmpeg does not, finds all of an image.

    True of what it does not decode, as lossless ones.
    """
    try:
        simplejpeg.decode_jpeg(image, colorspace="GRAY", strict=True)
    except ValueError as error:
        return not str(error).startswith(LOST)
    return True
