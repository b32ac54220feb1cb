"""The best run length, against trying them all, and the tables of costs and gains."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import CorrelationModel, eff_rates, h, planner_sliding

FIRST, SECOND, THIRD = (
    CorrelationModel(0.02, 0.6, 0.90),
    CorrelationModel(0.1, 0.6, 0.97),
    CorrelationModel(0.3, 0.5, 0.97),
)
COSTS = st.floats(0, 300)


def best_k(*arguments):
    """The run length of the highest effective rate, the shortest of equals."""
    rates = eff_rates(*arguments)
    return int(np.argmax(rates >= rates.max() * (1 - 1e-9))) + 1


def eff_rate(k, *arguments):
    return float(eff_rates(*arguments)[k - 1])


def cost_of_training(k, a, c, R, b, noise_scale):
    """J(k) of F42: seconds to a given loss, up to a factor."""
    return (b + noise_scale * h(R, k)) * (a + c * k) / k


@given(COSTS, st.floats(0.01, 10), st.lists(st.floats(0, 1), max_size=20), st.integers(1, 64), st.floats(0, 1e4))
@settings(deadline=None, max_examples=100)
def test_best_run_is_the_cheapest_training(a, c, tail, b, noise_scale):
    R = np.array([1.0, *tail])
    costs = [cost_of_training(k, a, c, R, b, noise_scale) for k in range(1, R.size + 1)]
    k = best_k(a, c, R, b, noise_scale)
    assert costs[k - 1] <= min(costs) * (1 + 1e-8)
    assert all(cost > costs[k - 1] * (1 - 1e-8) for cost in costs[: k - 1])
    rates = eff_rates(a, c, R, b, noise_scale)
    assert eff_rate(k, a, c, R, b, noise_scale) == rates[k - 1]
    np.testing.assert_allclose(rates * costs, b + noise_scale)


@given(COSTS, st.floats(0.01, 10), st.lists(st.floats(0, 1), max_size=20))
@settings(deadline=None, max_examples=100)
def test_from_no_noise_to_nothing_but_noise(a, c, tail):
    R = np.array([1.0, *tail])
    k = np.arange(1, R.size + 1)
    frames_per_second = k / (a + c * k)
    np.testing.assert_allclose(eff_rates(a, c, R, 256, noise_scale=0), frames_per_second)
    independent = frames_per_second / [h(R, int(length)) for length in k]
    np.testing.assert_allclose(eff_rates(a, c, R), independent)
    np.testing.assert_allclose(eff_rates(a, c, R, 256, noise_scale=1e12), independent, rtol=1e-6)


def test_decoding_and_seeks_may_cost_the_same():
    assert eff_rate(2, 1, 1, [1.0, 0.0]) == pytest.approx(2 / 3)


def test_without_noise_the_longest_run_is_best():
    assert best_k(16, 1, THIRD.R(300), 256, 0) == 300


@given(st.floats(0.01, 10), st.integers(1, 100), st.floats(0, math.inf))
@settings(deadline=None, max_examples=50)
def test_equal_frames_without_seeks_are_read_singly(c, size, noise_scale):
    assert best_k(0, c, np.ones(size), 16, noise_scale) == 1


@pytest.mark.parametrize("rho", [0.1, 0.5])
@pytest.mark.parametrize(("b", "noise_scale"), [(256, 512.0), (1, math.inf)])
def test_constant_correlation_has_the_classical_optimum(rho, b, noise_scale):
    closed = math.sqrt(100 * (b / noise_scale + 1 - rho) / rho)  # F43 with a / c = 100
    R = np.r_[1.0, np.full(400, rho)]
    assert best_k(100, 1, R, b, noise_scale) == pytest.approx(closed, abs=1)


def test_long_runs_have_the_closed_optimum():
    tau = 1 - SECOND.rho_v + 2 * SECOND.rho_s * SECOND.phi / (1 - SECOND.phi)
    closed = math.sqrt(1000 * tau / SECOND.rho_v)  # F44 with a / c = 1000
    assert best_k(1000, 1, SECOND.R(3000)) == pytest.approx(closed, rel=0.1)


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_fading_correlation_makes_long_runs_pay_from_some_seek_cost_on(rho):
    R, threshold = rho ** np.arange(5000.0), 2 * rho / (1 - rho)  # F45

    def long_runs_win(a):
        return eff_rate(5000, a, 1, R) > eff_rate(1, a, 1, R)

    assert not long_runs_win(0.95 * threshold)
    assert long_runs_win(1.05 * threshold)
    assert eff_rate(5000, threshold, 1, R) == pytest.approx((1 - rho) / (1 + rho), rel=0.02)


@pytest.mark.parametrize(
    ("model", "cost", "k", "gain", "gain_64"),
    [
        (FIRST, 6, 2, 1.12, 0.56),
        (FIRST, 16, 6, 1.34, 1.20),
        (FIRST, 30, 94, 1.88, 1.86),
        (FIRST, 125, 251, 5.1, 3.8),
        (FIRST, 250, 367, 7.9, 4.5),
        (SECOND, 6, 2, 1.04, 0.22),
        (SECOND, 16, 3, 1.14, 0.47),
        (SECOND, 30, 4, 1.21, 0.73),
        (SECOND, 125, 109, 1.50, 1.48),
        (SECOND, 250, 245, 2.1, 1.8),
        (THIRD, 6, 1, 1.00, 0.17),
        (THIRD, 16, 2, 1.06, 0.36),
        (THIRD, 30, 3, 1.10, 0.56),
        (THIRD, 125, 13, 1.21, 1.13),
        (THIRD, 250, 87, 1.36, 1.35),
    ],
)
def test_table_of_section_9(model, cost, k, gain, gain_64):
    rates = eff_rates(cost, 1, model.R(600))
    assert best_k(cost, 1, model.R(600)) == k
    assert rates[k - 1] / rates[0] == pytest.approx(gain, abs=6e-3 if gain < 2 else 0.06)
    assert rates[63] / rates[0] == pytest.approx(gain_64, abs=6e-3 if gain_64 < 1.6 else 0.06)


def test_frames_that_nobody_consumes_count_for_nothing():
    R = np.r_[1.0, np.full(9, 0.5)]
    capped = eff_rates(4, 1, R, 1, math.inf, 0.25)  # seconds per frame of runs of k: (4 + k) / k
    np.testing.assert_allclose(capped[:1], eff_rates(4, 1, R)[:1])
    np.testing.assert_allclose(capped[3:], 0.25 / (1 + 0.5 * np.arange(3, 10)))


def test_frames_per_second_mislead():
    # a / c = 16, runs of 64: 13.6 times the frames, 0.47 times what they are worth.
    R = SECOND.R(64)
    assert eff_rate(64, 16, 1, R, 1, 0) / eff_rate(1, 16, 1, R, 1, 0) == pytest.approx(13.6, abs=0.05)
    assert eff_rate(64, 16, 1, R) / eff_rate(1, 16, 1, R) == pytest.approx(0.47, abs=5e-3)


@pytest.mark.parametrize(
    ("L", "singly", "look_ahead", "longer"),
    [(12, 0.087, 0.140, 0.281), (60, 0.028, 0.093, 0.278), (250, 0.008, 0.076, 0.275)],
)
def test_planner_values_of_section_10_4(L, singly, look_ahead, longer):
    gops = {12: [12] * 10_000, 60: [60] * 2000, 250: [250, 250, 100] * 200}[L]
    costs = [planner_sliding(gops, W) for W in (8192, 32_768)]
    values = [1 / (cost.decoded + 5 * cost.opens) for cost in costs]
    np.testing.assert_allclose(values, [look_ahead, longer], atol=6e-4)
    assert eff_rate(1, 5 + (L - 1) / 2, 1, [1.0]) == pytest.approx(singly, abs=6e-4)


@pytest.mark.parametrize(
    ("model", "L", "k", "value", "gop_value"),
    [
        (FIRST, 12, 4, 0.107, 0.127),
        (FIRST, 60, 107, 0.059, 0.083),
        (FIRST, 250, 256, 0.040, 0.060),
        (SECOND, 12, 2, 0.095, 0.089),
        (SECOND, 60, 5, 0.035, 0.033),
        (SECOND, 250, 118, 0.012, 0.016),
    ],
)
def test_chunk_values_of_section_10_4(model, L, k, value, gop_value):
    a, R = 5 + (L - 1) / 2, model.R(600)
    assert best_k(a, 1, R) == k
    assert eff_rate(k, a, 1, R) == pytest.approx(value, abs=6e-4)
    assert eff_rate(L, 5, 1, R) == pytest.approx(gop_value, abs=6e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: eff_rates(0, 0, [1.0]), r"a \+ c must be finite and above 0, got 0", id="free"),
        pytest.param(lambda: eff_rates(math.inf, 1, [1.0]), r"must be finite and above 0, got inf", id="endless"),
        pytest.param(lambda: eff_rates(-1, 1, [1.0]), r"a must be in \[0, inf\], got -1", id="negative seek"),
        pytest.param(lambda: eff_rates(1, 1, [1.0, -1.2]), r"positive variance, got h = -0\.2 for k = 2", id="R wrong"),
        pytest.param(lambda: eff_rates(1, 1, [1.0], noise_scale=-1), r"noise_scale must be in \[0, inf\]", id="noise"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
