"""lit_video in another project: built as a wheel, installed in a fresh environment, composed by Hydra's own means."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from lit_video.checks.stamps import write_stamped

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


def run(*command, cwd, **environment):
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Of other packages' warnings none is ours; a real user would see them, and go on.
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=clean | {"PYTHONWARNINGS": "ignore"} | environment,
    )
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
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel), cwd=folder)
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
    told = run(
        str(environment / "python"), "my_train.py", "data.root=videos", f"data.index_dir={project}/index", *overrides,
        cwd=project,
    )  # fmt: skip
    lines = dict(line.split(" ", 1) for line in told.splitlines() if line.startswith(("sampler ", "seen ")))
    return lines["sampler"], eval(lines["seen"])


def test_the_package_is_the_wheels(environment, project):
    told = run(str(environment / "python"), "-c", "import lit_video; print(lit_video.__file__)", cwd=project)
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


def test_the_command_line_has_its_commands(environment, project):
    tool = str(environment / "lit-video")
    told = run(tool, "--help", cwd=project)
    assert all(f"  {name} " in told for name in ("index", "bench", "bias", "doctor", "fuzz", "show-batch", "sweep"))
    assert "2 videos, 24 frames" in run(tool, "index", "videos", "--index-dir", "index", "--verify", cwd=project)
    assert "images/s" in run(
        tool, "bench", "run", "videos", "--contenders", "sequential", "--images", "24", "--batch-size", "4", cwd=project
    )  # fmt: skip
    assert "lanes: 128" in run(tool, "bias", "--cfg", "job", "sampler=chunked", cwd=project)


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
