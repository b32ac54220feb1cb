"""Contenders that read extracted frames: the same frames as ours, made once, and what is not whole is made anew."""

import builtins
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_video.bench import of_files
from lit_video.bench.contenders import Setting, sequential
from lit_video.bench.of_files import augmentation, chunks, extracted
from lit_video.bench.prepared import made_once
from lit_video.bench.run import contender, prepare
from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.commands.bench import main
from lit_video.support.errors import LitVideoError

BATCH = 16


@pytest.fixture(scope="module")
def setting(videos, tmp_path_factory):
    paths = tuple(str(path) for path in sorted(Path(videos).iterdir()))
    folder = tmp_path_factory.mktemp("prepared")
    return Setting(paths, str(folder / "index"), size=64, batch_size=BATCH, workers=1, seed=3)


def stamps(batches, count):
    found = [read_stamp(image) for batch in islice(batches, count) for image in batch]
    batches.close()
    return found


@pytest.mark.parametrize("name", ["imagefolder", "litdata"])
def test_an_epoch_has_each_frame_once_and_the_next_in_another_order(name, setting):
    index = setting.index()
    batches = -(-index.num_frames // BATCH)
    found = stamps(contender(name)(setting)[0], 2 * batches)
    frames = {(video_id, frame) for video_id, length in enumerate(index.lengths) for frame in range(length)}
    first, second = found[: len(frames)], found[len(frames) :]
    assert set(first) == set(second) == frames
    assert len(first) == len(second)
    assert first != second
    assert first != sorted(first)


def test_the_jpegs_are_the_frames_that_ours_decodes(setting):
    files = sorted(extracted(setting).folder.rglob("*.jpg"))
    assert [file.relative_to(extracted(setting).folder).as_posix() for file in (files[0], files[50], files[-1])] == [
        "000000/000000.jpg",
        "000001/000000.jpg",
        "000002/000011.jpg",
    ]
    batches = sequential(setting)[0]
    frames = torch.cat([next(batches) for _ in range(-(-len(files) // BATCH))])
    batches.close()
    for file, frame in zip(files, frames, strict=True):
        error = np.asarray(Image.open(file), float) - frame.permute(1, 2, 0).numpy()
        assert (
            np.sqrt((error**2).mean()) < 8
        )  # of 255, at sharp edges of stamps; a neighbour's stamp is off by 20 and more


def test_the_chunks_are_the_jpegs_byte_for_byte(setting):
    stored = b"".join(file.read_bytes() for file in sorted(chunks(setting).folder.glob("*.bin")))
    for file in extracted(setting).folder.rglob("*.jpg"):
        assert file.read_bytes() in stored


def test_what_is_whole_is_used_again_and_its_cost_is_told(setting, monkeypatch):
    made = extracted(setting)
    monkeypatch.setattr(of_files, "_save", None)  # would fail if it were made again
    assert extracted(replace(setting, seed=4)) == made
    assert prepare("imagefolder", setting) == {"prepare_seconds": made.seconds, "prepared_bytes": made.num_bytes}
    assert made.num_bytes == sum(file.stat().st_size for file in made.folder.rglob("*.jpg"))
    assert chunks(setting).seconds > made.seconds > 0


class TestMadeOnce:
    @pytest.fixture
    def setting(self, tmp_path):
        write_stamped(tmp_path / "0.mp4", 12, 0, gop=10)
        return Setting((str(tmp_path / "0.mp4"),), str(tmp_path / "index"), size=32)

    @staticmethod
    def writing(text, calls):
        def make(folder):
            calls.append(sorted(file.name for file in folder.iterdir()))
            (folder / "file").write_text(text)
            return 0.5

        return make

    def test_is_made_once(self, setting):
        calls = []
        first = made_once(setting, "x", self.writing("one", calls))
        assert made_once(setting, "x", self.writing("two", calls)) == first
        assert calls == [[]]
        assert (first.folder / "file").read_text() == "one"
        assert first.seconds > 0.5
        assert first.num_bytes == 3

    def test_another_size_or_a_changed_file_is_another(self, setting, tmp_path):
        calls = []
        made_once(setting, "x", self.writing("one", calls))
        made_once(replace(setting, size=48), "x", self.writing("two", calls))
        write_stamped(tmp_path / "0.mp4", 13, 0, gop=10)
        made = made_once(setting, "x", self.writing("three", calls))
        assert len(calls) == 3
        assert (made.folder / "file").read_text() == "three"

    def test_what_was_interrupted_is_made_anew(self, setting):
        def interrupted(folder):
            (folder / "half").touch()
            raise KeyboardInterrupt

        calls = []
        with pytest.raises(KeyboardInterrupt):
            made_once(setting, "x", interrupted)
        made_once(setting, "x", self.writing("whole", calls))
        assert calls == [[]]


def test_augmentation_is_the_exercises(setting):
    assert augmentation(setting) == []
    image = torch.zeros((3, 64, 64), dtype=torch.uint8)
    for step in augmentation(replace(setting, augment=True, size=32)):
        image = step(image)
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.float32


def test_without_litdata_a_sentence_says_what_to_install(setting, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name == "litdata":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LitVideoError, match=r"needs litdata, which is not here: pip install -e '\.\[peers\]'"):
        contender("litdata")(setting)


def test_the_command_prepares_before_the_clock_and_says_what_it_took(videos, tmp_path, capsys):
    rows, kept = tmp_path / "rows.json", tmp_path / "kept"
    given = ["--contenders", "imagefolder", "--rounds", "1", "--size", "64", "--batch-size", "8", "--workers", "1"]
    main(["run", str(videos), *given, "--images", "16", "--prepared", str(kept), "--json", str(rows)])
    (row,) = json.loads(rows.read_text())["rows"]
    assert row["images"] == 16
    assert row["prepare_seconds"] > 0
    assert row["prepared_bytes"] == sum(file.stat().st_size for file in kept.rglob("*.jpg"))
    assert f"imagefolder, 3 videos: made before the clock in {row['prepare_seconds']:.1f} s" in capsys.readouterr().out
