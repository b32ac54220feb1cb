"""A store that an engine's workers fill holds the very frames that one filled by threads does."""

import os
import resource
import signal

import numpy as np
import pytest

from lit_video.decoders.pyav import PyAVDecoder
from lit_video.engines.local import LocalEngine
from lit_video.store.elsewhere import Piece, _read, _write, fill_elsewhere
from lit_video.store.fill import fill_videos
from lit_video.store.frames import FrameStore
from lit_video.support.errors import WorkerError

SIZE = (48, 64)


class Deadly(PyAVDecoder):
    """Dies of one video."""

    def decode(self, read, out):
        if read.video_id == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        super().decode(read, out)


class OnAFullDisk(PyAVDecoder):
    """Decodes in a worker that can write no more than a part of a file."""

    def decode(self, read, out):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        super().decode(read, out)


def store_in(folder, index, **options):
    return FrameStore(folder, index, PyAVDecoder(index, SIZE).look, SIZE, **options)


def filled(store, index, folder, make_decoder=PyAVDecoder, wanted=None, look=None):
    look = look or PyAVDecoder(index, SIZE).look
    videos = range(index.num_videos)
    return fill_elsewhere(store, index, make_decoder, look, SIZE, videos, wanted, LocalEngine(2), folder / "incoming")


def all_of(store, index):
    out = np.zeros((index.num_frames, 3, *SIZE), np.uint8)
    assert store.get(np.arange(index.num_frames), out).all()
    return out


def test_the_same_frames(index, tmp_path):
    threads, workers = store_in(tmp_path / "a", index), store_in(tmp_path / "b", index)
    fill_videos(threads, index, PyAVDecoder, SIZE, range(3))
    done = filled(workers, index, tmp_path)
    assert (done.kept, done.damaged, done.given_up) == (93, 0, [])
    assert np.array_equal(all_of(threads, index), all_of(workers, index))
    assert not (tmp_path / "incoming").exists()
    assert filled(workers, index, tmp_path).kept == 0


def test_only_what_is_wanted_and_missing(index, tmp_path):
    store, wanted = store_in(tmp_path / "store", index), np.zeros(93, bool)
    wanted[3:40:3] = True
    assert filled(store, index, tmp_path, wanted=wanted).kept == 13
    assert np.flatnonzero(store.has()).tolist() == list(range(3, 40, 3))
    assert filled(store, index, tmp_path).kept == 80


def test_what_workers_die_of_is_listed_and_the_rest_is_there(index, tmp_path):
    store = store_in(tmp_path / "store", index)
    done = filled(store, index, tmp_path, Deadly)
    assert (done.kept, done.damaged) == (62, 31)
    [told] = done.given_up
    assert told == (f"{index.path(1)}: frames 0 to 30: whoever decodes them dies (its process ended by SIGKILL)")
    assert filled(store, index, tmp_path).kept == 31


def test_what_a_killed_run_left_is_put_in(index, tmp_path):
    store = store_in(tmp_path / "store", index)
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, *SIZE), np.uint8)
    filled(store, index, tmp_path, wanted=np.arange(93) >= 93)  # finds out what the folder is called
    import hashlib

    told = repr((index.digest(), PyAVDecoder(index, SIZE).look, SIZE, store.packing)).encode()
    incoming = tmp_path / "incoming" / hashlib.blake2b(told, digest_size=16).hexdigest()
    incoming.mkdir(parents=True)
    _write(incoming, Piece(0, ((4, 5),)), [4, 5], [store.packing.pack(frame) for frame in frames])
    (incoming / "0-6-7.frames").write_bytes(b"half of a file")
    assert filled(store, index, tmp_path).kept == 93
    out = np.zeros((2, 3, *SIZE), np.uint8)
    store.get([4, 5], out)
    assert np.array_equal(out, frames)


def test_frames_of_another_look_are_refused(index, tmp_path):
    with pytest.raises(WorkerError, match="of another look"):
        filled(store_in(tmp_path / "store", index), index, tmp_path, look="another")


def test_a_disk_that_takes_no_frames_is_told(index, tmp_path):
    with pytest.raises(WorkerError, match=r"cannot be written here \(File too large\)\.\n.*engine\.folder=FOLDER"):
        filled(store_in(tmp_path / "store", index), index, tmp_path, OnAFullDisk)
    assert not list(tmp_path.glob("incoming/*/*"))


def test_a_full_store_ends_it(index, tmp_path):
    store = store_in(tmp_path / "store", index, packing="raw", num_bytes=300_000)
    with pytest.warns(UserWarning, match="used up"):
        done = filled(store, index, tmp_path)
    assert done.is_full
    assert 0 < done.kept < 93


def test_a_file_says_whose_frames_it_holds(tmp_path):
    _write(tmp_path, Piece(3, ((1, 2), (7, 9))), [1, 2, 9], [b"a", b"bcd", b""])
    video_id, frames, packed, lost = _read(tmp_path / "3-1-9.frames")
    assert (video_id, frames.tolist(), packed, lost) == (3, [1, 2, 9], [b"a", b"bcd", b""], 2)
