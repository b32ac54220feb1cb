"""Same seed, same frames: whatever decodes them, and however many threads, workers and ranks there are."""

import itertools

import pytest
import torch

from lit_video.checks.stamps import read_stamp
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.torchcodec import TorchCodecDecoder
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.reservoir import ReservoirSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DeviceError
from tests.loading.test_loader import loader_of

SAMPLERS = [UniformSampler, ChunkedSampler, ReservoirSampler]
WAYS = [
    {"threads": threads, "lookahead": lookahead, "world_size": world_size, **workers}
    for threads, lookahead, world_size, workers in itertools.product(
        (1, 3),
        (None, 2, 30),
        (1, 2),
        ({}, {"num_workers": 2, "start_method": "fork"}),
    )
] + [
    {"num_workers": 1, "start_method": "spawn"},
    {"num_workers": 2, "start_method": "forkserver", "world_size": 2},
]


def load(index, sampler, world_size=1, decoder=PyAVDecoder, **arguments):
    """Return the epoch of all ranks: position -> ids and image."""
    found = {}
    for rank in range(world_size):
        part = {"batch_size": 12 // world_size, "rank": rank, "world_size": world_size}
        loader = loader_of(index, sampler=sampler, decoder=decoder, **part, **arguments)
        for batch in loader:
            rows = zip(
                batch["position"].tolist(), batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True
            )
            for (position, video_id, frame), image in zip(rows, batch["image"], strict=True):
                assert position not in found
                found[position] = (video_id, frame), image
        loader.close()
    return found


@pytest.fixture(scope="module")
def expected(index):
    return {sampler: load(index, sampler, threads=1, lookahead=1) for sampler in SAMPLERS}


@pytest.mark.filterwarnings("ignore:The sampler spreads each chunk")
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_same_seed_same_frames(index, expected, sampler, way):
    found = load(index, sampler, **way)
    assert len(found) == 93 - 93 % way.get("world_size", 1)
    for position, (identity, image) in found.items():
        other, pixels = expected[sampler][position]
        assert identity == other
        assert torch.equal(image, pixels)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_decoder_shows_the_same_frames(index, expected, sampler):
    try:
        found = load(index, sampler, decoder=TorchCodecDecoder)
    except DeviceError as error:
        pytest.skip(str(error).splitlines()[0])
    for position, (identity, image) in found.items():
        assert identity == expected[sampler][position][0] == read_stamp(image)
