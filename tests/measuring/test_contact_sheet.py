"""The contact sheet: a picture of a batch that says what is in it."""

import io
from functools import partial

import numpy as np
import pytest
from PIL import Image

from lit_video.datamodule import VideoDataModule
from lit_video.measuring.contact_sheet import captions, draw_batch
from lit_video.samplers.uniform import UniformSampler
from tests.programs import run


def first_batch(videos, **arguments):
    module = VideoDataModule(videos, size=48, progress=False, **arguments)
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
    assert sheet.height == pytest.approx(rows * (160 + 36), abs=2)


def test_shows_the_frames_of_the_batch(videos):
    batch, index = first_batch(videos, batch_size=4)
    batch["image"][:] = 0
    batch["image"][3, 0] = 255
    sheet = np.asarray(Image.open(io.BytesIO(draw_batch(batch, index))).convert("RGB"))
    assert sheet[80, 80].tolist() == [0, 0, 0]
    assert sheet[196 + 80, 160 + 80].tolist() == [255, 0, 0]


def test_captions_name_video_time_and_weight(videos):
    batch, index = first_batch(videos, batch_size=8, sampler=partial(UniformSampler, per_video=True))
    videos, frames = batch["video_id"].tolist(), batch["frame_index"].numpy()
    for text, video, frame in zip(captions(batch, index), videos, frames, strict=True):
        weight = 3 * int(index.lengths[video]) / index.num_frames
        (seconds,) = index.pts_seconds(index.offset[video] + np.array([frame]))
        assert text == f"{video}.mp4\n{seconds:.2f} s · weight {weight:.2f}"


def test_the_script_writes_it(videos, tmp_path):
    done = run("scripts/show_batch.py", f"data.root={videos}", f"hydra.run.dir={tmp_path}", "data.size=48")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{tmp_path}/batch.png"
    with Image.open(tmp_path / "batch.png") as sheet:
        assert sheet.width == 640
    done = run("scripts/show_batch.py", "data.root=/nowhere", f"hydra.run.dir={tmp_path}/2")
    assert done.returncode == 1
    assert "no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr
