"""Splits: told by lists, columns and folders, or drawn by name, whatever is added and wherever it lies."""

import hashlib
import os

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.index.drawing import _cut, _most_frequent, hashed
from lit_video.index.files import find_files
from lit_video.index.intervals import read_intervals
from lit_video.index.splits import check_split, roots_of, split_stretches, split_videos
from lit_video.index.stages import Choices, Stages
from lit_video.support.errors import DataError

THREE = {"train": 0.8, "val": 0.1, "test": 0.1}
MANY = [f"/data/{n // 50}/{n}.mp4" for n in range(10_000)]


def by_path(paths, split, roots="/data", **options):
    found = split_videos(paths, roots, split, **options)
    return {path: found.names[n] if n >= 0 else None for path, n in zip(paths, found.of_video.tolist(), strict=True)}


class TestFractions:
    def test_are_approached(self):
        found = split_videos(MANY, "/data", {"test": 0.1, "train": 0.6, "val": 0.2})
        assert (found.names, found.of_video.dtype) == (["train", "val", "test"], np.int8)
        for name, share in (("train", 0.6), ("val", 0.2), ("test", 0.1)):
            spread = np.sqrt(share * (1 - share) / len(MANY))
            assert abs(found.mask(name).mean() - share) < 5 * spread  # false alarm: 6 in 10 million
        assert not found.mask("predict").any()
        masks = np.stack([found.mask(name) for name in found.names])
        assert (masks.sum(0) == (found.of_video >= 0)).all()

    def test_that_add_up_to_one_leave_nobody_out(self):
        assert 0.7 + 0.2 + 0.1 < 1
        assert _cut(np.array([1 - 2.0**-53]), [0.7, 0.2, 0.1]).tolist() == [2]
        assert (split_videos(MANY, "/data", {"train": 0.7, "val": 0.2, "test": 0.1}).of_video >= 0).all()

    @settings(max_examples=25)
    @given(st.sets(st.integers(0, 999), min_size=40, max_size=80), st.sets(st.integers(0, 999)), st.integers(0, 3))
    def test_adding_files_moves_nobody(self, before, added, seed):
        paths = [[f"/data/{n % 7}/{n}.mp4" for n in sorted(numbers)] for numbers in (before, before | added)]
        first, second = (by_path(some, {"train": 0.5, "val": 0.5}, split_seed=seed) for some in paths)
        assert first == {path: second[path] for path in first}

    @settings(max_examples=25)
    @given(st.sets(st.integers(0, 999), min_size=40, max_size=80))
    def test_moving_the_data_moves_nobody(self, numbers):
        names = [f"{n % 7}/{n}.mp4" for n in sorted(numbers)]
        where = [("/data", "/data"), ("/other/disk", "/other/disk/"), ("/x/y", "/x/y/**/*.mp4"), ("/r", ["/n", "/r"])]
        found = [split_videos([f"{at}/{n}" for n in names], root, {"train": 0.5, "val": 0.5}) for at, root in where]
        for other in found[1:]:
            assert other.of_video.tolist() == found[0].of_video.tolist()

    def test_equal_names_in_several_folders_are_told_apart(self):
        found = split_videos([f"/data/{n}/clip.mp4" for n in range(100)], "/data", {"train": 0.5, "val": 0.5})
        assert 25 < found.mask("train").sum() < 75

    def test_another_seed_is_another_draw(self):
        drawn = [split_videos(MANY, "/data", {"train": 0.5, "val": 0.5}, split_seed=seed).of_video for seed in (0, 1)]
        assert abs((drawn[0] == drawn[1]).mean() - 0.5) < 0.025  # 5 standard deviations

    @pytest.mark.parametrize("by", ["folder", "subject"])
    def test_some_go_together(self, by):
        table = pyarrow.table({"path": MANY, "subject": [n % 300 for n in range(len(MANY))]})
        found = split_videos(MANY, "/data", THREE, split_by=by, table=table).of_video
        group = np.arange(len(MANY)) // 50 if by == "folder" else np.arange(len(MANY)) % 300
        assert all(len(set(found[group == g])) == 1 for g in range(200))
        assert set(found) == {0, 1, 2}

    def test_a_video_that_is_not_listed_is_in_none(self):
        table = pyarrow.table({"path": [*MANY[:99], None], "subject": [*map(str, range(99)), None]})
        assert split_videos(MANY[:100], "/data", THREE, split_by="subject", table=table).of_video[99] == -1
        table = pyarrow.table({"path": MANY[:2], "subject": ["x", None]})
        with pytest.raises(DataError, match=r"the column subject is empty for /data/0/1.mp4"):
            split_videos(MANY[:2], "/data", THREE, split_by="subject", table=table)

    def test_the_hash_is_for_ever(self):
        for name, bytes_ in (("cats/a.mp4", b"cats/a.mp4"), ("\udcff", b"\xff")):
            digest = hashlib.blake2b(b"split\x003\0" + bytes_, digest_size=8).digest()
            assert hashed([name], 3).tolist() == [(int.from_bytes(digest, "big") >> 11) / 2**53]
        assert round(hashed(["cats/a.mp4"], 3)[0], 6) == 0.490279


class TestStrata:
    @given(st.lists(st.integers(0, 3), min_size=30, max_size=200), st.integers(0, 5))
    def test_each_class_is_cut_at_the_fractions(self, labels, seed):
        paths, shares = [f"/data/{n}.mp4" for n in range(len(labels))], {"train": 0.5, "val": 0.3, "test": 0.1}
        found = split_videos(paths, "/data", shares, stratify="label", split_seed=seed, labels=np.array(labels))
        for label in set(labels):
            own = found.of_video[np.array(labels) == label]
            for place, share in enumerate(shares.values()):
                assert abs((own == place).sum() - share * len(own)) < 1

    def test_shares_hold_over_many_small_classes(self):
        labels = np.arange(len(MANY)) // 5
        found = split_videos(MANY, "/data", THREE, stratify="label", labels=labels)
        assert abs(found.mask("val").mean() - 0.1) < 5 * 0.5 / 5 / np.sqrt(2000)  # 0 or 1 of each class's five

    def test_groups_stay_together(self):
        labels = np.arange(len(MANY)) // 50 % 2
        found = split_videos(MANY, "/data", THREE, split_by="folder", stratify="label", labels=labels)
        for label in (0, 1):
            own = found.of_video[labels == label].reshape(-1, 50)
            assert (own == own[:, :1]).all()
            assert abs((own[:, 0] == 0).sum() - 80) <= 1

    def test_a_group_counts_for_the_class_that_most_of_it_has(self):
        assert _most_frequent(np.array([0, 0, 0, 1, 1, -1]), np.array([0, 1, 1, 0, 1, 3]), 2).tolist() == [1, 0]

    def test_by_a_column(self):
        table = pyarrow.table({"path": MANY, "place": ["here", "there"] * 5000})
        for labels in (None, {"place": np.tile([0, 1], 5000)}):
            found = split_videos(MANY, "/data", THREE, stratify="place", table=table, labels=labels)
            assert [found.mask("val")[first::2].sum() for first in (0, 1)] == [500, 500]

    def test_not_by_a_number(self):
        with pytest.raises(DataError, match=r"split: label is a number, and stratify is for classes.\nLeave stratify"):
            split_videos(MANY[:2], "/data", THREE, stratify="label", labels=np.zeros(2, np.float32))


class TestTold:
    PATHS = ("/data/train/x/1.mp4", "/data/valid/x/2.mp4", "/data/Test/x/3.mp4", "/data/x/4.mp4")
    FOUND = ("train", "val", "test", None)

    def check(self, split, roots="/data", **options):
        assert tuple(by_path(self.PATHS, split, roots, **options).values()) == self.FOUND

    def test_folders(self):
        self.check("folders")
        self.check("folders", ["/data/**/*.mp4"])
        found = split_videos(["/train/data/test/train/1.mp4"], "/train/data", "folders")
        assert found.names == ["test"], "the outermost counts, and none outside the root"
        with pytest.raises(DataError, match="split=folders: no video has the name of a split"):
            split_videos(["/train/1.mp4"], "/train", "folders")

    def test_lists(self, tmp_path):
        self.check({"test": ["3.mp4", "elsewhere.mp4"], "train": ["train/x/1.mp4"], "val": ["2.mp4"]})
        (tmp_path / "train.txt").write_text("\nx/1.mp4 7\n")
        (tmp_path / "val.csv").write_text("label,path\nx,2.mp4\n")
        self.check({"train": tmp_path / "train.txt", "val": str(tmp_path / "val.csv"), "test": ["3.mp4"]})

    def test_names(self):
        self.check(["training", "dev", "testing", ""])
        self.check(np.array(["train", "validation", "test", None], object))

    def test_a_column(self):
        table = pyarrow.table({"path": self.PATHS, "fold": ["train", "val", "test", None], "split": ["train"] * 4})
        self.check("fold", table=table)
        self.check("fold", table=table, split_by="column")
        for split in (None, THREE):
            found = split_videos(self.PATHS, "/data", split, split_by="column", table=table)
            assert (found.names, found.of_video.tolist()) == (["train"], [0] * 4)

    def test_a_file(self, tmp_path):
        (tmp_path / "splits.csv").write_text("path,split\n1.mp4,Train\n2.mp4,val\n3.mp4,test\nelsewhere.mp4,train\n")
        self.check(tmp_path / "splits.csv")
        self.check(str(tmp_path / "splits.csv"))

    @pytest.mark.parametrize(
        ("split", "told"),
        [
            ({"train": ["1.mp4"], "val": ["2.mp4", "1.mp4"]}, "1.mp4 is in train and in val.\nTake it out"),
            (
                {"train": ["1.mp4"], "val": []},
                r"split: 0 of 4 videos fall to val \(train 1, val 0\).\nList videos of it",
            ),
            ({"train": []}, "split: the lists of paths are empty"),
            (["train", "val", "holdout", None], "split: holdout is the name of no split.\nCall them train, val, test"),
            ([None] * 4, "split: no video has the name of a split"),
            ("fold", "split: fold is neither a column nor a file.\nsplit can be fractions, lists"),
            (
                {"train": 0.9, "test": 0.001},
                r"0 of 4 videos fall to test \(train \d, test 0\).\nTake another split_seed",
            ),
        ],
    )
    def test_mistakes_are_told(self, split, told):
        with pytest.raises(DataError, match=told):
            split_videos(self.PATHS, "/data", split)

    def test_no_such_column(self):
        with pytest.raises(DataError, match=r"split: the videos have no column subject; there are none.\nName a table"):
            split_videos(self.PATHS, "/data", THREE, split_by="subject")


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ({"train": 0.8, "test": 0.3}, "the fractions of split must be above 0 and at most 1 in all"),
        ({"train": 1.0, "test": 0}, "the fractions of split must be above 0 and at most 1 in all"),
        ({"train": 0.8, "holdout": 0.2}, "split must name some of train, val, test, predict, got train, holdout"),
        ({}, "split must name some of train, val, test, predict, got none"),
        ({"train": 0.8, "test": ["a.mp4"]}, "split must have fractions alone or lists of paths alone"),
    ],
)
def test_wrong_arguments(split, told):
    with pytest.raises(ValueError, match=told):
        check_split(split)


def test_other_wrong_arguments():
    with pytest.raises(TypeError, match=r"split must be fractions, lists of paths by name, .* got 3"):
        check_split(3)
    with pytest.raises(ValueError, match="split_seed must be at least 0, got -1"):
        split_videos(["/a"], None, THREE, split_seed=-1)
    with pytest.raises(ValueError, match="split must have a name for each of 1 videos, got 2"):
        split_videos(["/a"], None, ["train", "val"])
    with pytest.raises(ValueError, match="split_by and stratify are for fractions, and split is 'folders'"):
        split_videos(["/a"], None, "folders", stratify="label")


class TestRoots:
    def test_as_files_are_found(self, tmp_path, monkeypatch):
        for name in ("a/1.mp4", "a/sub/2.mp4", "b/3.mp4", "b/[x]/4.mp4", "5.mp4", "c/d/6.bin"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        roots = ["~/a/sub", "a", "b/../b/*.mp4", "5.mp4", "b/[x]", "./a/", "c/**", "*/d/?.bin"]
        found, names = roots_of(find_files(roots).files, roots)
        assert [os.path.relpath(name, tmp_path) for name in names] == [
            "a/sub",
            "a",
            "b/*.mp4",
            "5.mp4",
            "b/[x]",
            "c/**",
            "*/d/?.bin",
        ]
        assert found.tolist() == [0, 1, 2, 3, 4, 5]  # fmt: skip
        assert roots_of(["/elsewhere/1.mp4"], roots)[0].tolist() == [-1]

    def test_files_named_one_by_one_are_looked_up(self, monkeypatch):
        monkeypatch.setattr("lit_video.index.roots._under", None)  # what compares a path with a root, one with each
        assert roots_of(MANY, MANY)[0].tolist() == list(range(len(MANY)))
        assert roots_of(MANY, ["/data/7", *MANY[:400]])[0][[349, 350, 399, 400]].tolist() == [350, 0, 0, -1]

    @pytest.mark.parametrize(
        ("pattern", "path", "fits"),
        [
            ("/d/*.mp4", "/d/a.mp4", True),
            ("/d/*.mp4", "/d/e/a.mp4", False),
            ("/d/**/*.mp4", "/d/a.mp4", True),
            ("/d/**/*.mp4", "/d/e/f/a.mp4", True),
            ("/d/**/f/*.mp4", "/d/e/f/a.mp4", True),
            ("/d/**/f/*.mp4", "/d/e/a.mp4", False),
            ("/d/[ab]?/a.mp4", "/d/b1/a.mp4", True),
            ("/d*/a.mp4", "/data/a.mp4", True),
        ],
    )
    def test_globs(self, pattern, path, fits):
        assert roots_of([path], pattern)[0].tolist() == [0 if fits else -1]


class TestStretches:
    """Stretches of one video may be in different splits, where their table says so."""

    PATHS = ("/data/a.mp4", "/data/b.mp4")

    def split(self, *rows):
        table = [dict(zip(("path", "start_frame", "end_frame", "split"), row, strict=True)) for row in rows]
        stretches = read_intervals(table, self.PATHS, "skip")
        return stretches, split_stretches(stretches, len(self.PATHS))

    def test_are_told_by_the_column(self):
        stretches, found = self.split(
            ("b.mp4", 0, 5, "valid"), ("a.mp4", 9, 12, "test"), ("a.mp4", 0, 5, "train"), ("a.mp4", 4, 9, "train"),
            ("b.mp4", 0, 9, None), ("c.mp4", 0, 9, "predict"),
        )  # fmt: skip
        assert found.names == ["train", "val", "test"]
        chosen = {name: stretches.where(found.of_stretch == place) for place, name in enumerate(found.names)}
        assert {name: some.begin.tolist() for name, some in chosen.items()} == {
            "train": [0, 4],
            "val": [0],
            "test": [9],
        }
        assert found.mask("train").all()
        assert not found.mask("predict").any()

    @pytest.mark.parametrize(
        ("rows", "told"),
        [
            ([("a.mp4", 0, 5, "train"), ("a.mp4", 4, 9, "val")], "val that begins at 4 frames lies partly in one"),
            ([("a.mp4", 0, 9, "val"), ("a.mp4", 1, 2, "val"), ("a.mp4", 8, 9, "test")], "test that begins at 8"),
            ([("a.mp4", 0, 5, "tarin")], "tarin is the name of no split"),
            ([("a.mp4", 0, 5, None)], "no stretch has the name of a split"),
        ],
    )  # fmt: skip
    def test_that_are_wrong_are_refused(self, rows, told):
        with pytest.raises(DataError, match=told):
            self.split(*rows)
        with pytest.raises(DataError, match="the stretches have no column split; there are path, start, end"):
            split_stretches(read_intervals([("a.mp4", 0, 5)], self.PATHS, "skip"), 2)

    def test_make_the_populations(self, videos, tmp_path):
        table = [
            {"path": f"{video}.mp4", "start_frame": begin, "end_frame": end, "split": split, "label": label}
            for video, begin, end, split, label in (
                (0, 0, 20, "train", "walk"), (0, 30, 50, "val", "jump"),
                (1, 5, 9, "test", "walk"), (1, 0, 4, "val", "walk"),
            )
        ]  # fmt: skip
        stages = Stages(Choices(str(videos), intervals=table, split="intervals"), tmp_path, False)
        assert stages.names() == ["train", "val", "test"]
        found = {name: stages.population(name) for name in stages.names()}
        assert {name: samples.num_samples for name, samples in found.items()} == {"train": 20, "val": 24, "test": 4}
        assert all(samples.classes == ["jump", "walk"] for samples in found.values())
        ids = np.arange(24)
        labels = found["val"].labels_of(ids, found["val"].frames_of(ids)[0])["label"]
        assert labels.tolist() == [0] * 20 + [1] * 4
        others = Stages(Choices(str(videos), intervals=table[:2], split="intervals"), tmp_path, False)
        assert stages.digest() != others.digest()
        choices = Choices(str(videos), intervals=table, split="intervals", predict_root=str(videos))
        assert Stages(choices, tmp_path, False).population("predict").num_samples == 48

    def test_need_stretches(self):
        with pytest.raises(ValueError, match="split='intervals' needs intervals with a column split, and no stratify"):
            Choices("/data", split="intervals")
