"""Memory, files and threads stay bounded, however long a run is and however many videos there are."""

import gc
import os

import psutil
import pytest

from lit_video.checks.stamps import write_stamped
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.uniform import UniformSampler

MIB = 2**20

pytestmark = pytest.mark.usefixtures("unchecked")


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


def open_files():
    return len(os.listdir("/proc/self/fd"))


def run(loader, epochs):
    for _ in range(epochs):
        for _ in loader:
            pass


def test_flat_over_50_epochs(tmp_path):
    video = write_stamped(tmp_path / "a.mp4", 250, gop=25, size=(192, 256))
    index = VideoIndex.scan(video, tmp_path / "index", progress=False)
    loader = VideoLoader(index, UniformSampler(index, 0), PyAVDecoder, size=112, batch_size=64, lookahead=60)
    run(loader, 10)
    before, files = resident(), open_files()
    run(loader, 40)
    assert resident() - before < 24 * MIB
    assert open_files() <= files
    loader.close()
    assert open_files() < files


@pytest.mark.parametrize("sampler", [UniformSampler, ChunkedSampler])
def test_flat_over_2000_files(tmp_path, sampler):
    (tmp_path / "videos").mkdir()
    video = write_stamped(tmp_path / "0.mp4", 4, gop=4)
    for number in range(2000):
        (tmp_path / "videos" / f"{number:04}.mp4").symlink_to(video)
    index = VideoIndex.scan(tmp_path / "videos", tmp_path / "index", progress=False)
    decoders, before = [], open_files()

    def make(index, size):
        decoders.append(PyAVDecoder(index, size, max_open=4))
        return decoders[-1]

    loader = VideoLoader(index, sampler(index, 0), make, size=32, batch_size=128, threads=2, lookahead_bytes=8 * MIB)
    iterator, first, most_files = iter(loader), None, 0
    for number, _ in enumerate(iterator):
        most_files = max(most_files, open_files())
        if number == 20:
            first = resident()
    assert resident() - first < 24 * MIB
    # Two threads with four files each; the loader's own pipes and the directory that is listed besides.
    assert most_files - before <= 2 * 4 + 4
    assert sum(decoder.num_opened for decoder in decoders) >= 2000
    loader.close()


def test_an_index_of_100_000_files_costs_columns_and_not_objects():
    from tests.fakes import index_of

    index = index_of([30] * 100_000, 15)
    size = sum(getattr(index.columns, name).nbytes for name in index.columns.names_of_columns())
    assert size < 100_000 * (30 * 12 + 2 * 32 + 200)
    order = UniformSampler(index, 0).order(0)
    assert len(order) == 3_000_000
