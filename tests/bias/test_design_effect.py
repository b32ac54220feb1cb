"""Design effects of batches, against the enumeration of all batches of a small population."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import (
    deff_cluster,
    deff_corgi,
    deff_from_slots,
    deff_momentum,
    deff_pairs,
    deff_wor,
    h,
    momentum_reach,
    slot_corr_lanes,
    worker_deff,
)

SEEDS = st.integers(0, 2**32 - 1)


def gradients_of(seed, num_frames):
    """Gradients that drift, so that neighbours are alike."""
    return np.random.default_rng(seed).normal(size=(num_frames, 2)).cumsum(axis=0)


def variance_of(batches, gradients):
    """b · variance of the batch mean / variance of a frame, over equally likely batches."""
    means = np.array([gradients[list(batch)].mean(axis=0) for batch in batches])
    spread = np.square(means - means.mean(axis=0)).sum(axis=1).mean()
    return len(batches[0]) * spread / np.square(gradients - gradients.mean(axis=0)).sum(axis=1).mean()


def pair_counts_of(batches, num_frames):
    counts = np.array([np.bincount(batch, minlength=num_frames) for batch in batches])
    return counts.T @ counts / len(batches)


def chunk_correlation(gradients, k):
    """R such that the mean over pairs of one chunk is right: all that F27 and F28 need of it."""
    chunks = (gradients - gradients.mean(axis=0)).reshape(-1, k, gradients.shape[1])
    variance = np.square(chunks).sum(axis=2).mean()
    pairs = [(i, j) for i in range(k) for j in range(k) if i != j]
    rho = np.mean([(chunks[:, i] * chunks[:, j]).sum(axis=1).mean() for i, j in pairs]) / variance if pairs else 0.0
    return np.r_[1.0, np.full(k - 1, rho)]


def every_batch(chunks, chunks_per_batch, m):
    """All batches of m frames from each of different chunks, every one as likely as the others."""
    for chosen in itertools.combinations(chunks, chunks_per_batch):
        for parts in itertools.product(*(itertools.combinations(chunk, m) for chunk in chosen)):
            yield [frame for part in parts for frame in part]


@given(SEEDS, st.integers(2, 6), st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_pair_counts_decide_the_variance_of_any_sampler(seed, num_frames, b):
    # Batches of any odd law, not uniform at all: some of the possible ones, at random.
    rng = np.random.default_rng(seed)
    batches = [rng.integers(num_frames, size=b).tolist() for _ in range(rng.integers(1, 12))]
    gradients = gradients_of(seed, num_frames)
    expected = variance_of(batches, gradients)
    assert deff_pairs(pair_counts_of(batches, num_frames), gradients, b) == pytest.approx(expected, abs=1e-10)


@given(SEEDS, st.integers(2, 12), st.integers(1, 4))
@settings(deadline=None, max_examples=50)
def test_the_identity_of_design_effect_and_mean_slot_correlation(seed, num_frames, b):
    # Circular windows of b frames in a batch: uniform. F23 against F22, exact.
    batches = [[(s + j) % num_frames for j in range(b)] for s in range(num_frames)]
    gradients = gradients_of(seed, num_frames)
    centred = gradients - gradients.mean(axis=0)
    variance = np.square(centred).sum(axis=1).mean()
    slots = [(batch[u], batch[v]) for batch in batches for u in range(b) for v in range(b) if u != v]
    rho = np.mean([centred[i] @ centred[j] for i, j in slots]) / variance if slots else 0.0
    counts = pair_counts_of(batches, num_frames)
    square_error = (counts * (centred @ centred.T)).sum() / b**2  # F22
    assert square_error * b / variance == pytest.approx(1 + (b - 1) * rho, abs=1e-10)
    assert deff_pairs(counts, gradients, b) == pytest.approx(1 + (b - 1) * rho, abs=1e-10)
    if b <= num_frames // 2:
        R = [np.mean([centred[i] @ centred[(i + lag) % num_frames] for i in range(num_frames)]) for lag in range(b)]
        assert h(np.array(R) / variance, b) == pytest.approx(1 + (b - 1) * rho, abs=1e-10)


@given(SEEDS, st.integers(2, 8), st.data())
@settings(deadline=None, max_examples=50)
def test_reshuffling(seed, num_frames, data):
    b = data.draw(st.integers(1, min(num_frames, 4)))
    batches = [list(batch) for batch in itertools.combinations(range(num_frames), b)]
    gradients = gradients_of(seed, num_frames)
    assert deff_wor(num_frames, b) == pytest.approx(variance_of(batches, gradients), abs=1e-10)


@given(SEEDS, st.sampled_from([(2, 3), (3, 3), (2, 4), (4, 2), (1, 5), (3, 2)]), st.data())
@settings(deadline=None, max_examples=100)
def test_chunks_without_replacement(seed, sizes, data):
    k, num_chunks = sizes
    m, chunks_per_batch = data.draw(st.integers(1, k)), data.draw(st.integers(1, min(num_chunks, 3)))
    gradients = gradients_of(seed, k * num_chunks)
    chunks = np.arange(k * num_chunks).reshape(num_chunks, k).tolist()
    batches = list(every_batch(chunks, chunks_per_batch, m))
    R, b = chunk_correlation(gradients, k), chunks_per_batch * m
    formula = deff_cluster(R, k, b, m, N=k * num_chunks)
    assert formula == pytest.approx(variance_of(batches, gradients), abs=1e-10)
    if m == k:
        filled = (chunks_per_batch - 1) / (num_chunks - 1)
        assert formula == pytest.approx(h(R, k) * (1 - filled), abs=1e-10)
    if k == 1:
        assert formula == pytest.approx(deff_wor(num_chunks, b), abs=1e-12)


@given(SEEDS, st.sampled_from([(2, 3), (3, 2), (2, 4)]), st.data())
@settings(deadline=None, max_examples=50)
def test_chunks_with_replacement(seed, sizes, data):
    k, num_chunks = sizes
    m = data.draw(st.integers(1, k))
    gradients = gradients_of(seed, k * num_chunks)
    chunks = np.arange(k * num_chunks).reshape(num_chunks, k).tolist()
    parts = [part for chunk in chunks for part in itertools.combinations(chunk, m)]
    batches = [[*first, *second] for first in parts for second in parts]
    formula = deff_cluster(chunk_correlation(gradients, k), k, 2 * m, m)
    assert formula == pytest.approx(variance_of(batches, gradients), abs=1e-10)


def test_chunks_of_unrelated_and_of_equal_frames():
    assert deff_cluster(np.r_[1.0, np.zeros(7)], 8, 32) == 1
    assert deff_cluster(np.ones(8), 8, 32) == 8
    assert deff_cluster(np.ones(8), 8, 8, N=8) == 8  # one chunk that is everything: the caller's R says so


@given(SEEDS, st.sampled_from([(2, 3, 2), (3, 3, 2), (2, 4, 3), (2, 4, 1), (1, 6, 4)]), st.data())
@settings(deadline=None, max_examples=50)
def test_batches_of_a_shuffled_fill(seed, sizes, data):
    k, num_chunks, P = sizes
    b = data.draw(st.integers(1, min(k * P, 3)))
    gradients = gradients_of(seed, k * num_chunks)
    chunks = np.arange(k * num_chunks).reshape(num_chunks, k).tolist()
    batches = [
        list(batch)
        for chosen in itertools.combinations(chunks, P)
        for batch in itertools.combinations([frame for chunk in chosen for frame in chunk], b)
    ]
    formula = deff_corgi(chunk_correlation(gradients, k), k, P, b, N=k * num_chunks)
    assert formula == pytest.approx(variance_of(batches, gradients), abs=1e-10)


@given(SEEDS, st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_one_frame_from_each_of_b_videos_beats_independent_frames(seed, b):
    gradients = gradients_of(seed, 12)
    videos = np.arange(12).reshape(4, 3).tolist()
    batches = list(every_batch(videos, b, 1))
    formula = deff_cluster(chunk_correlation(gradients, 3), 3, b, m=1, N=12)  # F29
    assert formula == pytest.approx(variance_of(batches, gradients), abs=1e-10)


@given(SEEDS, st.integers(1, 12))
@settings(deadline=None, max_examples=50)
def test_slots_of_a_stationary_stream(seed, T):
    # The stream: a circle of frames from a random start. Its T-slot windows are all there is.
    gradients = gradients_of(seed, 12)
    centred = gradients - gradients.mean(axis=0)
    r = np.array([(centred * np.roll(centred, -lag, axis=0)).sum() for lag in range(12)]) / np.square(centred).sum()
    batches = [[(s + j) % 12 for j in range(T)] for s in range(12)]
    assert deff_from_slots(r, T) == pytest.approx(variance_of(batches, gradients), abs=1e-10)


@given(st.integers(1, 5), st.floats(0, 0.9), SEEDS)
@settings(deadline=None, max_examples=50)
def test_momentum_is_the_double_sum(b, beta, seed):
    size = 2 * momentum_reach(b, beta)
    r = np.r_[1.0, np.random.default_rng(seed).uniform(-0.1, 1, size - 1)]
    reach = size // b
    total = sum(
        beta ** abs(tau) * r[abs(tau * b + u - v)]
        for tau in range(-reach - 1, reach + 2)
        for u in range(b)
        for v in range(b)
        if abs(tau * b + u - v) < size
    )
    assert deff_momentum(r, b, beta) == pytest.approx(total / b, rel=1e-9)


def test_momentum_is_what_an_average_of_batches_sees():
    # A moving-average stream of unit variance: r is 1, 1/2, 0. Simulated average against the formula.
    rng, b, beta = np.random.default_rng(0), 3, 0.8
    noise = rng.normal(size=600_001)
    batches = ((noise[1:] + noise[:-1]) / math.sqrt(2)).reshape(-1, b).mean(axis=1)
    averages, average = [], 0.0
    for value in batches.tolist():
        average = beta * average + (1 - beta) * value
        averages.append(average)
    measured = np.var(averages[200:]) / ((1 - beta) / (1 + beta) / b)
    r = np.r_[1.0, 0.5, np.zeros(momentum_reach(b, beta))]
    # 200,000 averages of correlation time 9: relative sd sqrt(2·9/200000) = 1 %; 4 of them fail once in 16,000.
    assert deff_momentum(r, b, beta) == pytest.approx(measured, rel=0.04)


def test_momentum_without_memory_is_one_batch():
    r = slot_corr_lanes(np.ones(8), 8, 1, 20)
    assert deff_momentum(r, 4, beta=0) == pytest.approx(deff_from_slots(r, 4))
    assert deff_momentum(np.r_[1.0, np.zeros(10_000)], 4, beta=0.99) == pytest.approx(1)


def test_chunks_one_after_another_reach_h_in_the_long_run():
    R = 0.9 ** np.arange(8)
    r = slot_corr_lanes(R, 8, 1, 100_000)
    assert deff_from_slots(r, 100_000) == pytest.approx(h(R, 8), rel=1e-3)


def test_workers_that_own_videos():
    # All ways of giving 4 videos to 2 workers, all batches of 2 draws with replacement from one worker's frames.
    gradients = gradients_of(3, 8)
    videos = np.arange(8).reshape(4, 2)
    batches = [
        [i, j]
        for owned in itertools.combinations(range(4), 2)
        for i in videos[list(owned)].ravel().tolist()
        for j in videos[list(owned)].ravel().tolist()
    ]
    centred = gradients - gradients.mean(axis=0)
    means = centred.reshape(4, 2, 2).mean(axis=1)
    share = np.square(means).sum(axis=1).mean() / np.square(centred).sum(axis=1).mean()
    assert worker_deff(b=2, n_w=2, V=4, video_share=share) == pytest.approx(variance_of(batches, gradients), abs=1e-10)
    assert worker_deff(256, 8, 200, 0.3) == pytest.approx(3.7, abs=0.05)  # F52
    assert worker_deff(256, 1, 1, 1.0) == 1


def test_same_seed_on_every_rank_wastes_all_but_one():
    # F53: three ranks draw the same frame; a batch of three is worth one.
    gradients = gradients_of(0, 5)
    assert deff_pairs(pair_counts_of([[i] * 3 for i in range(5)], 5), gradients, 3) == pytest.approx(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: deff_wor(5, 6), r"b must be in \[1, 5\], got 6", id="batch over epoch"),
        pytest.param(lambda: deff_wor(1, 1), r"N must be at least 2, got 1", id="one frame"),
        pytest.param(
            lambda: deff_cluster(np.ones(4), 4, 6), r"multiple of the 4 frames .* got 6", id="part of a chunk"
        ),
        pytest.param(lambda: deff_cluster(np.ones(4), 4, 4, m=5), r"m must be in \[1, 4\], got 5", id="m over k"),
        pytest.param(lambda: deff_cluster(np.ones(4), 4, 12, N=8), r"b / m must be in \[1, 2\], got 3", id="too many"),
        pytest.param(lambda: deff_cluster(np.ones(4), 4, 4, N=3), r"N must be at least 4, got 3", id="chunk over N"),
        pytest.param(lambda: deff_cluster(np.ones(3), 4, 4), r"R must hold at least 4 lags", id="R too short"),
        pytest.param(lambda: deff_corgi(np.ones(4), 4, 2, 9), r"b must be in \[1, 8\], got 9", id="batch over fill"),
        pytest.param(
            lambda: deff_corgi(np.ones(4), 4, 3, 9, N=8), r"k·P must be in \[1, 8\], got 12", id="fill over N"
        ),
        pytest.param(lambda: deff_from_slots([1.0, 0.5], 3), r"r must hold at least 3 lags", id="r too short"),
        pytest.param(lambda: deff_momentum(np.ones(9), 4, 0.9), r"r must hold at least 264 lags", id="r for momentum"),
        pytest.param(lambda: deff_momentum(np.ones(9), 4, 1), r"beta must be in \[0, 1\], got 1", id="no forgetting"),
        pytest.param(lambda: deff_pairs(np.eye(2), [[1.0], [2.0]], 2), r"sum to b² = 4, got 2", id="pair counts"),
        pytest.param(lambda: deff_pairs(np.eye(3), [[1.0], [2.0]], 2), r"got \(3, 3\) and \(2, 1\)", id="shapes"),
        pytest.param(
            lambda: deff_pairs(np.ones((2, 2)), [[1.0], [1.0]], 2), r"gradients must differ", id="no variance"
        ),
        pytest.param(lambda: worker_deff(4, 3, 2, 0.1), r"n_w must be in \[1, 2\], got 3", id="idle worker"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
