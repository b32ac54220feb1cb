import numpy as np
import pytest

from lit_video.support.rng import mix, rng, uniforms


def draws(*key):
    return rng(*key).integers(2**63, size=4).tolist()


def test_is_a_function_of_its_arguments():
    assert draws(3, "order", 5) == draws(3, "order", 5)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((1, "order", 0), id="another seed"),
        pytest.param((0, "shard", 0), id="another stream"),
        pytest.param((0, "order", 1), id="another epoch"),
        pytest.param((0, "order"), id="fewer counters"),
        pytest.param((0, "order", 0, 0), id="more counters"),
    ],
)
def test_differs_for(other):
    assert draws(0, "order", 0) != draws(*other)


def test_seed_and_counter_do_not_collide():
    assert draws(0, "order", 1) != draws(1, "order", 0)


def test_refuses_negative_numbers():
    with pytest.raises(ValueError, match="seed and counters must be at least 0, got"):
        rng(0, "order", -1)


def test_uniforms_belong_to_positions_and_not_to_batches():
    whole = uniforms(0, "crop", 2, np.arange(10), 5)
    assert np.array_equal(whole[[7, 3]], uniforms(0, "crop", 2, np.array([7, 3]), 5))
    assert len(np.unique(whole)) == whole.size


def test_uniforms_are_uniform():
    counts = np.histogram(uniforms(0, "crop", 0, np.arange(2000), 8), bins=16, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 50  # 15 degrees of freedom: exceeded once in 80,000


def test_mix_has_no_collisions_among_small_numbers():
    assert len(np.unique(mix(np.arange(100_000, dtype=np.uint64)))) == 100_000
