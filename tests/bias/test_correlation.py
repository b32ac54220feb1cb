"""Runs of k frames: mean correlation and design effect, against the variance of means of runs."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import CorrelationModel, fit_R, h, h_curve, line_correlation

FIRST, SECOND, THIRD = (
    CorrelationModel(0.02, 0.6, 0.90),
    CorrelationModel(0.1, 0.6, 0.97),
    CorrelationModel(0.3, 0.5, 0.97),
)


@given(st.lists(st.floats(-0.5, 1), max_size=30))
@settings(deadline=None, max_examples=100)
def test_mean_correlation_is_the_mean_over_all_pairs(tail):
    R = np.array([1.0, *tail])
    k = R.size
    matrix = R[np.abs(np.subtract.outer(np.arange(k), np.arange(k)))]
    assert h(R, k) == pytest.approx(matrix.sum() / k, abs=1e-9)  # k times the variance of the mean
    if k > 1:
        off_diagonal = matrix[~np.eye(k, dtype=bool)]
        assert h(R, k) == pytest.approx(1 + (k - 1) * off_diagonal.mean(), abs=1e-9)  # F24


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
@settings(deadline=None, max_examples=50)
def test_h_is_the_variance_of_the_means_of_runs(seed, k):
    # A closed circle of frames, all runs of k enumerated, R measured as F1 says. No model anywhere.
    gradients = np.random.default_rng(seed).normal(size=(24, 2)).cumsum(axis=0)
    gradients -= gradients.mean(axis=0)
    variance = np.square(gradients).sum(axis=1).mean()
    R = np.array([(gradients * np.roll(gradients, -lag, axis=0)).sum(axis=1).mean() for lag in range(24)]) / variance
    runs = np.array([np.take(gradients, range(s, s + k), axis=0, mode="wrap").mean(axis=0) for s in range(24)])
    assert h(R, k) == pytest.approx(k * np.square(runs).sum(axis=1).mean() / variance)


def test_a_run_of_one_has_no_pairs():
    assert h([1.0], 1) == 1


@given(st.floats(-1, 0.9), st.integers(1, 300))
@settings(deadline=None, max_examples=200)
def test_closed_form_for_fading_correlation(rho, k):
    closed = (1 + rho) / (1 - rho) - 2 * rho * (1 - rho**k) / (k * (1 - rho) ** 2)  # F25
    assert h(float(rho) ** np.arange(k), k) == pytest.approx(closed, rel=1e-8, abs=1e-8)


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.9), st.integers(1, 200))
@settings(deadline=None, max_examples=200)
def test_closed_form_for_the_model(rho_v, rho_s, phi, k):
    fading = 2 / k * phi * ((k - 1) - k * phi + phi**k) / (1 - phi) ** 2  # F25
    found = h(CorrelationModel(rho_v, rho_s, phi).R(k), k)
    assert found == pytest.approx(1 + (k - 1) * rho_v + rho_s * fading, rel=1e-8)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(FIRST, [1.56, 3.03, 4.25, 6.60, 9.16, 11.4, 13.5], id="short memory"),
        pytest.param(SECOND, [1.68, 3.66, 5.54, 10.1, 17.7, 28.8, 42.6], id="long memory"),
        pytest.param(THIRD, [1.79, 4.08, 6.30, 11.9, 21.7, 37.8, 63.2], id="videos that differ"),
    ],
)
def test_table_of_section_4(model, expected):
    curve = h_curve(model.R(128))
    # Numbers of three digits: half a unit of the last is at most half a percent.
    np.testing.assert_allclose([curve[k - 1] for k in (2, 5, 8, 16, 32, 64, 128)], expected, rtol=5e-3)


def test_the_example_of_the_summary():
    # Lag-1 correlation 0.95: five frames in a row are worth 1.1, a batch of 256 is worth 55.
    found = h(0.95 ** np.arange(5), 5)
    assert found == pytest.approx(4.6, abs=0.05)
    assert 256 / found == pytest.approx(55, abs=0.5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12))
@settings(deadline=None, max_examples=100)
def test_pairs_that_straddle_two_videos_count_as_unrelated(lengths, num_lags):
    inside = [sum(max(n - lag, 0) for n in lengths) / sum(lengths) for lag in range(num_lags)]
    np.testing.assert_allclose(line_correlation(np.ones(num_lags), lengths), inside, atol=1e-12)


@pytest.mark.parametrize("model", [FIRST, SECOND, THIRD, CorrelationModel(0.2, 0, 0), CorrelationModel(0, 0.9, 0.5)])
def test_a_fit_finds_the_curve_it_came_from(model):
    fitted = fit_R(model.R(400))
    np.testing.assert_allclose(fitted.R(400), model.R(400), atol=3e-3)
    assert fitted.rho_v == pytest.approx(model.rho_v, abs=3e-3)


def test_a_fit_follows_the_lags_with_many_pairs():
    R = FIRST.R(200)
    R[100:] = 0.9  # measured from next to nothing
    pairs = np.where(np.arange(200) < 100, 1e6, 1.0)
    np.testing.assert_allclose(fit_R(R, pairs).R(100), R[:100], atol=5e-3)
    pairs[100:] = 0
    np.testing.assert_allclose(fit_R(R, pairs).R(100), R[:100], atol=5e-3)


@pytest.mark.parametrize(
    ("R", "expected"),
    [
        pytest.param([1, -0.3, -0.3, -0.3], (0, 0), id="below 0"),
        pytest.param([1, 1.2, 1.2, 1.2, 1.2], (1, 0), id="above 1"),
        pytest.param([1, 0.1, 0.2, 0.3, 0.4], (0.25, 0), id="rising"),
    ],
)
def test_a_fit_stays_inside_the_model(R, expected):
    fitted = fit_R(R)
    assert (fitted.rho_v, fitted.rho_s * fitted.phi) == pytest.approx(expected, abs=1e-6)


@cache
def models():
    """R of a grid of models: [models, 13]."""
    shares = [(v, s) for v in np.linspace(0, 1, 21) for s in np.linspace(0, 1, 21) if v + s <= 1]
    return np.array([CorrelationModel(v, s, phi).R(13) for v, s in shares for phi in np.linspace(0, 0.96, 13)])


@given(st.integers(0, 2**32 - 1), st.floats(-0.2, 0.5), st.floats(0, 1.2))
@settings(deadline=None, max_examples=15)
def test_no_other_model_fits_better(seed, plateau, short):
    rng = np.random.default_rng(seed)
    R = np.r_[1.0, plateau + short * 0.7 ** np.arange(12) + rng.normal(size=12) / 10]
    weight = np.r_[0.0, rng.uniform(0.1, 2, 12)]

    best = (fit_R(R, weight).R(13) - R) ** 2 @ weight
    others = ((models() - R) ** 2 @ weight).min()
    assert best <= others * 1.02 + 1e-12  # the grid over phi of the fit is fine, but a grid


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: h([1.0, 0.5], 3), r"R must hold at least 3 lags, 0 to 2, got 2", id="R too short"),
        pytest.param(lambda: h([0.9], 1), r"R\[0\] must be 1, .* got 0\.9", id="R of 0"),
        pytest.param(lambda: h([1.0], 0), r"k must be at least 1, got 0", id="no frames"),
        pytest.param(
            lambda: CorrelationModel(0.6, 0.6, 0.5), r"rho_v \+ rho_s must be in \[0, 1\], got 1\.2", id="shares"
        ),
        pytest.param(lambda: CorrelationModel(0.1, 0.6, 1.5), r"phi must be in \[0, 1\], got 1\.5", id="phi"),
        pytest.param(lambda: fit_R([1.0, 0.5, 0.4]), r"at least 3 lags above 0 .* got 2", id="few lags"),
        pytest.param(lambda: fit_R([1.0, 0.5], [1.0]), r"num_pairs must hold 2 numbers", id="few weights"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
