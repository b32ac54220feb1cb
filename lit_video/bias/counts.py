"""Tests that a sampler is uniform, from how often it drew each frame. Section 12 of docs/bias.md.

Frames of one chunk are drawn together, so their counts are not independent: the textbook chi-square test would reject
a correct sampler of chunks far too often. The tests here count chunks where chunks were drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import Floats, lengths_in_frames, real, vector, whole
from lit_video.bias.chi_square import chi_square_tail


@runtime_checkable
class CountDesign(Protocol):
    """How the frames were drawn: all that the distribution of X² depends on."""

    def moments(self) -> tuple[int, float, float]:
        """Return frames N, Σ lambda and Σ lambda², where X² is distributed as Σ lambda_f·chi²_1 for many draws."""
        ...


@dataclass(frozen=True)
class DrawnChunks:
    """Whole chunks of a fixed partition, drawn with replacement and all equally likely.

    Attributes:
        lengths: Frames of every chunk, [M]; chunks lie in the order of the frames.
    """

    lengths: ArrayLike

    def moments(self) -> tuple[int, float, float]:
        """Return N, Σ lambda and Σ lambda²; for chunks of k frames lambda is k, M − 1 times."""
        lengths = lengths_in_frames("lengths", self.lengths).astype(np.float64)
        N, M, squares = lengths.sum(), lengths.size, np.square(lengths).sum()
        return int(N), N * (1 - 1 / M), squares * (1 - 2 / M) + (N / M) ** 2


@dataclass(frozen=True)
class DrawnWindows:
    """Circular windows of `k` frames drawn with replacement, every frame of every video an equally likely start.

    k = 1 is independent frames.

    Attributes:
        lengths: Frames of every video, [V], each at least `k`.
        k: Frames in a window.
    """

    lengths: ArrayLike
    k: int = 1

    def moments(self) -> tuple[int, float, float]:
        """Return N, Σ lambda and Σ lambda²: one lambda per frequency of each video, and `k` for V − 1 totals."""
        lengths = lengths_in_frames("lengths", self.lengths)
        k = whole("k", self.k, high=int(lengths.min()))
        first, second = (lengths.size - 1.0) * k, (lengths.size - 1.0) * k * k
        for n, videos in zip(*np.unique(lengths, return_counts=True), strict=True):
            angle = np.pi * np.arange(1, n) / n
            eigenvalues = np.square(np.sin(k * angle) / np.sin(angle)) / k
            first, second = first + videos * eigenvalues.sum(), second + videos * np.square(eigenvalues).sum()
        return int(lengths.sum()), float(first), float(second)


@dataclass(frozen=True, slots=True)
class CountTest:
    """Outcome of a test of inclusion counts.

    Attributes:
        statistic: X² divided by its scale, to be compared with chi² of `degrees_of_freedom`.
        degrees_of_freedom: A real number.
        p_value: Probability of at least this statistic if the sampler is uniform.
    """

    statistic: float
    degrees_of_freedom: float
    p_value: float


def count_test(counts: ArrayLike, design: CountDesign) -> CountTest:
    """Test whether all frames were drawn equally often, up to chance. F57 of docs/bias.md.

    Exact in mean and variance for any design; the law is chi² for equal chunks and close to it otherwise (Rao and
    Scott). Not for orders that hold each frame once: there every count must be 1.

    Args:
        counts: How often each frame was drawn, [N]; a mean of 5 draws of a chunk or more per frame is enough.
        design: How they were drawn: `DrawnChunks` or `DrawnWindows`.

    Raises:
        ValueError: Counts of another number of frames than the design has, none at all, or a design of one chunk.
    """
    counts = vector("counts", counts)
    num_frames, first, second = design.moments()
    if counts.size != num_frames or counts.min() < 0 or counts.sum() == 0:
        raise ValueError(
            f"counts must hold {num_frames} numbers of at least 0, not all 0, got {counts.size} numbers "
            f"with sum {counts.sum():g}"
        )
    if first <= 1e-9:
        raise ValueError("design must leave something to chance, got one that draws every frame each time")
    expected = counts.mean()
    scale, degrees = second / first, first * first / second
    statistic = float(np.square(counts - expected).sum() / expected / scale)
    return CountTest(statistic, degrees, chi_square_tail(statistic, degrees))


@dataclass(frozen=True, slots=True)
class DirectedTest:
    """Outcome of a test of one number per chunk.

    Attributes:
        z: Distance from the expected value in standard deviations; positive if there was more than expected.
        p_value: Two-sided.
    """

    z: float
    p_value: float


def directed_test(per_draw: ArrayLike, expected: float, sd: float | None = None) -> DirectedTest:
    """Test the mean of one number per chunk drawn, such as its edge frames. Far more power than `count_test`.

    Args:
        per_draw: The number for each independently drawn chunk, [draws].
        expected: Its mean if the sampler is uniform.
        sd: Its standard deviation if the sampler is uniform; None: that of `per_draw`.

    Raises:
        ValueError: Fewer than two draws, or no variation to compare with.
    """
    per_draw = vector("per_draw", per_draw)
    draws = whole("number of draws in per_draw", per_draw.size, low=2)
    sd = float(per_draw.std(ddof=1)) if sd is None else real("sd", sd)
    if sd == 0:
        raise ValueError(f"per_draw must vary, got {draws} times {per_draw[0]:g}")
    z = float((per_draw.mean() - expected) / sd * math.sqrt(draws))
    return DirectedTest(z, math.erfc(abs(z) / math.sqrt(2)))


def draws_needed(
    mean_0: float, sd_0: float, mean_1: float, sd_1: float, alpha: float = 0.05, power: float = 0.9
) -> int:
    """Return how many chunks `directed_test` needs to tell one sampler from another. F58 of docs/bias.md.

    Args:
        mean_0: Mean of the number per chunk under the uniform sampler.
        sd_0: Its standard deviation there.
        mean_1: Mean under the other sampler.
        sd_1: Its standard deviation there.
        alpha: Two-sided false-alarm rate.
        power: Probability to notice the other sampler.

    Raises:
        ValueError: Equal means, which no number of chunks tells apart.
    """
    if mean_0 == mean_1:
        raise ValueError(f"mean_0 and mean_1 must differ, got {mean_0:g} twice")
    inverse = NormalDist().inv_cdf
    reach = inverse(1 - alpha / 2) * real("sd_0", sd_0) + inverse(power) * real("sd_1", sd_1)
    return math.ceil((reach / (mean_0 - mean_1)) ** 2)


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values that stay honest when the smallest of several tests is looked at, [tests]. Holm's method.

    Raises:
        ValueError: A p-value outside [0, 1].
    """
    p_values = vector("p_values", p_values)
    if p_values.min() < 0 or p_values.max() > 1:
        raise ValueError(f"p_values must be in [0, 1], got [{p_values.min():g}, {p_values.max():g}]")
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(p_values.size, 0, -1))
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1)
    return result


def tv_null(N: int, n: int, k: int = 1) -> float:
    """Return the total variation that counts of a uniform sampler seem to have. F59 of docs/bias.md.

    Subtract it from a total variation computed from counts. For many draws per frame, n >> N.

    Args:
        N: Frames.
        n: Slots drawn.
        k: Frames in a chunk.

    Raises:
        ValueError: `k` over `N`, or a number below 1.
    """
    N, n = whole("N", N), whole("n", n)
    return math.sqrt((N - whole("k", k, high=N)) / (2 * math.pi * n))
