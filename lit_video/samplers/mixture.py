"""Fixed shares of groups in every batch: several data sets side by side, each in its own random order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.samplers.chunks import Line
from lit_video.samplers.drawn import StationarySampler
from lit_video.samplers.mixture_law import MixtureLaw, between_groups
from lit_video.samplers.passes import KeyedPasses, ListedPasses
from lit_video.samplers.permutation import LARGEST_ARRAY
from lit_video.samplers.runs import Runs
from lit_video.samplers.shares import Shares, listed, share_out
from lit_video.samplers.weighted import check_can_correct
from lit_video.samplers.words import Word
from lit_video.support.rng import rng

LONGEST = 2**31  # beyond it position times count would not fit in 64 bits


@dataclass(frozen=True, eq=False)
class Mixed:
    """An order that deals positions to groups by a word, and takes each group's draws from its own passes.

    Attributes:
        word: Which group is at which position.
        rotation: Of the word, in this epoch.
        passes: From groups and numbers of draws in this epoch to places in the groups.
        begin: int64 [G], place on the line of each group's first sample.
        line: All samples, group after group.
    """

    word: Word
    rotation: Int64[np.ndarray, " forks"]
    passes: ListedPasses | KeyedPasses
    begin: Int64[np.ndarray, " groups"]
    line: Line

    def __len__(self) -> int:
        return self.word.length

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        group, rank = self.word.deal(np.arange(*positions.indices(len(self)), dtype=np.int64), self.rotation)
        return self.line.frames(self.begin[group] + self.passes.at(group, rank))


@dataclass(frozen=True)
class MixtureSampler(StationarySampler):
    """Each group has its share of every batch, as nearly as whole samples can: within one sample where groups are two.

    A group's samples come in random order, each once, and then in another: a small group several times an epoch, a
    large one in part, and the next epoch goes on where this one ended. Groups whose shares are those of their samples
    come exactly once each epoch. A share is rounded to whole draws an epoch, and the word that deals positions to
    groups is rotated at random, so every slot has exactly the stated law (F62 to F67 of docs/bias.md).

    What the loss is a mean over is a choice, as for `WeightedSampler`: the mixture, with weights 1; or with `correct`
    all samples alike, with weights 1 / (N q).

    Args:
        index: The samples.
        seed: The run's seed.
        num_samples: Positions in an epoch; as many as there are samples by default.
        by: What groups samples: `root`, `class`, `video`, or a column of the labels.
        shares: By name of a group, relative to their sum; 0 leaves a group out. None: all groups alike.
        correct: The batch's weights undo the shares.

    Raises:
        ValueError: `shares` lacks a group or names another, a share is less than one draw in an epoch, or `correct`
            cannot be done.
        DataError: There are no such groups.
    """

    by: str = "root"
    shares: Mapping[str, float] | None = None
    correct: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_can_correct(self._shares, self.by, self.correct)
        if self.num_positions > LONGEST:
            raise ValueError(f"num_samples must be at most {LONGEST} for a mixture, got {self.num_positions}")
        count = self._shares.share * self.num_positions
        if rare := [name for name, c in zip(self._shares.names, count, strict=True) if 0 < c < 1]:
            raise ValueError(
                f"num_samples={self.num_positions} gives {listed(rare)} less than one draw in an epoch: take at least"
                f" {int(np.ceil(self.num_positions / count[count > 0].min()))}"
            )

    @property
    def as_drawn(self) -> bool:
        """Whether the loss is to be a mean over samples as they are drawn: unless `correct`."""
        return not self.correct

    @property
    def epoch_complete(self) -> bool:
        """Whether every epoch has each sample exactly once: where shares are those of the samples."""
        return bool((self._counts == self._shares.size).all())

    @property
    def shares_within(self) -> dict[str, float]:
        """By less than how many samples each group's part of any stretch of an epoch is off its share (F64)."""
        bound = dict(zip(self._drawn.tolist(), self._word.bound().tolist(), strict=True))
        return {name: bound.get(number, 0.0) for number, name in enumerate(self._shares.names)}

    def law(self) -> Runs:
        """Return draws an epoch of each group, over positions, over the group's samples (F62)."""
        shares = self._shares
        return Runs(shares.offset, (self._counts / (self.num_positions * shares.size))[shares.group])

    def order(self, epoch: int) -> Mixed:
        """Return the sample ids of one epoch, computed where they are looked at."""
        count, size = self._counts[self._drawn], self._shares.size[self._drawn]
        is_short = max(self.num_positions, self.index.num_samples) <= LARGEST_ARRAY
        passes = (ListedPasses if is_short else KeyedPasses)(count, size, self.seed, epoch)
        rotation = self._word.rotations(rng(self.seed, "mixture.rotation", epoch))
        begin = (np.cumsum(self._shares.size) - self._shares.size)[self._drawn]
        return Mixed(self._word, rotation, passes, begin, Line(*self._shares.line()))

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return the correlation of two slots of an epoch by distance, of gradients times their weights (F66).

        What videos of a group have in common is not in R, and so not in this: a mixture removes that variance too.
        """
        return self._variance(R).correlation(max_delta)

    def design_effect(
        self, R: Float64[np.ndarray, " lags"], batch_size: int, horizon: str | int = "batch", beta: float = 0.9
    ) -> float:
        """Return the variance of the gradient relative to that of as many independent draws by the objective (F67)."""
        return self._variance(R).design_effect(batch_size, horizon, beta)

    def _variance(self, R: Float64[np.ndarray, " lags"]) -> MixtureLaw:
        shares, drawn = self._shares, self._drawn
        between = between_groups(R, shares.offset, shares.group, shares.size)[drawn]
        return MixtureLaw(self._word, shares.size[drawn], self._factor, between)

    @property
    def _factor(self) -> Float64[np.ndarray, " groups"]:
        """Weight of each group's samples."""
        if not self.correct:
            return np.ones(len(self._drawn))
        return self._shares.size * self.num_positions / (self.index.num_samples * self._counts)  # all are drawn

    @cached_property
    def _shares(self) -> Shares:
        return share_out(self.index, self.by, self.shares)

    @cached_property
    def _counts(self) -> Int64[np.ndarray, " groups"]:
        """Draws of each group in an epoch: its share, rounded so that they are all positions."""
        wanted = self._shares.share * self.num_positions
        counts = np.floor(wanted + 1e-9).astype(np.int64)
        rest = np.argsort(counts - wanted, kind="stable")[: self.num_positions - int(counts.sum())]
        counts[rest] += 1
        return counts

    @cached_property
    def _drawn(self) -> Int64[np.ndarray, " drawn"]:
        """The groups that have a share."""
        return np.flatnonzero(self._counts)

    @cached_property
    def _word(self) -> Word:
        return Word.of(self._counts[self._drawn])
