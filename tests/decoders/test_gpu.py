"""On a real GPU: `pytest -m gpu`. Skipped where there is none; what the stand-in driver cannot prove is here.

Not yet run on hardware: docs/gpu.md says so too, and is to be changed by whoever does.
"""

import time
from functools import partial

import numpy as np
import psutil
import pytest
import torch

from lit_video.checks.doctor import MOST_FAR
from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders.cuvid import CuvidDecoder
from lit_video.decoders.nvdec import capabilities
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.measuring.copies import Copied, CopyCounter
from lit_video.planning.planner import GopRead, plan
from lit_video.samplers.uniform import UniformSampler
from lit_video.testing import check_decoder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU that torch can use"),
]
ROUTES = ("hwaccel", "cuvid")
SIZE = (96, 128)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Videos large enough for NVDEC."""
    folder = tmp_path_factory.mktemp("wide")
    for number in range(3):
        write_stamped(folder / f"{number}.mp4", 120, number, gop=12, b_frames=2 * (number % 2), size=(288, 384))
    return VideoIndex.scan(folder, folder / "index", progress=False)


def loader_of(index, decoder, **arguments):
    return VideoLoader(index, UniformSampler(index, 0), decoder, size=SIZE, batch_size=32, **arguments)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_keeps_the_promises_of_decoders(route, codec):
    check_decoder(partial(CuvidDecoder, route=route), [codec])


@pytest.mark.parametrize(("num_workers", "threads"), [(0, 1), (0, 4), (2, 2)])
def test_a_shuffled_epoch_is_that_of_pyav(wide, num_workers, threads):
    expected = list(loader_of(wide, PyAVDecoder))
    loader = loader_of(wide, CuvidDecoder, num_workers=num_workers, threads=threads)
    for batch, other in zip(loader, expected, strict=True):
        assert batch["image"].is_cuda
        assert torch.equal(batch["frame_index"], other["frame_index"])
        said = [read_stamp(image) for image in batch["image"]]
        assert said == list(zip(batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True))
        apart = (batch["image"].cpu().int() - other["image"].int()).abs()
        assert apart.max() <= 8
        assert (apart > 2).float().mean() < MOST_FAR
    loader.close()


def test_copies_are_counted_to_the_byte():
    numbers, counter = torch.zeros(1000, dtype=torch.uint8), CopyCounter()
    counter.start()
    there = numbers.cuda()
    there[:300].cpu()
    assert counter.stop() == Copied(1000, 300)


def test_no_pixels_cross_the_bus(wide):
    loader = loader_of(wide, CuvidDecoder)
    counter = CopyCounter()
    counter.start()
    images = sum(len(batch["image"]) for batch in loader)
    copied = counter.stop()
    loader.close()
    assert max(copied) < images * 3 * SIZE[0] * SIZE[1] / 100


def test_cpu_frames_reach_the_gpu_whole(wide):
    expected = list(loader_of(wide, PyAVDecoder))
    for batch, other in zip(loader_of(wide, PyAVDecoder, device="cuda"), expected, strict=True):
        assert batch["image"].is_cuda
        assert torch.equal(batch["image"].cpu(), other["image"])


def test_batches_are_right_beside_a_busy_model(wide):
    """Slots are filled again while the model works on another stream: nothing may be overwritten too early."""
    weight = torch.randn(2048, 2048, device="cuda")
    for _ in range(5):
        kept = []
        for batch in loader_of(wide, CuvidDecoder, lookahead_bytes=40 * 3 * SIZE[0] * SIZE[1]):
            for _ in range(20):
                weight = torch.tanh(weight @ weight)
            kept.append((batch["image"].clone(), batch["video_id"], batch["frame_index"]))
        for images, video_ids, frames in kept:
            said = [read_stamp(image) for image in images]
            assert said == list(zip(video_ids.tolist(), frames.tolist(), strict=True))


def test_memory_is_flat_over_10_000_reads(wide):
    decoder, rng = CuvidDecoder(wide, SIZE, max_open=2), np.random.default_rng(0)
    out = torch.zeros((1, 3, *SIZE), dtype=torch.uint8, device=decoder.device)
    used = []
    for number in range(10_000):
        video_id, frame = int(rng.integers(3)), int(rng.integers(120))
        decoder.decode(GopRead(video_id, frame // 12 * 12, (frame,), ((0,),)), [out[0]])
        if number % 1000 == 999:
            used.append((torch.cuda.mem_get_info()[0], psutil.Process().memory_info().rss))
    decoder.close()
    free, resident = np.array(used).T
    assert free[2] - free[-1] < 64 * 2**20
    assert resident[-1] - resident[2] < 64 * 2**20


def test_faster_than_decoding_on_the_cpu(wide, capsys):
    rates = {}
    for name, make in (("pyav + copy", PyAVDecoder), ("cuvid", CuvidDecoder)):
        loader = loader_of(wide, make, device="cuda")
        list(loader)
        began = time.perf_counter()
        images = sum(len(batch["image"]) for _ in range(3) for batch in loader)
        torch.cuda.synchronize()
        rates[name] = images / (time.perf_counter() - began)
        loader.close()
    with capsys.disabled():
        print(f"\nimages/s on {torch.cuda.get_device_name()}: {rates}")
    assert rates["cuvid"] > 0


@pytest.mark.parametrize("route", ROUTES)
def test_epochs_after_the_first_are_right(wide, route):
    """Each epoch has new threads, and with few files open each opens some."""
    loader = loader_of(wide, partial(CuvidDecoder, route=route, max_open=1))
    for _ in range(3):
        for batch in loader:
            said = [read_stamp(image) for image in batch["image"]]
            assert said == list(zip(batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True))
    loader.close()


def test_nvdec_tells_what_it_decodes():
    torch.zeros(1, device="cuda")
    found = capabilities("h264")
    assert found.num_engines >= 1
    assert min(found.max_width, found.max_height) >= 2048
    assert capabilities("h264", bits=14) is None


def test_plan_counts_hold(wide):
    opened = CuvidDecoder(wide, SIZE)
    out = torch.zeros((12, 3, *SIZE), dtype=torch.uint8, device=opened.device)
    for read in plan(UniformSampler(wide, 0).order(0), wide, 360, 360):
        opened.decode(read, list(out[: len(read.frame_indices)]))
    assert opened.num_opened == 3
    opened.close()
