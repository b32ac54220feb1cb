"""`data.index`: an index is taken as it is, and no file is looked at before it is read."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from lit_video import VideoDataModule
from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.commands import index as index_command
from lit_video.index import VideoIndex, build, crew, files
from lit_video.index.joining import joined, taken
from lit_video.index.store import load
from lit_video.support.errors import DecodeError, IndexStoreError
from tests.index.test_index import scan, scans  # noqa: F401  a fixture


@pytest.fixture
def folder(videos, tmp_path):
    """A copy of the videos in folders of two classes."""
    for name, kind in (("0", "cat"), ("1", "dog"), ("2", "dog")):
        (tmp_path / "videos" / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(videos / f"{name}.mp4", tmp_path / "videos" / kind)
    return tmp_path / "videos"


@pytest.fixture
def out(folder, tmp_path):
    """An index of them, written by the command."""
    index_command.main([str(folder), "--index-dir", str(tmp_path / "cache"), "--out", str(tmp_path / "out")])
    return tmp_path / "out"


@pytest.fixture
def nothing_is_looked_at(out, monkeypatch):
    """No folder is listed, and no video asked for its size."""
    stat = os.stat

    def refuse(path, *arguments, **options):
        assert not str(path).endswith(".mp4"), path
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "walk", None)
    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(build, "build", None)


def as_folder(out):
    return out


def as_file(out):
    return out / "index.json"


def as_columns(out):
    return next(out.glob("columns-*"))


def as_folder_of_indices(out):
    return str(out.parent / "cache")


def as_header_of_one_of_them(out):
    return next((out.parent / "cache").glob("index-*.json"))


WAYS = [as_folder, as_file, as_columns, as_folder_of_indices, as_header_of_one_of_them]


class TestTaken:
    @pytest.mark.usefixtures("nothing_is_looked_at")
    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
    def test_by_folder_or_file(self, out, way):
        data = VideoDataModule(index=way(out), batch_size=4, size=32)
        data.prepare_data()
        data.setup()
        assert data.index.lengths.tolist() == [50, 31, 12]
        assert data.index.folder.parent in (out, out.parent / "cache")

    @pytest.mark.usefixtures("nothing_is_looked_at")
    def test_labels_splits_and_populations_work_on_it(self, out, folder):
        split = {"train": ["cat/0.mp4", "dog/2.mp4"], "val": ["dog/1.mp4"]}
        data = VideoDataModule(index=out, labels="folder", split=split, stride=5, size=32)
        data.setup()
        assert data.classes == ["cat", "dog"]
        assert [data.population(stage).num_samples for stage in ("train", "val")] == [10 + 3, 7]
        assert data.index.group_of("root")[1] == [str(folder)]

    def test_a_split_by_shares_is_that_of_a_scan(self, out, folder):
        choices = {"split": {"train": 0.5, "val": 0.5}, "split_seed": 1, "size": 32}
        found = []
        for data in (VideoDataModule(index=out, **choices), VideoDataModule(folder, **choices)):
            data.setup()
            found.append(data._stages.digest())
        assert found[0] == found[1]

    def test_the_frames_are_those_of_a_scan(self, out):
        data = VideoDataModule(index=out, batch_size=93, size=[96, 128])
        data.setup()
        batch = next(iter(data.train_dataloader()))
        data.close()
        stamps = [read_stamp(image) for image in batch["image"]]
        assert stamps == list(zip(batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True))

    def test_root_says_what_videos_are_told_apart_by(self, out, folder):
        data = VideoDataModule(root={str(folder / "cat"): 0.5, str(folder / "dog"): 0.5}, index=out, size=32)
        data.setup()
        assert data.index.group_of("root")[0].tolist() == [0, 1, 1]

    def test_a_missing_file_is_told_when_it_is_read(self, out, folder):
        (folder / "dog" / "1.mp4").unlink()
        data = VideoDataModule(index=out, batch_size=8, size=32)
        data.setup()
        with pytest.raises(DecodeError, match=r"1.mp4: .* \(No such file or directory\)\.\nPut it back"):
            list(data.train_dataloader())
        data.close()

    def test_nothing_of_which_there_is_one_a_video_is_pickled_for_workers(self, out, folder):
        index = VideoIndex.load(out).with_labels("video").with_roots([f"{folder}/{n}.mp4" for n in range(5000)])
        assert len(pickle.dumps(index)) > 100_000
        assert len(pickle.dumps(index.for_workers())) < 1000


class TestRefused:
    def test_what_is_no_index(self, folder, tmp_path):
        for path, said in (
            (tmp_path / "nowhere", "no index here.\nMake one: lit-video index FOLDER --out"),
            (folder, "no index here"),
            (folder / "cat" / "0.mp4", "this is no index"),
        ):
            with pytest.raises(IndexStoreError, match=said):
                VideoDataModule(index=path).setup()

    def test_files_left_out_of_it(self):
        with pytest.raises(ValueError, match=r"index is taken as it is, got exclude=\['\*_proxy.mp4'\]"):
            VideoDataModule(index="x", exclude=["*_proxy.mp4"])

    def test_what_another_libavcodec_decoded_is_told_of(self, tmp_path, monkeypatch):
        write_stamped(tmp_path / "3.ts", 20, 3, "mpeg2video")
        monkeypatch.setattr("lit_video.index.build.libavcodec", lambda: "1.2.3")
        scan(tmp_path / "3.ts", tmp_path / "index")
        monkeypatch.undo()
        with pytest.warns(UserWarning, match=r"1 of 1 videos .* libavcodec 1.2.3, and this is"):
            VideoDataModule(index=tmp_path / "index").setup()


class TestCommand:
    def test_leaves_files_out(self, folder, tmp_path):
        arguments = [str(folder), "--index-dir", str(tmp_path / "cache"), "--exclude", "0.mp4", "--exclude", "cat/*"]
        index_command.main([*arguments, "--out", str(tmp_path / "out")])
        assert [Path(path).name for path in VideoIndex.load(tmp_path / "out").paths] == ["1.mp4", "2.mp4"]


class TestPutTogether:
    def test_of_videos_that_there_are_no_entry_is_read(self, folder, tmp_path, monkeypatch):
        scan(folder, tmp_path / "index")
        monkeypatch.setattr(build, "Entries", None)
        again = scan([folder / "dog", folder / "cat"], tmp_path / "index")
        assert [Path(path).name for path in again.paths] == ["1.mp4", "2.mp4", "0.mp4"]
        assert again.num_cached == 3

    def test_it_is_what_a_scan_gives(self, folder, tmp_path):
        write_stamped(folder / "a.mkv", 9, 4, codec="libx265")
        before = scan(folder, tmp_path / "index")
        (folder / "b.mp4").write_bytes(b"no video")
        write_stamped(folder / "cat" / "9.avi", 25, 9, codec="mpeg4")
        together, anew = scan(folder, tmp_path / "index"), scan(folder, tmp_path / "other")
        assert (before.num_videos, together.num_videos, together.num_cached) == (4, 5, 4)
        for name in together.columns.names_of_columns():
            assert np.array_equal(getattr(together.columns, name), getattr(anew.columns, name)), name
        assert (together.names, together.skipped) == (anew.names, anew.skipped)

    def test_taken_and_joined_are_whole_again(self, folder, tmp_path):
        write_stamped(folder / "a.mkv", 9, 4, codec="libx265")
        scan(folder, tmp_path)
        stored = load(tmp_path)
        parts = [taken(stored, np.array(rows)) for rows in ([3, 1], [0, 2])]
        whole = taken(joined(*parts), np.array([2, 1, 3, 0]))
        for name in stored.columns.names_of_columns():
            assert np.array_equal(getattr(whole.columns, name), getattr(stored.columns, name)), name
        assert list(whole.names) == list(stored.names)

    def test_many_files_are_asked_for_their_stands_in_parts(self, folder, monkeypatch):
        monkeypatch.setattr(files, "TOGETHER", 2)
        paths = [*sorted(map(str, folder.rglob("*.mp4"))), str(folder / "nowhere.mp4")]
        sizes, times = files.stands_of(paths)
        assert sizes.tolist() == [os.stat(path).st_size for path in paths[:3]] + [-1]
        assert times.tolist() == [os.stat(path).st_mtime_ns for path in paths[:3]] + [-1]


def test_scans_no_more_files_at_once_than_there_are_cores(folder, tmp_path, monkeypatch, scans):  # noqa: F811
    under_way, most = [], []

    def counted(path, how):
        under_way.append(path)
        most.append(len(under_way))
        try:
            return before(path, how)
        finally:
            under_way.remove(path)

    before = build.scan_file
    monkeypatch.setattr(build, "scan_file", counted)
    monkeypatch.setattr("lit_video.index.crew.num_cores", lambda: 1)
    scan(folder, tmp_path / "index")
    assert most == [1, 1, 1]


def test_starts_no_more_threads_than_there_are_files(folder, tmp_path, monkeypatch):
    started, before = [], crew.ThreadPool
    monkeypatch.setattr(crew, "ThreadPool", lambda number: started.append(number) or before(number))
    monkeypatch.setattr(crew, "num_cores", lambda: 64)
    scan(folder, tmp_path / "index")
    scan(folder, tmp_path / "index")  # nothing to do
    assert started == [3]
