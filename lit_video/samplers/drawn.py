"""Base classes that state the laws: a new sampler is a probability, or a list of samples, and nothing else.

::

    StationarySampler       all slots have one law, given by runs: q, weights, inclusion
      IndependentSampler    each position draws anew         give `law`
      PermutedSampler       some samples or all, each once   give `sample_ids`, or nothing
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.index import Samples
from lit_video.samplers.base import Order
from lit_video.samplers.laws import design_effect, even, permuted_correlation
from lit_video.samplers.permutation import permutation
from lit_video.samplers.runs import Draws, Runs


@dataclass(frozen=True)
class StationarySampler(ABC):
    """A sampler whose slots have all the same law.

    Args:
        index: The samples.
        seed: The run's seed.
        num_samples: Positions in an epoch; as many as there are samples by default.

    Raises:
        ValueError: An argument out of range.
    """

    index: Samples
    seed: int = 0
    num_samples: int | None = None

    def __post_init__(self) -> None:
        if self.num_samples is not None and (not isinstance(self.num_samples, int) or self.num_samples < 1):
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples!r}")

    @abstractmethod
    def law(self) -> Runs | Float64[np.ndarray, " samples"]:
        """Return the probability of each sample in a slot: by runs of samples that are alike, or float64 [N]."""

    @abstractmethod
    def order(self, epoch: int) -> Order:
        """Return the sample ids of one epoch."""

    @property
    def exact_uniform(self) -> bool:
        """Whether every slot is uniform over all samples."""
        return self._law.is_even

    @property
    def epoch_complete(self) -> bool:
        """Whether every epoch has each sample exactly once."""
        return False

    @property
    def as_drawn(self) -> bool:
        """Whether the loss is to be a mean over samples as they are drawn: then all weights are 1."""
        return False

    @property
    def num_positions(self) -> int:
        """Positions in an epoch."""
        return self.index.num_samples if self.num_samples is None else self.num_samples

    def inclusion_probability(self) -> Float64[np.ndarray, " samples"]:
        """Return q of each sample."""
        return self._law.each()

    def slot_law(self, slot: int) -> Float64[np.ndarray, " samples"]:
        """Return the probability of each sample in one slot: the same in all."""
        return self.inclusion_probability()

    def epoch_inclusion(self) -> Float64[np.ndarray, " samples"]:
        """Return how often each sample comes in an epoch, on average."""
        return self.inclusion_probability() * self.num_positions

    def objective(self) -> Float64[np.ndarray, " samples"]:
        """Return the law that the loss is to be a mean over: q where it is meant `as_drawn`, else all alike (F60)."""
        return self.inclusion_probability() if self.as_drawn else even(self.index.num_samples)

    def weights(self, frame_ids: Int64[np.ndarray, " n"] | None = None) -> Float64[np.ndarray, " n"] | None:
        """Return the factor of each sample's loss: 1 where it is meant `as_drawn`, else 1 / (N q) (F39).

        Raises:
            ValueError: A sample is never drawn, which no weight can repair.
        """
        if self.as_drawn or self.exact_uniform:
            return None if frame_ids is None else np.ones(len(frame_ids))
        if never := self._law.num_never:
            raise ValueError(
                f"q must be positive for every sample, but {never} of {self.index.num_samples} are never drawn, and no"
                " weight repairs that"
            )
        return 1 / (self.index.num_samples * (self._law.each() if frame_ids is None else self._law.of(frame_ids)))

    @cached_property
    def _law(self) -> Runs:
        law = self.law()
        law = law if isinstance(law, Runs) else Runs(np.arange(len(law) + 1), law)
        if law.num_samples != self.index.num_samples:
            raise ValueError(f"law must be of {self.index.num_samples} samples, got one of {law.num_samples}")
        return law


@dataclass(frozen=True)
class IndependentSampler(StationarySampler):
    """Draws each position anew, by the `law` that a subclass states. Nothing is as long as an epoch."""

    def order(self, epoch: int) -> Order:
        """Return the sample ids of one epoch, drawn where they are looked at."""
        return Draws(self._law.draw, self.num_positions, (self.seed, "drawn.independent", epoch))

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return 1 and then zeros: draws are independent."""
        return np.append(1.0, np.zeros(max_delta))

    def design_effect(
        self, R: Float64[np.ndarray, " lags"], batch_size: int, horizon: str | int = "batch", beta: float = 0.9
    ) -> float:
        """Return the variance of the gradient relative to that of as many independent samples of the objective.

        It is what weights cost (F40), and 1 where there are none; independent draws cost nothing else.
        """
        weighted = 1.0 if self.as_drawn or self.exact_uniform else self._law.kish_factor
        return weighted * design_effect(lambda delta: self.slot_correlation(R, delta), 1.0, batch_size, horizon, beta)


@dataclass(frozen=True)
class PermutedSampler(StationarySampler):
    """A random order of the samples that a subclass names, of all if it names none, each at most once an epoch.

    Where some are left out the loss is a mean over the others: weights are 1, and `objective` is 0 for what is left
    out.

    Raises:
        ValueError: An argument out of range, or sample ids that are none or name one twice.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        ids, n = self._ids, self.index.num_samples
        low, high = (
            (ids[0], ids[-1]) if isinstance(ids, range) and ids else (np.min(ids, initial=n), np.max(ids, initial=-1))
        )
        once = isinstance(ids, range) or len(np.unique(ids)) == len(ids)
        if not (len(ids) and once and min(low, high) >= 0 and max(low, high) < n):
            raise ValueError(f"sample_ids must lie in [0, {n}), at least one and none twice")
        if self.num_positions > len(ids):
            raise ValueError(f"num_samples must be at most {len(ids)}, as many as are drawn, got {self.num_samples}")

    def sample_ids(self) -> range | Int64[np.ndarray, " ids"]:
        """Return the samples that are drawn, a range where they are evenly spaced; all, unless a subclass says else."""
        return range(self.index.num_samples)

    @property
    def exact_uniform(self) -> bool:
        """Whether every slot is uniform over all samples: where none is left out."""
        return len(self._ids) == self.index.num_samples

    @property
    def epoch_complete(self) -> bool:
        """Whether every epoch has each sample exactly once."""
        return self.exact_uniform and self.num_positions == len(self._ids)

    @property
    def as_drawn(self) -> bool:
        """Whether the loss is to be a mean over samples as they are drawn: it is."""
        return True

    @property
    def num_positions(self) -> int:
        """Positions in an epoch: all of `sample_ids`, or `num_samples` of them."""
        return len(self._ids) if self.num_samples is None else self.num_samples

    def law(self) -> Runs | Float64[np.ndarray, " samples"]:
        """Return 1 / n for each of the n samples that are drawn."""
        if self.exact_uniform:
            return Runs.even(self.index.num_samples)
        q = np.zeros(self.index.num_samples)
        q[np.asarray(self._ids)] = 1 / len(self._ids)
        return q

    def order(self, epoch: int) -> Order:
        """Return the sample ids of one epoch; another epoch has another order."""
        return Picked(self._ids, permutation(len(self._ids), self.seed, "drawn.permuted", epoch, self.num_positions))

    def slot_correlation(self, R: Float64[np.ndarray, " lags"], max_delta: int) -> Float64[np.ndarray, " deltas"]:
        """Return -1/(n - 1) for any two slots, whatever R is: they never hold the same sample (U2)."""
        return permuted_correlation(len(self._ids), max_delta)

    def design_effect(
        self, R: Float64[np.ndarray, " lags"], batch_size: int, horizon: str | int = "batch", beta: float = 0.9
    ) -> float:
        """Return the variance of the gradient relative to that of as many independent samples of those drawn (F26)."""
        correlation = lambda delta: self.slot_correlation(R, delta)  # noqa: E731
        return design_effect(correlation, 1.0, batch_size, horizon, beta, len(self._ids))

    @cached_property
    def _ids(self) -> range | Int64[np.ndarray, " ids"]:
        return self.sample_ids()


@dataclass(frozen=True, eq=False)
class Picked:
    """Samples in the order of their places in a list.

    Attributes:
        ids: The list.
        places: An order of places in it.
    """

    ids: range | Int64[np.ndarray, " ids"]
    places: Order

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, positions: slice) -> Int64[np.ndarray, " positions"]:
        places = self.places[positions]
        return self.ids.start + self.ids.step * places if isinstance(self.ids, range) else self.ids[places]
