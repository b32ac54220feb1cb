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
from lit_video.support.errors import DeviceError
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
    own = torch.cuda.Stream()  # on the default one, the decoders' own, all would take turns
    own.wait_stream(torch.cuda.current_stream())
    for _ in range(5):
        kept = []
        with torch.cuda.stream(own):
            for batch in loader_of(wide, CuvidDecoder, lookahead_bytes=40 * 3 * SIZE[0] * SIZE[1]):
                for _ in range(20):
                    weight = torch.tanh(weight @ weight)
                kept.append((batch["image"].clone(), batch["video_id"], batch["frame_index"]))
        own.synchronize()
        for images, video_ids, frames in kept:
            said = [read_stamp(image) for image in images]
            assert said == list(zip(video_ids.tolist(), frames.tolist(), strict=True))


def test_memory_is_flat_over_5_000_reads(wide):
    decoder, rng = CuvidDecoder(wide, SIZE, max_open=2), np.random.default_rng(0)
    out = torch.zeros((1, 3, *SIZE), dtype=torch.uint8, device=decoder.device)
    used = []
    for number in range(5_000):
        video_id, frame = int(rng.integers(3)), int(rng.integers(120))
        decoder.decode(GopRead(video_id, frame // 12 * 12, (frame,), ((0,),)), [out[0]])
        if number % 500 == 499:
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


KINDS = {
    "H.264": ("libx264", "yuv420p", {}),
    "H.264, 10 bits": ("libx264", "yuv420p10le", {}),
    "H.264, 4:2:2": ("libx264", "yuv422p", {}),
    "HEVC": ("libx265", "yuv420p", {}),
    "HEVC, 10 bits": ("libx265", "yuv420p10le", {}),
    "HEVC, 12 bits": ("libx265", "yuv420p12le", {}),
    "HEVC, 4:4:4": ("libx265", "yuv444p", {}),
    "VP9": ("libvpx-vp9", "yuv420p", {}),
    "VP9, odd": ("libvpx-vp9", "yuv420p", {"size": (287, 385)}),
    "AV1": ("libsvtav1", "yuv420p", {}),
    "AV1, 10 bits": ("libsvtav1", "yuv420p10le", {}),
    "1080p": ("libx264", "yuv420p", {"size": (1080, 1920)}),
    "BT.709, full range": ("libx264", "yuv420p", {"colours": (1, 2, 1, 1)}),
    "BT.2020": ("libx265", "yuv420p10le", {"colours": (9, 1, 1, 9)}),
    "turned": ("libx264", "yuv420p", {"rotation": 90}),
    "mirrored": ("libx264", "yuv420p", {"rotation": 180, "mirrored": True}),
    "odd": ("libx264", "yuv444p", {"size": (287, 385)}),
    "cropped": ("libx264", "yuv420p", {"options": {"x264-params": "crop-rect=16,8,6,2"}}),
    "cropped, HEVC": ("libx265", "yuv420p", {"size": (270, 386)}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_as_on_the_cpu_on_both_routes_or_refused_before_it_begins(tmp_path, kind):
    codec, pixel_format, arguments = KINDS[kind]
    write_stamped(tmp_path / "a.mkv", 12, 3, codec, 6, **{"size": (288, 384), "pixel_format": pixel_format} | arguments)
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    expected, found = torch.zeros((2, 12, 3, *SIZE), dtype=torch.uint8)
    cpu = PyAVDecoder(index, SIZE, fit="squash")
    for route in ROUTES:
        try:
            decoder = CuvidDecoder(index, SIZE, route=route, fit="squash")
        except DeviceError as error:
            pytest.skip(str(error).splitlines()[0])
        out = found.to(decoder.device)
        for start in (0, 6):
            read = GopRead(0, start, tuple(range(start, start + 6)), tuple((n,) for n in range(6)))
            cpu.decode(read, list(expected[start : start + 6]))
            decoder.decode(read, list(out[start : start + 6]))
        decoder.close()
        assert [read_stamp(image) for image in out] == [(3, frame) for frame in range(12)]
        apart = (out.cpu().int() - expected.int()).abs()
        if route == "hwaccel":  # NVDEC has a filter of its own to scale with
            assert (apart > 2).float().mean() < MOST_FAR
        assert apart.float().mean() < 4


def test_many_files_make_few_hardware_decoders(wide, tmp_path):
    """200 files: as many reads as of three take at most twice their time, and no memory that grows with files."""
    for number in range(200):
        (tmp_path / f"{number:03}.mp4").symlink_to(wide.path(0))
    many, seconds, rng = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False), {}, np.random.default_rng(0)
    for name, index in (("few", wide), ("many", many)):
        decoder = CuvidDecoder(index, SIZE)
        out = torch.zeros((3, *SIZE), dtype=torch.uint8, device=decoder.device)
        for turn in range(2):  # the first opens all files
            began, free = time.perf_counter(), torch.cuda.mem_get_info()[0]
            for _ in range(300):
                video_id, frame = int(rng.integers(index.num_videos)), int(rng.integers(120))
                decoder.decode(GopRead(video_id, frame // 12 * 12, (frame,), ((0,),)), [out])
            seconds[name, turn] = time.perf_counter() - began
        assert free - torch.cuda.mem_get_info()[0] < 64 * 2**20
        decoder.close()
    assert seconds["many", 1] < 2 * seconds["few", 1]


def test_a_callers_own_stream_sees_whole_frames(wide):
    decoder, own = CuvidDecoder(wide, SIZE), torch.cuda.Stream()
    weight = torch.randn(2048, 2048, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(own):
        for frame in range(0, 120, 7):
            out = torch.zeros((3, *SIZE), dtype=torch.uint8, device=decoder.device)
            for _ in range(20):
                weight = torch.tanh(weight @ weight)
            out.zero_()  # behind all that, on this stream
            decoder.decode(GopRead(0, frame // 12 * 12, (frame,), ((0,),)), [out])
            assert read_stamp(out) == (0, frame)
    decoder.close()


def test_pixels_do_not_depend_on_the_precision_of_matrix_products(wide):
    found = []
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        try:
            found.append(torch.cat([batch["image"] for batch in loader_of(wide, CuvidDecoder)]))
        finally:
            torch.set_float32_matmul_precision("highest")
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_a_second_gpu(wide):
    for name in ("cuda:1", "cuda:0"):
        loader = loader_of(wide, partial(CuvidDecoder, device=name))
        for batch in loader:
            assert batch["image"].device == torch.device(name)
            said = [read_stamp(image) for image in batch["image"]]
            assert said == list(zip(batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True))
        loader.close()
    assert torch.cuda.current_device() == 0


def test_frames_of_the_cpu_come_in_the_place_of_those_that_the_gpu_refuses(wide, tmp_path):
    write_stamped(tmp_path / "a.mkv", 12, 0, "ffv1", 6, size=(288, 384))
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    with pytest.raises(DeviceError, match="1 of 1 videos are not decoded by this GPU"):
        CuvidDecoder(index, SIZE)
    with pytest.warns(UserWarning, match="12 of 12 frames of an epoch are copied to the GPU"):
        decoder = CuvidDecoder(index, SIZE, fallback="cpu")
    out = torch.zeros((3, *SIZE), dtype=torch.uint8, device=decoder.device)
    decoder.decode(GopRead(0, 0, (4,), ((0,),)), [out])
    assert read_stamp(out) == (0, 4)
    assert decoder.num_from_cpu == 1


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
