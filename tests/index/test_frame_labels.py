"""Labels of frames: by frame index or by time, the nearest or the last one, as by brute force."""

import pickle

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.index.frame_labels import read_frame_labels
from lit_video.support.errors import DataError

PATHS = ["/data/a.mp4", "/data/b.mp4", "/data/c.mp4"]


def by_brute_force(rows, labels_at, video, place):
    own = sorted((at, label) for v, at, label in rows if v == video)
    if labels_at == "nearest":
        return min(own, key=lambda row: (abs(row[0] - place), row[0]), default=(0, -1))[1]
    return max((row for row in own if row[0] <= place), default=(0, -1))[1]


@pytest.mark.parametrize("labels_at", ["nearest", "interval"])
@pytest.mark.parametrize("column", ["frame_index", "seconds"])
@given(data=st.data())
def test_as_by_brute_force(labels_at, column, data):
    place = st.integers(0, 9) if column == "frame_index" else st.integers(0, 90).map(lambda tenths: tenths / 8)
    rows = st.tuples(st.integers(0, 2), place, st.integers(0, 4))
    rows = data.draw(st.lists(rows, min_size=1, max_size=12, unique_by=lambda row: row[:2]))
    asked = data.draw(st.lists(st.tuples(st.integers(0, 2), place), min_size=1, max_size=12))
    table = pyarrow.table(
        {
            "path": [PATHS[video][6:] for video, _, _ in rows],
            column: [at for _, at, _ in rows],
            "label": [label for _, _, label in rows],
        }
    )
    found = read_frame_labels(table, PATHS, labels_at, missing="skip")
    videos, places = np.array([v for v, _ in asked]), np.array([at for _, at in asked])
    nothing = np.zeros(len(asked), np.int64)
    given = (places, nothing.astype(float)) if column == "frame_index" else (nothing, places.astype(float))
    labels = found.at(videos, *given)
    assert labels.dtype == np.int64
    names = [*found.classes["label"], "-1"]
    assert [int(names[label]) for label in labels] == [by_brute_force(rows, labels_at, *one) for one in asked]


def labels_of(text, tmp_path, **options):
    file = tmp_path / "frames.csv"
    file.write_text(text)
    return read_frame_labels(file, PATHS, **options)


def at(found, *frames, video=0):
    frames = np.array(frames)
    return found.at(np.full(len(frames), video), frames, frames / 10)


def test_several_columns(tmp_path):
    found = labels_of(
        "path,frame,kind,angle\na.mp4,0,x,0.5\na.mp4,4,y,1.5\n",
        tmp_path,
        label_column=["kind", "angle"],
        missing="skip",
    )
    found = pickle.loads(pickle.dumps(found))  # fmt: skip
    labels = at(found, 0, 2, 3)
    assert (labels["kind"].tolist(), labels["angle"].tolist()) == ([0, 0, 1], [0.5, 0.5, 1.5])
    assert labels["angle"].dtype == np.float32
    assert np.isnan(at(found, 0, video=1)["angle"]).all()
    assert found.classes == {"kind": ["x", "y"], "angle": []}


def test_frames_without_a_label(tmp_path):
    text = "path,time,label\n" + "".join(f"{name}.mp4,0.5,on\n{name}.mp4,1.0,\n" for name in "abc")
    found = labels_of(text, tmp_path, labels_at="interval", missing="skip")
    assert at(found, 0, 5, 9, 10).tolist() == [-1, 0, 0, -1], "a row without a label ends what was before it"
    assert at(labels_of(text, tmp_path, missing="skip"), 0, 5, 99).tolist() == [0, 0, 0], "there is nothing nearer"
    found = labels_of(text.replace(",\n", ",off\n"), tmp_path, labels_at="interval")
    assert at(found, 5, 10).tolist() == [1, 0]
    with pytest.raises(DataError, match=r"no label for 2 frames, such as frame 3 of video 1 at 0.300 s.\nAdd a row"):
        at(found, 7, 3, 4, video=1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\na.mp4,x\n", "no column says where in the video a row is; there are path, label.\nCall"),
        ("path,frame,label\na.mp4,1,x\na.mp4,1.5,x\n", "line 3 has no frame index in the column frame"),
        ("path,frame,label\na.mp4,1,x\na.mp4,-1,x\n", "line 3 has no frame index in the column frame"),
        ("path,seconds,label\na.mp4,1,x\na.mp4,,x\n", "line 3 has no time in the column seconds"),
        ("path,seconds,label\na.mp4,1:30,x\n", "line 2 has no time in the column seconds"),
        ("path,frame,label\na.mp4,1,x\nb.mp4,2,y\na.mp4,1,y\nc.mp4,1,y\n", "line 4 gives one place of a video another"),
        ("path,frame,label\na.mp4,1,x\n", "frames.csv: no frame label for 2 of 3 videos, such as /data/b.mp4"),
        ("path,frame,label\na.mp4,1,\n", "line 2 lacks a path or a label"),
    ],
)  # fmt: skip
def test_mistakes_are_told(tmp_path, text, told):
    with pytest.raises(DataError, match=told):
        labels_of(text, tmp_path)


def test_the_same_twice_is_once(tmp_path):
    text = "path,frame,label\na.mp4,1,0.5\na.mp4,1,0.5\na.mp4,3,\na.mp4,3,\n"
    assert labels_of(text, tmp_path, labels_at="interval", missing="skip").place.tolist() == [1, 3]


def test_no_other_rule():
    with pytest.raises(ValueError, match="labels_at must be 'nearest' or 'interval', got 'linear'"):
        read_frame_labels("frames.csv", PATHS, labels_at="linear")
