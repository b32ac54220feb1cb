"""Laws of shuffle buffers, against the enumeration of every sequence of picks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import (
    buffer_law,
    buffer_pair_lag,
    deff_replay,
    p_same_video_buffer,
    q_algorithm_r,
    replay_uses,
    tv,
    tv_buffer,
)


def every_output(content, coming):
    """All orders in which a swap buffer may emit its inputs, with their probabilities."""
    if not content:
        yield 1.0, []
        return
    for pick in range(len(content)):
        rest = content[:pick] + content[pick + 1 :] + coming[:1]
        for probability, order in every_output(rest, coming[1:]):
            yield probability / len(content), [content[pick], *order]


@pytest.mark.parametrize(("N", "B"), [(1, 1), (5, 1), (7, 2), (7, 3), (6, 5), (6, 6), (5, 9)])
def test_law_is_that_of_every_sequence_of_picks(N, B):
    law = np.zeros((N, N))
    for probability, order in every_output(list(range(min(B, N))), list(range(min(B, N), N))):
        law[range(N), order] += probability
    np.testing.assert_allclose([buffer_law(N, B, s) for s in range(N)], law, atol=1e-12)


@given(st.integers(1, 60), st.integers(1, 70))
@settings(deadline=None, max_examples=100)
def test_rows_and_columns_sum_to_one(N, B):
    law = np.array([buffer_law(N, B, s) for s in range(N)])
    np.testing.assert_allclose(law.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(law.sum(axis=1), 1, atol=1e-12)
    if B >= N:
        np.testing.assert_allclose(law, 1 / N, atol=1e-15)
    if B == 1:
        assert (law == np.eye(N)).all()


@given(st.integers(1, 100), st.integers(1, 110), st.data())
@settings(deadline=None, max_examples=300)
def test_closed_form_of_the_distance_from_uniform(N, B, data):
    s = data.draw(st.integers(0, N - 1))
    assert tv_buffer(N, B, s) == pytest.approx(tv(buffer_law(N, B, s)), abs=1e-12)


@pytest.mark.parametrize(("share", "expected"), [(0.01, 0.944), (0.10, 0.670), (0.50, 0.153)])
def test_a_tenth_of_the_data_is_two_thirds_from_uniform(share, expected):
    N = 100_000
    assert tv_buffer(N, int(share * N), N - int(share * N)) == pytest.approx(expected, abs=6e-4)
    assert tv_buffer(N, int(share * N), 0) == pytest.approx(1 - share)  # the first output


def test_displacement_and_window_in_the_steady_state():
    N, B, j = 6000, 50, 500
    column = np.array([buffer_law(N, B, s)[j] for s in range(N)])
    moved = np.arange(N) - j
    assert column @ moved == pytest.approx(0, abs=1e-9)  # F34
    assert column @ moved**2 == pytest.approx(B * (B - 1))
    assert column @ np.abs(moved) == pytest.approx(2 * B / math.e, rel=0.02)
    assert moved[column > 0].min() == -(B - 1)
    assert 1 / np.square(buffer_law(N, B, 5000)).sum() == pytest.approx(2 * B - 1)


def test_pair_law_of_every_sequence_of_picks():
    # All 2^17 sequences of picks from a buffer of two; the start is forgotten up to 2^-12.
    steps, delta_max = 17, 5
    picks = (np.arange(2**steps)[:, None] >> np.arange(steps)) & 1
    content, out = np.tile([0, 1], (2**steps, 1)), np.empty((2**steps, steps), dtype=np.int64)
    rows = np.arange(2**steps)
    for step in range(steps):
        out[:, step] = content[rows, picks[:, step]]
        content[rows, picks[:, step]] = step + 2
    for delta in range(1, delta_max + 1):
        lags = np.abs(out[:, steps - 1] - out[:, steps - 1 - delta])
        measured = np.bincount(lags, minlength=9)[:9] / lags.size
        np.testing.assert_allclose(buffer_pair_lag(2, delta, 8), measured, atol=5e-4)


def test_pair_law_simulated():
    rng, B, outputs = np.random.default_rng(0), 6, 200_000
    content, out = list(range(B)), np.empty(outputs, dtype=np.int64)
    for step, pick in enumerate(rng.integers(B, size=outputs).tolist()):
        out[step], content[pick] = content[pick], step + B
    for delta in (1, 3, 10):
        lags = np.abs(out[1000 + delta :] - out[1000:-delta])
        measured = np.bincount(lags, minlength=21)[:21] / lags.size
        # The sd of a share is below 0.001; 63 shares within 5 of them fail once in 30,000.
        np.testing.assert_allclose(buffer_pair_lag(B, delta, 20), measured, atol=5e-3)


@given(st.integers(2, 30), st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_pair_laws_sum_to_one_both_ways(B, fixed):
    assert buffer_pair_lag(B, fixed, 2000).sum() == pytest.approx(1)
    # From 700 on at most 1e-10 is left, for B = 30.
    assert sum(buffer_pair_lag(B, delta, fixed)[fixed] for delta in range(1, 700)) == pytest.approx(1)
    assert buffer_pair_lag(B, 0, 2000).sum() == pytest.approx(1)


def test_a_buffer_of_one_keeps_distances():
    assert buffer_pair_lag(1, 3, 5).tolist() == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(("B", "n", "K"), [(4096, 600, 1), (4096, 600, 8), (4096, 600, 40), (300, 600, 1)])
def test_two_slots_of_one_video(B, n, K):
    # Two picks from one content, j·K inputs apart, are j frames of one stream apart; every phase of the video.
    lags = buffer_pair_lag(B, 0, n * K)
    exact = sum(lags[j * K] * (1 - j / n) for j in range(1, n))
    assert p_same_video_buffer(B, n, K) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(("K", "videos"), [(1, 14.3), (8, 19.5), (40, 48.2)])
def test_effective_number_of_videos(K, videos):
    assert 1 / p_same_video_buffer(4096, 600, K) == pytest.approx(videos, abs=0.06)


@given(st.integers(2, 50), st.floats(0.1, 0.99), st.integers(1, 5))
@settings(deadline=None, max_examples=50)
def test_mean_correlation_of_a_buffer_of_fading_streams(B, rho, K):
    # F37: frames next to each other in a stream are K inputs apart.
    mean = sum(buffer_pair_lag(B, 0, 3000 * K)[K::K] * rho ** np.arange(1, 3001))
    faded = (1 - 1 / B) ** K * rho
    assert mean == pytest.approx(faded / ((B - 1) * (1 - faded)))


def test_replay_reservoir_simulated():
    rng, B, draws = np.random.default_rng(0), 50, 200_000
    uses, done = [0] * B, []
    picks, losers = rng.integers(B, size=(2, draws))
    for pick, loser in zip(picks.tolist(), losers.tolist(), strict=True):
        uses[pick] += 1
        done.append(uses[loser])
        uses[loser] = 0
    counts = np.bincount(done[1000:], minlength=12)[:12] / (draws - 1000)
    # Shares of 200,000: sd below 0.0012. The law holds up to 1/B, 0.006 here; 5 sd more fail once in 100,000.
    np.testing.assert_allclose(replay_uses(1, 11), counts, atol=0.012)
    assert counts[0] == pytest.approx(0.5, abs=0.012)


@given(st.floats(0.1, 10))
@settings(deadline=None, max_examples=50)
def test_replay_reservoir_repeats_frames(r):
    law, uses = replay_uses(r, 2000), np.arange(2001)
    mean = law @ uses
    assert mean == pytest.approx(1 / r)
    assert law @ uses**2 - mean**2 == pytest.approx((1 + r) / r**2)
    # Slots per frame vary: E[uses²] / E[uses] is what a long sum of unrelated frames sees.
    assert deff_replay(r) == pytest.approx(law @ uses**2 / mean)


@pytest.mark.parametrize(("N", "B"), [(6, 1), (6, 2), (5, 5)])
def test_algorithm_r_enumerated(N, B):
    # Draw after every input once the reservoir is full; every input survives as Vitter's algorithm says.
    frequencies = np.zeros(N)
    holds = {tuple(range(B)): 1.0}
    for t in range(B, N + 1):
        if t > B:
            after = {}
            for content, probability in holds.items():
                for place in range(t):
                    new = tuple(t - 1 if i == place else frame for i, frame in enumerate(content))
                    after[new] = after.get(new, 0.0) + probability / t
            holds = after
        for content, probability in holds.items():
            for frame in content:
                frequencies[frame] += probability / B
    np.testing.assert_allclose(q_algorithm_r(N, B), frequencies / (N - B + 1), atol=1e-12)


def test_algorithm_r_is_far_from_uniform():
    assert tv(q_algorithm_r(100_000)) == pytest.approx(1 / math.e, abs=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: buffer_law(5, 2, 5), r"s must be in \[0, 4\], got 5", id="position"),
        pytest.param(lambda: tv_buffer(5, 0, 0), r"B must be at least 1, got 0", id="no buffer"),
        pytest.param(lambda: buffer_pair_lag(1, 0, 3), r"B must be at least 2, got 1", id="no second pick"),
        pytest.param(lambda: replay_uses(0, 3), r"r must be in \[.*, inf\], got 0", id="no new frames"),
        pytest.param(lambda: q_algorithm_r(4, 5), r"B must be in \[1, 4\], got 5", id="reservoir over N"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
