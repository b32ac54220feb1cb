"""Every sampler that has an option file keeps the promise: a new one joins by existing."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import lit_video
from lit_video.index import Population
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.mixture import MixtureSampler
from lit_video.samplers.reservoir import ReservoirSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.samplers.weighted import WeightedSampler
from lit_video.testing import check_sampler
from tests.fakes import grouped_index_of, index_of

FOLDER = Path(lit_video.__file__).parent / "conf" / "lit_video" / "sampler"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
OTHERS = {
    "small buffer": partial(ReservoirSampler, buffer=2),
    "small buffer, threes": partial(ReservoirSampler, buffer=2, chunk_length=3),
    "small buffer, fives": partial(ReservoirSampler, buffer=2, chunk_length=5),
    "buffer of a third": partial(ReservoirSampler, buffer=31, chunk_length=10),
    "one lane": partial(ChunkedSampler, lanes=1),
    "one lane, sevens": partial(ChunkedSampler, lanes=1, chunk_length=7),
    "three lanes, sevens": partial(ChunkedSampler, lanes=3, chunk_length=7),
    "chunks longer than videos": partial(ChunkedSampler, lanes=2, chunk_length=40),
    "sliding": partial(ChunkedSampler, lanes=2, chunk_length=6, window="sliding"),
    "with replacement": partial(UniformSampler, replacement=True),
    "by video": partial(UniformSampler, per_video=True),
    "stratified": partial(UniformSampler, stratified=31),
    "part of an epoch": partial(UniformSampler, num_samples=40),
    "videos by shares": partial(WeightedSampler, by="video", shares={"0.mp4": 1, "1.mp4": 5, "2.mp4": 2}),
    "weighted, corrected": partial(WeightedSampler, by="video", correct=True),
    "weighted, one left out": partial(WeightedSampler, by="video", shares={"0.mp4": 1, "1.mp4": 0, "2.mp4": 2}),
    "mixture of three": partial(MixtureSampler, by="video", shares={"0.mp4": 0.2, "1.mp4": 0.3, "2.mp4": 0.5}),
    "mixture, corrected": partial(MixtureSampler, shares={"even": 0.4, "odd": 0.6}, correct=True),
    "mixture, one left out": partial(MixtureSampler, by="video", shares={"0.mp4": 1, "1.mp4": 0, "2.mp4": 2}),
    "mixture by size": partial(MixtureSampler, by="video", shares={"0.mp4": 50, "1.mp4": 31, "2.mp4": 12}),
    "mixture, long epochs": partial(MixtureSampler, num_samples=300),
}
SHAPES = {"ordinary": ([50, 31, 12], 10), "one video": ([40], 12), "one frame": ([1], 1), "tiny": ([1, 2, 1, 3], 2)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_keeps_its_promises(config, shape):
    index = grouped_index_of(*shape)
    check_sampler(instantiate(OmegaConf.load(config))(index=index, seed=0), index)


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_keeps_its_promises_with_other_arguments(make):
    index = grouped_index_of([50, 31, 12], 10)
    check_sampler(make(index=index, seed=0), index)


POPULATIONS = {
    "strided": {"stride": 3},
    "clips": {"clip_length": 4, "clip_stride": 2, "stride": 2},
    "some videos": {"videos": [0, 2, 3]},
}


@pytest.mark.parametrize("options", POPULATIONS.values(), ids=POPULATIONS)
@pytest.mark.parametrize("make", [UniformSampler, WeightedSampler, MixtureSampler])
def test_keeps_its_promises_of_the_samples_of_a_population(make, options):
    samples = Population(grouped_index_of([90, 61, 42, 20], 10), **options)
    check_sampler(make(samples, seed=0), samples)


class TestOverManyBatches:
    """The design effect over many batches is that of the chunks, whatever mixes them: F31."""

    R = np.append(1, 0.1 + 0.6 * 0.97 ** np.arange(1, 2000))

    def h(self, k):
        lags = np.arange(1, k)
        return 1 + 2 * ((1 - lags / k) * self.R[lags]).sum()  # F25

    @pytest.mark.parametrize("lanes", [1, 16, 128])
    def test_chunked(self, lanes):
        for chunk_length, straddling in ((None, 0), (16, 0.01)):  # over the end of the video and its beginning
            sampler = ChunkedSampler(index_of([1600], 16), lanes=lanes, chunk_length=chunk_length)
            assert sampler.design_effect(self.R, 256, "long") == pytest.approx(self.h(16), rel=straddling or 1e-9)

    @pytest.mark.parametrize("buffer", [2, 1000])
    def test_reservoir(self, buffer):
        for chunk_length, straddling in ((None, 0), (16, 0.01)):
            sampler = ReservoirSampler(index_of([1600], 16), buffer=buffer, chunk_length=chunk_length)
            assert sampler.design_effect(self.R, 256, "long") == pytest.approx(self.h(16), rel=straddling or 1e-9)

    def test_chunks_of_different_lengths_count_by_their_frames(self):
        sampler = ChunkedSampler(index_of([30, 10], 30))
        assert sampler.design_effect(self.R, 8, "long") == pytest.approx((30 * self.h(30) + 10 * self.h(10)) / 40)

    def test_whole_videos_one_after_another(self):
        found = SequentialSampler(index_of([600] * 20, 30)).design_effect(self.R, 256, "long")
        assert found == pytest.approx(97.5, abs=0.05)  # the last row of the table in docs/bias.md, section 5

    def test_strata_keep_their_advantage(self):
        index = index_of([600] * 4, 30)
        sampler = UniformSampler(index, stratified=80)
        assert sampler.design_effect(self.R, 80, "long") < 0.7
        assert UniformSampler(index).design_effect(self.R, 80, "long") == 1


@pytest.mark.parametrize(
    "make", [partial(ReservoirSampler, buffer=2, chunk_length=5), partial(ChunkedSampler, lanes=1, chunk_length=5)]
)
def test_slots_are_uniform_frame_by_frame(make):
    """Chunks that begin at the same places in every epoch would show some frames in the first slot only."""
    index = index_of([20], 10)
    check_sampler(make(index=index, seed=0), index)


@pytest.mark.parametrize(("num_frames", "simulated"), [(1000, 0.27), (3000, 0.56), (10_000, 0.84)])
def test_momentum_reaches_over_the_epochs(num_frames, simulated):
    """Shuffled epochs settle their own noise: simulated with batches of 100 and a moving average of 0.9."""
    sampler = UniformSampler(index_of([num_frames], 10))
    R = 0.9 ** np.arange(20_000.0)
    assert sampler.design_effect(R, 100, "momentum") == pytest.approx(simulated, abs=0.02)
