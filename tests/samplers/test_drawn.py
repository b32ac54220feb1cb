"""Samplers that are written with the base classes: a probability, or a list of samples, and no law."""

from dataclasses import dataclass

import numpy as np
import pytest

from lit_video.samplers.drawn import IndependentSampler, PermutedSampler
from lit_video.samplers.permutation import LARGEST_ARRAY
from lit_video.samplers.runs import Runs
from lit_video.testing import check_sampler
from tests.fakes import index_of

INDEX = index_of([50, 31, 12], 10)


@dataclass(frozen=True)
class ByPlace(IndependentSampler):
    """The first half twice as often as the second, stated for each sample."""

    def law(self):
        n = self.index.num_samples
        weight = np.where(np.arange(n) < n // 2, 2.0, 1.0)
        return weight / weight.sum()


@dataclass(frozen=True)
class ByRun(ByPlace):
    """The same, stated by runs."""

    def law(self):
        n = self.index.num_samples
        weight = np.array([2.0, 1.0])
        return Runs(np.array([0, n // 2, n]), weight / (weight @ [n // 2, n - n // 2]))


@dataclass(frozen=True)
class EveryFifth(PermutedSampler):
    def sample_ids(self):
        return range(2, self.index.num_samples, 5)


@dataclass(frozen=True)
class Later(PermutedSampler):
    """Enough of all for its variance to be looked at."""

    def sample_ids(self):
        return np.arange(20, self.index.num_samples)


@dataclass(frozen=True)
class Chosen(PermutedSampler):
    ids: tuple = (7, 3, 92, 40)

    def sample_ids(self):
        return np.array(self.ids, np.int64)


@pytest.mark.parametrize("make", [ByPlace, ByRun, EveryFifth, Later, Chosen, PermutedSampler])
def test_a_law_or_a_list_is_a_whole_sampler(make):
    check_sampler(make(INDEX, seed=0), INDEX)


def test_runs_and_numbers_for_each_state_the_same():
    one, other = ByPlace(INDEX, 0), ByRun(INDEX, 0)
    some = np.array([0, 45, 46, 92])
    assert np.allclose(one.inclusion_probability(), other.inclusion_probability())
    assert np.allclose(one.weights(some), other.weights(some))
    assert one.design_effect(np.ones(9), 4) == pytest.approx(other.design_effect(np.ones(9), 4))
    assert np.allclose(one.weights(), 1 / (93 * one.inclusion_probability()))


def test_a_subset_is_what_the_loss_is_a_mean_over():
    sampler = EveryFifth(INDEX, 0)
    order = sampler.order(0)
    assert sorted(order[0 : len(order)]) == list(range(2, 93, 5))
    assert sampler.weights() is None
    assert sampler.objective()[:4].tolist() == pytest.approx([0, 0, 1 / 19, 0])
    assert not sampler.epoch_complete
    assert sampler.design_effect(np.ones(99), 19) == pytest.approx(0)


def test_a_subset_of_many_takes_no_memory():
    class Many:
        num_samples = 5 * (LARGEST_ARRAY + 10)

    sampler = EveryFifth.__new__(EveryFifth)
    for name, value in (("index", Many()), ("seed", 0), ("num_samples", None)):
        object.__setattr__(sampler, name, value)
    found = sampler.order(0)[LARGEST_ARRAY : LARGEST_ARRAY + 10]
    assert len(sampler.order(0)) == LARGEST_ARRAY + 10
    assert (found % 5 == 2).all()
    assert len(set(found.tolist())) == 10


@pytest.mark.parametrize("ids", [(), (3, 3), (-1,), (93,)])
def test_sample_ids_must_be_some(ids):
    with pytest.raises(ValueError, match=r"sample_ids must lie in \[0, 93\), at least one and none twice"):
        Chosen(INDEX, 0, ids=ids)


def test_no_more_can_be_asked_for_than_there_are():
    with pytest.raises(ValueError, match="num_samples must be at most 4, as many as are drawn, got 5"):
        Chosen(INDEX, 0, num_samples=5)


@pytest.mark.parametrize(
    ("offset", "probability", "told"),
    [
        ([0, 3, 5], [0.2, 0.3], "must sum to 1, got a sum of 1.2"),
        ([0, 3, 5], [0.5, -0.25], "must not be negative"),
        ([1, 5], [0.25], "offset must ascend from 0"),
        ([0, 3, 5], [0.2], "offset must ascend from 0 and be one longer"),
        ([0, 3, 2], [0.3, 0.1], "offset must ascend from 0"),
    ],
)
def test_runs_are_a_law(offset, probability, told):
    with pytest.raises(ValueError, match=told):
        Runs(np.array(offset), np.array(probability))


def test_a_law_is_of_all_samples():
    class Short(ByPlace):
        def law(self):
            return np.full(92, 1 / 92)

    with pytest.raises(ValueError, match="law must be of 93 samples, got one of 92"):
        Short(INDEX, 0).weights()


def test_what_has_no_probability_is_not_drawn_by_rounding():
    law = Runs(np.arange(13), np.array([0, *[0.1] * 10, 0]))  # their running sum ends below 1

    class Highest(np.random.Generator):
        def random(self, count):
            return np.array([0.0, 0.1, np.nextafter(1, 0)])

    assert law.draw(Highest(np.random.PCG64(0)), 3).tolist() == [1, 2, 10]
