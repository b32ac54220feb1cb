"""What a container's own table says of a file in which every picture stands alone: nothing else of it is read.

The table of MP4, MOV and AVI has time, place and size of each packet, and the cues of Matroska times. It is believed
where it is whole and some packets, evenly spread, are as it says; a reader compares each packet that it meets. What is
in packets is not seen before they are read: damage above all. Decision 23.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Int64

from lit_video.index.damage import damage_in
from lit_video.index.truth import Start
from lit_video.media.container import UNREADABLE, Seek, duration_of, pictures_of, seek

SCANS = ("auto", "packets", "table")
# Codecs of which each packet is a picture that refers to no other, shown in the order in which they are stored. Of the
# first, nothing that reading whole packets shows is lost: there are no marks of damage in them that are looked for.
NOTHING_LOST = frozenset(
    {"rawvideo", "huffyuv", "ffvhuff", "ffv1", "utvideo", "magicyuv", "prores", "dnxhd", "png", "v210"}
)
ALONE = NOTHING_LOST | {"mjpeg"}
# Containers that have such a table; of Matroska's, places and sizes of packets are no part.
WITH_PLACES, WITHOUT_PLACES = frozenset({"mov", "avi"}), frozenset({"matroska"})

TRIED = 8  # packets that are looked at, evenly spread, each with the one after it
EVEN = 1.5  # largest step between pictures that come regularly, in medians: a packet that the table lacks leaves two


class Row(NamedTuple):
    """What a table says of a packet.

    Attributes:
        time: When it is shown.
        place: Where it begins in the file; of Matroska, where its cluster does.
        size: In bytes; 0: the table does not say.
    """

    time: int
    place: int
    size: int


class Told(NamedTuple):
    """What a table tells of a file.

    Attributes:
        first: The file's first picture.
        pts: Of each picture, ascending.
        starts: Each picture, with what its packet is known by.
    """

    first: VideoFrame
    pts: Int64[np.ndarray, " frames"]
    starts: list[Start]


def told_by_table(path: Path, container: InputContainer, stream: VideoStream) -> Told | None:
    """Return what the table of an open file tells, or None where its packets must be read.

    Args:
        path: Of the file.
        container: It, just opened.
        stream: Its video stream, alone.
    """
    try:
        rows = _rows(container, stream, path.stat().st_size)
        return None if rows is None else _try_some(container, stream, rows)
    except UNREADABLE:
        return None


def is_enough(codec: str, scan: str) -> bool:
    """Tell whether what a table says of a file of this codec is all that is asked for.

    Args:
        codec: FFmpeg's name of the codec.
        scan: `table`; `auto`: only where the packets would not tell more; or `packets`.
    """
    return codec in {"auto": NOTHING_LOST, "table": ALONE}.get(scan, ())


def check_of(place: int, size: int) -> int:
    """Return what a packet is known by; 0 where its table says nothing of it."""
    return zlib.crc32(f"{place} {size}".encode()) if size else 0


def is_as_told(packet: Packet, context: VideoCodecContext, check: int) -> bool:
    """Tell whether a packet is the one that a table spoke of, and shows no damage."""
    return check in (0, check_of(packet.pos or 0, packet.size)) and not _shows_damage(packet, context)


def _shows_damage(packet: Packet, context: VideoCodecContext) -> bool:
    return bool(damage_in(context.codec.canonical_name, packet, context.extradata))


def _rows(container: InputContainer, stream: VideoStream, file_size: int) -> list[Row] | None:
    """Return what the table says of each packet, or None where it is missing, partial, or not plain."""
    formats = frozenset(container.format.name.split(","))
    if formats.isdisjoint(WITH_PLACES | WITHOUT_PLACES):
        return None
    seek(container, stream, Seek.TIME, stream.start_time or 0)  # before which Matroska's cues are not read
    entries = list(stream.index_entries)
    shown = [number for number, entry in enumerate(entries) if not entry.is_discard]
    if not shown or not all(entry.is_keyframe for entry in entries):
        return None
    num_hidden = len(entries) - len(shown)
    entries = entries[shown[0] : shown[-1] + 1]
    if len(entries) > len(shown):  # an edit hides some between others
        return None
    has_places = not formats.isdisjoint(WITH_PLACES)
    rows = [Row(entry.timestamp, entry.pos, entry.size if has_places else 0) for entry in entries]
    if has_places and not all(row.size > 0 and row.place + row.size <= file_size for row in rows):
        return None
    if "avi" in formats and any(one.place >= other.place for one, other in pairwise(rows)):
        return None  # its packets are shown as they are stored, whatever the table says
    return rows if _is_whole(container, stream, [row.time for row in rows], num_hidden) else None


def _is_whole(container: InputContainer, stream: VideoStream, times: Sequence[int], num_hidden: int) -> bool:
    """Tell whether these are the times of all pictures: as many as the header says, or at even steps to the end."""
    steps = np.diff(times)
    if (steps <= 0).any():
        return False
    if len(times) + num_hidden == stream.frames:
        return True
    duration = duration_of(container, stream)
    if duration is None or len(times) < 2 or steps.max() >= EVEN * float(np.median(steps)):
        return False
    return times[-1] + 2 * int(steps.max()) >= duration + min(0, times[0])


def _try_some(container: InputContainer, stream: VideoStream, rows: Sequence[Row]) -> Told | None:
    """Return what the table tells if some packets are as it says, and the pictures in them are alike."""
    first: tuple[VideoFrame, int] | None = None
    for number in sorted({round(place * (len(rows) - 1) / (TRIED - 1)) for place in range(TRIED)}):
        seek(container, stream, Seek.TIME, rows[number].time)
        packets = list(islice(container.demux(stream), min(2, len(rows) - number)))
        stream.codec_context.flush_buffers()
        for row, packet in zip(rows[number:], packets, strict=False):
            picture = _picture(stream, packet, row)
            first = first or (picture, (packet.pos or 0) - row.place if row.size else 0)
            if not _are_alike(first[0], picture) or not _is_there(packet, row, first[1]):
                return None
    assert first is not None
    ahead = first[1]  # in AVI a packet's own header comes before it
    starts = [
        Start(frame, Seek.TIME, row.time, check=check_of(row.place + ahead, row.size)) for frame, row in enumerate(rows)
    ]
    return Told(first[0], np.array([row.time for row in rows], np.int64), starts)


def _picture(stream: VideoStream, packet: Packet, row: Row) -> VideoFrame:
    """Return the one picture in a packet.

    Raises:
        LookupError: There is none, or it is not the one to be shown at that time.
    """
    if _shows_damage(packet, stream.codec_context):
        raise LookupError("it is damaged")
    pictures = pictures_of(stream.codec_context, packet)
    if [picture.pts for picture in pictures] != [row.time] or pictures[0].is_corrupt:
        raise LookupError("its time is another")
    return pictures[0]


def _is_there(packet: Packet, row: Row, ahead: int) -> bool:
    there = not row.size or (packet.size, packet.pos) == (row.size, row.place + ahead)
    return packet.is_keyframe and packet.pts == row.time and there


def _are_alike(one: VideoFrame, other: VideoFrame) -> bool:
    """Tell whether pictures are of one kind, and of no palette, which may come with the first packet alone."""
    looks = [(picture.format.name, picture.width, picture.height) for picture in (one, other)]
    return looks[0] == looks[1] and one.format.name != "pal8"
