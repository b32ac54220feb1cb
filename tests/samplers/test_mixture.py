"""Words and mixtures: exact laws by enumeration of all rotations, bounds, passes, what is refused."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.samplers.mixture import MixtureSampler
from lit_video.samplers.passes import KeyedPasses, ListedPasses, same_pass
from lit_video.samplers.words import Word
from tests.fakes import grouped_index_of

INDEX = grouped_index_of([10, 30, 60, 20], 10)  # even: 10 + 60, odd: 30 + 20
RECIPROCAL_FIBONACCI = 3.35988567  # 1 + 1 + 1/2 + 1/3 + 1/5 + …

counts_of_letters = st.lists(st.integers(1, 40), min_size=1, max_size=9)


def whole(order):
    return np.asarray(order[0 : len(order)])


def every_rotation(word):
    """All letters and ranks that a word can deal: two arrays [rotations, n]."""
    dealt = [
        word.deal(np.arange(word.length), np.array(rotation, np.int64))
        for rotation in itertools.product(*map(range, word.size.tolist()))
    ]
    return np.array([letters for letters, _ in dealt]), np.array([ranks for _, ranks in dealt])


class TestWords:
    @given(counts_of_letters, st.integers(0, 5))
    def test_each_letter_comes_as_often_as_is_wanted_and_is_counted(self, counts, seed):
        word = Word.of(np.array(counts))
        letters, ranks = word.deal(np.arange(word.length), word.rotations(np.random.default_rng(seed)))
        assert np.bincount(letters, minlength=len(counts)).tolist() == counts
        for letter, count in enumerate(counts):
            assert ranks[letters == letter].tolist() == list(range(count))

    @given(counts_of_letters, st.integers(0, 5))
    def test_any_stretch_has_each_letters_share_within_the_bound(self, counts, seed):
        word = Word.of(np.array(counts))
        letters, _ = word.deal(np.arange(word.length), word.rotations(np.random.default_rng(seed)))
        assert word.bound().max() < RECIPROCAL_FIBONACCI
        for letter, count in enumerate(counts):
            ahead = np.append(0, np.cumsum(letters == letter)) - np.arange(word.length + 1) * count / word.length
            assert ahead.max() - ahead.min() < word.bound()[letter] + 1e-9

    def test_two_letters_are_within_one(self):
        assert Word.of(np.array([7, 3])).bound().tolist() == [1, 1]

    def test_the_largest_bound_is_approached(self):
        """Counts that Huffman's tree hangs one below the other, each side hardly larger than it must be."""
        counts, sides = [1, 10**5, 10**5], [10**5 + 1, 2 * 10**5 + 1]
        while len(counts) < 20:
            counts.append(sides[-2] + 1)
            sides.append(sides[-1] + counts[-1])
        assert 3.35 < Word.of(np.array(counts)).bound().max() < RECIPROCAL_FIBONACCI

    @pytest.mark.parametrize("counts", [[5, 2, 1], [3, 3], [1, 1, 1, 1, 1], [7], [4, 1], [6, 3, 2, 1]])
    def test_laws_are_exact_over_all_rotations(self, counts):
        """Of one position, and of two: how often both have a letter, and how many steps then lie between."""
        word = Word.of(np.array(counts))
        letters, ranks = every_rotation(word)
        n = word.length
        for letter, (chance, steps) in enumerate(word.together(np.arange(n))):
            is_it = letters == letter
            assert is_it.mean(axis=0) == pytest.approx(np.full(n, counts[letter] / n))
            for distance, place in itertools.product(range(n), range(n)):
                if place + distance < n:
                    both = is_it[:, place] & is_it[:, place + distance]
                    apart = (ranks[:, place + distance] - ranks[:, place])[both]
                    found = [(apart == k).sum() / len(letters) for k in steps[distance]]
                    assert found == pytest.approx(chance[distance].tolist())
                    assert chance[distance].sum() == pytest.approx(both.mean())


class TestPasses:
    @given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 13))
    def test_how_likely_two_draws_are_of_one_pass(self, count, size, steps):
        epochs = range(size // math.gcd(count, size))
        same = [
            (e * count + k) // size == (e * count + k + steps) // size for e in epochs for k in range(count - steps)
        ]
        found = same_pass(np.array([[steps]]), count, size)[0, 0]
        assert found == pytest.approx(np.mean(same) if same else 0.0)

    @pytest.mark.parametrize("kind", [ListedPasses, KeyedPasses])
    def test_go_on_from_epoch_to_epoch(self, kind):
        """Seven draws an epoch of five samples, and of eleven: each run of so many is a permutation."""
        sizes = np.array([5, 11])
        epochs = [kind(np.array([7, 7]), sizes, 0, epoch) for epoch in range(55)]
        for group, size in enumerate(sizes):
            draws = np.concatenate([e.at(np.full(7, group), np.arange(7)) for e in epochs])
            passes = draws[: len(draws) // size * size].reshape(-1, size)
            assert (np.sort(passes, axis=1) == np.arange(size)).all()
            assert len(np.unique(passes, axis=0)) > len(passes) // 2  # each pass is another one

    def test_keyed_draws_are_uniform(self):
        draws = KeyedPasses(np.array([30_000]), np.array([13]), 0, 0).at(np.zeros(29_900, int), np.arange(29_900))
        first = np.bincount(draws.reshape(-1, 13)[:, 0], minlength=13)
        assert ((first - 2300 / 13) ** 2 / (2300 / 13)).sum() < 50  # 12 degrees of freedom: once in a million


class TestMixture:
    def test_every_batch_has_its_shares(self):
        sampler = MixtureSampler(INDEX, 0, shares={"even": 0.7, "odd": 0.3}, num_samples=1000)
        assert sampler.shares_within == {"even": 1, "odd": 1}
        for epoch in range(3):
            even = np.cumsum(INDEX.locate(whole(sampler.order(epoch)))[0] % 2 == 0)
            for batch in (4, 10, 33):
                assert np.abs(np.diff(even[batch - 1 :: batch]) - 0.7 * batch).max() < 1

    def test_every_slot_has_the_stated_law(self):
        sampler = MixtureSampler(INDEX, 0, shares={"even": 0.7, "odd": 0.3}, num_samples=10)
        even = np.array([INDEX.locate(whole(sampler.order(epoch)))[0] % 2 == 0 for epoch in range(600)])
        # 10 slots, each five standard deviations of 11.2: one of them exceeds it 6 times in a million.
        assert np.abs(even.sum(axis=0) - 420).max() < 57
        assert sampler.inclusion_probability()[0] == pytest.approx(0.7 / 70)

    def test_a_small_group_comes_again_and_a_large_one_in_part(self):
        sampler = MixtureSampler(INDEX, 0, by="video", num_samples=120)  # 30 of each: of 10, 30, 60 and 20 frames
        orders = [np.bincount(whole(sampler.order(epoch)), minlength=120) for epoch in (0, 1)]
        assert orders[0][:10].tolist() == [3] * 10
        assert orders[0][10:40].tolist() == [1] * 30
        assert (orders[0] + orders[1])[40:100].tolist() == [1] * 60  # its pass goes on in the second epoch
        assert sorted(set(orders[0][100:].tolist())) == [1, 2]

    def test_shares_of_the_samples_are_complete_epochs(self):
        sampler = MixtureSampler(INDEX, 0, by="root", shares={"even": 70, "odd": 50})
        assert sampler.epoch_complete
        assert sampler.exact_uniform
        assert sorted(whole(sampler.order(3))) == list(range(120))

    @pytest.mark.parametrize("limit", [2**24, 50], ids=["listed", "keyed"])
    def test_any_part_is_computed_alone(self, limit, monkeypatch):
        monkeypatch.setattr("lit_video.samplers.mixture.LARGEST_ARRAY", limit)
        sampler = MixtureSampler(INDEX, 0, by="video")
        order, again = sampler.order(2), sampler.order(2)
        assert type(order.passes).__name__ == ("ListedPasses" if limit > 50 else "KeyedPasses")
        assert np.concatenate([again[k : k + 7] for k in range(0, 120, 7)]).tolist() == whole(order).tolist()
        assert np.bincount(whole(order))[:10].tolist() == [3] * 10

    def test_shares_are_rounded_to_whole_draws_and_told_so(self):
        sampler = MixtureSampler(INDEX, 0, shares={"even": 1, "odd": 2}, num_samples=10)
        assert sampler.inclusion_probability()[0] * 70 == pytest.approx(0.3)
        assert sampler.inclusion_probability()[10] * 50 == pytest.approx(0.7)

    def test_has_less_variance_than_independent_draws(self):
        """What R knows of groups is removed; weights that undo the shares cost Kish's factor, less what is removed."""
        R = np.append(1, np.full(200, 0.5))
        sampler = MixtureSampler(grouped_index_of([60, 60], 10), 0)
        within = (1 - (0.5 + 0.5 / 60)) / (1 - (0.5 + 0.5 / 60) / 2)
        assert sampler.design_effect(R, 16, "long") == pytest.approx(within)
        assert sampler.design_effect(R, 16) < 0.75
        uneven = grouped_index_of([600, 60], 10)
        corrected = MixtureSampler(uneven, 0, correct=True).design_effect(np.append(1, np.zeros(700)), 16, "long")
        kish = (np.array([600, 60]) ** 2 / 660**2 / 0.5).sum()
        assert corrected == pytest.approx(kish, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"shares": {"even": 1}}, "shares must name each root, and lacks odd"),
        (
            {"shares": {"even": 1, "odd": 999}},
            "num_samples=120 gives even less than one draw in an epoch: take at least 1000",
        ),
        ({"num_samples": 2**31 + 1}, f"num_samples must be at most {2**31} for a mixture"),
        (
            {"shares": {"even": 0, "odd": 1}, "correct": True},
            "correct=true needs a share above 0 for each root, and even",
        ),
    ],
)
def test_refuses(arguments, told):
    with pytest.raises(ValueError, match=told):
        MixtureSampler(INDEX, 0, **arguments)
