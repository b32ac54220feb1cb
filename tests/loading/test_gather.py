"""Batches out of slots: the right ones, in memory of their own, made by the thread that asks and no other."""

import os
import threading
import tracemalloc

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lit_video.loading.gather import Gather, choose_gather, copy_slots
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DeviceError
from tests.decoders.test_every_decoder import CONFIGS

CPU = torch.device("cpu")


def pool(num_slots=20, height=24, width=32):
    numbers = np.random.default_rng(0).integers(0, 256, (num_slots, 3, height, width), np.uint8)
    return torch.from_numpy(numbers)


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(list(range(20)), id="all"),
        pytest.param(list(range(19, -1, -1)), id="backwards"),
        pytest.param([3, 3, 17, 3], id="repeats"),
        pytest.param([0], id="first"),
        pytest.param([19], id="last"),
        pytest.param([], id="none"),
        pytest.param(np.random.default_rng(1).integers(0, 20, 200).tolist(), id="more than there are"),
    ],
)
@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda slots: slots, id="whole"),
        pytest.param(lambda slots: torch.cat([slots, slots])[::2], id="every other slot"),
        pytest.param(lambda slots: slots.permute(0, 1, 3, 2), id="turned"),
        pytest.param(lambda slots: slots[:, :, 2:-2, 1:-3], id="cut out"),
        pytest.param(lambda slots: slots.clone().share_memory_(), id="shared"),
    ],
)
def test_gives_the_slots_asked_for(index, view):
    slots = view(pool())
    images = Gather()(slots, torch.tensor(index, dtype=torch.int64)).take()
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert torch.equal(images, torch.stack([slots[i] for i in index]) if index else slots[:0])


def test_numbers_may_be_a_view():
    numbers = torch.arange(20)[::3]
    assert torch.equal(Gather()(pool(), numbers).images, pool()[::3])


@pytest.mark.parametrize("index", [[20], [-1], [0, 5, 99]])
def test_refuses_slots_that_there_are_not(index):
    with pytest.raises(AssertionError):
        Gather()(pool(), torch.tensor(index))


def test_a_batch_belongs_to_whoever_took_it():
    slots, gather, numbers = pool(), choose_gather(CPU, CPU), torch.arange(5)
    expected = slots[:5].clone()
    kept = [gather(slots, numbers).take() for _ in range(8)]
    view = gather(slots, numbers).take()[2]  # all that is left of its batch
    slots.zero_()
    others = [gather(slots, numbers).take().fill_(7) for _ in range(8)]
    assert all(torch.equal(batch, expected) for batch in kept)
    assert torch.equal(view, expected[2])
    places = {batch.untyped_storage().data_ptr() for batch in (slots, view, *kept, *others)}
    assert len(places) == 2 + 8 + 8


def test_copies_each_image_once():
    slots, numbers = pool(50, 100, 100), torch.arange(49, -1, -1)
    images = torch.empty_like(slots)
    tracemalloc.start()  # numpy tells it of its arrays
    try:
        copy_slots(slots, numbers, images)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert torch.equal(images, slots.flip(0))
    assert peak < slots.nbytes / 50


@pytest.fixture
def two_threads_of_torch():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def native_threads():
    """Threads of this process that are not Python's, as those of torch are not."""
    ours = {str(thread.native_id) for thread in threading.enumerate()}
    return set(os.listdir("/proc/self/task")) - ours


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_decoding_on_the_cpu_shares_no_work_among_threads_of_torch(config, index, two_threads_of_torch):
    """A team of torch's would spin on the cores that decode; each thread that asks for one gets its own."""
    decoder = instantiate(OmegaConf.load(config))
    try:
        if decoder(index, (128, 128)).device != CPU:
            pytest.skip("does not decode on the CPU")
    except DeviceError as error:
        pytest.skip(str(error).splitlines()[0])
    # An image has more than the 32,768 values from which on torch divides work.
    loader = VideoLoader(index, UniformSampler(index, 0), decoder, size=128, batch_size=16, threads=2)
    before, batches = native_threads(), iter(loader)
    for _ in range(len(loader) - 1):
        next(batches)
        assert native_threads() <= before
    loader.close()
