import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.samplers.base import Order, Sampler
from lit_video.samplers.permutation import LARGEST_ARRAY, KeyedPermutation, permutation
from lit_video.samplers.runs import DRAWS
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.testing import check_sampler
from tests.fakes import index_of


class TestUniform:
    def test_every_frame_once(self):
        order = UniformSampler(index_of([50, 31, 12], 10), 0).order(0)
        assert sorted(order) == list(range(93))

    def test_epochs_and_seeds_differ(self):
        index = index_of([50], 10)
        orders = [UniformSampler(index, seed).order(epoch) for seed, epoch in itertools.product((0, 1), (0, 1))]
        assert len({tuple(order) for order in orders}) == 4

    def test_every_permutation_is_equally_likely(self):
        sampler = UniformSampler(index_of([4], 2), 0)
        orders = [tuple(sampler.order(epoch)) for epoch in range(4800)]
        counts = np.array([orders.count(order) for order in itertools.permutations(range(4))])
        assert ((counts - 200) ** 2 / 200).sum() < 60  # 23 degrees of freedom: exceeded 4 times in 100,000

    def test_num_samples_takes_so_many(self):
        order = UniformSampler(index_of([50], 10), 0, num_samples=20).order(0)
        assert len(order) == 20
        assert len(set(order)) == 20

    def test_replacement_draws_independently(self):
        order = UniformSampler(index_of([50], 10), 0, replacement=True, num_samples=50_000).order(0)
        counts = np.bincount(order[:50_000], minlength=50)
        assert ((counts - 1000) ** 2 / 1000).sum() < 110  # 49 degrees of freedom: exceeded 2 times in a million

    def test_replacement_slices_agree_with_the_whole(self):
        order = UniformSampler(index_of([50], 10), 0, replacement=True, num_samples=3 * DRAWS).order(0)
        whole = order[0 : len(order)]
        for begin, end in ((0, 5), (DRAWS - 3, DRAWS + 3), (DRAWS, 2 * DRAWS), (2 * DRAWS + 1, 3 * DRAWS)):
            assert np.array_equal(order[begin:end], whole[begin:end])

    @pytest.mark.parametrize(
        ("arguments", "limit"),
        [
            ({"num_samples": 0}, "at least 1"),
            ({"num_samples": 51}, "at most 50, the number of frames"),
            ({"num_samples": 0, "replacement": True}, "at least 1"),
        ],
    )
    def test_refuses(self, arguments, limit):
        with pytest.raises(ValueError, match=f"num_samples must be {limit}"):
            UniformSampler(index_of([50], 10), 0, **arguments)


def test_sequential_is_the_order_of_the_files():
    sampler = SequentialSampler(index_of([5, 3], 2))
    assert sampler.order(0)[0:8].tolist() == sampler.order(7)[0:8].tolist() == list(range(8))


class TestKeyedPermutation:
    @given(st.integers(1, 400), st.integers(0, 5))
    def test_is_a_permutation(self, n, seed):
        keys = tuple(np.random.default_rng(seed).integers(2**63, size=6).tolist())
        order = KeyedPermutation(n, n, keys, seed % n)
        assert sorted(order[0:n]) == list(range(n))

    def test_slices_agree_with_the_whole(self):
        order = KeyedPermutation(1000, 900, (1, 2, 3, 4, 5, 6), 17)
        whole = order[0:900]
        assert len(order) == len(whole) == 900
        assert np.array_equal(order[100:200], whole[100:200])
        assert np.array_equal(order[5:5], whole[:0])

    def test_rotation_makes_every_slot_uniform(self):
        orders = [KeyedPermutation(30, 30, (9, 8, 7, 6, 5, 4), rotation)[0:30] for rotation in range(30)]
        assert all(sorted(slot) == list(range(30)) for slot in np.array(orders).T)

    def test_neighbours_part(self):
        """Frames next to each other land as far apart as in a random permutation: a third of the length on average."""
        n = 20_000
        places = np.argsort(KeyedPermutation(n, n, (11, 22, 33, 44, 55, 66), 5)[0:n])
        assert np.abs(np.diff(places)).mean() / n == pytest.approx(1 / 3, abs=0.01)  # six standard errors

    def test_serves_epochs_too_long_for_an_array(self):
        n = LARGEST_ARRAY + 12_345
        order = permutation(n, 0, "uniform", 0)
        assert isinstance(order, KeyedPermutation)
        found = order[n - 1000 : n]
        assert found.dtype == np.int64
        assert len(set(found)) == 1000
        assert found.min() >= 0
        assert found.max() < n


class TestTheCheck:
    """check_sampler notices each kind of broken promise."""

    class GlobalGenerator(UniformSampler):
        def order(self, epoch):
            return np.random.permutation(50)

    class OutOfRange(UniformSampler):
        def order(self, epoch):
            return super().order(epoch) + 1

    class WrongType(UniformSampler):
        def order(self, epoch):
            return super().order(epoch).astype(np.int32)

    class SlicesDiffer(UniformSampler):
        def order(self, epoch):
            class Moving:
                def __len__(self):
                    return 50

                def __getitem__(self, s):
                    return (np.arange(*s.indices(50)) + (s.start or 0)) % 50

            return Moving()

    class SameEveryEpoch(UniformSampler):
        def order(self, epoch):
            return super().order(0)

    class FrameTwice(UniformSampler):
        def order(self, epoch):
            return np.append(super().order(epoch)[:-1], 0)

    class NotUniform(UniformSampler):
        """The first frame never comes first."""

        def order(self, epoch):
            order = super().order(epoch)
            return order if order[0] > 10 else order[::-1].copy() if order[-1] > 10 else np.roll(order, 20)

    class WrongWeights(UniformSampler):
        def weights(self, frame_ids=None):
            return 2 * np.ones(50 if frame_ids is None else len(frame_ids))

    class WrongProbability(UniformSampler):
        def inclusion_probability(self):
            return np.full(50, 1 / 49)

    @pytest.mark.parametrize(
        ("broken", "told"),
        [
            (GlobalGenerator, "function of its epoch alone|global generator"),
            (OutOfRange, "end below 50, got 50"),
            (WrongType, "must give int64"),
            (SlicesDiffer, "differ from the whole"),
            (SameEveryEpoch, "another epoch has another order"),
            (FrameTwice, "each frame exactly once"),
            (NotUniform, "slot 0 does not follow its law"),
            (WrongWeights, "weights are 1 /"),
            (WrongProbability, "sum to 1"),
        ],
    )
    def test_notices(self, broken, told):
        index = index_of([50], 10)
        with pytest.raises(AssertionError, match=told):
            check_sampler(broken(index), index)


def test_protocols_describe_what_there_is():
    sampler = UniformSampler(index_of([50], 10), 0)
    assert isinstance(sampler, Sampler)
    assert isinstance(sampler.order(0), Order)


class TestPerVideo:
    index = index_of([10, 30, 60], 10)

    def test_videos_count_alike(self):
        order = UniformSampler(self.index, 0, per_video=True, num_samples=30_000).order(0)
        counts = np.bincount(self.index.locate(order[0:30_000])[0])
        assert ((counts - 10_000) ** 2 / 10_000).sum() < 28  # 2 degrees of freedom: exceeded once in a million

    def test_weights_undo_it(self):
        sampler = UniformSampler(self.index, 0, per_video=True)
        q, w = sampler.inclusion_probability(), sampler.weights()
        gradients = np.random.default_rng(0).normal(size=(100, 2))
        assert np.allclose((q * w) @ gradients, gradients.mean(axis=0))
        assert sorted(set(np.round(w, 12))) == pytest.approx([0.3, 0.9, 1.8])  # V N_v / N

    def test_costs_kishs_factor(self):
        sampler = UniformSampler(self.index, 0, per_video=True)
        lengths = np.array([10, 30, 60])
        expected = (3 * lengths / 100 * lengths / 100).sum()  # mean of w over the frames
        assert sampler.design_effect(np.ones(100), 16) == pytest.approx(expected)

    def test_needs_no_weights_where_videos_are_of_one_length(self):
        sampler = UniformSampler(index_of([20, 20], 10), 0, per_video=True)
        assert sampler.exact_uniform
        assert sampler.weights() is None


class TestStratified:
    @given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
    def test_every_frame_once_and_every_batch_spread_evenly(self, n, strata, epoch):
        strata = min(strata, n)
        order = UniformSampler(index_of([n], 5), 0, stratified=strata).order(epoch)
        assert sorted(order) == list(range(n))
        for begin in range(0, n - strata + 1, strata):
            batch = np.sort(order[begin : begin + strata])
            gaps = np.diff(np.append(batch, batch[0] + n))
            assert gaps.max() <= 2 * -(-n // strata)  # neighbours on the circle are at most two strata apart

    def test_every_slot_is_exactly_uniform_over_the_offsets(self):
        """Without its rotation, an order of strata shows each frame in one slot: rotated by all n, in all slots."""
        n, strata = 30, 7
        order = UniformSampler(index_of([n], 5), 0, stratified=strata).order(0)
        rotated = np.array([(order + offset) % n for offset in range(n)])
        assert all(sorted(slot) == list(range(n)) for slot in rotated.T)

    def test_has_less_variance_than_chance(self):
        from tests.samplers.test_chunked import mean_correlation, walk

        index, gradients = index_of([60] * 40, 12), walk(40, 60, 0.95)
        sampler = UniformSampler(index, 0, stratified=80)
        R = 0.95 ** np.arange(4000.0)
        found = mean_correlation(sampler, gradients, 80, epochs=12)
        assert found < 0.8
        # 360 batches of 16 numbers: a standard error of 2 %.
        assert found == pytest.approx(sampler.design_effect(R, 80, "batch"), rel=0.1)

    @pytest.mark.parametrize(
        "arguments", [{"stratified": 0}, {"stratified": 51}, {"stratified": 5, "replacement": True}]
    )
    def test_refuses(self, arguments):
        with pytest.raises(ValueError, match="stratified"):
            UniformSampler(index_of([50], 10), 0, **arguments)
