"""Ways to the keyframes of a file whose packets tell its pictures, in a container that does not seek as it is told.

Sixteen keyframes, evenly spread, are sought in one container that stays open, and decoded from up to the next one: each
packet must come with the times that it has in the order of the file, and give its picture, undamaged, when it is to be
shown. The first way on which all sixteen do is believed of the others. Nothing else is decoded. Decision 26.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Int64

from lit_video.index.damage import Packets
from lit_video.index.keyframes import Keyframe
from lit_video.index.landing import NUM_WAYS, packets_at, start_at
from lit_video.index.trials import TRIED, to_and_fro
from lit_video.index.truth import Start
from lit_video.media.container import UNREADABLE, demux, number_of, only_stream, open_video, pictures_of


def tried_starts(
    path: Path, stream_index: int, packets: Packets, pts: Int64[np.ndarray, " frames"]
) -> list[Start] | None:
    """Return where decoding can begin, ascending, frame 0 first, or None where the ways that were tried do not agree.

    Args:
        path: Of the file.
        stream_index: Of the video stream.
        packets: All of its packets.
        pts: Of each picture, ascending.
    """
    first, *keyframes = packets.keyframes
    times = [keyframe.pts for keyframe in keyframes if keyframe.check is not None and keyframe.pts is not None]
    if packets.keyframes.headers_change or len(times) < len(keyframes):
        return None
    frames = np.searchsorted(pts, times).tolist()
    tried, end = to_and_fro(len(keyframes), TRIED), frames[0] if frames else len(pts)
    with contextlib.suppress(*UNREADABLE), open_video(path) as container:
        stream = only_stream(container, stream_index)
        stream.codec_context.copy_opaque = True
        trial = _Trial(container, stream, packets.times, pts.tolist())
        if not trial.begins_well(end):
            return None
        ends = [*frames[1:], len(pts)]
        for way in range(NUM_WAYS):
            if all(trial.agrees(keyframes[n], frames[n], ends[n], way) for n in tried):
                starts = [start_at(k, frame, way) for k, frame in zip(keyframes, frames, strict=True)]
                if None in starts:
                    return None
                return [trial.beginning(first, end), *(start for start in starts if start is not None)]
            if trial.landed:  # on another way it would begin at the same packet
                return None
    return None


class _Trial:
    """Decodes from keyframes, in a container that stays open, and compares with what the packets tell.

    Attributes:
        landed: In the last trial the keyframe's packet was found.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, times: Sequence[int | None], pts: Sequence[int]
    ) -> None:
        self._container, self._stream, self._times, self._pts = container, stream, times, pts
        self.landed = False

    def begins_well(self, end: int) -> bool:
        """Tell whether the file, just opened, gives its pictures before frame `end`."""
        return self._gives(self._pictures(demux(self._container, self._stream), 0), 0, end)

    def agrees(self, keyframe: Keyframe, frame: int, end: int, way: int) -> bool:
        """Tell whether a keyframe is found on a way, and gives its picture and those behind it up to frame `end`."""
        start = start_at(keyframe, frame, way)
        self.landed = False
        with contextlib.suppress(*UNREADABLE):
            packets = None if start is None else packets_at(self._container, self._stream, start)
            self.landed = packets is not None
            return self._gives(self._from(frame, self._pictures(packets or (), keyframe.number)), frame, end)
        return False

    def beginning(self, first: Keyframe, end: int) -> Start:
        """Return frame 0 as a start: by a seek to the first packet if that gives the frames before `end`."""
        for way in range(NUM_WAYS if first.number == 0 else 0):
            if self.agrees(first, 0, end, way):
                return start_at(first, 0, way) or Start(0)
            if self.landed:
                break
        return Start(0)

    def _gives(self, pictures: Iterator[VideoFrame], frame: int, end: int) -> bool:
        given = islice(pictures, end - frame)
        return [None if picture.is_corrupt else picture.pts for picture in given] == self._pts[frame:end]

    def _from(self, frame: int, pictures: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield the pictures from that of the packet on which decoding began: what is shown before it is of others."""
        began = False
        for picture in pictures:
            began = began or number_of(picture) == frame
            if began:
                yield picture

    def _pictures(self, packets: Iterable[Packet | None], number: int) -> Iterator[VideoFrame]:
        """Yield the pictures of packets, the first the file's `number`th, as long as they are those of the file."""
        for packet in packets:
            if packet is None:
                return
            if packet.size:
                if number >= len(self._times) or self._times[number] != (
                    packet.dts if packet.pts is None else packet.pts
                ):
                    return
                number += 1
            yield from pictures_of(self._stream.codec_context, packet)
