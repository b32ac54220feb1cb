"""Ranks that own shards, against the law that they give every frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import bias_vector, shard_bias, tv


@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=100)
def test_ranks_of_unequal_shards(N_r, seed):
    rng = np.random.default_rng(seed)
    num_frames, ranks = sum(N_r), len(N_r)
    q = np.concatenate([np.full(n, 1 / (ranks * n)) for n in N_r])  # a rank, then a frame of its shard
    gradients = rng.normal(size=(num_frames, 2))
    means = [part.mean(axis=0) for part in np.split(gradients, np.cumsum(N_r)[:-1])]
    shards = shard_bias(N_r)
    np.testing.assert_allclose(shards.bias(means), bias_vector(q, gradients), atol=1e-12)
    assert shards.tv == pytest.approx(tv(q), abs=1e-12)
    assert (shards.tv < 1e-12) == (len(set(N_r)) == 1)
    repaired = shard_bias(N_r, shards.repair_weights)
    assert repaired.tv == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(repaired.bias(means), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: shard_bias([3, 0]), r"N_r must be at least 1, got 0", id="empty shard"),
        pytest.param(lambda: shard_bias([3, 1], [1.0, 0.5]), r"mean 1, got \[1\.0, 0\.5\]", id="weights"),
        pytest.param(lambda: shard_bias([3, 1]).bias([1.0]), r"must hold 2 rows, got shape \(1,\)", id="means"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
