"""Correlation of slots by distance, against enumeration and simulation of the streams themselves."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import (
    CorrelationModel,
    buffer_pair_lag,
    deff_corgi,
    deff_from_slots,
    deff_momentum,
    h,
    momentum_reach,
    slot_corr_buffer,
    slot_corr_jitter,
    slot_corr_lanes,
    slot_corr_random_lanes,
)

MODEL = CorrelationModel(0.1, 0.6, 0.97)
FALLING = st.lists(st.floats(0, 1), min_size=0, max_size=12).map(lambda tail: np.r_[1.0, sorted(tail, reverse=True)])


def some_correlation(k):
    return np.r_[1.0, np.random.default_rng(k).uniform(-0.3, 1, k - 1)]


def correlation_of(first, second, R):
    """Correlation of two slots that hold frames (chunk, place)."""
    return R[abs(first[1] - second[1])] if first[0] == second[0] else 0.0


@pytest.mark.parametrize(("k", "P"), [(1, 1), (4, 1), (4, 3), (3, 5)])
def test_lanes_in_turn(k, P):
    R, max_delta = some_correlation(k), 3 * P + 2
    sums = np.zeros(max_delta + 1)
    for phase, start in itertools.product(range(k), range(P)):  # the phase of the lane that emits slot `start`
        for delta in range(max_delta + 1):
            # Slot t is emitted by lane t mod P; that lane has then emitted t // P frames since slot 0.
            moved = (start + delta) // P + phase
            other = ((start + delta) % P, moved // k), moved % k
            sums[delta] += correlation_of(((start, phase // k), phase % k), other, R)
    np.testing.assert_allclose(slot_corr_lanes(R, k, P, max_delta), sums / (k * P), atol=1e-12)


@pytest.mark.parametrize("P", [1, 2])
def test_lanes_that_shuffle_their_chunk(P):
    k, max_delta = 3, 7
    R = some_correlation(k)
    orders = list(itertools.permutations(range(k)))
    sums = np.zeros(max_delta + 1)
    for order, phase, delta in itertools.product(orders, range(k), range(max_delta + 1)):
        moved = phase + delta // P
        same_chunk = delta % P == 0 and moved < k
        sums[delta] += R[abs(order[phase] - order[moved])] if same_chunk else 0.0
    expected = sums / (len(orders) * k)
    np.testing.assert_allclose(slot_corr_lanes(R, k, P, max_delta, shuffled=True), expected, atol=1e-12)


def test_lanes_drawn_anew():
    k, P, max_delta = 3, 3, 5
    R = some_correlation(k)
    sums = np.zeros(max_delta + 1)
    for lanes, phase in itertools.product(itertools.product(range(P), repeat=max_delta + 1), range(k)):
        place = phase
        for delta, lane in enumerate(lanes):
            if lane == lanes[0]:
                place += delta > 0
                sums[delta] += R[place - phase] if place < k else 0.0
    np.testing.assert_allclose(
        slot_corr_random_lanes(R, k, P, max_delta), sums / (P ** (max_delta + 1) * k), atol=1e-12
    )


def test_taking_turns_beats_drawing_lanes():
    R = MODEL.R(60)
    in_turn, drawn = (f(R, 60, 48, 47) for f in (slot_corr_lanes, slot_corr_random_lanes))
    assert deff_from_slots(in_turn, 48) == 1
    assert deff_from_slots(drawn, 48) > 1.5


@given(FALLING, st.integers(1, 20), st.integers(1, 30))
@settings(deadline=None, max_examples=100)
def test_buffer_is_the_sum_over_the_law_of_lags(r_in, B, max_delta):
    lags = r_in.size - 1
    sums = [buffer_pair_lag(B, delta, max(lags, 1))[1 : lags + 1] @ r_in[1:] for delta in range(1, max_delta + 1)]
    np.testing.assert_allclose(slot_corr_buffer(r_in, B, max_delta)[1:], sums, atol=1e-12)


@given(FALLING, st.integers(1, 50))
@settings(deadline=None, max_examples=100)
def test_a_buffer_conserves_the_sum_of_correlations(r_in, B):
    r = slot_corr_buffer(r_in, B, 3000)
    assert r.sum() == pytest.approx(r_in.sum(), abs=1e-9)  # F31
    assert deff_from_slots(slot_corr_buffer(r_in, B, 60_000), 60_000) == pytest.approx(2 * r_in.sum() - 1, rel=0.02)


@given(FALLING, st.integers(1, 12), st.integers(1, 40))
@settings(deadline=None, max_examples=100)
def test_more_buffer_or_lanes_never_raise_the_design_effect_of_a_batch(r_in, size, b):
    buffered = [deff_from_slots(slot_corr_buffer(r_in, B, b), b) for B in (size, size + 1)]
    lanes = [deff_from_slots(slot_corr_lanes(r_in, r_in.size, P, b), b) for P in (size, size + 1)]
    assert buffered[1] <= buffered[0] + 1e-12
    assert lanes[1] <= lanes[0] + 1e-12


@given(FALLING, st.integers(1, 15), st.integers(0, 30))
@settings(deadline=None, max_examples=100)
def test_jitter_is_the_sum_over_the_triangle(r_in, w, max_delta):
    def seen(delta):
        near = [max(1 - abs(lag - delta) / w, 0) + max(1 - (lag + delta) / w, 0) for lag in range(1, r_in.size)]
        return np.dot(near, r_in[1:]) / w

    expected = [1.0, *(seen(delta) for delta in range(1, max_delta + 1))]
    np.testing.assert_allclose(slot_corr_jitter(r_in, w, max_delta), expected, atol=1e-12)


@pytest.mark.parametrize("B", [1, 40])
def test_buffer_simulated(B):
    # The positions of a stream of chunks of 12 go through a real buffer; then deff of a batch.
    rng, N, b = np.random.default_rng(1), 300_000, 35  # 35: batches start at every place of a chunk
    content, out = list(range(B)), np.empty(N - B, dtype=np.int64)
    for step, pick in enumerate(rng.integers(B, size=N - B).tolist()):
        out[step], content[pick] = content[pick], step + B
    r_in = slot_corr_lanes(MODEL.R(12), 12, 1, 11)
    measured = deff_of_order(out[10 * B :], MODEL.R(12), b)
    # Some 9,000 batches; the sd over seeds is 0.12 %, and 4 of them fail once in 16,000.
    assert deff_from_slots(slot_corr_buffer(r_in, B, b), b) == pytest.approx(measured, rel=0.005)


def deff_of_order(order, R, b):
    """Design effect of the batches of an order of positions, for chunks of len(R) and correlation R in a chunk."""
    batches = order[: order.size // b * b].reshape(-1, b)
    same = batches[:, :, None] // R.size == batches[:, None] // R.size
    lags = np.abs(batches[:, :, None] - batches[:, None])
    return (R[np.minimum(lags, R.size - 1)] * same).sum() / batches.size


def test_jitter_simulated():
    rng, N, b, w = np.random.default_rng(2), 300_000, 35, 80
    order = np.argsort(np.arange(N) + w * rng.random(N), kind="stable")
    r_in = slot_corr_lanes(MODEL.R(12), 12, 1, 11)
    measured = deff_of_order(order, MODEL.R(12), b)
    # The formula is 0.9 % off here; the measurement has an sd of 0.08 %, and 4 of them fail once in 16,000.
    assert deff_from_slots(slot_corr_jitter(r_in, w, b), b) == pytest.approx(measured, rel=0.013)


@pytest.mark.parametrize(
    ("k", "lanes", "fills", "buffers"),
    [
        pytest.param(16, [8.6, 4.7, 2.8, 1.64, 1.00], [3.3, 1.57, 1.14], [2.05, 1.28, 1.07], id="k=16"),
        pytest.param(64, [15.2, 5.3, 3.0, 1.67, 1.00], [7.9, 2.7, 1.43], [4.2, 1.85, 1.21], id="k=64"),
    ],
)
def test_table_of_section_5(k, lanes, fills, buffers):
    b, R = 256, MODEL.R(k)
    measured = [deff_from_slots(slot_corr_lanes(R, k, P, b), b) for P in (8, 32, 64, 128, 256)]
    np.testing.assert_allclose(measured, lanes, rtol=0.02)
    measured = [deff_corgi(R, k, B // k, b) for B in (1024, 4096, 16_384)]
    np.testing.assert_allclose(measured, fills, rtol=0.02)
    r_in = slot_corr_lanes(R, k, 1, k - 1)
    measured = [deff_from_slots(slot_corr_buffer(r_in, B, b), b) for B in (1024, 4096, 16_384)]
    np.testing.assert_allclose(measured, buffers, rtol=0.02)


@pytest.mark.parametrize(("k", "expected"), [(16, [6.5, 4.4, 2.2]), (64, [9.8, 11.4, 4.6])])
def test_table_of_section_5_through_momentum(k, expected):
    b, R, reach = 256, MODEL.R(k), momentum_reach(256)
    r_in = slot_corr_lanes(R, k, 1, k - 1)
    streams = slot_corr_lanes(R, k, 256, reach), *(slot_corr_buffer(r_in, B, reach) for B in (4096, 16_384))
    np.testing.assert_allclose([deff_momentum(r, b) for r in streams], expected, rtol=0.02)


def test_table_of_section_5_fed_by_whole_videos():
    b, R = 256, MODEL.R(600)
    r_in = slot_corr_lanes(R, 600, 1, 599)
    measured = [deff_from_slots(slot_corr_buffer(r_in, B, b), b) for B in (1024, 4096, 16_384)]
    np.testing.assert_allclose(measured, [11.3, 3.9, 1.7], rtol=0.03)
    assert h(R, 600) == pytest.approx(97.5, abs=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: slot_corr_lanes([1.0, 0.5], 4, 1, 3), r"R must hold at least 4 lags", id="R too short"),
        pytest.param(lambda: slot_corr_lanes([1.0], 1, 0, 3), r"P must be at least 1, got 0", id="no lane"),
        pytest.param(lambda: slot_corr_buffer([0.5], 3, 3), r"r_in\[0\] must be 1", id="r of 0"),
        pytest.param(lambda: slot_corr_jitter([1.0], 0, 3), r"w must be at least 1, got 0", id="no width"),
        pytest.param(lambda: slot_corr_random_lanes([1.0], 1, 1, -1), r"max_delta must be at least 0", id="distance"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_lags_beyond_the_distances_asked_for_are_not_needed():
    assert slot_corr_lanes([1.0, 0.5], 100, 2, 3).tolist() == [1, 0, 0.495, 0]
