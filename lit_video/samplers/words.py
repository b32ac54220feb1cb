"""A word of n letters that has each letter in every stretch nearly as often as its share says.

Two letters are dealt by Bresenham's rule: position k holds the first if a running sum k·a + U of its count a passes a
multiple of n. More letters are dealt by a tree: at each fork one side or the other, and within a side its own word::

    a 5, b 2, c 1 of 8        a a b a a b a c
    root: 5 of 8 are a        a a . a a . a .
    fork: 2 of 3 are b            b     b   c

The tree is Huffman's: forks join the rarest. So each count within m positions in a row is off its share by less than
`bound`, 1 for two letters and below 3.36 for any number of them (F64 of docs/bias.md).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64


@dataclass(frozen=True, eq=False)
class Word:
    """How n positions are dealt to G letters, up to the rotation of each fork.

    Attributes:
        count: int64 [G], of each letter, at least 1.
        size: int64 [F], positions of each of the G - 1 forks; the first is the root.
        left: int64 [F], how many of them go to its first side.
        sides: int64 [F, 2], the fork on each side, or ~letter.
    """

    count: Int64[np.ndarray, " letters"]
    size: Int64[np.ndarray, " forks"]
    left: Int64[np.ndarray, " forks"]
    sides: Int64[np.ndarray, "forks 2"]

    @classmethod
    def of(cls, count: Int64[np.ndarray, " letters"]) -> Word:
        """Return Huffman's tree of letters that are wanted so often each."""
        heap = [(wanted, ~letter) for letter, wanted in enumerate(count.tolist())]
        heapq.heapify(heap)
        forks: list[tuple[int, int, int, int]] = []
        for number in range(len(count) - 2, -1, -1):  # the root comes last, and is number 0
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            forks.append((first[0] + second[0], first[0], first[1], second[1]))
            heapq.heappush(heap, (first[0] + second[0], number))
        columns = np.array(forks[::-1], np.int64).reshape(-1, 4)
        return cls(count, columns[:, 0], columns[:, 1], columns[:, 2:])

    @property
    def length(self) -> int:
        """Number of positions, n."""
        return int(self.count.sum())

    def rotations(self, generator: np.random.Generator) -> Int64[np.ndarray, " forks"]:
        """Return a uniform rotation of each fork: with it every position has every letter by its share exactly."""
        return generator.integers(self.size)

    def deal(
        self, positions: Int64[np.ndarray, " n"], rotation: Int64[np.ndarray, " forks"]
    ) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return the letter at each position, and which of its letter it is, counted from 0."""
        node = np.zeros_like(positions) if len(self.size) else np.full_like(positions, ~0)
        rank = positions.copy()
        open_ = np.flatnonzero(node >= 0)
        while len(open_):
            here, k = node[open_], rank[open_]
            passed = k * self.left[here] + rotation[here]
            before = passed // self.size[here]
            first = (passed + self.left[here]) // self.size[here] > before
            rank[open_] = np.where(first, before, k - before)
            node[open_] = self.sides[here, np.where(first, 0, 1)]
            open_ = open_[node[open_] >= 0]
        return ~node, rank

    def bound(self) -> Float64[np.ndarray, " letters"]:
        """Return by less than what a letter's count within positions in a row is off its share of them (F64).

        It is the sum, over the sides that lead to the letter, of its count over the side's: at each fork the count is
        off by less than 1, and by what the fork's own positions are off, times the share that goes on.
        """
        off = np.zeros(len(self.size))  # of the positions that come to a fork
        bound = np.zeros(len(self.count))
        for fork in range(len(self.size)):
            for side, taken in zip(self.sides[fork], (self.left[fork], self.size[fork] - self.left[fork]), strict=True):
                here = 1 + off[fork] * taken / self.size[fork]
                (off if side >= 0 else bound)[side if side >= 0 else ~side] = here
        return bound

    def together(self, distances: Int64[np.ndarray, " d"]) -> list[tuple[Float64[np.ndarray, "d m"], np.ndarray]]:
        """Return for each letter how likely two positions, so far apart, both have it with so many steps between them.

        Exact over the rotations (F65): for each letter the probability [d, m], and the steps [d, m] that it is of,
        counted in positions that have the letter.
        """
        found: list = [(np.ones((len(distances), 1)), distances[:, None])] * len(self.count)
        todo = [(0, *found[0])] if len(self.size) else []
        while todo:
            fork, chance, steps = todo.pop()
            n, a = int(self.size[fork]), int(self.left[fork])
            for side, part, other in ((0, a, n - a), (1, n - a, a)):
                passed, rest = np.divmod(steps * part, n)
                stay, wrap = np.maximum(0, part - rest) / n, np.maximum(0, rest - other) / n
                reached = _merged(chance, passed, stay, wrap)
                target = int(self.sides[fork, side])
                if target >= 0:
                    todo.append((target, *reached))
                else:
                    found[~target] = reached
        return found


def _merged(
    chance: Float64[np.ndarray, "d m"],
    steps: Int64[np.ndarray, "d m"],
    stay: Float64[np.ndarray, "d m"],
    wrap: Float64[np.ndarray, "d m"],
) -> tuple[Float64[np.ndarray, "d k"], Int64[np.ndarray, "d k"]]:
    """Return the chances of `steps` and of one step more, put together where they are of the same number of steps."""
    lowest = steps[:, :1]
    width = int((steps - lowest).max()) + 2
    merged = np.zeros((len(steps), width))
    rows = np.arange(len(steps))
    for column in range(steps.shape[1]):
        place = (steps - lowest)[:, column]
        merged[rows, place] += chance[:, column] * stay[:, column]
        merged[rows, place + 1] += chance[:, column] * wrap[:, column]
    return merged, lowest + np.arange(width)
