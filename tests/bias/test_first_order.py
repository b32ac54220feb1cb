"""Bias, its bounds, and the weights that remove it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import chi2, ht_weights, kish_factor, q_sliding, tv

SEEDS = st.integers(0, 2**32 - 1)


def some_law(rng, num_frames):
    return rng.dirichlet(np.full(num_frames, 0.5))


@given(SEEDS, st.integers(2, 30))
@settings(deadline=None, max_examples=100)
def test_no_bias_is_longer_than_its_bounds_and_the_worst_gradients_reach_them(seed, num_frames):
    rng = np.random.default_rng(seed)
    q, gradients = some_law(rng, num_frames), rng.normal(size=(num_frames, 2)) + 5
    surplus = q - 1 / num_frames  # times gradients: the bias, F3
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(gradients.T, bias=True)).max())
    length = np.linalg.norm(surplus @ gradients)
    assert length <= 2 * tv(q) * np.linalg.norm(gradients, axis=1).max() + 1e-12  # F4
    assert length <= np.sqrt(chi2(q)) * spread + 1e-12  # F6
    assert surplus @ (3 * np.sign(surplus)) == pytest.approx(2 * 3 * tv(q))
    assert surplus @ surplus == pytest.approx(np.sqrt(chi2(q)) * surplus.std())


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
@pytest.mark.parametrize("function", [tv, chi2, ht_weights, kish_factor])
def test_says_why_something_is_no_law(function, q, message):
    with pytest.raises(ValueError, match=message):
        function(q)


def test_a_million_frames_are_no_burden():
    q = q_sliding(1_000_000, 16)
    assert 0 < tv(q) < 2e-5
    assert kish_factor(q) == pytest.approx(1, abs=1e-4)
