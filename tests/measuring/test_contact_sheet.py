"""The contact sheet: a picture of a batch that says what is in it."""

import io
import itertools
import shutil
from functools import partial

import numpy as np
import pytest
from PIL import Image

from lit_video.datamodule import VideoDataModule
from lit_video.measuring.canvas import png
from lit_video.measuring.contact_sheet import captions, draw_batch, make_sheet
from lit_video.samplers.uniform import UniformSampler
from tests.programs import run

BY_VIDEO = partial(UniformSampler, per_video=True)


def first_batch(videos, **arguments):
    module = VideoDataModule(videos, **{"size": 48, "progress": False, **arguments})
    module.setup()
    loader = module.make_loader()
    batch = next(iter(loader))
    loader.close()
    return batch, loader.index


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_has_a_place_for_every_frame(videos, batch_size):
    batch, index = first_batch(videos, batch_size=batch_size)
    sheet = Image.open(io.BytesIO(draw_batch(batch, index)))
    side = int(np.ceil(np.sqrt(batch_size)))
    assert sheet.width == 160 * side
    rows = -(-batch_size // side)
    assert sheet.height == pytest.approx(rows * (160 + 32), abs=2)


@pytest.mark.parametrize(("size", "wide"), [(48, 160), (224, 224), (640, 320)])
def test_shows_all_pixels_of_larger_frames_up_to_a_limit(videos, size, wide):
    sheet = Image.open(io.BytesIO(draw_batch(*first_batch(videos, batch_size=1, size=size))))
    assert sheet.width == wide


def test_shows_the_frames_of_the_batch(videos):
    batch, index = first_batch(videos, batch_size=4)
    batch["image"][:] = 0
    batch["image"][3, 0] = 255
    sheet = np.asarray(Image.open(io.BytesIO(draw_batch(batch, index))).convert("RGB"))
    assert sheet[80, 80].tolist() == [0, 0, 0]
    assert sheet[192 + 80, 160 + 80].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(48, 48), (36, 64), (64, 36)])
def test_words_lie_within_the_sheet_and_beside_each_other(videos, size):
    batch, index = first_batch(
        videos, batch_size=9, size=size, labels={f"{n}.mp4": "W" * 99 for n in range(3)}, sampler=BY_VIDEO
    )
    figure = make_sheet(batch, index)
    png(figure)
    boxes = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_captions_name_video_frame_time_and_weight(videos):
    batch, index = first_batch(videos, batch_size=8, sampler=BY_VIDEO)
    videos, frames = batch["video_id"].tolist(), batch["frame_index"].numpy()
    figure = make_sheet(batch, index)
    for axes, text, video, frame in zip(figure.axes, captions(batch, index), videos, frames, strict=False):
        weight = 3 * int(index.lengths[video]) / index.num_frames
        (seconds,) = index.pts_seconds(index.offset[video] + np.array([frame]))
        assert text == f"{video}.mp4\nframe {frame} · {seconds:.2f} s\nweight {weight:.2f}"
        assert axes.get_xlabel() == text


def test_captions_name_the_class_and_no_weights_that_are_all_alike(videos):
    batch, index = first_batch(videos, batch_size=8, labels={"0.mp4": "cat", "1.mp4": "dog", "2.mp4": "cat"})
    for text, video in zip(captions(batch, index), batch["video_id"].tolist(), strict=True):
        _, moment, kind = text.split("\n")
        assert moment.startswith("frame ")
        assert kind == ("cat", "dog", "cat")[video]


def test_long_names_keep_both_ends(videos, tmp_path):
    shutil.copy(videos / "0.mp4", tmp_path / "2024-05-12_camera_front_left_000123.mp4")
    batch, index = first_batch(tmp_path, batch_size=1)
    (text,) = captions(batch, index)
    assert text.split("\n")[0] == "2024-05-1...t_000123.mp4"


def test_the_script_writes_it(videos, tmp_path):
    done = run("scripts/show_batch.py", f"data.root={videos}", f"hydra.run.dir={tmp_path}", "data.size=48")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/batch.png"  # matplotlib may say before that it looks for fonts
    with Image.open(tmp_path / "batch.png") as sheet:
        assert sheet.width == 640
    done = run("scripts/show_batch.py", "data.root=/nowhere", f"hydra.run.dir={tmp_path}/2")
    assert done.returncode == 1
    assert "no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr
