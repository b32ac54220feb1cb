"""First-order laws against enumeration of all windows, and the closed forms against the definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import (
    chi2,
    chi2_sliding,
    ht_weights,
    kish_factor,
    q_circular,
    q_clamped,
    q_keyframe_seek,
    q_partition,
    q_sliding,
    q_time_uniform,
    q_truncated,
    q_two_stage,
    tv,
    tv_sliding,
)

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


@given(st.integers(1, 25), st.data())
@settings(deadline=None, max_examples=200)
def test_windows_of_one_video(n, data):
    k = data.draw(st.integers(1, n))
    clamped = [range(min(s, n - k), min(s, n - k) + k) for s in range(n)]
    truncated = [range(s, min(s + k, n)) for s in range(n)]
    circular = [[(s + j) % n for j in range(k)] for s in range(n)]
    np.testing.assert_allclose(q_clamped(n, k), law_of(clamped, n), atol=1e-15)
    np.testing.assert_allclose(q_truncated(n, k), law_of(truncated, n), atol=1e-15)
    np.testing.assert_allclose(q_circular(n, k), law_of(circular, n), atol=1e-15)


@given(st.integers(1, 12), st.data())
@settings(deadline=None, max_examples=100)
def test_random_phase_without_ragged_pieces_is_sliding_windows(n, data):
    k = data.draw(st.integers(1, (n + 1) // 2))  # so that every phase has at least one whole piece
    whole_pieces = [range(s, s + k) for phase in range(k) for s in range(phase, n - k + 1, k)]
    np.testing.assert_allclose(law_of(whole_pieces, n), q_sliding(n, k), atol=1e-15)


@given(LENGTHS, st.integers(1, 20))
@settings(deadline=None, max_examples=100)
def test_circular_windows_are_uniform_even_where_they_repeat_frames(lengths, k):
    # A video in proportion to its frames and then any start: every (video, start) is equally likely.
    windows = [[video[(s + j) % len(video)] for j in range(k)] for video in pieces(lengths) for s in range(len(video))]
    np.testing.assert_allclose(q_circular(lengths, k), law_of(windows, sum(lengths)), atol=1e-15)
    assert tv(q_circular(lengths, k)) == 0


@given(st.integers(1, 80), st.data())
@settings(deadline=None, max_examples=300)
def test_closed_forms_of_sliding_windows(n, data):
    k = data.draw(st.integers(1, n))
    assert tv_sliding(n, k) == pytest.approx(tv(q_sliding(n, k)), abs=1e-12)  # F10
    assert chi2_sliding(n, k) == pytest.approx(chi2(q_sliding(n, k)), abs=1e-12)  # F11
    if n > k * (k - 1):
        assert tv_sliding(n, k) == pytest.approx((k - 1) * (n - 2 * k + 2) / (n * (n - k + 1)), abs=1e-12)


@given(st.integers(1, 80), st.data())
@settings(deadline=None, max_examples=200)
def test_closed_forms_of_clamped_and_truncated_windows(n, data):
    k = data.draw(st.integers(1, n))
    if n >= 2 * k - 1:
        assert tv(q_clamped(n, k)) == pytest.approx((k - 1) / (2 * n), abs=1e-12)  # F12
        assert chi2(q_clamped(n, k)) == pytest.approx((k - 1) * (2 * k - 1) / (3 * k * n), abs=1e-12)
    frames = n * k - k * (k - 1) // 2
    short = -(-frames // n) - 1
    assert tv(q_truncated(n, k)) == pytest.approx(short / n - short * (short + 1) / (2 * frames), abs=1e-12)  # F13


@given(LENGTHS)
@settings(deadline=None, max_examples=100)
def test_partition(lengths):
    num_frames, num_chunks, shortest = sum(lengths), len(lengths), min(lengths)
    everything = law_of(pieces(lengths), num_frames)
    np.testing.assert_allclose(q_partition(lengths, "equal", "all"), everything, atol=1e-15)
    np.testing.assert_allclose(everything, 1 / num_frames, atol=1e-15)  # C7
    np.testing.assert_allclose(q_partition(lengths, "length", shortest), 1 / num_frames, atol=1e-15)  # C8
    # C9 and C10, each chunk as often as its probability says.
    by_length = law_of([chunk for chunk in pieces(lengths) for _ in chunk], num_frames)
    np.testing.assert_allclose(q_partition(lengths, "length", "all"), by_length, atol=1e-15)
    first_of_each = np.concatenate([np.full(n, 1 / (num_chunks * n)) for n in lengths])
    np.testing.assert_allclose(q_partition(lengths, "equal", 1), first_of_each, atol=1e-15)
    wrong = tv(q_partition(lengths, "length", "all")), tv(q_partition(lengths, "equal", 1))
    lengths = np.array(lengths)
    closed = (
        0.5 * (lengths * np.abs(lengths / (lengths**2).sum() - 1 / num_frames)).sum(),  # F15
        0.5 * np.abs(1 / num_chunks - lengths / num_frames).sum(),  # F16
    )
    np.testing.assert_allclose(wrong, closed, atol=1e-12)
    assert (max(wrong) < 1e-12) == (len(set(lengths.tolist())) == 1)


def test_chunks_of_probability_zero_are_dropped():
    # C5: five frames in chunks of two, the ragged last one never drawn; F14 with one frame of five.
    q = q_partition([2, 2, 1], p=[0.5, 0.5, 0.0], take=2)
    assert q.tolist() == [0.25, 0.25, 0.25, 0.25, 0]
    assert tv(q) == pytest.approx(1 / 5)
    with pytest.raises(ValueError, match=r"1 of 5 frames are never drawn"):
        ht_weights(q)


@given(LENGTHS)
@settings(deadline=None, max_examples=100)
def test_uniform_video_then_uniform_frame(lengths):
    q, n = q_two_stage(lengths), np.array(lengths)
    assert q.sum() == pytest.approx(1)
    assert tv(q) == pytest.approx(0.5 * np.abs(1 / n.size - n / n.sum()).sum(), abs=1e-12)  # F8
    assert chi2(q) == pytest.approx(n.mean() * (1 / n).mean() - 1, abs=1e-12)  # arithmetic over harmonic mean
    np.testing.assert_allclose(q_two_stage(lengths, "length"), 1 / n.sum(), atol=1e-15)


def test_law_within_each_video():
    q = q_two_stage([3, 2], p=[0.25, 0.75], within=[[0.5, 0.5, 0], [0.2, 0.8]])
    np.testing.assert_allclose(q, [0.125, 0.125, 0, 0.15, 0.6])


@given(LENGTHS, st.integers(1, 8))
@settings(deadline=None, max_examples=100)
def test_keyframe_seeks(lengths, k):
    # One equally likely time per frame; each reads the first frames of the GOP that it lies in.
    reads = [gop[:k] for gop in pieces(lengths) for _ in gop]
    q = q_keyframe_seek(lengths, k)
    np.testing.assert_allclose(q, law_of(reads, sum(lengths)), atol=1e-15)
    if k <= min(lengths):
        assert tv(q) == pytest.approx(sum(n - k for n in lengths) / sum(lengths), abs=1e-12)  # F17


def test_time_uniform_follows_the_durations():
    assert q_time_uniform([1, 0, 3]).tolist() == [0.25, 0, 0.75]


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
    assert tv_sliding(600, k) == pytest.approx(distance, abs=5e-4)
    assert np.sqrt(chi2_sliding(600, k)) == pytest.approx(chi, abs=6e-4 if k == 16 else 5e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: q_sliding(4, 5), r"k must be in \[1, 4\], got 5", id="window too long"),
        pytest.param(lambda: tv_sliding(4, 0), r"k must be in \[1, 4\], got 0", id="no window"),
        pytest.param(lambda: q_clamped(4, 5), r"k must be in \[1, 4\], got 5", id="clamped too long"),
        pytest.param(lambda: q_sliding([3, 0], 2), r"lengths must be at least 1, got 0", id="empty video"),
        pytest.param(lambda: q_sliding([2.5], 2), r"must be integers, at least one of them, got float64", id="float"),
        pytest.param(lambda: q_partition([2, 1], take=2), r"take must be in \[1, 1\], got 2", id="short chunk"),
        pytest.param(lambda: q_partition([2, 1], p="odd"), r"'equal', 'length' or .* got 'odd'", id="unknown p"),
        pytest.param(lambda: q_partition([2, 1], take="some"), r"'all' or .* got 'some'", id="unknown take"),
        pytest.param(lambda: q_partition([2, 1], p=[1.0]), r"each of 2 pieces, got 1", id="too few p"),
        pytest.param(lambda: q_two_stage([2], within=[[1.0]]), r"laws of \[2\] frames, got \[1\]", id="within"),
        pytest.param(lambda: q_time_uniform([1, -1]), r"at least 0, .* got -1 to 1", id="negative duration"),
        pytest.param(lambda: q_time_uniform([0, 0]), r"one of them more, got 0 to 0", id="no duration"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
