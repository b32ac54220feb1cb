"""How much decoders keep: all of a machine's together no more than their share of handles and memory."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch

from lit_video.decoders import limits
from lit_video.decoders.cuvid import CuvidDecoder
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.torchcodec import TorchCodecDecoder
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.uniform import UniformSampler
from lit_video.store.fill import fill_videos
from lit_video.store.frames import FrameStore
from lit_video.support import machine
from lit_video.support.errors import DeviceError

SIZE = (48, 64)


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(limits, "cores_of_all_workers", lambda: 4)
    monkeypatch.setattr(limits, "free_file_handles", lambda: 1024)
    monkeypatch.setattr(limits, "memory_bytes", lambda: 16 * 2**30)


class OnHost:
    """The device operations of a decoder that is only made."""

    def resolve(self, device):
        return torch.device("cpu")

    def decoding(self, device):
        return nullcontext()

    def bind(self, device):
        pass

    def plane_to_tensor(self, plane):
        raise NotImplementedError

    def synchronize(self):
        pass


def test_half_of_the_handles_are_for_files(index):
    assert limits.files_to_keep(index) == 1024 / 2 / 4
    assert limits.one_of(1, limits.files_to_keep)(index) == limits.MOST_FILES
    assert limits.one_of(16, limits.files_to_keep)(index) == 1024 / 2 / 16
    assert limits.files_to_keep(index) == 1024 / 2 / 4


def test_files_are_bounded_by_memory(index, monkeypatch):
    monkeypatch.setattr(limits, "memory_bytes", lambda: 2**30)
    each = limits.FILE_BYTES + limits.TABLE_BYTES * index.num_frames / index.num_videos
    assert limits.files_to_keep(index) == int(2**30 / 64 / 4 / each)
    monkeypatch.setattr(limits, "memory_bytes", lambda: 2**20)
    assert (limits.files_to_keep(index), limits.decoders_to_keep(index)) == (1, 1)


def test_decoders_are_bounded_by_the_largest_videos_pictures(index):
    assert limits.decoders_to_keep(index) == limits.MOST_DECODERS
    for deep, expected in ((False, 3), (True, 1)):
        wide = index.columns.width.copy()
        wide[1] = 3840
        tall = index.columns.height.copy()
        tall[1] = 2160
        large = replace(index, columns=replace(index.columns, width=wide, height=tall))
        if deep:
            large = replace(large, names=["yuv420p10le" if name == "yuv420p" else name for name in large.names])
        assert limits.decoders_to_keep(large) == expected
        assert limits.one_of(1, limits.decoders_to_keep)(large) > expected


def test_a_worker_of_an_engine_leaves_the_others_theirs(index, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(machine, "_most_cores", None)
    monkeypatch.setattr(machine, "_affinity", lambda: 8)
    monkeypatch.setattr(machine, "quota_of_cores", lambda: None)
    monkeypatch.setattr(limits, "free_file_handles", lambda: 1024)
    monkeypatch.setattr(limits, "memory_bytes", lambda: 16 * 2**30)
    before = limits.files_to_keep(index)
    machine.take_cores(1)
    assert machine.num_cores() == 1
    assert limits.files_to_keep(index) == before


class TestDecodersTakeTheirShare:
    @pytest.mark.parametrize("kind", [PyAVDecoder, partial(CuvidDecoder, device_ops=OnHost())], ids=["pyav", "cuvid"])
    def test_of_files(self, index, kind):
        assert limits.one_of(64, kind)(index).max_open == 1024 / 2 / 64
        assert kind(index).max_open == 1024 / 2 / 4
        assert limits.one_of(64, kind)(index, max_open=20).max_open == 20

    def test_two_that_are_one_share_it(self, index):
        make = partial(CuvidDecoder, device_ops=OnHost(), fallback="cpu")
        assert limits.one_of(64, make)(index).max_open == 1024 / 2 / 64 / 2

    def test_torchcodec(self, index):
        try:
            few, many = TorchCodecDecoder(index), limits.one_of(64, TorchCodecDecoder)(index)
        except DeviceError as error:
            pytest.skip(str(error).splitlines()[0])
        assert (few._max_open, many._max_open) == (limits.MOST_DECODERS, 1024 / 2 / 64 / 2)


class Noting(PyAVDecoder):
    """Writes down how many files it keeps, for processes have no other way to say."""

    def __init__(self, index, size, folder):
        super().__init__(index, size)
        with open(folder / "kept", "a") as notes:  # short lines, appended: none is torn
            notes.write(f"{self.max_open}\n")


class TestWhoeverMakesDecodersTellsHowMany:
    @pytest.mark.parametrize("threads", [1, 2, 16])
    def test_threads(self, index, tmp_path, threads):
        loader = VideoLoader(index, UniformSampler(index, 0), partial(Noting, folder=tmp_path), SIZE, 16, threads)
        next(iter(loader))
        loader.close()
        assert kept(tmp_path) == [min(limits.MOST_FILES, 512 // threads)] * threads

    def test_as_many_as_the_decoder_likes(self, index, tmp_path):
        class Likes(Noting):
            default_threads = 8

        loader = VideoLoader(index, UniformSampler(index, 0), partial(Likes, folder=tmp_path), SIZE, 16)
        next(iter(loader))
        loader.close()
        assert kept(tmp_path) == [512 // 4] + [512 // 8] * 7  # the first one was made to be asked

    def test_threads_of_worker_processes(self, index, tmp_path):
        make = partial(Noting, folder=tmp_path)
        loader = VideoLoader(index, UniformSampler(index, 0), make, SIZE, 16, 4, num_workers=2, start_method="fork")
        next(iter(loader))
        loader.close()
        assert kept(tmp_path) == [512 // 8] * 9  # one in this process, to be asked

    def test_threads_that_fill_a_store(self, index, tmp_path):
        store = FrameStore(tmp_path / "store", index, PyAVDecoder(index, SIZE).look, SIZE)
        fill_videos(store, index, partial(Noting, folder=tmp_path), SIZE, range(3), threads=8)
        store.close()
        assert kept(tmp_path) == [512 // 8] * 8


def kept(folder):
    return list(map(int, (folder / "kept").read_text().split()))
