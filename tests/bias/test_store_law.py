"""What a store saves, against plans that have one."""

import math

import numpy as np
import pytest

from lit_video.bias import decoded_with_store, epochs_until_store_pays
from lit_video.index import as_population
from lit_video.loading.memory import taker
from lit_video.planning.planner import Stored, plan
from lit_video.samplers.uniform import UniformSampler
from tests.fakes import index_of

INDEX = index_of([240] * 40, 12)
REACH = {"lookahead": 800, "budget": 10**9}


def planned(share, epochs):
    """Decoded frames per delivered one."""
    sampler, mask = UniformSampler(INDEX, seed=0), np.zeros(INDEX.num_frames, np.uint8)
    stored = Stored(mask, taker(as_population(INDEX), share)) if share else None
    decoded = 0
    for epoch in range(epochs):
        reads = plan(sampler.order(epoch), INDEX, **REACH, near=64, stored=stored)
        for _ in reads:
            pass
        decoded += reads.decoded_frames
    return decoded / (epochs * INDEX.num_frames)


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("share", [0.4, 1])
def test_is_what_plans_cost(share, epochs):
    law = decoded_with_store(planned(0, 1), share, epochs)
    assert planned(share, epochs) == pytest.approx(law, rel=0.05)


def test_pays_when_both_have_cost_the_same():
    D, c, q, p = 3.0, 6.0, 1.0, 0.5
    epochs = epochs_until_store_pays(D, c, q, p)
    assert (c + q) / epochs + p == pytest.approx(c * D)
    assert epochs_until_store_pays(1, 0.3, 0.1, 0.3) == math.inf


@pytest.mark.parametrize(
    ("arguments", "told"),
    [((1, 1.1, 1), r"share must be in \[0, 1\]"), ((1, 1, 0.5), "epochs must be in"), ((-1, 1, 1), "decoded must be")],
)
def test_refuses(arguments, told):
    with pytest.raises(ValueError, match=told):
        decoded_with_store(*arguments)
