"""check_sampler runs a sampler through a loader, and refuses those with which a run dies."""

from functools import partial

import numpy as np
import pytest

from lit_video.checks.trial_run import check_run
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.testing import check_sampler
from tests.fakes import index_of

INDEX = index_of([50], 10)


class EveryFifth(UniformSampler):
    """Written without a base class: the others are never drawn, and weights raise, as the protocol has it."""

    exact_uniform = epoch_complete = False

    def order(self, epoch):
        return np.random.default_rng(epoch).permutation(10) * 5

    def inclusion_probability(self):
        return np.where(np.arange(50) % 5 == 0, 0.1, 0.0)

    def epoch_inclusion(self):
        return 10 * self.inclusion_probability()

    def weights(self, frame_ids=None):
        raise ValueError("q must be positive for every frame")


class EveryFifthAsIf(EveryFifth):
    def weights(self, frame_ids=None):
        return np.ones(50 if frame_ids is None else len(frame_ids))


class DiesOnOne(UniformSampler):
    """Weights that go by all frames only."""

    def weights(self, frame_ids=None):
        if frame_ids is not None and len(frame_ids) == 5:
            raise ValueError("five are too few")
        return super().weights(frame_ids)


class ForgetsWhatIsGiven(UniformSampler):
    def __init__(self, index):
        super().__init__(index, per_video=True)

    def weights(self, frame_ids=None):
        return super().weights(None if frame_ids is None else np.sort(frame_ids))


class Forgetful(UniformSampler):
    """Another order once it was asked often enough: the laws are looked at before that."""

    asked = 0

    def order(self, epoch):
        Forgetful.asked += 1
        return super().order(epoch)[:: 1 if Forgetful.asked < 8 else -1]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (
            EveryFifth,
            "40 of 50 frames are never drawn, the first of them 1; its weights raise ValueError, and so a run",
        ),
        (EveryFifthAsIf, "40 of 50 frames are never drawn, .* it gives weights all the same"),
        (DiesOnOne, "a run of this sampler dies: ValueError: five are too few"),
    ],
)
def test_refuses(broken, told):
    with pytest.raises(AssertionError, match=told):
        check_sampler(broken(INDEX), INDEX)


def test_refuses_windows_longer_than_a_video():
    """This one passed, and a run died at its first batch."""
    index = index_of([50, 12], 10)
    make = partial(ChunkedSampler, lanes=2, chunk_length=20, window="sliding")
    with pytest.raises(AssertionError, match="12 of 62 frames are never drawn, the first of them 50"):
        check_sampler(make(index=index), index)


def test_refuses_weights_of_other_frames():
    index = index_of([50, 12], 10)
    with pytest.raises(AssertionError, match="weights are of the frames given"):
        check_sampler(ForgetsWhatIsGiven(index), index)


def test_the_run_notices_an_order_that_changes():
    check_run(UniformSampler(INDEX), INDEX)
    with pytest.raises(
        AssertionError,
        match=r"a run of this sampler dies: ResumeError|ranks agree|position comes once|are not the order's",
    ):
        check_run(Forgetful(INDEX), INDEX)
