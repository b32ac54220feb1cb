"""lit_video in another project: built as a wheel, installed in a fresh environment, composed by Hydra's own means."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from lit_video.checks.stamps import write_stamped
from tests import forked
from tests.forked import Start

REPOSITORY = Path(__file__).parents[1]

TRAIN = """
import hydra
from hydra.utils import instantiate
from lightning import LightningModule, Trainer


class Model(LightningModule):
    seen = []
    automatic_optimization = False

    def training_step(self, batch, batch_idx):
        Model.seen += batch["frame_index"].tolist()

    def configure_optimizers(self):
        return []


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    datamodule = instantiate(cfg.data)
    trainer = Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    trainer.fit(Model(), datamodule)
    print("sampler", type(datamodule.loader.sampler).__name__)
    print("seen", Model.seen)


main()
"""
# As in lightning-hydra-template's src/train.py: train, then test with the weights of the best checkpoint.
TEMPLATE = """
import json
import hydra
import torch
from hydra.utils import instantiate
from lightning import LightningModule


class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(3, 2), {}

    def step(self, stage, batch):
        self.seen.setdefault(stage, []).extend(zip(batch["video_id"].tolist(), batch["frame_index"].tolist()))
        scores = self.layer(batch["image"].float().mean(dim=(2, 3)) / 255)
        return torch.nn.functional.cross_entropy(scores, batch["label"])

    def training_step(self, batch, batch_idx):
        return self.step("train", batch)

    def validation_step(self, batch, batch_idx):
        self.step("sanity" if self.trainer.sanity_checking else "val", batch)
        self.log("val/loss", abs(self.trainer.current_epoch - 1.0))  # the best epoch is the second

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.step("test", batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@hydra.main(version_base="1.3", config_path="conf", config_name="template")
def main(cfg):
    datamodule, model = instantiate(cfg.data), Model()
    callbacks = [instantiate(callback) for callback in cfg.callbacks.values()]
    trainer = instantiate(cfg.trainer, callbacks=callbacks)
    trainer.fit(model=model, datamodule=datamodule, ckpt_path=cfg.get("ckpt_path"))
    best = trainer.checkpoint_callback.best_model_path
    trainer.test(model=model, datamodule=datamodule, ckpt_path=best)
    told = {"epochs": trainer.current_epoch, "best": best, "classes": datamodule.classes, "seen": model.seen}
    print("told", json.dumps(told))


main()
"""
TEMPLATE_CONFIG = """
defaults:
  - lit_video/data@data: default
  - _self_
data:
  size: 48
  batch_size: 8
  progress: false
  labels: labels.csv
  split: {train: 0.6, val: 0.2, test: 0.2}
  split_seed: 4
trainer:
  _target_: lightning.Trainer
  max_epochs: 9
  accelerator: cpu
  logger: false
  enable_progress_bar: false
callbacks:
  checkpoint:
    _target_: lightning.pytorch.callbacks.ModelCheckpoint
    dirpath: best
    filename: "{epoch}"
    monitor: val/loss
  early_stopping:
    _target_: lightning.pytorch.callbacks.EarlyStopping
    monitor: val/loss
    patience: 1
"""
CONFIG = """
defaults:
  - lit_video/data@data: default
  - override lit_video/sampler@data.sampler: chunked
  - _self_
data: {size: 48, batch_size: 8, progress: false}
"""
SAMPLER = """
from dataclasses import dataclass
from lit_video.samplers.sequential import SequentialSampler


class Backwards(SequentialSampler):
    def order(self, epoch):
        return super().order(epoch)[:][::-1]
"""
OPTION = """
# Files in order, frames backwards.
_target_: my_samplers.Backwards
_partial_: true
"""


def clean():
    """The variables of a user, who has no folder of ours on the path."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Of other packages' warnings none is ours; a real user would see them, and go on.
    return variables | {"PYTHONWARNINGS": "ignore"}


def run(*command, cwd):
    return said(subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=clean()))


def start(environment, program, *arguments, project):
    """Run a program with the environment's Python, in a fork that need not import torch."""
    program = Start([str(program), *arguments], project, clean(), timeout=300)
    return said(forked.start(program, python=str(environment / "python")))


def said(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(REPOSITORY), cwd=folder)
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, folder.iterdir()), cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment with the wheel; of this one it sees the other packages, but not the editable install."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    run(*pip, "install", "--quiet", "--no-deps", str(wheel), cwd=folder)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    # A folder that a .pth file names is searched, but its own .pth files, such as an editable install's, are not read.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Somebody's project: a program, a configuration, a sampler of their own, two videos."""
    folder = tmp_path_factory.mktemp("project")
    files = {
        "my_train.py": TRAIN,
        "my_samplers.py": SAMPLER,
        "template.py": TEMPLATE,
        "conf/template.yaml": TEMPLATE_CONFIG,
        "conf/config.yaml": CONFIG,
        "conf/lit_video/sampler/backwards.yaml": OPTION,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip())
    (folder / "videos").mkdir()
    for number in range(2):
        write_stamped(folder / "videos" / f"{number}.mp4", 12, video_id=number)
    return folder


def train(environment, project, *overrides):
    options = ["data.root=videos", f"data.index_dir={project}/index", *overrides]
    told = start(environment, "my_train.py", *options, project=project)
    lines = dict(line.split(" ", 1) for line in told.splitlines() if line.startswith(("sampler ", "seen ")))
    return lines["sampler"], eval(lines["seen"])


def test_the_package_is_the_wheels(environment, project):
    (project / "where.py").write_text(code := "import lit_video; print(lit_video.__file__)")
    for told in (
        run(str(environment / "python"), "-c", code, cwd=project),
        start(environment, "where.py", project=project),
    ):
        assert Path(told.strip()).is_relative_to(environment.parent)


def test_composes_and_trains(environment, project):
    sampler, seen = train(environment, project)
    assert sampler == "ChunkedSampler"
    assert sorted(seen) == sorted([*range(12)] * 2)


def test_parts_are_overridden_on_the_command_line(environment, project):
    sampler, seen = train(
        environment, project, "lit_video/sampler@data.sampler=sequential", "lit_video/decoder@data.decoder=pyav"
    )
    assert (sampler, seen) == ("SequentialSampler", [*range(12)] * 2)


def test_a_sampler_of_ones_own_is_one_module_and_one_yaml(environment, project):
    sampler, seen = train(environment, project, "lit_video/sampler@data.sampler=backwards")
    assert (sampler, seen) == ("Backwards", [*range(11, -1, -1)] * 2)


def test_trains_validates_and_tests_the_best_checkpoint(environment, project):
    folder = project / "many"
    folder.mkdir()
    for number in range(10):
        write_stamped(folder / f"{number}.mp4", 5 + number, video_id=number)
    rows = ["path,label", *(f"{number}.mp4,{'even' if number % 2 == 0 else 'odd'}" for number in range(10))]
    (project / "labels.csv").write_text("\n".join(rows) + "\n")
    options = ["data.root=many", f"data.index_dir={project}/many-index"]
    out = start(environment, "template.py", *options, project=project)
    told = json.loads(next(line for line in out.splitlines() if line.startswith("told ")).removeprefix("told "))
    assert told["epochs"] == 3, "stopped after the first epoch that was no better"
    assert told["best"].endswith("epoch=1.ckpt")
    assert told["classes"] == ["even", "odd"]
    seen = {stage: {tuple(sample) for sample in samples} for stage, samples in told["seen"].items()}
    assert sorted(seen["train"] | seen["val"] | seen["test"]) == [(v, f) for v in range(10) for f in range(5 + v)]
    videos = [{video for video, _ in seen[stage]} for stage in ("train", "val", "test")]
    assert sum(map(len, videos)) == 10, "no video is in two splits"
    assert len(told["seen"]["train"]) == 3 * len(seen["train"])


def test_the_command_line_has_its_commands(environment, project):
    tool = str(environment / "lit-video")
    told = run(tool, "--help", cwd=project)
    assert all(f"  {name} " in told for name in ("index", "bench", "bias", "doctor", "fuzz", "show-batch", "sweep"))
    for arguments, told in (
        ("index videos --index-dir index --verify", "2 videos, 24 frames"),
        ("bench run videos --contenders sequential --images 24 --batch-size 4", "images/s"),
        ("bias --cfg job sampler=chunked", "lanes: 128"),
    ):
        assert told in start(environment, tool, *arguments.split(), project=project)


def test_the_wheel_holds_what_it_should(wheel):
    names = ZipFile(wheel).namelist()
    assert "hydra_plugins/lit_video_searchpath.py" in names
    assert "lit_video/py.typed" in names
    assert "lit_video/conf/lit_video/data/default.yaml" in names
    assert "lit_video/commands/conf/bias_report.yaml" in names
    assert "lit_video/report/document.md" in names
    assert not [name for name in names if name.startswith(("tests/", "scripts/", "conf/"))]


def test_importing_the_package_does_not_import_torch():
    run(sys.executable, "-c", "import lit_video, sys; assert 'torch' not in sys.modules", cwd=REPOSITORY)
