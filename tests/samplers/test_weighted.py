"""Groups drawn with chosen probabilities: what is drawn, what weights and design effect are, what is refused."""

import numpy as np
import pytest

from lit_video.index.population import Population
from lit_video.samplers.runs import Runs
from lit_video.samplers.uniform import UniformSampler
from lit_video.samplers.weighted import WeightedSampler
from lit_video.support.errors import DataError
from tests.fakes import grouped_index_of, index_of

INDEX = grouped_index_of([10, 30, 60, 20], 10)  # even: 10 + 60, odd: 30 + 20


def groups_drawn(sampler, n):
    order = sampler.order(0)[0:n]
    return np.bincount(INDEX.locate(order)[0] % 2, minlength=2)


class TestDraws:
    def test_classes_count_alike(self):
        counts = groups_drawn(WeightedSampler(INDEX, 0, num_samples=20_000), 20_000)
        assert abs(counts[0] - 10_000) < 350  # five standard deviations of 71: exceeded 6 times in ten million

    def test_shares_are_relative(self):
        sampler = WeightedSampler(INDEX, 0, shares={"even": 2, "odd": 6}, num_samples=20_000)
        assert abs(groups_drawn(sampler, 20_000)[0] - 5000) < 310  # five standard deviations of 61: as above
        q = sampler.inclusion_probability()
        assert q[:10] == pytest.approx(0.25 / 70)
        assert q[10:40] == pytest.approx(0.75 / 50)

    def test_samples_of_a_group_are_alike(self):
        order = WeightedSampler(INDEX, 0, num_samples=35_000).order(0)[0:35_000]
        even = np.bincount(order, minlength=120)[INDEX.locate(np.arange(120))[0] % 2 == 0]
        assert ((even - even.mean()) ** 2 / even.mean()).sum() < 140  # 69 degrees of freedom: once in a million

    def test_by_video_is_what_uniform_per_video_states(self):
        weighted, uniform = WeightedSampler(INDEX, by="video", correct=True), UniformSampler(INDEX, per_video=True)
        assert np.allclose(weighted.inclusion_probability(), uniform.inclusion_probability())
        assert np.allclose(weighted.weights(), uniform.weights())
        assert weighted.design_effect(np.ones(99), 8) == pytest.approx(uniform.design_effect(np.ones(99), 8))

    def test_is_of_the_samples_of_a_population(self):
        population = Population(INDEX, videos=[0, 1], stride=5)
        sampler = WeightedSampler(population, 0)
        assert sampler.inclusion_probability() == pytest.approx([1 / 4] * 2 + [1 / 12] * 6)
        assert len(sampler.order(0)) == 8

    def test_a_hundred_million_samples_take_no_memory(self):
        law = Runs(np.array([0, 10**8 - 5, 10**8]), np.array([0.5 / (10**8 - 5), 0.1]))
        drawn = law.draw(np.random.default_rng(0), 4096)
        assert abs((drawn >= 10**8 - 5).sum() - 2048) < 160  # five standard deviations: 6 times in ten million


class TestTheObjective:
    def test_balance_is_meant_unless_it_is_to_be_corrected(self):
        sampler = WeightedSampler(INDEX, 0)
        assert sampler.weights() is None
        assert sampler.weights(np.array([3, 50])).tolist() == [1, 1]
        assert sampler.design_effect(np.ones(99), 16) == 1
        assert np.array_equal(sampler.objective(), sampler.inclusion_probability())

    def test_corrected_weights_give_the_mean_over_all_samples(self):
        sampler = WeightedSampler(INDEX, 0, shares={"even": 1, "odd": 9}, correct=True)
        q, w = sampler.inclusion_probability(), sampler.weights()
        gradients = np.random.default_rng(0).normal(size=(120, 3))
        assert np.allclose((q * w) @ gradients, gradients.mean(axis=0))
        assert sampler.design_effect(np.ones(99), 16) == pytest.approx((q * w**2).sum())  # Kish's factor

    def test_shares_of_the_samples_are_uniform(self):
        sampler = WeightedSampler(INDEX, 0, shares={"even": 70, "odd": 50})
        assert sampler.exact_uniform
        assert not WeightedSampler(INDEX, 0).exact_uniform


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"shares": {"even": 1}}, "shares must name each class, and lacks odd: 0 leaves one out"),
        (
            {"shares": {"even": 1, "odd": 1, "prime": 1}},
            "shares names class 'prime', which is none: there are even, odd",
        ),
        ({"shares": {"even": 0, "odd": 0}}, "shares must be at least 0 and not all 0"),
        ({"shares": {"even": -1, "odd": 2}}, "shares must be at least 0"),
        (
            {"shares": {"even": 0, "odd": 2}, "correct": True},
            "correct=true needs a share above 0 for each class, and even",
        ),
        ({"by": "video", "shares": {"mp4": 1}}, "shares names video 'mp4', which is none: there are /nowhere/0.mp4"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
    ],
)
def test_refuses(arguments, told):
    with pytest.raises(ValueError, match=told):
        WeightedSampler(INDEX, 0, **arguments)


def test_refuses_a_class_without_samples():
    index = grouped_index_of([10, 20], 10, [0, 2], ("cat", "dog", "eel"))
    assert WeightedSampler(index, 0).inclusion_probability()[0] == pytest.approx(1 / 20)  # dogs are not missed
    with pytest.raises(ValueError, match="shares names class 'dog', which has no samples: there are cat, eel"):
        WeightedSampler(index, 0, shares={"cat": 1, "dog": 1, "eel": 1})


def test_refuses_samples_without_a_class():
    with pytest.raises(ValueError, match="by=class: 20 of 30 samples are of no class: label them, or leave them out"):
        WeightedSampler(grouped_index_of([10, 20], 10, [0, -1], ("cat",)), 0)


@pytest.mark.parametrize("by", ["class", "weather"])
def test_needs_groups(by):
    with pytest.raises(DataError, match=f"by={by}: the videos are not told apart by that"):
        WeightedSampler(index_of([10], 5), 0, by=by)
