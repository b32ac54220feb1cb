"""FrameStore: what was put is there, for the same files and look, in all processes, and nothing else is."""

import os
import pickle
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from lit_video.store import environment as environments
from lit_video.store.environment import DATA
from lit_video.store.frames import PACKING_OF, StoreWarning
from tests.fakes import index_of
from tests.programs import REPOSITORY
from tests.store.frames import SIZE, fill, frames_of, served, store_of


@pytest.mark.parametrize("packing", ["raw", "lossless"])
def test_what_was_put_is_served(tmp_path, packing):
    store = store_of(tmp_path, packing=packing)
    assert not store.has().any()
    assert served(store, [0, 1]) == [False, False]
    assert fill(store, [3, 4, 31]) == 3
    assert np.flatnonzero(store.has()).tolist() == [3, 4, 31]
    assert store.has(np.array([31, 5, 3])).tolist() == [True, False, True]
    assert served(store, [31, 5, 3, 3, 4, 30, 4]) == [True, False, True, True, True, False, True]
    assert store.problem is None


def test_jpeg_is_served_as_it_was_packed(tmp_path):
    store, (frame,) = store_of(tmp_path, packing="jpeg", quality=80), frames_of([7])
    packed, expected = store.packing.pack(frame), np.empty((1, 3, *SIZE), np.uint8)
    store.packing.unpack([packed], expected)
    out = np.empty_like(expected)
    assert store.put([7], [packed]) == 1
    assert store.get([7], out).all()
    assert np.array_equal(out, expected)


def test_raw_and_lossless_share_frames_and_jpeg_does_not(tmp_path):
    stores = {name: store_of(tmp_path, packing=name) for name in ("raw", "lossless", "jpeg")}
    assert fill(stores["raw"], range(4)) == 4
    assert fill(stores["lossless"], range(2, 8)) == 6
    for name in ("raw", "lossless"):
        assert served(stores[name], range(9)) == [True] * 8 + [False]
    assert not stores["jpeg"].has().any()
    fill(stores["jpeg"], [20])
    assert not stores["raw"].has(np.array([20]))[0]
    assert not store_of(tmp_path, packing="jpeg", quality=94).has().any()


def test_what_is_there_is_not_written_again(tmp_path):
    store = store_of(tmp_path, packing="raw")
    fill(store, range(10))
    before = store.num_bytes_used
    for _ in range(5):
        assert fill(store, range(10)) == 10
    assert store.num_bytes_used <= before + 4 * 4096


def _other_size(index):
    columns = index.columns
    return replace(index, columns=replace(columns, size_bytes=columns.size_bytes + 1))


def _other_time(index):
    columns = index.columns
    return replace(index, columns=replace(columns, mtime_ns=columns.mtime_ns + 1))


def _other_bytes(index):
    return replace(index, columns=replace(index.columns, digest=index.columns.digest + np.uint8(1)))


def _other_pts(index):
    return replace(index, columns=replace(index.columns, pts=index.columns.pts * 2))


def _other_stream(index):
    return replace(index, columns=replace(index.columns, stream=index.columns.stream + 1))


def _turned(index):
    return replace(index, columns=replace(index.columns, rotation=index.columns.rotation + 90))


def _with_digest(value):
    index = index_of((30, 20), 10)
    return replace(index, columns=replace(index.columns, digest=np.full((2, 16), value, np.uint8)))


def test_a_file_of_the_same_bytes_is_the_same_whenever_it_was_written(tmp_path):
    index = _with_digest(1)
    fill(store_of(tmp_path, index), range(50))
    assert store_of(tmp_path, _other_time(index)).has().all()


def test_of_a_file_whose_bytes_are_not_known_the_time_counts(tmp_path):
    index = _with_digest(0)
    fill(store_of(tmp_path, index), range(50))
    assert not store_of(tmp_path, _other_time(index)).has().any()


@pytest.mark.parametrize("change", [_other_size, _other_bytes, _other_pts, _other_stream, _turned])
def test_a_file_that_changed_is_another(tmp_path, change):
    index = index_of((30, 20), 10)
    fill(store_of(tmp_path, index), range(50))
    assert not store_of(tmp_path, change(index)).has().any()


def test_another_look_or_size_is_another(tmp_path):
    fill(store_of(tmp_path), range(50))
    assert not store_of(tmp_path, look="another").has().any()
    assert not store_of(tmp_path, size=(56, 40)).has().any()
    assert store_of(tmp_path).has().all()


def test_more_videos_and_another_order_lose_nothing(tmp_path):
    fill(store_of(tmp_path, index_of((30,), 10)), range(30))
    more = store_of(tmp_path, index_of((30, 20, 25), 5))  # keyframes do not matter
    assert np.flatnonzero(more.has()).tolist() == list(range(30))
    assert served(more, range(28, 33)) == [True, True, False, False, False]


def test_frames_are_checked_once_and_a_damaged_one_is_absent(tmp_path):
    store = store_of(tmp_path, packing="raw")
    fill(store, range(5))
    assert served(store, [0]) == [True]
    store.close()
    file = tmp_path / DATA
    content = bytearray(file.read_bytes())
    place = content.index(frames_of([2])[0].tobytes()) + 1000
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.warns(StoreWarning, match=r"(?s)1 frames that were asked for are damaged.*verify FOLDER --mend"):
        assert served(store, range(5)) == [True, True, False, True, True]
    assert served(store, [2, 3]) == [False, True]  # without another word
    assert (store.num_bad, store.has().sum(), store.has(np.array([2])).sum()) == (1, 4, 0)
    assert fill(store, [2]) == 1  # written over
    assert served(store, [2]) == [True]
    assert store.num_bad == 0
    assert served(store_of(tmp_path), range(5)) == [True] * 5


def test_what_is_whole_and_no_frame_is_absent(tmp_path):
    store = store_of(tmp_path)
    frames = frames_of([0, 1, 2])
    packed = [store.packing.pack(frame) for frame in frames]
    assert store.put([0, 1, 2], [packed[0], b"anything else", packed[2]]) == 3
    with pytest.warns(StoreWarning, match="1 frames"):
        assert served(store, [0, 1, 2]) == [True, False, True]


def test_num_bytes_holds_and_is_told_once(tmp_path):
    store = store_of(tmp_path, packing="raw", num_bytes=200_000)
    room = store.room
    assert 150_000 < room < 200_000
    with pytest.warns(StoreWarning, match=r"(?s)200,000 bytes are used up.*data.store_bytes") as told:
        kept = fill(store, range(50))
    assert fill(store, range(50)) == kept
    assert len(told) == 1
    assert 12 <= kept <= 20  # of 6,720 bytes, which take two pages of 4,096 each
    assert (tmp_path / DATA).stat().st_size <= 200_000
    assert "used up" in store.problem
    assert sum(served(store, range(50))) == kept == store.has().sum()
    assert store.room < 2 * 4096 + 16 * 4096
    assert store_of(tmp_path).room > 2**40


def test_a_store_is_pickled_without_what_is_open(tmp_path):
    store = store_of(tmp_path, packing="raw")
    fill(store, [1])
    again = pickle.loads(pickle.dumps(store))
    assert served(again, [0, 1]) == [False, True]
    assert again.packing == store.packing


def test_stores_of_one_folder_share_what_is_open(tmp_path):
    one, other = store_of(tmp_path), store_of(tmp_path / ".." / tmp_path.name, look="another")
    fill(one, [1])
    fill(other, [2])
    one.close()
    assert served(other, [2]) == [True]
    other.close()
    assert served(one, [1]) == [True]  # opened again


def test_what_nobody_refers_to_is_closed(tmp_path):
    for number in range(40):  # of whose addresses a process has not so many
        assert fill(store_of(tmp_path / str(number)), [1]) == 1
    assert not [folder for folder in environments._OPEN if folder.is_relative_to(tmp_path)]


def test_threads_put_and_get(tmp_path):
    store, wrong = store_of(tmp_path, index_of((400,), 10)), []

    def work(first):
        for begin in range(first, 400, 80):
            if fill(store, range(begin, begin + 20)) != 20 or served(store, range(begin, begin + 20)) != [True] * 20:
                wrong.append(begin)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 20, 40, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert store.has().all()


PROGRAM = """
import sys
from tests.store.frames import fill, served, store_of
from tests.fakes import index_of
store = store_of(sys.argv[1], index_of((300,), 10))
for first in range(int(sys.argv[2]), 300, 20):
    assert fill(store, range(first, first + 10)) == 10
    found = served(store, range(300))
    assert all(found[first:first + 10])
assert store.problem is None
"""


def test_processes_write_at_the_same_time_and_others_read(tmp_path):
    commands = [[sys.executable, "-c", PROGRAM, str(tmp_path), first] for first in ("0", "10", "0")]
    running = [subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for command in commands]
    told = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], told
    assert served(store_of(tmp_path, index_of((300,), 10)), range(300)) == [True] * 300


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 warns wherever there are threads
def test_a_forked_process_opens_its_own(tmp_path):
    store, stop = store_of(tmp_path, index_of((60,), 10)), threading.Event()
    fill(store, range(30))

    def keep_reading():
        while not stop.is_set():
            assert all(served(store, range(30)))

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for number in range(5):
            child = os.fork()
            if not child:
                fine = served(store, [3, 40]) == [True, number > 0] and fill(store, [40]) == 1
                os._exit(0 if fine and store.problem is None else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        reader.join()
    assert served(store, [3, 40]) == [True, True]


def test_no_frames_are_no_trouble(tmp_path):
    store = store_of(tmp_path)
    assert store.put([], []) == 0
    assert store.get([], np.empty((0, 3, *SIZE), np.uint8)).tolist() == []
    assert store.has(np.array([], np.int64)).tolist() == []


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match="num_bytes must be at least 1, or None for what the disk has, got 0"):
        store_of(tmp_path, num_bytes=0)
    with pytest.raises(ValueError, match="packing must be one of raw, lossless, jpeg"):
        store_of(tmp_path, packing="png")
    assert {packing.name for packing in PACKING_OF.values()} == {"raw", "lossless", "jpeg"}
