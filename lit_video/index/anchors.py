"""The frames at which samples begin, span by span: arithmetic where they are evenly spaced, and listed where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int, Int64

FAR = 2**40  # no video has so many frames


@dataclass(frozen=True, eq=False)
class Anchors:
    """N anchors of S spans, ascending within each; numbered span after span.

    Attributes:
        offset: int64 [S + 1], number of each span's first anchor, and N.
        first: int64 [S], frame index of the first anchor; where the step is 0, its place in `listed`.
        step: int64 [S], frames from one anchor to the next; 0: they are listed.
        listed: int64 [listed], frame indices of the anchors of all spans whose anchors are listed.
    """

    offset: Int64[np.ndarray, " spans_and_end"]
    first: Int64[np.ndarray, " spans"]
    step: Int64[np.ndarray, " spans"]
    listed: Int64[np.ndarray, " listed"]

    @classmethod
    def each(cls, begin: Int64[np.ndarray, " spans"], end: Int64[np.ndarray, " spans"], stride: int) -> Anchors:
        """Return every so manieth frame of the ranges `[begin, end)`."""
        count = np.maximum(0, -(-(end - begin) // stride))
        return cls(np.append(0, np.cumsum(count)), begin, np.full(len(begin), stride), np.empty(0, np.int64))

    @classmethod
    def these(cls, found: Sequence[Int64[np.ndarray, " _"]]) -> Anchors:
        """Return the anchors that are given for each span."""
        first, step, listed, place = np.zeros(len(found), np.int64), np.ones(len(found), np.int64), [], 0
        for row, frames in enumerate(found):
            gaps = np.diff(frames)
            if len(gaps) and (gaps != gaps[0]).any():
                first[row], step[row] = place, 0
                listed.append(frames)
                place += len(frames)
            elif len(frames):
                first[row], step[row] = frames[0], gaps[0] if len(gaps) else 1
        count = np.array([len(frames) for frames in found], np.int64)
        return cls(np.append(0, np.cumsum(count)), first, step, np.concatenate([*listed, np.empty(0, np.int64)]))

    def __len__(self) -> int:
        return int(self.offset[-1])

    def of_spans(self, rows: Int64[np.ndarray, " kept"]) -> Anchors:
        """Return those of some spans; what is left out has none."""
        return Anchors(np.append(0, self.offset[rows + 1]), self.first[rows], self.step[rows], self.listed)

    def rows(self, numbers: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the span of each anchor."""
        return np.searchsorted(self.offset, numbers, side="right") - 1

    def at(self, numbers: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return the span and the frame index of each anchor."""
        rows = self.rows(numbers)
        place = numbers - self.offset[rows]
        frames = self.first[rows] + place * self.step[rows]
        if len(self.listed):
            listed = self.step[rows] == 0
            frames[listed] = self.listed[(self.first[rows] + place)[listed]]
        return rows, frames

    def before(self, rows: Int64[np.ndarray, " n"], frames: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return for each span the number of the first of its anchors that lies at a frame index or behind it."""
        counted = -(-(frames.astype(np.int64) - self.first[rows]) // np.maximum(self.step[rows], 1))
        if len(self.listed):
            listed = self.step[rows] == 0
            keys = rows[listed] * FAR + frames[listed]
            counted[listed] = np.searchsorted(self._keys, keys) - self.first[rows][listed]
        return self.offset[rows] + np.clip(counted, 0, self.offset[rows + 1] - self.offset[rows])

    @cached_property
    def _keys(self) -> Int64[np.ndarray, " listed"]:
        """The listed anchors, ascending over all spans."""
        rows = np.flatnonzero(self.step == 0)
        return np.repeat(rows, np.diff(self.offset)[rows]) * FAR + self.listed
