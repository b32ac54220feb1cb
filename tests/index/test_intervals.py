"""Stretches of videos: from tables of many kinds, with their labels, sorted by video and begin."""

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.index.intervals import read_intervals
from lit_video.support.errors import DataError

PATHS = ["/data/b.mp4", "/data/a.mp4"]


def read(tmp_path, text, paths=PATHS, **options):
    file = tmp_path / "stretches.csv"
    file.write_text(text)
    return read_intervals(file, paths, **options)


def spans(found):
    return list(zip(found.video_id.tolist(), found.begin.tolist(), found.end.tolist(), strict=True))


@pytest.mark.parametrize(
    ("header", "unit", "expected"),
    [
        ("start,end", "auto", "seconds"),
        ("begin,stop", "auto", "seconds"),
        ("start,end", "frames", "frames"),
        ("time_start,time_end", "auto", "seconds"),
        ("start_seconds,end_seconds", "seconds", "seconds"),
        ("start_frame,end_frame", "auto", "frames"),
        ("begin_frame,stop_frame", "frames", "frames"),
    ],
)
def test_the_names_say_the_unit(tmp_path, header, unit, expected):
    found = read(tmp_path, f"path,{header}\na.mp4,10,20\nb.mp4,3,4\na.mp4,5,15\nx.mp4,0,1\n", unit=unit)
    assert found.unit == expected
    assert spans(found) == [(0, 3, 4), (1, 5, 15), (1, 10, 20)]
    assert (found.video_id.dtype, found.begin.dtype, found.row.tolist()) == (np.int64, np.float64, [1, 2, 0])
    assert (found.label, found.classes, found.meta) == (None, [], {})


def test_of_two_units_the_one_that_is_wanted(tmp_path):
    text = "path,start_frame,end_frame,start_seconds,end_seconds\na.mp4,30,60,1,2\nb.mp4,30,60,1,2\n"
    assert read(tmp_path, text).unit == "frames"
    found = read(tmp_path, text, unit="seconds")
    assert (found.unit, found.begin.tolist(), sorted(found.meta)) == ("seconds", [1, 1], ["end_frame", "start_frame"])


def test_labels_and_columns_are_the_stretches_own(tmp_path):
    text = "path,start,end,label,kind,score\na.mp4,0.5,2,run,x,1.5\nb.mp4,0,1,sit,y,2\na.mp4,1,3,sit,x,\n"
    found = read(tmp_path, text)
    assert (found.label.tolist(), found.classes) == ([1, 0, 1], ["run", "sit"])
    np.testing.assert_array_equal(found.meta["score"], [2, 1.5, np.nan])
    assert found.table["kind"].take(pyarrow.array(found.row)).to_pylist() == ["y", "x", "x"]
    found = read(tmp_path, text, label_column=["kind", "score"], missing="skip")
    assert found.label["kind"].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(found.label["score"], np.array([2, 1.5, np.nan], np.float32))


def test_without_a_file():
    tuples = [("a.mp4", 0, 1.5, "x"), ("b.mp4", 1, 2, "y")]
    mappings = [
        {"path": "a.mp4", "start": 0, "end": 1.5, "label": "x"},
        {"path": "b.mp4", "start": 1, "end": 2, "label": "y"},
    ]
    for source in (tuples, mappings):
        found = read_intervals(source, PATHS)
        assert (spans(found), found.label.tolist()) == ([(0, 1, 2), (1, 0, 1.5)], [1, 0])
    assert read_intervals([("a.mp4", 0, 1)], PATHS, missing="skip").label is None
    with pytest.raises(ValueError, match=r"stretches must be \(path, begin, end\) or .* got \('a.mp4', 0\)"):
        read_intervals([("a.mp4", 0)], PATHS)


def test_kinetics(tmp_path):
    text = "label,youtube_id,time_start,time_end,split\nrun,-x,10,20,train\nsit,q,3,13,train\nrun,q,30,40,train\n"
    found = read(tmp_path, text, ["/k/-x_000010_000020.mp4", "/k/q.mkv"])
    assert spans(found) == [(0, 0, 10), (1, 3, 13), (1, 30, 40)], "a file that was cut holds its stretch alone"
    assert found.label.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,start,end\na.mp4,0,1\nb.mp4,2,2\n", "line 3 has a stretch from 2 to 2, which holds nothing.\nA stretch"),
        ("path,start,end\na.mp4,3,1.5\n", "line 2 has a stretch from 3 to 1.5, which holds nothing"),
        ("path,start,end\na.mp4,-1,1\n", "line 2 has a stretch from -1 to 1, which holds nothing"),
        ("path,start,end\na.mp4,0,1\nb.mp4,1,\n", "line 3 has a stretch from 1 to nan"),
        ("path,start,end\na.mp4,0:10,0:20\n", "the column start must hold numbers"),
        ("path,start,end_frame\na.mp4,0,1\n", "no two columns say where a stretch begins and ends; there are path"),
        ("path,start,end\na.mp4,0,1\n", "no stretch for 1 of 2 videos, such as /data/b.mp4"),
        ("path,start,end,label\na.mp4,0,1,x\nb.mp4,0,1,\n", "line 3 lacks a path or a label"),
    ],
)
def test_mistakes_are_told(tmp_path, text, told):
    with pytest.raises(DataError, match=told):
        read(tmp_path, text)


def test_a_unit_that_the_names_do_not_have(tmp_path):
    with pytest.raises(DataError, match="no two columns say where a stretch begins and ends in frames"):
        read(tmp_path, "path,time_start,time_end\na.mp4,0,1\n", unit="frames")
    with pytest.raises(ValueError, match="unit must be 'auto', 'seconds' or 'frames', got 'minutes'"):
        read_intervals([], PATHS, unit="minutes")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(1, 5)), min_size=1))
def test_all_stretches_are_there_sorted(rows):
    paths = ["/data/2.mp4", "/data/0.mp4", "/data/1.mp4"]  # 3.mp4 is not there
    wanted = sorted((["2", "0", "1"].index(str(n)), begin, begin + length) for n, begin, length in rows if n < 3)
    if wanted:
        found = read_intervals(
            [(f"{n}.mp4", begin, begin + length) for n, begin, length in rows], paths, missing="skip"
        )
        assert sorted(spans(found)) == wanted
        assert [span[:2] for span in spans(found)] == [span[:2] for span in wanted]
