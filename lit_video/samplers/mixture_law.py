"""Variance of a mixture: how alike two slots are whose groups a word deals. F66 and F67 of docs/bias.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import h_curve
from lit_video.samplers.laws import design_effect
from lit_video.samplers.passes import same_pass
from lit_video.samplers.words import Word


@dataclass(frozen=True, eq=False)
class MixtureLaw:
    """What is to be known of G groups and their word.

    Attributes:
        word: Deals positions to the groups.
        size: int64 [G], samples of each.
        factor: float64 [G], weight of each group's samples.
        between: float64 [G], mean correlation of two samples of a group, drawn anew: the square of the group's mean
            gradient over the variance of one sample. Samples of two groups count as uncorrelated.
    """

    word: Word
    size: Int64[np.ndarray, " groups"]
    factor: Float64[np.ndarray, " groups"]
    between: Float64[np.ndarray, " groups"]

    @property
    def share(self) -> Float64[np.ndarray, " groups"]:
        """Of the positions."""
        return self.word.count / self.word.length

    @property
    def centre(self) -> float:
        """The square of the mean gradient, which is what all gradients are measured from."""
        return float(((self.share * self.factor) ** 2 * self.between).sum())

    @property
    def of_one_slot(self) -> float:
        """The variance of one slot's weighted gradient."""
        alike = 1 - 2 * self.share * self.factor * self.between + self.centre
        return float((self.share * self.factor**2 * alike).sum())

    def correlation(self, max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return the correlation of two slots of an epoch by distance (F66); exact over rotations and passes.

        With weights, what the mean gradient has to do with single groups counts as it would for independent draws.
        """
        once = np.where(self.size > 1, (self.between - 1) / np.maximum(self.size - 1, 1), 0.0)
        total = np.zeros(max_delta + 1)
        for group, (chance, steps) in enumerate(self.word.together(np.arange(max_delta + 1))):
            alike = same_pass(steps, int(self.word.count[group]), int(self.size[group]))
            more_often = chance.sum(axis=1) - self.share[group] ** 2
            pairs = more_often * self.between[group] + (chance * alike).sum(axis=1) * once[group]
            total += self.factor[group] ** 2 * pairs
        total /= self.of_one_slot if self.of_one_slot > 1e-9 else 1.0
        total[0] = 1
        return total

    def design_effect(self, batch_size: int, horizon: str | int, beta: float) -> float:
        """Return the variance relative to independent draws by the objective (F67)."""
        if 1 - self.centre < 1e-9:  # all gradients are the same
            return 1.0
        within = float((self.share * self.factor**2 * (1 - self.between)).sum()) / self.of_one_slot
        found = design_effect(self.correlation, within, batch_size, horizon, beta, self.word.length)
        return self.of_one_slot / (1 - self.centre) * found


def between_groups(
    R: Float64[np.ndarray, " lags"],
    offset: Int64[np.ndarray, " runs_and_end"],
    group: Int64[np.ndarray, " runs"],
    size: Int64[np.ndarray, " groups"],
) -> Float64[np.ndarray, " groups"]:
    """Return the mean of R over all pairs of samples of each group, each with itself too; 0 for those of two runs."""
    lengths = np.diff(offset)
    longest = int(lengths.max())
    R = np.pad(np.asarray(R, float), (0, max(0, longest - len(R))), mode="edge")[:longest]
    pairs = np.append(0.0, np.arange(1, longest + 1) * h_curve(R))[lengths]
    return np.bincount(group, pairs, len(size)) / size.astype(float) ** 2
