"""Tables about videos: read from files of many kinds, and matched with the videos that they name."""

import json
import subprocess
import sys

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from lit_video.index.listing import Listing, read_table, strings
from lit_video.support.errors import DataError

ROWS = {"path": ["a.mp4", "b.mp4"], "label": ["cat", "dog"], "age": [3, 12], "score": [0.5, 1.0]}


def written(tmp_path, name, text):
    file = tmp_path / name
    file.write_bytes(text)
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("t.csv", b"path,label,age,score\na.mp4,cat,3,0.5\nb.mp4,dog,12,1.0\n", id="commas"),
        pytest.param("t.tsv", b"path\tlabel\tage\tscore\na.mp4\tcat\t3\t0.5\nb.mp4\tdog\t12\t1.0", id="tabs"),
        pytest.param("t.csv", b"path;label;age;score\na.mp4;cat;3;0,5\nb.mp4;dog;12;1,0\n", id="semicolons, as Excel"),
        pytest.param("t.txt", b"path label age score\na.mp4 cat 3 0.5\nb.mp4  dog 12 1.0\n", id="blanks"),
        pytest.param(
            "t.csv",
            b'\xef\xbb\xbf\r\n"path" , label, age,score\r\n"a.mp4", "cat" ,3, .5\r\n\r\n  \r\n'
            b"b.mp4,dog,12,1e0,\r\n,,,\r\n",
            id="a mark, blanks, quotes and empty lines",
        ),
        pytest.param(
            "t.csv", "path,label,age,score\na.mp4,cat,3,0.5\nb.mp4,dog,12,1.0\n".encode("utf-16"), id="UTF-16"
        ),
        pytest.param(
            "t.jsonl",
            b'{"path": "a.mp4", "label": "cat", "age": 3, "score": 0.5}\n\n'
            b'{"path": "b.mp4", "label": "dog", "age": 12, "score": 1}\n',
            id="JSON lines",
        ),
    ],
)
def test_tables_are_read(tmp_path, name, text):
    assert read_table(written(tmp_path, name, text)).to_pydict() == ROWS


def test_parquet_is_read(tmp_path):
    table = pyarrow.table(ROWS).set_column(2, "age", pyarrow.array([3, 12], pyarrow.uint8()))
    table = table.set_column(1, "label", table["label"].dictionary_encode())
    parquet.write_table(table, tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    assert found.to_pydict() == ROWS
    assert [str(kind) for kind in found.schema.types] == ["string", "string", "int64", "double"]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        pytest.param(b"a.mp4 3\na clip 2.mp4 0\n\n", {"path": ["a.mp4", "a clip 2.mp4"], "label": [3, 0]}, id="blanks"),
        pytest.param(b"a.mp4,3\nb.mp4,-1\n", {"path": ["a.mp4", "b.mp4"], "label": [3, -1]}, id="commas"),
        pytest.param(b"a 3 1\r\nb 0 2\r\n", {"path": ["a", "b"], "label_0": [3, 0], "label_1": [1, 2]}, id="two"),
        pytest.param(b"a.mp4\nb, c.mp4\n", {"path": ["a.mp4", "b, c.mp4"]}, id="paths alone"),
    ],
)  # fmt: skip
def test_lines_without_a_header(tmp_path, text, columns):
    assert read_table(written(tmp_path, "list.txt", text)).to_pydict() == columns


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param("1 -2 0", "int64", id="whole numbers"),
        pytest.param("1 2.5 -inf", "double", id="numbers"),
        pytest.param("1 NA 2", "int64", id="whole numbers, and none"),
        pytest.param("007 008", "string", id="zeros in front"),
        pytest.param("12345678901234567890 1", "string", id="more digits than a number holds"),
        pytest.param("NA NA", "string", id="Namibia"),
        pytest.param("1 x", "string", id="text"),
        pytest.param("2024-01-05 2024-01-06", "string", id="dates"),
        pytest.param("true false", "string", id="words"),
    ],
)
def test_nothing_is_lost_by_a_type(tmp_path, values, kind):
    values = values.split()
    lines = "".join(f"{place},{value}\n" for place, value in enumerate(values))
    table = read_table(written(tmp_path, "t.csv", f"path,x\n{lines}".encode()))
    assert [str(type_) for type_ in table.schema.types] == ["string", kind]
    if kind == "string":
        assert table["x"].to_pylist() == values


def test_bytes_that_are_no_text_are_kept(tmp_path):
    table = read_table(written(tmp_path, "t.csv", b"path,label\n\xff.mp4, caf\xe9 \nb,c\n"))
    assert strings(table["path"]) == ["\udcff.mp4", "b"]
    assert strings(table["label"]) == ["caf\udce9", "c"]


def test_dates_in_json_stay_text(tmp_path):
    line = b'{"path": "a", "day": "2024-01-05"}\n'
    assert read_table(written(tmp_path, "t.jsonl", line))["day"].to_pylist() == ["2024-01-05"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.csv", b"", "t.csv: the first line must name the columns path and label"),
        ("t.csv", b"video,kind\na.mp4,cat\n", "the first line must name the columns path and label"),
        ("t.csv", b"path,x,x\na,1,2\n", "two columns are called x.\nGive each"),
        ("t.csv", b"path,x\n\na.mp4,1\na, b.mp4,2\n", "line 4 has 3 fields, and the first line names 2"),
        ("t.txt", b"a.mp4 1\n\nb.mp4 1 2\n", "line 3 has 2 whole numbers behind the path, and the first line 1"),
        ("t.jsonl", b'{"path": "a"}\n{"path":', "t.jsonl: cannot be read as JSON lines: .*\nWrite it anew"),
        ("t.json", json.dumps([{"path": "a"}]).encode(), "t.json: cannot be read as JSON lines"),
        ("t.parquet", b"path,label", "t.parquet: cannot be read as parquet"),
    ],
    ids=lambda value: value if isinstance(value, str) and "t." in value[:2] else "",
)
def test_mistakes_are_told(tmp_path, name, text, told):
    with pytest.raises(DataError, match=told):
        Listing.read(written(tmp_path, name, text)).match(["a"])


def test_a_file_that_is_not_there():
    with pytest.raises(DataError, match=r"/nowhere/t.csv: there is no such file.\nLook for it: ls '/nowhere'"):
        read_table("/nowhere/t.csv")


def test_a_table_that_names_no_videos(tmp_path):
    with pytest.raises(DataError, match=r"no column names videos; there are name, label.\nCall one of them path, or"):
        Listing.read(written(tmp_path, "t.jsonl", b'{"name": "a", "label": 1}\n'))


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("t.csv", b'path,x\n\na,"1\n2"\n\nb,2\n', "line 6"),
        ("t.txt", b"a 1\n\nb 1\n", "line 3"),
        ("t.jsonl", b'{"path": "a"}\n\n{"path": "b"}\n', "line 3"),
    ],
)
def test_where_a_row_is(tmp_path, name, text, place):
    assert Listing.read(written(tmp_path, name, text)).place(1) == place


class TestMatch:
    PATHS = ("/data/dogs/a.mp4", "/data/cats/b.mp4", "/data/cats/a.mp4")

    @pytest.mark.parametrize(
        ("listed", "videos"),
        [
            pytest.param(["cats/a.mp4", "b.mp4", "/data/dogs/a.mp4"], [2, 1, 0], id="ends of paths"),
            pytest.param(["a.mp4", "cats/a.mp4", "b.mp4"], [0, 2, 1], id="the longest end"),
            pytest.param(["b.mp4", "dogs/a.mp4", "x.mp4", "b.mp4", "cats/a.mp4"], [1, 0, -1, 1, 2], id="several rows"),
            pytest.param(["./dogs//a.mp4", "data/cats/./b.mp4", "cats/a.mp4"], [0, 1, 2], id="not tidy"),
        ],
    )
    def test_by_the_ends_of_paths(self, listed, videos):
        rows = Listing.read(pyarrow.table({"file_name": listed})).match(self.PATHS)
        assert rows.dtype == np.int64
        assert rows.tolist() == videos

    def test_kinetics(self):
        table = pyarrow.table(
            {"youtube_id": ["-x", "007", "-x", "q"], "time_start": [1, 2, 30, 4], "time_end": [11, 12, 40, 14]}
        )
        paths = ["/k/run/-x_000030_000040.mkv", "/k/007.mp4", "/k/-x_000001_000011.mp4"]  # fmt: skip
        assert Listing.read(table).match(paths).tolist() == [2, 1, 0, -1]
        assert Listing.read(table).match(["/k/-x.mp4"]).tolist() == [0, -1, 0, -1]
        both = ["/k/-x.mp4", "/k/-x_000001_000011.mp4"]
        assert Listing.read(table).match(both).tolist() == [1, -1, 0, -1], "a file of its own has the row"

    def test_missing(self):
        listing = Listing.read(pyarrow.table({"path": ["b.mp4"]}), "labels")
        with pytest.raises(DataError, match=r"labels: no split for 2 of 3 videos, such as /data/dogs/a.mp4"):
            listing.match(self.PATHS, what="split")
        assert listing.match(self.PATHS, missing="skip").tolist() == [1]
        with pytest.raises(DataError, match="labels: no label for 1 of 1 videos"):
            listing.match(["elsewhere.mp4"], missing="skip")

    @given(st.data())
    def test_as_by_search(self, data):
        part = st.sampled_from("ab")
        name = st.lists(part, min_size=1, max_size=4).map("/".join)
        listed = data.draw(st.lists(name, min_size=1, max_size=6))
        paths = data.draw(st.lists(name.map("/".__add__), min_size=1, max_size=6, unique=True))
        longest = [max((n for n in listed if path.endswith("/" + n)), key=len, default=None) for path in paths]
        try:
            found = Listing.read(pyarrow.table({"path": listed})).match(paths, missing="skip")
        except DataError:
            used = [name for name in longest if name]
            assert not used or len(set(used)) < len(used)
        else:
            assert found.tolist() == [longest.index(name) if name in longest else -1 for name in listed]


def test_the_package_does_not_wait_for_arrow():
    modules = "lit_video.index.splits, lit_video.index.intervals, lit_video.index.frame_labels"
    code = f"import sys, {modules}; print('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
