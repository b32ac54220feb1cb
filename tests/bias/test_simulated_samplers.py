"""Streams of frames of a synthetic population, drawn as samplers draw them, against their design effects.

The population is fixed: videos whose frames share a plateau and an AR(1), laid end to end in a circle.
"""

import numpy as np
import pytest

from lit_video.bias import deff_from_slots, estimate_deff, h, slot_corr_jitter

NUM_FRAMES, B, K, CHUNKS = 6000, 48, 12, 8000


@pytest.fixture(scope="module")
def gradients():
    rng = np.random.default_rng(0)
    steps, faded = rng.normal(size=(30, 200, 16)), np.zeros((30, 200, 16))
    for t in range(200):
        faded[:, t] = 0.9 * faded[:, t - 1] + np.sqrt(1 - 0.81) * steps[:, t]
    mixed = (
        np.sqrt(0.6) * faded + np.sqrt(0.1) * rng.normal(size=(30, 1, 16)) + np.sqrt(0.3) * rng.normal(size=steps.shape)
    )
    flat = mixed.reshape(-1, 16)
    return flat - flat.mean(axis=0)


@pytest.fixture(scope="module")
def R(gradients):
    """Correlation on the circle of all frames: F1, straddling pairs included as they are."""
    products = [(gradients * np.roll(gradients, -lag, axis=0)).sum() for lag in range(K)]
    return np.array(products) / np.square(gradients).sum()


def chunk_stream(rng, num_chunks):
    """Frame ids of random circular chunks, one after another."""
    return (rng.integers(NUM_FRAMES, size=num_chunks)[:, None] + np.arange(K)).ravel() % NUM_FRAMES


def in_turn(rng, P, slots):
    """Lanes in turn, each somewhere in its first chunk at the start."""
    lanes = []
    for _ in range(P):
        frames = chunk_stream(rng, slots // P // K + 2)
        lanes.append(frames[rng.integers(K) :][: slots // P])
    return np.stack(lanes, axis=1).ravel()


def buffered(rng, size, stream):
    """A swap buffer in its steady state."""
    content, out = stream[:size].tolist(), []
    for frame, pick in zip(stream[size:].tolist(), rng.integers(size, size=len(stream) - size).tolist(), strict=True):
        out.append(content[pick])
        content[pick] = frame
    return np.array(out)[10 * size :]


def partition_correlation(gradients):
    """R that puts the right mean correlation into chunks of the fixed partition."""
    means = gradients.reshape(-1, K, gradients.shape[1]).mean(axis=1)
    return np.r_[1.0, np.full(K - 1, (K * np.square(means).sum(axis=1).mean() / variance(gradients) - 1) / (K - 1))]


def variance(gradients):
    return np.square(gradients).sum(axis=1).mean()


CASES = {
    "independent": (lambda rng: rng.integers(NUM_FRAMES, size=CHUNKS * K), lambda R: 1.0),
    "whole chunks": (lambda rng: chunk_stream(rng, CHUNKS), lambda R: h(R, K)),
    "six lanes": (
        lambda rng: in_turn(rng, 6, CHUNKS * K),
        lambda R: deff_from_slots(np.kron(one_after_another(R), np.eye(1, 6)[0]), B),
    ),
    "a lane per slot": (lambda rng: in_turn(rng, B, CHUNKS * K), lambda R: 1.0),
    "jitter": (
        lambda rng: jittered(rng, 120, chunk_stream(rng, CHUNKS)),
        lambda R: deff_from_slots(slot_corr_jitter(one_after_another(R), 120, B), B),
    ),
}


def one_after_another(R):
    """Correlation of slots by distance where whole chunks follow each other."""
    return (1 - np.arange(K) / K) * R


def jittered(rng, width, stream):
    return stream[np.argsort(np.arange(stream.size) + width * rng.random(stream.size))]


@pytest.mark.parametrize("case", CASES)
def test_design_effect_of_a_batch(case, gradients, R):
    draw, formula = CASES[case]
    measured = estimate_deff(gradients[draw(np.random.default_rng(1))], gradients, horizons=[B])
    # Relative sd 0.011, that of 2,000 batches of 16 directions; 4 of them fail once in 16,000.
    tolerance = 4 * measured.relative_sd[0]
    assert tolerance < 0.06
    assert measured.deff[0] == pytest.approx(formula(R), rel=tolerance)


def test_the_design_effect_returns_to_h_over_a_horizon_longer_than_the_buffer(gradients, R):
    stream = buffered(np.random.default_rng(3), 60, chunk_stream(np.random.default_rng(4), 40_000))
    batch, horizon = estimate_deff(gradients[stream], gradients, horizons=[B, 2400]).deff
    assert batch < 0.6 * h(R, K)
    # 199 stretches of 2,400 slots: relative sd 0.035; the formula is 2 % below h. 4 sd fail once in 16,000.
    assert horizon == pytest.approx(h(R, K), rel=0.14)


def test_epochs_of_permuted_chunks_bring_the_variance_back_to_nothing(gradients):
    # F32: T slots of whole chunks, permuted equal chunks of the partition.
    rng, starts = np.random.default_rng(5), np.arange(0, NUM_FRAMES, K)
    h_k = h(partition_correlation(gradients), K)
    for T in (B, NUM_FRAMES // 2, NUM_FRAMES - B):
        sums = [
            gradients[(rng.permutation(starts)[: T // K, None] + np.arange(K)).ravel()].sum(axis=0) for _ in range(2000)
        ]
        measured = np.square(sums).sum(axis=1).mean() / (T * variance(gradients))
        # Relative sd 0.011 as above.
        assert measured == pytest.approx(h_k * (NUM_FRAMES - T) / (NUM_FRAMES - K), rel=0.05)
