"""The one sequential decode of a long file, in several pieces at once, where these can be shown to be one.

Each piece but the first begins at a keyframe, and the piece before it goes on some packets beyond: what both give there
must be equal, sample by sample. Only files in which nothing is damaged and headers never change are cut; whatever else
is not as expected has the file decoded in one piece.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path
from threading import Event

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from lit_video.index.damage import Packets
from lit_video.index.keyframes import Keyframe
from lit_video.index.landing import NUM_WAYS, packets_at, start_at
from lit_video.index.truth import Decoding, Truth, decode_sequentially
from lit_video.media.container import UNREADABLE, demux, only_stream, open_video
from lit_video.support.machine import num_cores

# Packets of a piece at least, so that opening the file once more does not matter; and what two pieces share.
SHORTEST, SHARED = 1500, 64
# Pictures that two pieces must both have.
RUN = 8


def decode_in_pieces(path: Path, stream_index: int, packets: Packets, most: int | None = None) -> Truth:
    """Return what `decode_sequentially` returns.

    Args:
        path: Of the file.
        stream_index: Of the video stream.
        packets: What its packets show.
        most: Pieces at most; by default as many as cores.
    """
    cuts = _cuts(packets, most or num_cores())
    if cuts:
        stop = Event()
        with ThreadPool(len(cuts) + 1) as pool:
            ranges = zip([None, *cuts], [*cuts, None], strict=True)
            pieces = pool.starmap(lambda cut, end: _decode_piece(path, stream_index, packets, cut, end, stop), ranges)
        whole = _join([piece for piece in pieces if piece is not None], cuts)
        if whole is not None:
            return whole
    return decode_sequentially(path, stream_index, packets)


def _cuts(packets: Packets, most: int) -> list[Keyframe]:
    """Return the keyframes at which pieces begin: none where the file is short, damaged, or told its decoder much."""
    total = len(packets.why)
    num_pieces = min(most, total // SHORTEST)
    if num_pieces < 2 or any(packets.why) or packets.keyframes.headers_change:
        return []
    fit = [k for k in packets.keyframes if k.check is not None and packets.is_start[k.number]]
    fit = [keyframe for keyframe in fit if SHARED < keyframe.number < total - SHARED]
    found: list[Keyframe] = []
    for piece in range(1, num_pieces):
        place = total * piece // num_pieces
        nearest = min(fit, key=lambda keyframe: abs(keyframe.number - place), default=None)
        if nearest is not None and (not found or nearest.number > found[-1].number + SHARED):
            found.append(nearest)
    return found


def _decode_piece(
    path: Path, stream_index: int, packets: Packets, cut: Keyframe | None, end: Keyframe | None, stop: Event
) -> Truth | None:
    """Return what comes out from one cut to somewhat behind the next, or None, and stop the others, if that fails."""
    with contextlib.suppress(*UNREADABLE), open_video(path) as container, contextlib.ExitStack() as others:
        stream = only_stream(container, stream_index)
        decoding = Decoding(path, stream, packets, others, 0 if cut is None else cut.number)
        last = len(packets.why) - 1 if end is None else end.number + SHARED
        for packet in _packets_from(container, stream, cut):
            if packet is None or stop.is_set() or not decoding.expects(packet):
                break
            decoding.feed(packet)
            if decoding.number == last and (end is not None or not packet.size):
                return decoding.truth()
    stop.set()
    return None


def _packets_from(container: InputContainer, stream: VideoStream, cut: Keyframe | None) -> Iterator[Packet | None]:
    if cut is None:
        return demux(container, stream)
    for way in range(NUM_WAYS):
        start = start_at(cut, cut.number, way)
        packets = None if start is None else packets_at(container, stream, start)
        if packets is not None:
            return packets
    return iter(())


def _join(pieces: Sequence[Truth], cuts: Sequence[Keyframe]) -> Truth | None:
    """Return pieces as one, or None where two that follow each other do not agree."""
    if len(pieces) != len(cuts) + 1 or any(piece.ends() for piece in pieces):
        return None
    whole = pieces[0]
    for cut, piece in zip(cuts, pieces[1:], strict=True):
        if cut.number not in whole.numbers or cut.number not in piece.numbers:
            return None
        end, begin = whole.numbers.index(cut.number), piece.numbers.index(cut.number)
        shared = len(whole.numbers) - end
        if shared < RUN or whole.pictures(end) != piece.pictures(begin, begin + shared):
            return None
        whole = replace(
            whole,
            pts=whole.pts[:end] + piece.pts[begin:],
            sums=whole.sums[:end] + piece.sums[begin:],
            why=whole.why[:end] + piece.why[begin:],
            numbers=whole.numbers[:end] + piece.numbers[begin:],
            are_keyframes=whole.are_keyframes[:end] + piece.are_keyframes[begin:],
            looks=whole.looks | piece.looks,
        )
    return whole
