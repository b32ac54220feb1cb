"""Filling: what a store lacks is decoded once, in order, and is the very frames that a decoder gives."""

import threading
from typing import ClassVar

import numpy as np
import pytest
import torch

from lit_video.decoders.pyav import PyAVDecoder
from lit_video.planning.planner import GopRead
from lit_video.store import collected
from lit_video.store.fill import Filled, fill_videos, look_of, missing_reads
from lit_video.store.frames import FrameStore, StoreWarning
from lit_video.store.keeper import Keeper
from lit_video.support.errors import DataError, DecodeError

SIZE = (48, 64)


def memory():
    return torch.empty((3, *SIZE), dtype=torch.uint8)


class Counting(PyAVDecoder):
    """Notes its reads, and cannot decode some frames."""

    reads: ClassVar[list[GopRead]] = []
    missing: tuple[int, ...] = ()

    def decode(self, read, out):
        self.reads.append(read)
        few = tuple(frame for frame in read.frame_indices if read.video_id or frame not in self.missing)
        place = {frame: read.frame_indices.index(frame) for frame in few}
        super().decode(GopRead(read.video_id, read.start, few, ((0,),) * len(few)), Part(out, place, few))
        if len(few) < len(read.frame_indices):
            raise DecodeError("a file", sorted(set(read.frame_indices) - set(few)), 50)


class Part:
    def __init__(self, out, place, few):
        self._out, self._place, self._few = out, place, few

    def __len__(self):
        return len(self._few)

    def __getitem__(self, number):
        return self._out[self._place[self._few[number]]]


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    monkeypatch.setattr(Counting, "reads", [])
    monkeypatch.setattr(Counting, "missing", ())
    return Counting.reads


@pytest.fixture
def store(tmp_path, index):
    return FrameStore(tmp_path / "store", index, PyAVDecoder(index, SIZE).look, SIZE)


def is_as_decoded(store, index, frame_ids):
    """Whether the store gives what a decoder gives."""
    decoder, out = PyAVDecoder(index, SIZE), np.empty((1, 3, *SIZE), np.uint8)
    for frame_id in frame_ids:
        video_id, frame = (int(found[0]) for found in index.locate(np.array([frame_id])))
        expected = memory()
        start = int(index.start_of(np.array([frame_id]))[0])
        decoder.decode(GopRead(video_id, start, (frame,), ((0,),)), [expected])
        if not store.get([frame_id], out)[0] or not np.array_equal(out[0], expected.numpy()):
            return False
    return True


@pytest.mark.parametrize("threads", [1, 3])
def test_fills_with_the_very_frames(store, index, threads):
    told = []
    assert fill_videos(store, index, Counting, SIZE, range(3), threads=threads, tell=told.append) == Filled(kept=93)
    assert sum(told) == 93
    assert store.has().all()
    assert is_as_decoded(store, index, range(0, 93, 7))
    assert len(Counting.reads) == 11  # GOPs
    assert fill_videos(store, index, Counting, SIZE, range(3)) == Filled()
    assert len(Counting.reads) == 11


def test_a_thread_decodes_in_order(store, index):
    fill_videos(store, index, Counting, SIZE, [1, 0])
    assert [(read.video_id, read.start) for read in Counting.reads] == [
        *((1, frame) for frame in (0, 10, 20, 30)), *((0, frame) for frame in (0, 10, 20, 30, 40)),
    ]  # fmt: skip


def test_only_what_is_wanted_and_missing(store, index):
    wanted = np.zeros(93, bool)
    wanted[[3, 17, 18, 60]] = True
    assert fill_videos(store, index, Counting, SIZE, [0], wanted) == Filled(kept=3)
    assert np.flatnonzero(store.has()).tolist() == [3, 17, 18]
    reads = [read for run in missing_reads(store, index, [0]) for read in run]
    assert [read.frame_indices for read in reads[:2]] == [
        (0, 1, 2, 4, 5, 6, 7, 8, 9), (10, 11, 12, 13, 14, 15, 16, 19),
    ]  # fmt: skip


def test_frames_that_cannot_be_decoded_are_left_out(store, index, monkeypatch):
    monkeypatch.setattr(Counting, "missing", (4, 21, 49))
    assert fill_videos(store, index, Counting, SIZE, range(3), threads=2) == Filled(kept=90, damaged=3)
    assert np.flatnonzero(~store.has()).tolist() == [4, 21, 49]
    assert is_as_decoded(store, index, [3, 5, 20, 22, 48])


def test_damage_that_is_known_is_not_tried(tmp_path):
    from lit_video.index import VideoIndex
    from tests.damaged import DAMAGED

    name = next(name for name in DAMAGED if name.startswith("zeros"))
    DAMAGED[name](tmp_path / name)
    index = VideoIndex.scan(tmp_path / name, tmp_path / "index", progress=False)
    assert index.damage(0)
    store = FrameStore(tmp_path / "store", index, "a look", SIZE)
    reads = [read for run in missing_reads(store, index, [0]) for read in run]
    asked = {frame for read in reads for frame in read.frame_indices}
    damaged = {frame for run in index.damage(0) for frame in range(run.first, run.last + 1)}
    assert asked == set(range(index.num_frames)) - damaged


def test_a_full_store_ends_it(tmp_path, index):
    store = FrameStore(tmp_path, index, "a look", SIZE, "raw", num_bytes=300_000)
    with pytest.warns(StoreWarning, match="used up"):
        filled = fill_videos(store, index, Counting, SIZE, range(3))
    assert filled.is_full
    assert 0 < filled.kept == store.has().sum() < 30
    assert len(Counting.reads) <= 4


def test_long_gops_are_kept_piece_by_piece(store, index, monkeypatch):
    monkeypatch.setattr(collected, "TOGETHER_BYTES", 1)
    puts = []
    keep = store.put
    monkeypatch.setattr(store, "put", lambda ids, packed: puts.append(len(ids)) or keep(ids, packed))
    assert fill_videos(store, index, Counting, SIZE, [2]).kept == 12
    assert puts == [1] * 12


def test_ctrl_c_keeps_what_is_done(store, index):
    def tell(num_frames):
        if len(Counting.reads) >= 3:  # two threads: it may never be three when one tells
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        fill_videos(store, index, Counting, SIZE, range(3), threads=2, tell=tell)
    assert threading.active_count() == before
    assert 0 < store.has().sum() < 93
    missing = (~store.has()).sum()
    assert fill_videos(store, index, Counting, SIZE, range(3)).kept == missing


def test_decoders_without_a_look_are_refused(store, index):
    class NoLook(PyAVDecoder):
        def __init__(self, index, size):
            super().__init__(index, size)
            del self.look

    with pytest.raises(DataError, match=r"(?s)NoLook does not say what its pixels depend on.*decoder=pyav"):
        fill_videos(store, index, NoLook, SIZE, [0])


def test_decoders_on_a_gpu_are_refused(store, index):
    class OnGpu(PyAVDecoder):
        device = torch.device("cuda", 0)

    with pytest.raises(DataError, match=r"(?s)filled on the CPU, and OnGpu decodes on cuda:0.*decoder=pyav"):
        fill_videos(store, index, OnGpu, SIZE, [0])


@pytest.mark.parametrize(
    "options",
    [{"fit": "squash"}, {"interpolation": "area"}, {"untagged": "auto"}, {"trust_flags": False}],
)
def test_options_that_change_pixels_are_looks(index, options):
    assert look_of(PyAVDecoder(index, SIZE, **options)) != look_of(PyAVDecoder(index, SIZE))


def test_options_that_do_not_are_none(index):
    same = PyAVDecoder(index, SIZE, skip_unwanted=False, max_open=3, max_decoders=2)
    assert look_of(same) == look_of(PyAVDecoder(index, (10, 10)))
    assert "libswscale" in look_of(same)


class TestKeeper:
    def test_packs_the_others_when_the_next_is_taken(self):
        mine, packed = torch.zeros((3, *SIZE), dtype=torch.uint8), []
        keeper = Keeper(
            {1: mine},
            memory(),
            4,
            lambda place, frame: packed.append((place, int(frame[0, 0, 0]))),
        )
        assert len(keeper) == 4
        for place in (2, 1, 0, 3):
            keeper[place].fill_(place + 10)
        assert packed == [(2, 12), (0, 10)]
        keeper.finish()
        keeper.finish()
        assert packed == [(2, 12), (0, 10), (3, 13)]
        assert int(mine[0, 0, 0]) == 11

    def test_a_gop_through_a_decoder(self, index):
        packed, mine = {}, torch.zeros((3, *SIZE), dtype=torch.uint8)
        read = GopRead(1, 10, tuple(range(10, 20)), ((0,),) * 10)  # with B-frames
        keeper = Keeper(
            {4: mine},
            memory(),
            10,
            lambda place, frame: packed.update({place: frame.copy()}),
        )
        PyAVDecoder(index, SIZE).decode(read, keeper)
        keeper.finish()
        expected = torch.zeros((10, 3, *SIZE), dtype=torch.uint8)
        PyAVDecoder(index, SIZE).decode(read, list(expected))
        assert sorted(packed) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        assert torch.equal(mine, expected[4])
        assert all(np.array_equal(frame, expected[place].numpy()) for place, frame in packed.items())

    def test_places_are_checked(self):
        keeper = Keeper({}, memory(), 4, lambda place, frame: None)
        for place in (-1, 4):
            with pytest.raises(IndexError, match=r"place must be in \[0, 4\)"):
                keeper[place]
        with pytest.raises(TypeError, match="taken one by one"):
            keeper[1:]
