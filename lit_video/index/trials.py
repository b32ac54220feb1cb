"""Places to start from in a file whose packets cannot be trusted: some are tried, and where all agree, the rest is not.

A trial is to decode from a keyframe on and to compare, sample by sample, with the one sequential decode. The rest is
believed only where nothing sets it apart from those that were tried: the bits and the decoder say that the picture
refers to no other, nothing before it comes out after it, headers never change, nothing is damaged. A reader knows the
keyframe's packet by a checksum and its picture by the packet, so seeking that ends elsewhere is noticed. Decision 21.
"""

from __future__ import annotations

import contextlib
import zlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from lit_video.index.damage import Packets
from lit_video.index.keyframes import Keyframe
from lit_video.index.landing import NUM_WAYS, packets_at, start_at
from lit_video.index.references import REFERS
from lit_video.index.truth import OWN, Start, Truth, is_left_out
from lit_video.media.container import (
    UNREADABLE,
    Seek,
    decode,
    demux,
    number_of,
    only_stream,
    open_video,
    pictures_of,
    seek,
)
from lit_video.media.picture import checksum

# Keyframes that are tried before the rest is believed, evenly spread.
TRIED = 16
# Keyframes that are tried at most where the file must be opened for each.
MAX_OPENED = 256
# Pictures that a decoder may give before it has recovered; more, and the keyframe is not worth having.
MAX_DROPPED = 32
# Pictures in a row that must agree before a place is believed to be found.
RUN = 3


class Candidate(NamedTuple):
    """A keyframe that may become a start.

    Attributes:
        keyframe: What its packet says.
        frame: Frame index of its picture, or where that did not come out, of the next one.
        came: Its picture came out, undamaged.
        is_regular: Nothing sets it apart from others of its kind.
    """

    keyframe: Keyframe
    frame: int
    came: bool
    is_regular: bool


class Landmarks(NamedTuple):
    """Where in the truth decoding may fall in, and how far it is sound from there: found once for all trials.

    Attributes:
        places: Frames by checksum, undamaged ones.
        ends: Frames before which what is sound ends, ascending.
    """

    places: dict[int, list[int]]
    ends: list[int]


def find_starts(path: Path, stream_index: int, truth: Truth, packets: Packets) -> list[Start]:
    """Return the keyframes from which decoding gives the true pictures, ascending, frame 0 always first."""
    candidates = _candidates(truth, packets)
    if any(candidate.is_regular for candidate in candidates):  # then the decoder says which flags lie
        candidates = [one for one in candidates if not one.came or truth.are_keyframes[one.frame]]
    alike = truth.is_even and not packets.keyframes.headers_change
    with _Trials(path, stream_index, truth, opens=not alike or bool(truth.ends())) as trials:
        way = _common_way(trials, candidates) if alike else None
        starts, end = _walk(trials, candidates, way, len(truth.sums))
        beginning = _beginning(trials, packets, end)
    if 0 in truth.breaks:
        _try_beginning(path, stream_index, truth, end)
    return [beginning, *reversed(starts)]


def _beginning(trials: _Trials, packets: Packets, end: int) -> Start:
    """Return frame 0 as a start: by a seek to the first packet, or where that does not give it, by opening the file."""
    first, truth = next(iter(packets.keyframes), None), trials.truth
    if trials.opens or first is None or first.number or truth.why[0]:
        return Start(0)
    return trials.any(Candidate(first, 0, came=True, is_regular=False), end, may_open=False) or Start(0)


def _candidates(truth: Truth, packets: Packets) -> list[Candidate]:
    """Return the keyframes behind the first, in the order in which their pictures come out."""
    frame_of = {number: frame for frame, number in reversed(list(enumerate(truth.numbers)))}
    ascending, ends = sorted(truth.numbers), truth.ends()
    following = np.minimum.accumulate(np.array(truth.numbers, np.int64)[::-1])[::-1]  # the first packet from there on
    found: list[Candidate] = []
    end = len(truth.sums)
    for keyframe in reversed(list(packets.keyframes)[1:]):
        number, frame = keyframe.number, frame_of.get(keyframe.number, -1)
        came = frame > 0 and not truth.why[frame] and keyframe.check is not None
        sound = bisect_left(ends, frame) == bisect_right(ends, end)
        is_regular = came and sound and packets.is_start[number] and number not in truth.renewed
        is_regular = is_regular and truth.are_keyframes[frame] and int(following[frame]) == number
        found.append(Candidate(keyframe, frame if came else bisect_left(ascending, number), came, is_regular))
        end = frame if came else end
    return sorted(found, key=lambda candidate: candidate.frame)


def _common_way(trials: _Trials, candidates: Sequence[Candidate]) -> int | None:
    """Return the way on which each of some regular keyframes, evenly spread, is a start, or None."""
    ends = [candidate.frame for candidate in candidates[1:]] + [len(trials.truth.sums)]
    regular = [pair for pair in zip(candidates, ends, strict=False) if pair[0].is_regular]
    order = to_and_fro(len(regular), TRIED)
    for way in range(NUM_WAYS):
        if order and all(trials.own(regular[place][0], way, regular[place][1]) for place in order):
            return way
        if trials.landed:  # on another way it would begin at the same packet
            return None
    return None


def to_and_fro(length: int, most: int) -> list[int]:
    """Return some places of a list, evenly spread: the last first, whose end drains the decoder; then to and fro.

    >>> to_and_fro(9, 5), to_and_fro(2, 5), to_and_fro(0, 5)
    ([8, 4, 0, 2, 6], [1, 0], [])
    """
    places = sorted({round(place * (length - 1) / (most - 1)) for place in range(most)}) if length else []
    return [*places[::-2], *places[-2::-2][::-1]]


def _walk(trials: _Trials, candidates: Sequence[Candidate], way: int | None, end: int) -> tuple[list[Start], int]:
    """Return the starts, backwards, for each must agree up to the one after it; and the frame of the first of them."""
    doubtful = [candidate for candidate in candidates if way is None or not candidate.is_regular]
    opened = {candidate.keyframe.number for candidate in _some(doubtful, trials.truth)}
    all_are_tried = trials.found and not trials.opens
    starts, following = list[Start](), end
    for candidate in reversed(candidates):
        may_open = candidate.keyframe.number in opened
        if way is not None and candidate.is_regular and following == end:
            start = start_at(candidate.keyframe, candidate.frame, way, trials.opens)
        elif all_are_tried or may_open or (way is not None and candidate.is_regular):
            start = trials.any(candidate, end, may_open)
        else:
            start = None
        following = candidate.frame
        if start is not None and 0 < start.frame < end:
            starts.append(start)
            end = start.frame
    return starts, end


def _some(candidates: Sequence[Candidate], truth: Truth) -> Sequence[Candidate]:
    """Return all of a few, and of many some, evenly spread, and those at which a new decoder took over."""
    stride = -(-len(candidates) // MAX_OPENED)
    return [
        candidate
        for place, candidate in enumerate(candidates)
        if place % stride == 0 or candidate.keyframe.number in truth.renewed
    ]


class _Trials:
    """Tries keyframes, in a container that stays open, or in one that is opened for each.

    Attributes:
        landed: In the last trial the keyframe's packet was found.
        found: Some keyframe was found to be a start.
    """

    def __init__(self, path: Path, stream_index: int, truth: Truth, opens: bool) -> None:
        self._path, self._stream_index, self.truth, self.opens = path, stream_index, truth, opens
        self.landed = self.found = False
        self._landmarks = Landmarks(defaultdict(list), truth.ends())
        for frame, value in enumerate(truth.sums):
            if not truth.why[frame]:
                self._landmarks.places[value].append(frame)
        self._files = contextlib.ExitStack()
        self._open: tuple[InputContainer, VideoStream] | None = None

    def __enter__(self) -> _Trials:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def any(self, candidate: Candidate, end: int, may_open: bool) -> Start | None:
        """Return the start on whatever way a keyframe is one up to frame `end`, or None.

        Args:
            candidate: The keyframe.
            end: Frame up to which what comes out must be true.
            may_open: Open the file for it, where nothing else helps.
        """
        for way in range(NUM_WAYS):
            start = self.own(candidate, way, end) if candidate.came else None
            if start is not None:
                return start
            if self.landed:  # on another way it would begin at the same packet
                break
        return self._opened(candidate, end) if may_open else None

    def own(self, candidate: Candidate, way: int, end: int) -> Start | None:
        """Return the start if decoding gives the true pictures from the keyframe's own up to frame `end`, or None."""
        start, ends = start_at(candidate.keyframe, candidate.frame, way, self.opens), self._landmarks.ends
        self.landed = False
        if start is None:
            return None
        if self.truth.numbers[start.frame] != candidate.keyframe.number:  # its own picture is hidden, and frame 0 not
            start = replace(start, drop=0)
        following = bisect_right(ends, start.frame)
        sound = ends[following] if following < len(ends) else len(self.truth.sums)
        last = min(sound, max(end, start.frame + RUN))
        with contextlib.suppress(*UNREADABLE):
            given = list(islice(self._pictures(start), last - start.frame))
            if given == self.truth.sums[start.frame : last]:
                self.found = True
                return start
        return None

    def _pictures(self, start: Start) -> Iterator[int]:
        """Yield the checksums of the pictures from a start's own on, as a reader has them, up to the first error."""
        container, stream = self._container()
        packets, began = packets_at(container, stream, start), start.drop != OWN
        self.landed = packets is not None
        for packet in packets or ():
            if packet is not None and is_left_out(packet, self.truth.left_out):
                continue
            try:
                pictures = pictures_of(stream.codec_context, packet)
            except UNREADABLE:
                if began:
                    return
                continue  # pictures that are not shown may refer to what was not decoded
            for picture in pictures:
                began = began or number_of(picture) == start.frame
                if began and picture.is_corrupt:
                    return
                if began:
                    yield checksum(picture)

    def _container(self) -> tuple[InputContainer, VideoStream]:
        if self._open is None or self.opens:
            self._files.close()
            container = self._files.enter_context(open_video(self._path))
            stream = only_stream(container, self._stream_index)
            stream.codec_context.copy_opaque = True
            self._open = container, stream
        return self._open

    def _opened(self, candidate: Candidate, end: int) -> Start | None:
        """Return the start, in a file just opened, of a keyframe behind which the true pictures come after others."""
        keyframe = candidate.keyframe
        ways = (Seek.TIME_ANEW, keyframe.pts), (Seek.TIME_ANEW, keyframe.dts), (Seek.BYTE_ANEW, keyframe.byte)
        for how, target in ways:
            if target is not None:
                with open_video(self._path) as container, contextlib.suppress(*UNREADABLE):
                    return self._try_seek(container, how, target, candidate.frame, end)
        return None

    def _try_seek(self, container: InputContainer, how: Seek, target: int, expected: int, end: int) -> Start:
        stream = only_stream(container, self._stream_index)
        seek(container, stream, how, target)
        packets = container.demux(stream)
        first = next(packets, None)
        if first is None or not first.size:
            raise LookupError("there is nothing")
        given = _pictures(chain([first], packets), stream, self.truth)
        frame, drop = _agree(given, self.truth, self._landmarks, expected, end)
        return Start(frame, how, target, drop, zlib.crc32(first))


def _try_beginning(path: Path, stream_index: int, truth: Truth, end: int) -> None:
    """Take the first frames for damaged if only a decoder that began after the damage before them gave them."""
    end = min((frame for frame in truth.ends() if frame), default=end)
    with open_video(path) as container:
        stream = only_stream(container, stream_index)
        given = list(islice(_pictures(demux(container, stream), stream, truth), end))
    if not _agrees(given, truth, 0, end):
        truth.why[:end] = [why or REFERS for why in truth.why[:end]]


def _pictures(packets: Iterable[Packet | None], stream: VideoStream, truth: Truth) -> Iterator[int]:
    """Yield the checksums of the pictures that come out, as a reader has them come out."""
    for packet in packets:
        if packet is None or not is_left_out(packet, truth.left_out):
            yield from map(checksum, decode(stream, packet))


def _agree(pictures: Iterator[int], truth: Truth, landmarks: Landmarks, expected: int, end: int) -> tuple[int, int]:
    """Return the frame index at which `pictures` fall in with the truth for good, and how many came before.

    For good: up to frame `end`, or up to the first damaged frame before that.

    Raises:
        LookupError: They do not.
    """
    sums, ends, seen = truth.sums, landmarks.ends, list[int]()
    for value in islice(pictures, MAX_DROPPED):
        seen.append(value)
        for drop in range(len(seen) - RUN + 1):
            for frame in sorted(landmarks.places.get(seen[drop], ()), key=lambda place: abs(place - expected)):
                following = bisect_right(ends, frame)
                sound = ends[following] if following < len(ends) else len(sums)
                compared = min(len(seen) - drop, sound - frame)
                if compared >= RUN and list(sums[frame : frame + compared]) == seen[drop : drop + compared]:
                    last = min(end, sound)
                    given = [*seen[drop:], *islice(pictures, max(0, last - frame - len(seen) + drop))]
                    if not _agrees(given, truth, frame, last):
                        raise LookupError("the pictures part again")
                    return frame, drop
    raise LookupError("no run of pictures agrees")


def _agrees(given: Sequence[int], truth: Truth, frame: int, end: int) -> bool:
    """Tell whether pictures from a frame on are the true ones up to another."""
    return list(given[: end - frame]) == truth.sums[frame:end]
