"""What a file's writer left out, and FFmpeg needs to find a keyframe without reading all that comes before it.

A recording that was not ended properly, or went through a pipe, has no list of its keyframes: Matroska's cues, or the
random access boxes of fragmented MP4. FFmpeg then reads such a file from its beginning to the keyframe, each time that
it is opened, or the head of each fragment. Who read all packets knows that list: it is put into what FFmpeg sees of the
file. Nothing else of the file changes, packets have the times that the file says, and a reader compares them as ever.

Sources: RFC 9559 (Matroska), 5.1.5 for Cues; RFC 8794 (EBML), 4 for sizes; ISO/IEC 14496-12, 8.8.9 to 8.8.11 for mfra.
Decision 27.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Int64

from lit_video.index.trials import TRIED, to_and_fro
from lit_video.media.container import UNREADABLE, Seek, only_stream, open_video, seek
from lit_video.media.spliced import Splice

# A file, or a list of fragments, that is shorter is read to its end in less time than it takes to be opened.
WORTH_BYTES, WORTH_FRAGMENTS = 2**22, 64
LARGEST_HEAD = 2**16  # bytes before a file's first cluster
BEFORE = 2  # keyframes before the one that is sought, at most, from which FFmpeg reads fragments on

EBML, SEGMENT, CUES = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1c\x53\xbb\x6b"
SIZE_BYTES = range(1, 9)  # of a number in EBML


class Passed(NamedTuple):
    """What a pass over all packets of a stream told.

    Attributes:
        times: Of each packet, as stored: when it is shown, or where nobody says, decoded.
        pictures: Of those that have a picture, hidden ones too: the time at which it is shown.
        places: Of the same: where it begins in the file.
        keyframes: Times of those at which decoding may begin, ascending.
    """

    times: Sequence[int | None]
    pictures: Int64[np.ndarray, " pictures"]
    places: Int64[np.ndarray, " pictures"]
    keyframes: Sequence[int]


def clusters_of(container: InputContainer, stream: VideoStream) -> dict[int, int]:
    """Return where the clusters of a Matroska file begin that have keyframes, by time; of other files nothing."""
    if "matroska" not in container.format.name:
        return {}
    return {entry.timestamp: entry.pos for entry in stream.index_entries}


def cues_of(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    clusters: Mapping[int, int],
    passed: Passed,
    is_cut_off: bool,
) -> Splice | None:
    """Return what must be put into a file for FFmpeg to find its keyframes, or None: it has it, or need not have it.

    Args:
        path: Of the file.
        container: It, whose packets were all read.
        stream: Its video stream.
        clusters: What `clusters_of` says of it.
        passed: What they told.
        is_cut_off: The file falls short of its header: a list at its end is not there.
    """
    splice: Splice | None = None
    with contextlib.suppress(*UNREADABLE):
        if clusters:
            splice = _cues_of_matroska(path, clusters, passed, is_cut_off)
            return splice if splice is not None and _is_found(path, splice, stream.index, passed) else None
        if "mov" in container.format.name.split(","):
            splice = _cues_of_fragments(path, stream, passed)
            return splice if splice is not None and _is_same(path, splice, stream.index, passed) else None
    return None


# Matroska: the list is read where it stands, so it is put before the first cluster.


def _cues_of_matroska(path: Path, clusters: Mapping[int, int], passed: Passed, is_cut_off: bool) -> Splice | None:
    clusters = {time: place for time, place in clusters.items() if time >= 0}
    if path.stat().st_size < WORTH_BYTES or len(clusters) < 2:
        return None
    first = min(clusters.values())
    if first > LARGEST_HEAD:
        return None
    with path.open("rb") as file:
        head = file.read(first)
        file.seek(int(passed.places[0]))
        track, _ = _number(file.read(SIZE_BYTES.stop - 1), 0)  # a block begins with it
    if CUES in head and not is_cut_off:  # there they are, or it says where
        return None
    begin, end = _size_of_segment(head)
    # Longer than its writer said: of unknown size, which is all ones.
    unknown = ((1 << 7 * (end - begin) + 1) - 1).to_bytes(end - begin, "big")
    places = np.array(list(clusters.values()), np.int64) - end
    return Splice(begin, first, unknown + head[end:] + _cues(list(clusters), places, track))


def _cues(times: Sequence[int], places: Int64[np.ndarray, " n"], track: int) -> bytes:
    """Return the Cues element: for each keyframe its time, and the place of its cluster, which is behind the element.

    Args:
        times: In units of the file.
        places: Within the segment, without the element.
        track: Its number.
    """
    position = b"\xf7\x88" + struct.pack(">Q", track) + b"\xf1\x88" + bytes(8)  # CueTrack, CueClusterPosition
    point = b"\xb3\x88" + bytes(8) + b"\xb7" + bytes([0x80 | len(position)]) + position  # CueTime, CueTrackPositions
    row = b"\xbb" + bytes([0x80 | len(point)]) + point  # CuePoint
    rows = np.tile(np.frombuffer(row, np.uint8), (len(times), 1))
    rows[:, 4:12] = np.array(times, ">u8").view(np.uint8).reshape(-1, 8)
    head = CUES + struct.pack(">Q", 1 << 56 | rows.size)
    rows[:, -8:] = (places + len(head) + rows.size).astype(">u8").view(np.uint8).reshape(-1, 8)
    return head + rows.tobytes()


def _size_of_segment(head: bytes) -> tuple[int, int]:
    """Return where the size of a file's segment stands, begin and end.

    Raises:
        LookupError: It does not begin as Matroska does.
    """
    size, data = _number(head, len(EBML))
    segment = data + size
    if not head.startswith(EBML) or not head.startswith(SEGMENT, segment):
        raise LookupError("no segment behind the head")
    begin = segment + len(SEGMENT)
    return begin, _number(head, begin)[1]


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return the EBML number at a place, and where it ends.

    >>> _number(bytes.fromhex("81"), 0), _number(bytes.fromhex("ff4123"), 1)
    ((1, 1), (291, 3))

    Raises:
        LookupError: There is none.
    """
    length = 9 - data[place].bit_length()
    if length not in SIZE_BYTES or place + length > len(data):
        raise LookupError("no number")
    value = int.from_bytes(data[place : place + length], "big")
    return value & (1 << 7 * length) - 1, place + length


# Fragmented MP4: the list is looked for at the end.


def _cues_of_fragments(path: Path, stream: VideoStream, passed: Passed) -> Splice | None:
    boxes = list(_boxes(path))
    fragments = np.array([place for place, kind in boxes if kind == b"moof"], np.int64)
    # One index of all fragments FFmpeg uses by itself; one for each segment it does not.
    if len(fragments) < WORTH_FRAGMENTS or sum(kind == b"sidx" for _, kind in boxes) == 1:
        return None
    within, firsts = np.unique(np.searchsorted(fragments, passed.places) - 1, return_index=True)
    times = passed.pictures[firsts]
    if within[0] < 0 or times.min() < 0:
        return None
    size = path.stat().st_size
    return Splice(size, size, _random_access(times, fragments[within], stream.id))


def _random_access(times: Int64[np.ndarray, " n"], places: Int64[np.ndarray, " n"], track: int) -> bytes:
    """Return the mfra box: for each fragment its first picture's time, and its place."""
    row = bytes(16) + b"\x01\x01\x01"  # time, place; numbers within it, of a byte each
    rows = np.tile(np.frombuffer(row, np.uint8), (len(times), 1))
    rows[:, :16] = np.stack([times, places], axis=1).astype(">u8").view(np.uint8).reshape(-1, 16)
    of_track = _box(b"tfra", struct.pack(">IIII", 1 << 24, track, 0, len(times)) + rows.tobytes())
    own_size = 8 + len(of_track) + 16
    return _box(b"mfra", of_track + _box(b"mfro", struct.pack(">II", 0, own_size)))


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def _boxes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield place and kind of each box that a file is made of, as far as they follow each other."""
    place = 0
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8:
            size = int.from_bytes(head[:4], "big")
            yield place, head[4:8]
            size = int.from_bytes(head[8:], "big") if size == 1 else size
            if size < 8:
                return
            place += size
            file.seek(place)


# What FFmpeg makes of it is tried before it is believed.


def _is_found(path: Path, splice: Splice, stream_index: int, passed: Passed) -> bool:
    """Tell whether some keyframes, evenly spread, are found at once: Matroska's packets have their times elsewhere."""
    with open_video(path, splice) as container:
        stream, keyframes = only_stream(container, stream_index), passed.keyframes
        return all(
            keyframes[max(0, n - BEFORE)] <= _landing(container, stream, keyframes[n]) <= keyframes[n]
            for n in to_and_fro(len(keyframes), TRIED)
        )


def _is_same(path: Path, splice: Splice, stream_index: int, passed: Passed) -> bool:
    """Tell whether a file's packets have the same times, and keyframes are found: FFmpeg goes by the list's times."""
    with open_video(path, splice) as container:
        stream = only_stream(container, stream_index)
        given = (packet.dts if packet.pts is None else packet.pts for packet in container.demux(stream) if packet.size)
        return all(one == other for one, other in zip_longest(passed.times, given)) and _is_found(
            path, splice, stream_index, passed
        )


def _landing(container: InputContainer, stream: VideoStream, target: int) -> int:
    """Return the time of the packet at which a seek ends.

    Raises:
        LookupError: There is none.
    """
    seek(container, stream, Seek.TIME, target)
    packet = next(filter(attrgetter("size"), container.demux(stream)), None)
    if packet is None or packet.pts is None:
        raise LookupError("seeking ends nowhere")
    return packet.pts
