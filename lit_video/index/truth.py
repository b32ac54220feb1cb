"""What really comes out of a decoder: the index of files whose packets cannot be trusted to say.

The truth is one sequential decode of the whole file, in output order. A keyframe is a place to start from only if
decoding was tried from there and gave the same pictures, sample by sample, up to the next such place; so a file costs
two decodes here, and nothing is believed.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet

from lit_video.container import UNREADABLE, Seek, decode, demux, only_stream, open_video, seek
from lit_video.picture import checksum

# Pictures that a decoder may give before it has recovered; more, and the keyframe is not worth having.
MAX_DROPPED = 32
# Keyframes that are tried at most. A file of nothing but keyframes has as many as frames.
MAX_TRIED = 256
# Pictures in a row that must agree before a place is believed to be found.
RUN = 3


# Pictures out before it, pts, dts, byte.
Keyframe = tuple[int, int | None, int | None, int | None]


@dataclass(frozen=True, slots=True)
class Start:
    """A place in a file from which decoding gives known pictures.

    Attributes:
        frame: Frame index of the first good picture.
        how: The way to get there.
        target: A timestamp in the stream's time base, or a byte, as `how` says.
        drop: Pictures that come out before the first good one.
        check: CRC-32 of the first packet there. A container's own index grows as it is read, and the same seek may
            then land elsewhere; this notices.
    """

    frame: int
    how: Seek = Seek.BEGINNING
    target: int = 0
    drop: int = 0
    check: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """The pictures of one sequential decode: the pts that each came with, a checksum of each, and the keyframes."""

    pts: list[int | None]
    sums: list[int]
    keyframes: list[Keyframe]


def decode_sequentially(path: Path, stream_index: int) -> Truth:
    """Decode the whole file once, on one thread, and return what came out."""
    truth = Truth([], [], [])
    with open_video(path) as container:
        stream = only_stream(container, stream_index)
        for packet in demux(container, stream):
            if packet is not None and packet.is_keyframe and packet.size:
                truth.keyframes.append((len(truth.pts), packet.pts, packet.dts, packet.pos))
            for picture in decode(stream, packet):
                truth.pts.append(picture.pts)
                truth.sums.append(checksum(picture))
    return truth


def find_starts(path: Path, stream_index: int, truth: Truth) -> list[Start]:
    """Return the keyframes from which decoding was seen to give the true pictures, ascending, frame 0 always first."""
    places = defaultdict(list)
    for frame, value in enumerate(truth.sums):
        places[value].append(frame)
    starts: list[Start] = []
    end = len(truth.sums)
    for keyframe in reversed(_some(truth.keyframes[1:])):  # backwards, for each must agree up to the one after it
        start = _try_keyframe(path, stream_index, truth.sums, places, keyframe, end)
        if start is not None and 0 < start.frame < end:
            starts.append(start)
            end = start.frame
    return [Start(0), *reversed(starts)]


def _some(keyframes: Sequence[Keyframe]) -> Sequence[Keyframe]:
    """Return all of a few keyframes, and of many some, evenly spread: each that is tried costs an open file."""
    stride = -(-len(keyframes) // MAX_TRIED)
    return keyframes[::stride] if stride > 1 else keyframes


def _try_keyframe(
    path: Path,
    stream_index: int,
    sums: Sequence[int],
    places: dict[int, list[int]],
    keyframe: Keyframe,
    end: int,
) -> Start | None:
    expected, pts, dts, byte = keyframe
    for how, target in ((Seek.TIME, pts), (Seek.TIME, dts), (Seek.BYTE, byte)):
        if target is None or (how is Seek.BYTE and target < 0):
            continue
        with open_video(path) as container:
            found = _try_seek(container, stream_index, how, target, sums, places, expected, end)
        if found is not None:
            return found
    return None


def _try_seek(
    container: InputContainer,
    stream_index: int,
    how: Seek,
    target: int,
    sums: Sequence[int],
    places: dict[int, list[int]],
    expected: int,
    end: int,
) -> Start | None:
    stream = only_stream(container, stream_index)
    try:
        seek(container, stream, how, target)
        packets = container.demux(stream)
        first = next(packets, None)
        if first is None or not first.size:
            return None
        check = zlib.crc32(bytes(first))
        pictures = (checksum(p) for packet in _chain(first, packets) for p in decode(stream, packet))
        frame, drop = _agree(pictures, sums, places, expected, end)
    except UNREADABLE:
        return None
    return Start(frame, how, target, drop, check)


def _chain(first: Packet, rest: Iterator[Packet]) -> Iterator[Packet]:
    yield first
    yield from rest


def _agree(
    pictures: Iterator[int], sums: Sequence[int], places: dict[int, list[int]], expected: int, end: int
) -> tuple[int, int]:
    """Return the frame index at which `pictures` fall in with `sums` for good, and how many came before.

    Raises:
        LookupError: They do not, up to frame `end`.
    """
    seen: list[int] = []
    for value in islice(pictures, MAX_DROPPED):
        seen.append(value)
        for drop in range(len(seen) - RUN + 1):
            for frame in sorted(places.get(seen[drop], ()), key=lambda place: abs(place - expected)):
                if list(sums[frame : frame + len(seen) - drop]) == seen[drop:]:
                    _agree_on(pictures, sums[frame + len(seen) - drop : end])
                    return frame, drop
    raise LookupError("no run of pictures agrees")


def _agree_on(pictures: Iterator[int], rest: Sequence[int]) -> None:
    if list(islice(pictures, len(rest))) != list(rest):
        raise LookupError("the pictures part again")
