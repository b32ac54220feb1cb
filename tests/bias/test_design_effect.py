"""Design effects of streams, against the enumeration of all their windows and the simulation of averages."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import deff_from_slots, deff_momentum, h, momentum_reach

SEEDS = st.integers(0, 2**32 - 1)


def gradients_of(seed, num_frames):
    """Gradients that drift, so that neighbours are alike."""
    return np.random.default_rng(seed).normal(size=(num_frames, 2)).cumsum(axis=0)


def variance_of(batches, gradients):
    """b · variance of the batch mean / variance of a frame, over equally likely batches."""
    means = np.array([gradients[list(batch)].mean(axis=0) for batch in batches])
    spread = np.square(means - means.mean(axis=0)).sum(axis=1).mean()
    return len(batches[0]) * spread / np.square(gradients - gradients.mean(axis=0)).sum(axis=1).mean()


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
    r = np.maximum(0, 1 - np.arange(21) / 8)  # chunks of 8 equal frames, one after another
    assert deff_momentum(r, 4, beta=0) == pytest.approx(deff_from_slots(r, 4))
    assert deff_momentum(np.r_[1.0, np.zeros(10_000)], 4, beta=0.99) == pytest.approx(1)


def test_chunks_one_after_another_reach_h_in_the_long_run():
    R = 0.9 ** np.arange(8)
    r = np.pad((1 - np.arange(8) / 8) * R, (0, 99_993))
    assert deff_from_slots(r, 100_000) == pytest.approx(h(R, 8), rel=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: deff_from_slots([1.0, 0.5], 3), r"r must hold at least 3 lags", id="r too short"),
        pytest.param(lambda: deff_momentum(np.ones(9), 4, 0.9), r"r must hold at least 264 lags", id="r for momentum"),
        pytest.param(lambda: deff_momentum(np.ones(9), 4, 1), r"beta must be in \[0, 1\], got 1", id="no forgetting"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
