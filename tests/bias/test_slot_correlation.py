"""Correlation of slots by distance, against enumeration and simulation of the streams themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import CorrelationModel, deff_from_slots, slot_corr_jitter

MODEL = CorrelationModel(0.1, 0.6, 0.97)
FALLING = st.lists(st.floats(0, 1), min_size=0, max_size=12).map(lambda tail: np.r_[1.0, sorted(tail, reverse=True)])


@given(FALLING, st.integers(1, 50))
@settings(deadline=None, max_examples=100)
def test_jitter_conserves_the_sum_of_correlations(r_in, w):
    # F31, but for what the triangle puts at distance 0: pairs closer than w that end up in one slot.
    lags = np.arange(1, r_in.size)
    at_zero = (np.maximum(0, 1 - lags / w) / w) @ r_in[1:]
    assert slot_corr_jitter(r_in, w, 300).sum() == pytest.approx(r_in.sum() - at_zero, abs=1e-9)


@given(FALLING, st.integers(1, 15), st.integers(0, 30))
@settings(deadline=None, max_examples=100)
def test_jitter_is_the_sum_over_the_triangle(r_in, w, max_delta):
    def seen(delta):
        near = [max(1 - abs(lag - delta) / w, 0) + max(1 - (lag + delta) / w, 0) for lag in range(1, r_in.size)]
        return np.dot(near, r_in[1:]) / w

    expected = [1.0, *(seen(delta) for delta in range(1, max_delta + 1))]
    np.testing.assert_allclose(slot_corr_jitter(r_in, w, max_delta), expected, atol=1e-12)


def deff_of_order(order, R, b):
    """Design effect of the batches of an order of positions, for chunks of len(R) and correlation R in a chunk."""
    batches = order[: order.size // b * b].reshape(-1, b)
    same = batches[:, :, None] // R.size == batches[:, None] // R.size
    lags = np.abs(batches[:, :, None] - batches[:, None])
    return (R[np.minimum(lags, R.size - 1)] * same).sum() / batches.size


def test_jitter_simulated():
    rng, N, b, w = np.random.default_rng(2), 300_000, 35, 80
    order = np.argsort(np.arange(N) + w * rng.random(N), kind="stable")
    r_in = (1 - np.arange(12) / 12) * MODEL.R(12)  # chunks of 12 one after another
    measured = deff_of_order(order, MODEL.R(12), b)
    # The formula is 0.9 % off here; the measurement has an sd of 0.08 %, and 4 of them fail once in 16,000.
    assert deff_from_slots(slot_corr_jitter(r_in, w, b), b) == pytest.approx(measured, rel=0.013)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: slot_corr_jitter([0.5], 3, 3), r"r_in\[0\] must be 1", id="r of 0"),
        pytest.param(lambda: slot_corr_jitter([1.0], 1, -1), r"max_delta must be at least 0", id="distance"),
        pytest.param(lambda: slot_corr_jitter([1.0], 0, 3), r"w must be at least 1, got 0", id="no width"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
