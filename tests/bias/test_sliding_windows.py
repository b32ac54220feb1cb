"""First-order laws against enumeration of all windows, and the closed forms against the definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import chi2, ht_weights, kish_factor, q_sliding, tv

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=5)


def law_of(windows, num_frames):
    """The law of a slot when these equally likely windows are read one after another."""
    counts = np.zeros(num_frames)
    for window in windows:
        for frame in window:
            counts[frame] += 1
    return counts / counts.sum()


def pieces(lengths):
    """The frame ids of every piece."""
    ends = np.cumsum(lengths)
    return [range(end - length, end) for end, length in zip(ends, lengths, strict=True)]


@given(LENGTHS, st.integers(1, 7))
@settings(deadline=None, max_examples=200)
def test_sliding_windows(lengths, k):
    windows = [video[s : s + k] for video in pieces(lengths) for s in range(len(video) - k + 1)]
    if windows:
        np.testing.assert_allclose(q_sliding(lengths, k), law_of(windows, sum(lengths)), atol=1e-15)
    else:
        with pytest.raises(ValueError, match=rf"k must be in \[1, {max(lengths)}\], got {k}"):
            q_sliding(lengths, k)


@given(st.integers(1, 12), st.data())
@settings(deadline=None, max_examples=100)
def test_random_phase_without_ragged_pieces_is_sliding_windows(n, data):
    k = data.draw(st.integers(1, (n + 1) // 2))  # so that every phase has at least one whole piece
    whole_pieces = [range(s, s + k) for phase in range(k) for s in range(phase, n - k + 1, k)]
    np.testing.assert_allclose(law_of(whole_pieces, n), q_sliding(n, k), atol=1e-15)


@given(st.integers(1, 80), st.data())
@settings(deadline=None, max_examples=300)
def test_closed_forms_of_sliding_windows(n, data):
    k = data.draw(st.integers(1, n))
    q, starts = q_sliding(n, k), n - k + 1
    short = -(-k * starts // n) - 1
    assert tv(q) == pytest.approx(2 * short / n - short * (short + 1) / (k * starts), abs=1e-12)  # F10
    if n >= 2 * k - 1:
        closed = (k - 1) / starts**2 * (n * (2 * k - 1) / (3 * k) - (k - 1))  # F11
        assert chi2(q) == pytest.approx(closed, abs=1e-12)
    if n > k * (k - 1):
        assert tv(q) == pytest.approx((k - 1) * (n - 2 * k + 2) / (n * (n - k + 1)), abs=1e-12)


def test_frame_counts_that_are_wrong():
    # F9: a count too high by e puts all of those draws on the last frame. U7: one too low never draws the last e.
    n, e = 50, 3
    clamped = law_of([[min(i, n - 1)] for i in range(n + e)], n)
    assert tv(clamped) == pytest.approx(e * (n - 1) / (n * (n + e)))
    assert tv(law_of([[i] for i in range(n - e)], n)) == pytest.approx(e / n)


def test_the_worked_example():
    # Five frames from one video of 600, all 596 windows equally likely.
    q = q_sliding(600, 5)
    np.testing.assert_allclose((q * 600)[:4], [0.20, 0.40, 0.60, 0.81], atol=0.005)
    assert q[300] * 600 == pytest.approx(1.007, abs=5e-4)
    assert tv(q) == pytest.approx(0.00662, abs=5e-6)
    assert np.sqrt(chi2(q)) == pytest.approx(0.0633, abs=5e-5)
    assert ht_weights(q).max() == pytest.approx(4.97, abs=5e-3)
    assert kish_factor(q) == pytest.approx(1.0146, abs=5e-5)


@pytest.mark.parametrize(("k", "distance", "chi"), [(16, 0.024, 0.128), (64, 0.094, 0.27)])
def test_longer_windows_of_the_worked_example(k, distance, chi):
    assert tv(q_sliding(600, k)) == pytest.approx(distance, abs=5e-4)
    assert np.sqrt(chi2(q_sliding(600, k))) == pytest.approx(chi, abs=6e-4 if k == 16 else 5e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: q_sliding(4, 5), r"k must be in \[1, 4\], got 5", id="window too long"),
        pytest.param(lambda: q_sliding([3, 0], 2), r"lengths must be at least 1, got 0", id="empty video"),
        pytest.param(lambda: q_sliding([2.5], 2), r"must be integers, at least one of them, got float64", id="float"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
