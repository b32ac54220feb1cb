"""The positions of an order that a plan has in sight."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

SERVED, FETCHED = 1, 2  # how a position is filled: by a read, or by a fetch; 0: not known yet


class Sight:
    """The positions of an order that are in sight, each with its frame and the next position of the same GOP.

    Held in arrays, a few bytes a position and nothing for Python's garbage collector to walk over.

    Attributes:
        end: Behind the last position in sight.
    """

    def __init__(self) -> None:
        self.end = 0
        self._begin = 0  # position of the arrays' first entries
        self._videos, self._starts, self._frame_ids, self._next = (array("q") for _ in range(4))
        self._how = bytearray()
        self._last: dict[int, int] = {}  # last position in sight of each GOP, by the frame id of its keyframe

    def extend(
        self,
        position: int,
        video_ids: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        frame_ids: Int64[np.ndarray, " n"],
        origins: Int64[np.ndarray, " n"],
        fetched: Bool[np.ndarray, " n"] | None = None,
    ) -> None:
        """Add the positions that follow, and forget those before `position`.

        Args:
            position: The next one that will be asked for.
            video_ids: Of the frames.
            starts: Frame indices of their keyframes.
            frame_ids: Of the frames.
            origins: Frame ids of their videos' first frames.
            fetched: Which of them are filled by a fetch, whatever else is read.
        """
        if position - self._begin > len(self._next) // 2:
            self._forget_before(position)
        for column, values in ((self._videos, video_ids), (self._starts, starts), (self._frame_ids, frame_ids)):
            column.frombytes(np.ascontiguousarray(values, np.int64).tobytes())
        self._next.frombytes(bytes(8 * len(frame_ids)))
        how = np.zeros(len(frame_ids), np.uint8) if fetched is None else fetched.astype(np.uint8) * FETCHED
        self._how.extend(how.tobytes())
        unknown = np.flatnonzero(how == 0)
        self._link(unknown + self.end, (origins + starts)[unknown])
        self.end += len(frame_ids)

    def _link(self, places: Int64[np.ndarray, " n"], gops: Int64[np.ndarray, " n"]) -> None:
        """Have each place, and the last one before of its GOP, lead to the next one of that."""
        order = np.argsort(gops, kind="stable")
        places, gops = places[order], gops[order]
        changes = np.flatnonzero(gops[1:] != gops[:-1]) + 1
        within = np.ones(len(places), bool)
        within[changes - 1] = within[-1:] = False  # the last of each GOP leads nowhere yet
        following = np.frombuffer(self._next, np.int64)
        following[places[within] - self._begin] = places[1:][within[:-1]]
        del following  # or the array could not grow
        firsts, ends = np.append(0, changes)[: len(places)], np.append(changes, len(places))[: len(places)]
        last, begin = self._last, self._begin
        for gop, first, place in zip(
            gops[firsts].tolist(), places[firsts].tolist(), places[ends - 1].tolist(), strict=True
        ):
            before = last.get(gop, -1)
            last[gop] = place
            if before >= begin:
                self._next[before - begin] = first

    def _forget_before(self, position: int) -> None:
        past = position - self._begin
        for column in (self._videos, self._starts, self._frame_ids, self._next, self._how):
            del column[:past]
        self._begin = position
        self._last = {gop: place for gop, place in self._last.items() if place >= position}

    def gop(self, position: int) -> tuple[int, int]:
        """Return the video id and the keyframe's frame index of a position."""
        place = position - self._begin
        return self._videos[place], self._starts[place]

    def frame_id(self, position: int) -> int:
        """Return the frame that a position wants."""
        return self._frame_ids[position - self._begin]

    def frame_ids(self, positions: Sequence[int]) -> Sequence[int]:
        """Return the frames that positions want."""
        if isinstance(positions, range):
            return self._frame_ids[positions.start - self._begin : positions.stop - self._begin].tolist()
        return [self._frame_ids[position - self._begin] for position in positions]

    def next(self, position: int) -> int:
        """Return the next position in sight that wants a frame of the same GOP, or 0."""
        return self._next[position - self._begin]

    def serve(self, position: int, how: int) -> None:
        """Note how a position is filled."""
        self._how[position - self._begin] = how

    def how(self, position: int) -> int:
        """Return how a position is filled, or 0 if that is not known yet."""
        return self._how[position - self._begin]

    def are_fetched(self, begin: int, end: int) -> bool:
        """Return whether all positions of a range are filled by fetches."""
        return self._how.count(FETCHED, begin - self._begin, end - self._begin) == end - begin
