"""Contenders that only unpack stored frames: the very frames of ours, in the order that they say."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from lit_video.bench import of_store
from lit_video.bench.contenders import Setting, sequential
from lit_video.bench.of_store import filled, frame_store
from lit_video.bench.run import contender, prepare
from lit_video.checks.stamps import read_stamp
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import LitVideoError

BATCH = 16


@pytest.fixture
def setting(videos, tmp_path):
    paths = tuple(str(path) for path in sorted(Path(videos).iterdir()))
    return Setting(paths, str(tmp_path / "index"), size=64, batch_size=BATCH, workers=1, packing="raw")


def images(contest, count):
    batches, counts = contest
    assert counts is None
    found = torch.cat(list(islice(batches, count)))
    batches.close()
    return found


@pytest.mark.parametrize("packing", ["raw", "lossless"])
def test_blobs_are_the_frames_of_the_files_in_order_and_again(packing, setting):
    setting = replace(setting, packing=packing)
    length = setting.index().num_frames
    batches = -(-length // BATCH)
    stored = images(contender("blobs")(setting), 2 * batches)
    decoded = images((sequential(setting)[0], None), batches)
    assert torch.equal(stored[:length], decoded)
    assert torch.equal(stored[length:], stored[: len(stored) - length])


def test_jpeg_blobs_tell_their_stamps(setting):
    stored = images(contender("blobs")(replace(setting, packing="jpeg")), 2)
    assert [read_stamp(image) for image in stored] == [(0, frame) for frame in range(2 * BATCH)]


def test_uniform_blobs_come_in_the_order_of_ours(setting):
    index = setting.index()
    stored = images(contender("blobs_uniform")(setting), 2)
    order = UniformSampler(index, setting.seed).order(0)[: 2 * BATCH]
    wanted = zip(*(column.tolist() for column in index.locate(order)), strict=True)
    assert [read_stamp(image) for image in stored] == list(wanted)


def test_two_threads_share_the_frames(setting):
    length = setting.index().num_frames
    stored = images(contender("blobs")(replace(setting, workers=2, batch_size=length)), 4)
    stamps = [read_stamp(image) for image in stored]
    assert set(stamps) == {(video_id, frame) for video_id, frames in enumerate((50, 31, 12)) for frame in range(frames)}


def test_a_store_is_filled_once(setting, monkeypatch):
    made = prepare("blobs", setting)
    assert made["prepared_bytes"] > setting.index().num_frames * 3 * 64 * 64
    monkeypatch.setattr(of_store, "fill_videos", None)  # would fail if it were called
    again = prepare("blobs_uniform", setting)
    assert again["prepared_bytes"] == made["prepared_bytes"]
    assert 0 < again["prepare_seconds"] < made["prepare_seconds"]


def test_the_store_is_where_the_setting_says(setting, tmp_path):
    chosen = replace(setting, store=str(tmp_path / "chosen"))
    assert filled(chosen).folder == tmp_path / "chosen"
    assert filled(setting).folder == Path(f"{setting.index_dir}-store")
    index = setting.index()
    assert frame_store(chosen, index).has().all()


@pytest.mark.filterwarnings("ignore:.*the store's .* bytes are used up:UserWarning")
def test_of_a_store_with_little_room_what_it_holds_is_unpacked_and_an_empty_one_is_told(setting, tmp_path):
    small = replace(setting, store_bytes=600_000)
    part = frame_store(small, small.index())
    stored = images(contender("blobs")(small), 4)
    held = int(part.has().sum())
    assert 0 < held < small.index().num_frames
    assert len({read_stamp(image) for image in stored}) <= held
    with pytest.raises(LitVideoError, match=r"bytes are used up|holds no frame of these"):
        contender("blobs")(replace(setting, store=str(tmp_path / "none"), store_bytes=1))


def test_frames_that_vanish_are_told(setting, monkeypatch):
    batches, _ = contender("blobs")(setting)
    next(batches)
    monkeypatch.setattr(
        of_store.FrameStore, "get", lambda _, frame_ids, out: torch.zeros(len(frame_ids)).bool().numpy()
    )
    with pytest.raises(LitVideoError, match="Frames vanished from the store"):
        list(islice(batches, 10))
