"""Bias, its bounds, and the weights that remove it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import (
    bias_bounds,
    bias_vector,
    chi2,
    ht_weights,
    kish_factor,
    q_sliding,
    q_two_stage,
    shard_bias,
    tv,
)

SEEDS = st.integers(0, 2**32 - 1)


def some_law(rng, num_frames):
    return rng.dirichlet(np.full(num_frames, 0.5))


@given(SEEDS, st.integers(1, 30))
@settings(deadline=None, max_examples=100)
def test_bias_is_expected_minus_mean_gradient(seed, num_frames):
    rng = np.random.default_rng(seed)
    q, gradients = some_law(rng, num_frames), rng.normal(size=(num_frames, 3))
    expected = sum(q[i] * gradients[i] for i in range(num_frames)) - gradients.mean(axis=0)
    np.testing.assert_allclose(bias_vector(q, gradients), expected, atol=1e-12)
    covariance = np.mean((num_frames * q - 1)[:, None] * (gradients - gradients.mean(axis=0)), axis=0)
    np.testing.assert_allclose(bias_vector(q, gradients), covariance, atol=1e-12)


@given(SEEDS, st.integers(2, 30))
@settings(deadline=None, max_examples=100)
def test_no_bias_is_longer_than_its_bounds(seed, num_frames):
    rng = np.random.default_rng(seed)
    q = some_law(rng, num_frames)
    gradients = rng.normal(size=(num_frames, 2)) + 5  # a large common mean, which only F4 pays for
    centred = gradients - gradients.mean(axis=0)
    distances = np.linalg.norm(gradients[:, None] - gradients[None], axis=2)
    bounds = bias_bounds(
        q,
        G=np.linalg.norm(gradients, axis=1).max(),
        sigma=np.sqrt(np.linalg.eigvalsh(centred.T @ centred / num_frames).max()),
        lipschitz=np.linalg.norm(np.diff(gradients, axis=0), axis=1).max(),
        diameter=distances.max(),
    )
    length = np.linalg.norm(bias_vector(q, gradients)) - 1e-12
    found = [bound for bound in (bounds.norm, bounds.diameter, bounds.spread, bounds.slope) if bound is not None]
    assert len(found) == 4
    assert bounds.smallest == min(found)
    assert length <= min(found)


@given(SEEDS, st.integers(2, 30))
@settings(deadline=None, max_examples=50)
def test_the_worst_gradients_reach_the_bounds(seed, num_frames):
    q = some_law(np.random.default_rng(seed), num_frames)
    by_sign = 3 * np.sign(q - 1 / num_frames)[:, None]
    assert np.linalg.norm(bias_vector(q, by_sign)) == pytest.approx(bias_bounds(q, G=3).norm)
    by_surplus = (q - 1 / num_frames)[:, None]
    assert np.linalg.norm(bias_vector(q, by_surplus)) == pytest.approx(bias_bounds(q, sigma=by_surplus.std()).spread)


def test_bounds_without_knowledge_are_none():
    bounds = bias_bounds([0.5, 0.5])
    assert (bounds.norm, bounds.diameter, bounds.spread, bounds.slope, bounds.smallest) == (None,) * 5


@given(SEEDS, st.lists(st.integers(1, 8), min_size=1, max_size=4))
@settings(deadline=None, max_examples=100)
def test_steps_between_neighbours_bound_the_bias_within_videos(seed, lengths):
    rng = np.random.default_rng(seed)
    q = q_two_stage(lengths, "length", [some_law(rng, n) for n in lengths])
    # Each video rises by at most 1 per frame from a start of its own; jumps between videos must not matter.
    gradients = np.concatenate([100 * rng.normal() + np.cumsum(rng.uniform(-1, 1, n)) for n in lengths])
    bound = bias_bounds(q, lipschitz=1, lengths=lengths).slope
    assert bound is not None
    assert abs(bias_vector(q, gradients)) <= bound + 1e-9


def test_sliding_windows_move_a_draw_by_a_quarter_of_a_window():
    # F7: (k − 1) / 4 frames, whatever the length of the video.
    assert bias_bounds(q_sliding(100_000, 9), lipschitz=1).slope == pytest.approx(2, rel=1e-3)


def test_steps_say_nothing_about_videos_of_the_wrong_share():
    with pytest.raises(ValueError, match=r"share of the frames, got another share for video 3"):
        bias_bounds([0.25, 0.25, 0.2, 0.2, 0.1], lipschitz=1, lengths=[1, 1, 2, 1])
    with pytest.raises(ValueError, match=r"lengths must sum to the 2 frames of q, got 3"):
        bias_bounds([0.5, 0.5], lipschitz=1, lengths=[3])


@given(SEEDS, st.integers(1, 30))
@settings(deadline=None, max_examples=100)
def test_weights_remove_the_bias(seed, num_frames):
    rng = np.random.default_rng(seed)
    q, gradients = some_law(rng, num_frames) * 0.9 + 0.1 / num_frames, rng.normal(size=(num_frames, 2))
    weighted = q @ (ht_weights(q)[:, None] * gradients)
    np.testing.assert_allclose(weighted, gradients.mean(axis=0), atol=1e-12)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12).filter(any))
@settings(deadline=None, max_examples=100)
def test_weights_raise_if_and_only_if_a_frame_is_never_drawn(mass):
    q = np.array(mass) / sum(mass)
    if 0 in mass:
        with pytest.raises(ValueError, match=rf"but {mass.count(0)} of {len(mass)} frames are never drawn"):
            ht_weights(q)
    else:
        assert ht_weights(q) @ q == pytest.approx(1)


def test_weights_multiply_the_variance_of_unrelated_gradients_by_the_kish_factor():
    rng = np.random.default_rng(0)
    q = some_law(rng, 6) * 0.8 + 0.2 / 6
    # Gradients of mean 0 and unrelated to the frame: ±1 for each frame with equal probability.
    second_moment = sum(q[i] * ht_weights(q)[i] ** 2 * sign**2 / 2 for i in range(6) for sign in (-1, 1))
    assert kish_factor(q) == pytest.approx(second_moment)


def test_kish_factor_of_sliding_windows_has_the_closed_form():
    for n, k in [(600, 5), (50, 7), (13, 7)]:
        starts, harmonic = n - k + 1, sum(1 / i for i in range(1, k))
        closed = starts * k / n**2 * (2 * harmonic + (n - 2 * k + 2) / k)  # F40
        assert kish_factor(q_sliding(n, k)) == pytest.approx(closed)


def test_uniform_has_no_bias_at_all():
    q = np.full(7, 1 / 7)
    assert tv(q) == chi2(q) == 0
    assert kish_factor(q) == pytest.approx(1)


def test_equal_shards_or_weights_have_no_bias():
    means = np.array([1.0, 5.0, -2.0])
    assert shard_bias([4, 4, 4]).bias(means) == pytest.approx(0)
    unequal = shard_bias([2, 4, 6])
    assert unequal.bias(means) == pytest.approx((1 + 5 - 2) / 3 - (2 * 1 + 4 * 5 - 6 * 2) / 12)
    assert shard_bias([2, 4, 6], unequal.repair_weights).bias(means) == pytest.approx(0)


@pytest.mark.parametrize(
    ("q", "message"),
    [
        pytest.param([0.5, 0.4], r"q must sum to 1, got a sum of 0\.9", id="sum"),
        pytest.param([1.5, -0.5], r"q must not be negative, got a smallest entry of -0\.5", id="negative"),
        pytest.param([], r"at least one entry, got shape \(0,\)", id="empty"),
        pytest.param([[1.0]], r"one axis and at least one entry, got shape \(1, 1\)", id="two axes"),
        pytest.param([np.nan, 1.0], r"q must be finite, got 1 entries that are not", id="nan"),
    ],
)
@pytest.mark.parametrize("function", [tv, chi2, ht_weights, kish_factor, bias_bounds])
def test_says_why_something_is_no_law(function, q, message):
    with pytest.raises(ValueError, match=message):
        function(q)


def test_says_how_many_gradients_are_missing():
    with pytest.raises(ValueError, match=r"one row for each of 2 frames, got shape \(3,\)"):
        bias_vector([0.5, 0.5], [1, 2, 3])


def test_a_million_frames_are_no_burden():
    q = q_sliding(1_000_000, 16)
    assert 0 < tv(q) < 2e-5
    assert kish_factor(q) == pytest.approx(1, abs=1e-4)
