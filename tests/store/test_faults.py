"""Whatever a disk does is told in a sentence, once, and the run goes on."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from lit_video.store import environment as environments
from lit_video.store import folder as folders
from lit_video.store.environment import DATA, HEADER
from lit_video.store.frames import StoreWarning
from tests.programs import REPOSITORY
from tests.store.frames import fill, served, store_of


def is_out_of_use(store, told):
    with pytest.warns(StoreWarning, match=told) as warned:
        assert fill(store, [1]) == 0
    assert not store.has().any()
    assert not store.has(np.array([1])).any()
    assert served(store, [1, 2]) == [False, False]
    assert (store.room, store.num_bytes_used) == (0, 0)
    assert len(warned) == 1
    assert store.problem == str(warned[0].message)
    assert "\n" in store.problem  # and what to do
    return True


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "store").write_text("something")
    assert is_out_of_use(
        store_of(tmp_path / "store"), r"(?s)store: no store can be kept here \(file exists\).*Name anoth"
    )


def test_another_version(tmp_path):
    fill(store_of(tmp_path), [1])
    header = json.loads((tmp_path / HEADER).read_text())
    (tmp_path / HEADER).write_text(json.dumps(header | {"version": 99}))
    told = r"(?s)this store is of version 99, and this lit_video uses 1.*lit-video store drop"
    store = store_of(tmp_path, look="another")
    environments._OPEN.clear()  # as another process would find it
    assert is_out_of_use(store, told)


@pytest.mark.parametrize("content", ["{", "[]", '{"what": "an index"}'])
def test_a_header_of_something_else(tmp_path, content):
    (tmp_path / HEADER).write_text(content)
    assert is_out_of_use(store_of(tmp_path), r"(?s)no store of lit_video's.*data.store=FOLDER")


def test_an_lmdb_of_another_program(tmp_path):
    import lmdb

    lmdb.open(str(tmp_path)).close()
    before = (tmp_path / DATA).read_bytes()
    assert is_out_of_use(store_of(tmp_path), rf"(?s)its {DATA} is not lit_video's.*Name another")
    assert (tmp_path / DATA).read_bytes() == before


def test_a_data_file_that_is_none(tmp_path):
    store = store_of(tmp_path)
    fill(store, range(9))
    store.close()
    (tmp_path / DATA).write_bytes(np.random.default_rng(0).bytes(50_000))
    assert is_out_of_use(store_of(tmp_path), r"(?s)cannot be opened .*MDB_INVALID.*lit-video store drop")


def test_a_data_file_that_was_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "LEAST_BYTES", 4096)
    store = store_of(tmp_path, packing="raw")
    fill(store, range(50))
    store.close()
    os.truncate(tmp_path / DATA, 50_000)
    assert is_out_of_use(store_of(tmp_path), r"(?s)was cut off behind byte 50000.*lit-video store drop")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs"])
def test_a_network_file_system(tmp_path, monkeypatch, kind):
    mounts = tmp_path / "mounts"
    where = str(tmp_path / "far away").replace(" ", r"\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {where} {kind} rw 0 0\n/dev/sdb {where}/near ext4 rw 0 0\n")
    monkeypatch.setattr(folders, "MOUNTS", mounts)
    told = rf"(?s)cannot lie on a network file system \({kind}\).*local disk: data.store=FOLDER"
    assert is_out_of_use(store_of(tmp_path / "far away" / "store"), told)
    assert not (tmp_path / "far away").exists()
    assert fill(store_of(tmp_path / "far away" / "near"), [1]) == 1
    assert folders.file_system(tmp_path) == "ext4"


def test_lmdb_that_cannot_be_imported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    assert is_out_of_use(store_of(tmp_path), r"(?s)A store needs lmdb.*pip install lmdb")


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    import lmdb

    def refuse(*arguments, **options):
        raise lmdb.LockError("No locks available")

    monkeypatch.setattr(lmdb, "open", refuse)
    assert is_out_of_use(store_of(tmp_path), r"(?s)cannot be opened \(No locks available\).*data.store=FOLDER")


def test_deleted_while_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "SECONDS", 0.0)
    store = store_of(tmp_path / "store")
    fill(store, range(5))
    shutil.rmtree(tmp_path / "store")
    with pytest.warns(StoreWarning, match=r"(?s)deleted or replaced while in use.*Start again"):
        assert fill(store, [7]) == 0
    assert served(store, range(5)) == [False] * 5
    assert not (tmp_path / "store").exists()


def full(error):
    class Full:
        """An environment whose disk is full when a transaction ends."""

        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            return getattr(self._real, name)

        def begin(self, write=False, **options):
            if write:
                raise error
            return self._real.begin(write=write, **options)

    return Full


@pytest.mark.parametrize(
    ("name", "said"),
    [("DiskError", ""), ("MapFullError", ""), ("Error", "Disk quota exceeded"), ("Error", "Input/output error")],
)
def test_a_full_disk_still_serves(tmp_path, name, said):
    import lmdb

    store = store_of(tmp_path)
    fill(store, range(5))
    error = getattr(lmdb, name)(f"mdb_txn_commit: {said}")
    environment = store._environment
    environment._files = full(error)(environment._files)
    with pytest.warns(StoreWarning, match=r"(?s)what it holds is served, and no more is kept.*Make room") as warned:
        assert fill(store, [7]) == 0
    assert fill(store, [3, 7]) == 1  # one of them is there
    assert len(warned) == 1
    assert store.room == 0
    assert served(store, [3, 4, 7]) == [True, True, False]
    assert store.has().sum() == 5


def test_another_error_of_lmdb_ends_its_use(tmp_path):
    import lmdb

    store = store_of(tmp_path)
    fill(store, range(5))
    environment = store._environment
    environment._files = full(lmdb.CorruptedError("mdb_put: MDB_CORRUPTED"))(environment._files)
    with pytest.warns(StoreWarning, match=r"(?s)cannot be used \(mdb_put: MDB_CORRUPTED\).*lit-video store drop"):
        assert fill(store, [7]) == 0
    assert served(store, [3]) == [False]


def test_hardly_any_disk_left(tmp_path, monkeypatch):
    store = store_of(tmp_path)
    fill(store, range(5))
    store.close()
    monkeypatch.setattr(environments, "LEAST_BYTES", 2**62)
    with pytest.warns(StoreWarning, match="disk is full; what it holds is served"):
        assert served(store, range(6)) == [True] * 5 + [False]
    assert is_out_of_use(store_of(tmp_path / "new"), "no store can be kept here, the disk is full")


READ_ONLY = """
import os, sys, tempfile, warnings
import lmdb
from tests.store.frames import fill, served, store_of
with tempfile.TemporaryDirectory() as folder:  # whatever is imported when first needed is, while it may be read
    store = store_of(folder)
    assert fill(store, range(2)) == sum(served(store, range(3))) == 2
    store.close()
if os.getuid() == 0:
    os.setuid(65534)  # for root, rights do not count
warnings.simplefilter("error")
store = store_of(sys.argv[1])
try:
    store.has()
except UserWarning as told:
    assert sys.argv[2] in str(told), told
else:
    raise AssertionError("not a word")
warnings.simplefilter("ignore")
assert sum(served(store, range(6))) == int(sys.argv[3]), store.problem
assert fill(store, [3, 9]) == (1 if int(sys.argv[3]) else 0)
assert store.room == 0
"""


@pytest.mark.parametrize("is_filled", [True, False])
def test_a_folder_that_may_only_be_read(is_filled):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        folder.mkdir()
        if is_filled:
            store = store_of(folder)
            fill(store, range(5))
            store.close()
        for path in (*folder.iterdir(), folder, folder.parent):
            path.chmod(0o555 if path.is_dir() else 0o444)
        told, number = (
            ("the store is read-only", 5) if is_filled else ("no store can be kept here (permission denied)", 0)
        )
        command = [sys.executable, "-c", READ_ONLY, str(folder), told, str(number)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
        for path in (folder.parent, folder):
            path.chmod(0o755)
        assert done.returncode == 0, done.stderr
