"""What videos are of: found by folder, video or list, and in every batch, whoever decodes it."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch

from lit_video.checks.stamps import read_stamp
from lit_video.datamodule import VideoDataModule
from lit_video.index import VideoIndex
from lit_video.index.labels import check_labels, find_labels
from lit_video.support.errors import DataError
from tests.loading.test_loader import SlowDecoder, loader_of, said
from tests.test_datamodule import fit, pytestmark  # noqa: F401

PATHS = ["/data/dogs/a.mp4", "/data/cats/b.mp4", "/data/cats/a.mp4"]


@pytest.mark.parametrize(
    ("labels", "numbers", "classes"),
    [
        pytest.param("folder", [1, 0, 0], ["cats", "dogs"], id="folders, sorted by name"),
        pytest.param({"dogs/a.mp4": "x", "b.mp4": "y", "cats/a.mp4": "x"}, [0, 1, 0], ["x", "y"], id="ends of paths"),
        pytest.param({path: n for n, path in enumerate(PATHS)}, [0, 1, 2], ["0", "1", "2"], id="whole paths"),
        pytest.param(
            {"a.mp4": "short", "cats/a.mp4": "long", "b.mp4": "long"}, [1, 0, 0], ["long", "short"], id="longest end"
        ),
        pytest.param(
            {"dogs/a.mp4": 9, "b.mp4": 10, "cats/a.mp4": 100}, [0, 1, 2], ["9", "10", "100"], id="numbers, by value"
        ),
        pytest.param(
            dict.fromkeys(PATHS, "b") | {"elsewhere.mp4": "a"}, [1, 1, 1], ["a", "b"], id="classes that have no video"
        ),
        pytest.param({f"./{path[1:]}": "one" for path in PATHS}, [0, 0, 0], ["one"], id="a path from here"),
    ],
)
def test_finds(labels, numbers, classes):
    found, names = find_labels(PATHS, labels)
    assert found.dtype == np.int64
    assert (found.tolist(), names) == (numbers, classes)


def test_each_video_is_named_by_its_file_where_that_is_enough():
    assert find_labels(["/x/b.mp4", "/x/a.mp4"], "video")[1] == ["b", "a"]
    assert find_labels(PATHS, "video")[1] == PATHS
    assert find_labels(PATHS, "video")[0].tolist() == [0, 1, 2]


class TestFile:
    def find(self, tmp_path, text):
        file = tmp_path / "labels.csv"
        file.write_bytes(text)
        return find_labels(PATHS, file)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(b"path,label\ndogs/a.mp4,dog\nb.mp4,cat\ncats/a.mp4,cat\n", id="plain"),
            pytest.param(
                b"\xef\xbb\xbflabel,split,path\r\ndog,train,dogs/a.mp4\r\ncat,,b.mp4\r\ncat,,cats/a.mp4\r\n",
                id="from a spreadsheet, with other columns",
            ),
            pytest.param(
                b'path, label\n"dogs/a.mp4", dog \nb.mp4, cat\ncats/a.mp4, cat\nb.mp4, cat\n\n', id="blanks and repeats"
            ),
        ],
    )
    def test_is_read(self, tmp_path, text):
        numbers, classes = self.find(tmp_path, text)
        assert (numbers.tolist(), classes) == ([1, 0, 0], ["cat", "dog"])

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (b"file,class\na.mp4,dog\n", "the first line must name the columns path and label"),
            (b"", "the first line must name the columns path and label"),
            (b"path,label\na.mp4,dog\nb.mp4\n", "line 3 lacks a path or a label"),
            (b"path,label\n,dog\n", "line 2 lacks a path or a label"),
            (b"path,label\nb.mp4,dog\nb.mp4,cat\n", "line 3 gives b.mp4 another label than a line before"),
            (b"path,label\nb.mp4,cat\n", "labels.csv: no label for 2 of 3 videos, such as /data/dogs/a.mp4"),
            (b"path,label\na.mp4,dog\nb.mp4,cat\n", "a.mp4 is the end of 2 paths, such as /data/dogs/a.mp4"),
        ],
        ids=lambda value: value[-30:] if isinstance(value, str) else "",
    )
    def test_mistakes_are_told(self, tmp_path, text, told):
        with pytest.raises(DataError, match=told):
            self.find(tmp_path, text)

    def test_names_of_any_bytes_are_found(self, tmp_path):
        file = tmp_path / "labels.csv"
        file.write_bytes(b"path,label\n\xff.mp4,odd\n")
        assert find_labels([b"/x/\xff.mp4".decode(errors="surrogateescape")], file)[1] == ["odd"]

    def test_that_is_not_there_may_be_a_choice_misspelt(self):
        with pytest.raises(DataError, match=r"foldr: there is no such file of labels.\nlabels can be 'folder'"):
            find_labels(PATHS, "foldr")


def test_no_labels_of_another_kind():
    with pytest.raises(TypeError, match=r"labels must be 'folder', 'video', a CSV file .* got 3"):
        check_labels(3)


class TestIndex:
    def test_labels_have_no_file_read_again(self, videos, tmp_path):
        before = VideoIndex.scan(videos, tmp_path, progress=False).with_labels("video")
        files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "lock"}
        after = VideoIndex.scan(videos, tmp_path, progress=False).with_labels("folder")
        assert after.num_cached == 3
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "lock"} == files
        assert (before.label.tolist(), after.label.tolist()) == ([0, 1, 2], [0, 0, 0])
        assert before.digest() == after.digest(), "labels do not keep a run from being resumed"

    def test_labels_go_with_it(self, index):
        labelled = index.with_labels("video")
        again = pickle.loads(pickle.dumps(labelled))
        assert again.label.tolist() == [0, 1, 2]
        assert list(again.classes) == ["0", "1", "2"]

    def test_labels_can_be_taken_off(self, index):
        bare = index.with_labels("video").with_labels(None)
        assert bare.label is None
        assert not bare.classes


def check(batches):
    """Each frame's label is the number that its picture says."""
    seen = set()
    for batch in batches:
        assert batch["label"].dtype == torch.int64
        stamps = [read_stamp(image)[0] for image in batch["image"]]
        assert batch["label"].tolist() == [[5, 3, 4][video] for video in stamps]
        seen.update(stamps)
    assert seen == {0, 1, 2}


class TestBatch:
    @pytest.fixture
    def labelled(self, index):
        listed = {"0.mp4": "f", "1.mp4": "d", "2.mp4": "e"} | {f"other-{name}.mp4": name for name in "abc"}
        return index.with_labels(listed)

    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_threads_and_processes(self, labelled, num_workers):
        loader = loader_of(labelled, num_workers=num_workers)
        check(loader)
        loader.close()

    @pytest.mark.parametrize("shard", ["gop", "slot"])
    def test_ranks(self, labelled, shard):
        ranks = [loader_of(labelled, rank=rank, world_size=2, batch_size=8, shard=shard) for rank in range(2)]
        batches = [batch for loader in ranks for batch in loader]
        check(batches)
        assert sum(len(batch["label"]) for batch in batches) == 92

    def test_a_frame_in_the_place_of_another_has_its_own_label(self, labelled):
        loader = loader_of(labelled, decoder=partial(SlowDecoder, fail_at=(0, 33)), on_error="redraw", size=8)
        batches = list(loader)
        assert len(loader.ledger) == 1
        for batch in batches:
            assert batch["label"].tolist() == [[5, 3, 4][video] for video in said(batch)[0]]

    def test_none_without_labels(self, index):
        assert "label" not in next(iter(loader_of(index)))


def test_the_data_module_tells_the_classes(videos):
    module = VideoDataModule(videos, labels="video", size=96, batch_size=16, progress=False)
    assert module.classes == []
    batches, _ = fit(module)
    assert module.classes == ["0", "1", "2"]
    for batch in batches:
        assert batch["label"].tolist() == [read_stamp(image)[0] for image in batch["image"]]


def test_every_rank_finds_the_same_classes_in_a_part_of_the_videos(videos):
    """A list, unlike folders, names classes that these videos do not have: those of the training data, say."""
    listed = {"0.mp4": "b", "1.mp4": "a", "2.mp4": "c"}
    parts = [VideoDataModule(videos / name, labels=listed, progress=False) for name in ("0.mp4", "2.mp4")]
    for module in parts:
        module.setup()
    assert [module.classes for module in parts] == [["a", "b", "c"]] * 2
    assert [module.index.label.tolist() for module in parts] == [[1], [2]]
