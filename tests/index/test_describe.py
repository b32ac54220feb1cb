"""What lists say of videos: classes, numbers, several columns, and the columns beside them."""

import numpy as np
import pytest

from lit_video.index.labels import describe
from lit_video.support.errors import DataError

PATHS = ["/data/dogs/a.mp4", "/data/cats/b.mp4", "/data/cats/c.mp4"]


@pytest.fixture
def listed(tmp_path):
    def write(text, name="list.csv"):
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


@pytest.mark.parametrize("labels", [None, "video", "folder"])
def test_without_a_list(labels):
    found = describe(PATHS, labels)
    assert found.has_label.tolist() == [True] * 3
    assert (found.meta, found.table) == ({}, None)
    expected = {None: (None, []), "video": ([0, 1, 2], ["a", "b", "c"]), "folder": ([1, 0, 0], ["cats", "dogs"])}
    label = found.label if found.label is None else found.label.tolist()
    assert (label, found.classes) == expected[labels]


@pytest.mark.parametrize(
    ("kind", "values", "label", "classes"),
    [
        ("auto", ("x", "y", "x"), [0, 1, 0], ["x", "y"]),
        ("auto", ("10", "9", "10"), [1, 0, 1], ["9", "10"]),
        ("auto", ("0.5", "2", "-1e3"), [0.5, 2, -1000], []),
        ("number", ("10", "9", "10"), [10, 9, 10], []),
        ("class", ("0.5", "2.5", "0.5"), [0, 1, 0], ["0.5", "2.5"]),
    ],
)
def test_kinds(listed, kind, values, label, classes):
    file = listed("path,label\n" + "".join(f"{path[6:]},{v}\n" for path, v in zip(PATHS, values, strict=True)))
    of_mapping = describe(PATHS, dict(zip(PATHS, values, strict=True)), label_kind=kind if classes else "number")
    for found in (describe(PATHS, file, label_kind=kind), of_mapping):
        assert found.label.dtype == (np.int64 if classes else np.float32)
        assert found.label.tolist() == label
        assert found.classes == classes


def test_numbers_of_a_mapping_are_numbers():
    found = describe(PATHS, {"a.mp4": 0.5, "b.mp4": np.float32(2), "c.mp4": 3})
    assert (found.label.tolist(), found.classes) == ([0.5, 2, 3], [])


def test_several_columns_and_what_is_beside_them(listed):
    file = listed(
        "c.mp4,x,0.5,7,1.5,one\nb.mp4,y,1.5,8,,two\na.mp4,x,2,9,3,three\n".join(["file,kind,score,age,mass,text\n", ""])
    )
    found = describe(PATHS, file, label_column=["kind", "score"])  # fmt: skip
    assert {name: value.tolist() for name, value in found.label.items()} == {"kind": [0, 1, 0], "score": [2, 1.5, 0.5]}
    assert found.classes == {"kind": ["x", "y"], "score": []}
    assert found.meta["age"].dtype == np.int64
    assert found.meta["age"].tolist() == [9, 8, 7]
    assert found.meta["mass"].dtype == np.float64
    np.testing.assert_array_equal(found.meta["mass"], [3, np.nan, 1.5])
    assert set(found.meta) == {"age", "mass"}
    assert found.table["text"].to_pylist() == ["three", "two", "one"]


def test_columns_alone(listed):
    found = describe(PATHS, listed("path,age\na.mp4,1\nb.mp4,2\nc.mp4,3\n"), label_column=[])
    assert (found.label, found.classes, found.meta["age"].tolist()) == (None, [], [1, 2, 3])


@pytest.mark.parametrize("values", [("cat", "dog"), ("0.5", "1.5")])
def test_videos_without_a_label_are_told(listed, values):
    file = listed(f"path,label,age\nb.mp4,{values[1]},4\nc.mp4,,5\nelsewhere.mp4,{values[0]},6\n")
    found = describe(PATHS, file, missing="skip")
    assert found.has_label.tolist() == [False, True, False]
    assert found.meta["age"].dtype == np.float64
    np.testing.assert_array_equal(found.meta["age"], [np.nan, 4, 5])
    assert found.table["path"].to_pylist() == [None, "b.mp4", "c.mp4"]
    np.testing.assert_array_equal(found.label, [-1, 1, -1] if values[0] == "cat" else [np.nan, 1.5, np.nan])
    with pytest.raises(DataError, match=r"line 3 lacks a path or a label.\nWrite both: clip.mp4,cat\nOr let"):
        describe(PATHS, file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\na.mp4,1.5\nb.mp4,many\nc.mp4,2\n", "line 3 has 'many' in the column label, which is no number"),
        ("path,kind\na.mp4,1.5\n", "columns path and label, and it names path, kind.\nAdd the column, or say which"),
        ("path,label,x\na.mp4,1,1\nb.mp4,2,2\nc.mp4,3,3\n./c.mp4,4,3\n", r"line 5 gives ./c.mp4 another label"),
    ],
)
def test_mistakes_are_told(listed, text, told):
    with pytest.raises(DataError, match=told):
        describe(PATHS, listed(text), label_kind="number")


def test_a_column_of_lists(listed):
    with pytest.raises(DataError, match="the column label holds list<item: int64>, and a label is one word or number"):
        describe(PATHS, listed('{"path": "a.mp4", "label": [1, 2]}\n', "list.jsonl"))


def test_a_mapping_of_several_columns():
    rows = {path: {"kind": "x", "score": place / 2} for place, path in enumerate(PATHS)}
    found = describe(PATHS, rows, label_column="kind")
    assert (found.label.tolist(), found.meta["score"].tolist()) == ([0, 0, 0], [0, 0.5, 1])


def test_the_column_is_named(listed):
    found = describe(PATHS, listed("a.mp4 3 1\nb.mp4 4 2\nc.mp4 3 0\n", "list.txt"), label_column="label_1")
    assert (found.label.tolist(), found.meta["label_0"].tolist()) == ([1, 2, 0], [3, 4, 3])
