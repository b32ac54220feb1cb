"""A law of samples that is the same within runs of them: a number for each run, none for each sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float64, Int, Int64

from lit_video.bias.validation import law, vector
from lit_video.support.rng import rng

DRAWS = 4096


@dataclass(frozen=True, eq=False)
class Runs:
    """The probability of N samples, run by run.

    Attributes:
        offset: int64 [R + 1], the first sample of each run, ascending from 0, and N.
        probability: float64 [R], of each sample of a run; times the runs' lengths they sum to 1.

    Raises:
        ValueError: `offset` does not ascend from 0, or the probabilities are no law.
    """

    offset: Int[np.ndarray, " runs_and_end"]
    probability: Float[np.ndarray, " runs"]

    def __post_init__(self) -> None:
        if len(self.offset) != len(self.probability) + 1 or self.offset[0] != 0 or (self.lengths < 0).any():
            raise ValueError(
                f"offset must ascend from 0 and be one longer than probability, got {len(self.offset)} and"
                f" {len(self.probability)} numbers, the first offset {self.offset[0]}"
            )
        mass = law("probability times the lengths of the runs", vector("probability", self.probability) * self.lengths)
        object.__setattr__(self, "probability", self.probability / mass.sum())  # rounded no more than float64 is

    @classmethod
    def even(cls, num_samples: int) -> Runs:
        """Return the law of samples that are all alike."""
        return cls(np.array([0, num_samples]), np.array([1 / num_samples]))

    @property
    def lengths(self) -> Int64[np.ndarray, " runs"]:
        """Number of samples of each run."""
        return np.diff(self.offset)

    @property
    def num_samples(self) -> int:
        """N."""
        return int(self.offset[-1])

    @property
    def is_even(self) -> bool:
        """Whether all samples are alike."""
        return bool(np.allclose(self.probability[self.lengths > 0] * self.num_samples, 1, rtol=0, atol=1e-9))

    @property
    def num_never(self) -> int:
        """Number of samples that are never drawn."""
        return int(self.lengths[self.probability == 0].sum())

    @property
    def kish_factor(self) -> float:
        """What weights 1 / (N q) cost in variance (F40); infinite where a sample is never drawn."""
        if self.num_never:
            return float("inf")
        some = self.lengths > 0
        return float((self.lengths[some] / (self.num_samples**2 * self.probability[some])).sum())

    def each(self) -> Float64[np.ndarray, " samples"]:
        """Return the probability of every sample: float64 [N]."""
        return np.repeat(self.probability, self.lengths)

    def of(self, sample_ids: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Return the probability of some samples."""
        return self.probability[np.searchsorted(self.offset, sample_ids, side="right") - 1]

    def draw(self, generator: np.random.Generator, count: int) -> Int64[np.ndarray, " count"]:
        """Return so many independent draws: a run by its mass, and a sample of it."""
        rows = np.searchsorted(self._cumulative, generator.random(count), side="right")
        return self.offset[rows] + generator.integers(self.lengths[rows])

    @cached_property
    def _cumulative(self) -> Float64[np.ndarray, " runs"]:
        mass = np.cumsum(self.probability * self.lengths)
        mass[mass >= mass[-1]] = 1  # rounding must leave nothing behind the last run that is drawn at all
        return mass


@dataclass(frozen=True, eq=False)
class Draws:
    """An order of independent draws, block by block, each block a function of its number.

    Attributes:
        draw: From a generator and a number of draws to so many sample ids.
        length: Positions.
        key: Seed, stream and epoch.
    """

    draw: Callable[[np.random.Generator, int], np.ndarray]
    length: int
    key: tuple[int, str, int]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        begin, end, step = positions.indices(self.length)
        numbers = range(begin // DRAWS, -(-end // DRAWS)) if begin < end else range(0)
        blocks = [self.draw(rng(*self.key, number), DRAWS) for number in numbers]
        drawn = np.concatenate([*blocks, np.empty(0, np.int64)])
        offset = begin // DRAWS * DRAWS
        return drawn[begin - offset : max(begin, end) - offset : step]
