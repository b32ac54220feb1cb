"""Tests of inclusion counts: their null laws by enumeration, their size and power by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import (
    DrawnChunks,
    DrawnWindows,
    count_test,
    directed_test,
    draws_needed,
    holm,
    q_circular,
    q_sliding,
    tv,
    tv_null,
)
from lit_video.bias.chi_square import chi_square_tail


@given(st.floats(1e-3, 200), st.integers(1, 40))
@settings(deadline=None, max_examples=200)
def test_tail_of_chi_square_is_a_poisson_sum(x, half):
    poisson = sum(math.exp(-x / 2 + i * math.log(x / 2) - math.lgamma(i + 1)) for i in range(half))
    assert chi_square_tail(x, 2 * half) == pytest.approx(poisson, rel=1e-9, abs=1e-13)


@given(st.floats(0, 50))
@settings(deadline=None, max_examples=100)
def test_tail_of_chi_square_with_one_degree_is_normal(x):
    assert chi_square_tail(x, 1) == pytest.approx(math.erfc(math.sqrt(x / 2)), rel=1e-9, abs=1e-13)


def test_tail_of_chi_square_far_out():
    degrees = 1e6  # close to normal, after Wilson and Hilferty
    for deviations in (-3, 0, 3):
        root = (1 - 2 / (9 * degrees) + deviations * math.sqrt(2 / (9 * degrees))) ** 3
        expected = math.erfc(deviations / math.sqrt(2)) / 2
        assert chi_square_tail(degrees * root, degrees) == pytest.approx(expected, rel=1e-3)
    assert chi_square_tail(0, 3) == 1
    assert 0 <= chi_square_tail(1e5, 3) < 1e-300


def windows_of(lengths, k):
    """Every circular window of every video, as rows of inclusion counts."""
    rows, offset = [], 0
    for n in lengths:
        for start in range(n):
            rows.append(np.bincount([offset + (start + j) % n for j in range(k)], minlength=sum(lengths)))
        offset += n
    return np.array(rows)


def eigenvalues_of(draws):
    """The lambdas of X² = Σ lambda·chi²_1 for equally likely draws, from the covariance of their counts."""
    return np.linalg.eigvalsh(np.cov(draws.T, bias=True) / draws.mean())


@given(st.lists(st.integers(3, 9), min_size=1, max_size=4), st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_moments_of_drawn_windows(lengths, k):
    eigenvalues = eigenvalues_of(windows_of(lengths, k))
    num_frames, first, second = DrawnWindows(lengths, k).moments()
    assert num_frames == sum(lengths)
    assert first == pytest.approx(eigenvalues.sum(), abs=1e-9)
    assert second == pytest.approx(np.square(eigenvalues).sum(), abs=1e-9)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=6))
@settings(deadline=None, max_examples=50)
def test_moments_of_drawn_chunks(lengths):
    chunks = np.repeat(np.eye(len(lengths)), lengths, axis=1)
    eigenvalues = eigenvalues_of(chunks)
    num_frames, first, second = DrawnChunks(lengths).moments()
    assert num_frames == sum(lengths)
    assert first == pytest.approx(eigenvalues.sum(), abs=1e-9)
    assert second == pytest.approx(np.square(eigenvalues).sum(), abs=1e-9)


@given(st.integers(1, 60), st.data())
@settings(deadline=None, max_examples=50)
def test_closed_moments_of_one_circle(k, data):
    N = data.draw(st.integers(2 * k - 1, 300))
    _, first, second = DrawnWindows([N], k).moments()
    assert first == pytest.approx(N - k, abs=1e-8)  # F57
    assert second == pytest.approx(N * (2 * k * k + 1) / (3 * k) - k * k, rel=1e-9, abs=1e-8)


def counts_of_windows(rng, N, k, draws, repetitions):
    """Inclusion counts of so many circular windows of one circle, [repetitions, N]."""
    starts = rng.integers(N, size=(repetitions, draws))
    at_start = np.stack([np.bincount(row, minlength=N) for row in starts])
    return np.sum([np.roll(at_start, j, axis=1) for j in range(k)], axis=0)


def test_size_of_the_count_test_for_windows():
    rng, N, k, repetitions = np.random.default_rng(0), 1200, 12, 1500
    counts = counts_of_windows(rng, N, k, 1000, repetitions)
    rejected = np.mean([count_test(row, DrawnWindows([N], k)).p_value < 0.05 for row in counts])
    # A rate of 0.05 has sd 0.0056 here; it leaves [0.03, 0.08] twice in 10,000 seeds.
    assert 0.03 < rejected < 0.08
    # The textbook test, which takes frames for independent, would reject a correct sampler far more often.
    squares = np.square(counts - counts.mean()).sum(axis=1) / counts.mean()
    naive = np.mean([chi_square_tail(square, N - 1) < 0.05 for square in squares])
    assert 0.2 < naive < 0.3


def test_size_of_the_count_test_for_chunks():
    rng, M, k = np.random.default_rng(1), 40, 12
    rates = []
    for lengths in (np.full(M, k), np.r_[np.full(M - 1, k), 5]):
        drawn = rng.multinomial(400, np.full(M, 1 / M), size=1500)
        design = DrawnChunks(lengths)
        rates.append(np.mean([count_test(np.repeat(row, lengths), design).p_value < 0.05 for row in drawn]))
    # As above.
    assert all(0.03 < rate < 0.08 for rate in rates)


def test_equal_chunks_are_counted_as_chunks():
    lengths, drawn = [3] * 4, np.array([2, 5, 1, 4])
    result = count_test(np.repeat(drawn, 3), DrawnChunks(lengths))
    assert result.statistic == pytest.approx(np.square(drawn - 3).sum() / 3)  # chi² of the chunks
    assert result.degrees_of_freedom == pytest.approx(3)


def test_the_count_test_notices_sliding_windows():
    rng, n, k = np.random.default_rng(2), 60, 12
    starts = rng.integers(n - k + 1, size=5000)
    counts = sum(np.bincount(starts + j, minlength=n) for j in range(k))
    assert count_test(counts, DrawnWindows([n], k)).p_value < 1e-9


def edge_frames(starts, n, k):
    """How many of the k − 1 frames at either edge each window holds."""
    frames = (starts[:, None] + np.arange(k)) % n
    return ((frames < k - 1) | (frames >= n - k + 1)).sum(axis=1)


def test_chunks_needed_to_notice_sliding_windows():
    # F58: one video of 600 frames, windows of 12.
    n, k = 600, 12
    uniform, sliding = edge_frames(np.arange(n), n, k), edge_frames(np.arange(n - k + 1), n, k)
    assert uniform.mean() == pytest.approx(k * q_circular(n, k)[[*range(k - 1), *range(n - k + 1, n)]].sum())
    assert sliding.mean() == pytest.approx(k * q_sliding(n, k)[[*range(k - 1), *range(n - k + 1, n)]].sum())
    draws = draws_needed(uniform.mean(), uniform.std(), sliding.mean(), sliding.std())
    assert draws == 683  # 682.4, rounded up
    rng, noticed, false_alarms = np.random.default_rng(3), [], []
    for _ in range(1000):
        seen = sliding[rng.integers(sliding.size, size=draws)]
        noticed.append(directed_test(seen, uniform.mean(), uniform.std()).p_value < 0.05)
        seen = uniform[rng.integers(n, size=draws)]
        false_alarms.append(directed_test(seen, uniform.mean()).p_value < 0.05)
    # Sd 0.01 around 0.9 and 0.007 around 0.05; counts are skewed, so allow twice 3 of them: once in 1,000 seeds.
    assert np.mean(noticed) == pytest.approx(0.9, abs=0.06)
    assert np.mean(false_alarms) == pytest.approx(0.05, abs=0.03)


def test_directed_test_has_a_sign():
    assert directed_test([1, 2, 3], expected=0).z > 0
    assert directed_test([1, 2, 3], expected=5).z < 0
    assert directed_test([1, 2, 3], expected=2).p_value == 1
    assert directed_test([1.0, 3.0], expected=1, sd=2).z == pytest.approx(math.sqrt(2) / 2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None, max_examples=100)
def test_holm_rejects_step_by_step(p_values):
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for step, place in enumerate(np.argsort(p_values, kind="stable")):
            if p_values[place] * (len(p_values) - step) > level:
                break
            rejected.add(int(place))
        assert set(np.flatnonzero(adjusted <= level).tolist()) == rejected


@pytest.mark.parametrize("k", [1, 12])
def test_total_variation_that_chance_alone_shows(k):
    rng, N, draws = np.random.default_rng(4), 240, 40_000
    counts = counts_of_windows(rng, N, k, draws, 40)
    seen = [tv(row / row.sum()) for row in counts]
    # Sd of the mean of 40: 2 % at k = 12 (neighbours vary together), 1 % at k = 1; 4 of them fail once in 16,000.
    assert np.mean(seen) == pytest.approx(tv_null(N, draws * k, k), rel=0.08)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: count_test([1, 2], DrawnWindows([3])), r"hold 3 numbers .* got 2 numbers", id="too few"),
        pytest.param(lambda: count_test([0, 0], DrawnWindows([2])), r"not all 0, got 2 numbers with sum 0", id="zeros"),
        pytest.param(lambda: count_test([4, 4], DrawnChunks([2])), r"leave something to chance", id="one chunk"),
        pytest.param(lambda: count_test([4, 4], DrawnWindows([2], 3)), r"k must be in \[1, 2\], got 3", id="k over n"),
        pytest.param(lambda: directed_test([1.0], 1), r"per_draw must be at least 2, got 1", id="one draw"),
        pytest.param(lambda: directed_test([1.0, 1.0], 1), r"per_draw must vary, got 2 times 1", id="no variation"),
        pytest.param(lambda: draws_needed(1, 1, 1, 1), r"must differ, got 1 twice", id="same means"),
        pytest.param(lambda: holm([0.5, 1.5]), r"p_values must be in \[0, 1\], got \[0\.5, 1\.5\]", id="p-value"),
        pytest.param(lambda: tv_null(4, 8, 5), r"k must be in \[1, 4\], got 5", id="tv_null"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
