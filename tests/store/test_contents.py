"""What is in a folder can be told, checked, mended and deleted without an index."""

import pytest

from lit_video.store.contents import Share, drop, shares, verify
from lit_video.store.environment import DATA, HEADER, LOCK
from lit_video.support.errors import StoreError
from tests.fakes import index_of
from tests.store.frames import fill, frames_of, served, store_of


def test_shares_by_look_and_folder(tmp_path):
    fill(store_of(tmp_path, packing="raw"), [0, 1, 2, 40])
    fill(store_of(tmp_path, index_of((30,), 10), look="another look", size=(8, 8), packing="raw"), [5], size=(8, 8))
    fill(store_of(tmp_path, packing="jpeg", quality=90), [7])
    found = {share.look + share.packing: share for share in shares(tmp_path)}
    assert len(found) == 3
    assert found["a lookexact"] == Share("a look", (40, 56), "exact", "/nowhere", 2, 4, 4 * (3 * 40 * 56 + 5))
    assert found["another lookexact"] == Share("another look", (8, 8), "exact", "/nowhere", 1, 1, 3 * 8 * 8 + 5)
    assert found["a lookJpeg(quality=90)"].num_frames == 1


def damage(folder, frame_id):
    content = bytearray((folder / DATA).read_bytes())
    content[content.index(frames_of([frame_id])[0].tobytes()) + 999] ^= 64
    (folder / DATA).write_bytes(content)


def test_verify_counts_and_mends(tmp_path):
    store = store_of(tmp_path, packing="raw")
    fill(store, range(20))
    store.close()
    assert verify(tmp_path) == (20, 0)
    damage(tmp_path, 3)
    damage(tmp_path, 11)
    told = []
    assert verify(tmp_path, tell=told.append) == (20, 2)
    assert sum(told) == 20 + 2  # and what says in words whose they are: a look, a file
    assert verify(tmp_path, mend=True) == (20, 2)
    assert verify(tmp_path) == (18, 0)
    assert served(store, [2, 3, 11, 12]) == [True, False, False, True]


def test_drop_deletes_its_own_files_alone(tmp_path):
    fill(store_of(tmp_path / "store"), [1])
    (tmp_path / "store" / "notes.txt").write_text("mine")
    assert {path.name for path in drop(tmp_path / "store")} == {DATA, LOCK, HEADER}
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["notes.txt"]
    fill(store_of(tmp_path / "store"), [1])
    (tmp_path / "store" / "notes.txt").unlink()
    drop(tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_drop_deletes_nothing_else(tmp_path):
    (tmp_path / DATA).write_text("somebody's")
    with pytest.raises(StoreError, match=r"no store of lit_video's, so nothing is deleted"):
        drop(tmp_path)
    assert (tmp_path / DATA).read_text() == "somebody's"


@pytest.mark.parametrize("what", [shares, verify])
def test_where_no_store_is(tmp_path, what):
    with pytest.raises(StoreError, match=r"(?s)no store here.*lit-video store fill"):
        what(tmp_path / "none")
    assert not (tmp_path / "none").exists()
