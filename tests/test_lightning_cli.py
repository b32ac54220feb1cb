"""LightningCLI makes data and model of a YAML file, and trains: the one that docs/training.md shows."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from lit_video.decoders.base import Decoder
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.samplers.base import Sampler
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.training.transforms import NoTransform
from tests.programs import run

REPOSITORY = Path(__file__).parents[1]

PROGRAM = """
import json
from lightning import Callback
from lightning.pytorch.cli import LightningCLI

class Note(Callback):
    frames = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        assert batch["image"].shape[1:] == (3, 64, 64)
        assert batch["image"].is_floating_point()
        index = trainer.datamodule.index
        Note.frames += (index.offset[batch["video_id"].numpy()] + batch["frame_index"].numpy()).tolist()

    def on_fit_end(self, trainer, pl_module):
        decoder = trainer.datamodule.make_loader()._decoder(0)
        said = {"frames": Note.frames, "classes": pl_module.classes, "fit": decoder._scaler._fit}
        open("said.json", "w").write(json.dumps(said))

if __name__ == "__main__":
    cli = LightningCLI(trainer_defaults={"callbacks": [Note()]})
"""


def shown():
    """The YAML file that the docs show."""
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "docs" / "training.md").read_text(), re.DOTALL)
    (text,) = [block for block in blocks if "class_path" in block]
    return text


def start(folder, *arguments):
    return run(folder / "program.py", *arguments, folder=folder)


@pytest.fixture(scope="module")
def folder(videos, tmp_path_factory):
    """Where a run of the YAML file in the docs was, on the stamped videos."""
    pytest.importorskip("jsonargparse")
    folder = tmp_path_factory.mktemp("cli")
    shutil.copytree(videos, folder / "videos")
    (folder / "run.yaml").write_text(shown())
    (folder / "program.py").write_text(PROGRAM)
    done = start(folder, "fit", "--config", "run.yaml", "--data.init_args.index_dir=index", "--trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    return folder


def test_trains_in_the_order_of_the_sampler_that_the_file_names(folder):
    said = json.loads((folder / "said.json").read_text())
    data = yaml.safe_load(shown())["data"]["init_args"]
    index = VideoIndex.load(folder / "index")
    assert data["sampler"]["class_path"] == "lit_video.samplers.chunked.ChunkedSampler"
    sampler = ChunkedSampler(index, data["seed"], **data["sampler"]["init_args"])
    order = [frame for epoch in range(2) for frame in sampler.order(epoch)[:].tolist()]
    assert said["frames"] == order
    assert said["classes"] == ["0", "1", "2"]
    assert said["fit"] == data["decoder"]["init_args"]["fit"] == "squash"


def test_writes_down_what_was_chosen(folder):
    (written,) = folder.rglob("config.yaml")
    config = yaml.safe_load(written.read_text())
    arguments = config["data"]["init_args"]["sampler"]["init_args"]
    assert arguments["lanes"] == yaml.safe_load(shown())["data"]["init_args"]["sampler"]["init_args"]["lanes"]
    assert not {"index", "seed"} & set(arguments), "what the data module adds is not asked of the user"


def test_logs_the_loss(folder):
    (metrics,) = folder.rglob("metrics.csv")
    with metrics.open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert len(losses) > 3
    assert losses[-1] < losses[0]


def test_a_wrong_argument_is_told(folder):
    done = start(folder, "fit", "--config", "run.yaml", "--data.init_args.sampler.init_args.lines=3")
    assert done.returncode == 2
    assert "lines" in done.stderr


class TestClassPath:
    """What LightningCLI asks of a class before it makes a factory of it."""

    def test_samplers_and_decoders_are_told_from_other_classes(self):
        assert issubclass(UniformSampler, Sampler)
        assert issubclass(PyAVDecoder, Decoder)
        for other in (NoTransform, VideoIndex, dict):
            assert not issubclass(other, Sampler)
            assert not issubclass(other, Decoder)

    def test_one_that_inherits_from_the_promise_is_no_other_one(self):
        class Mine(UniformSampler, Sampler):
            pass

        class Yours(Mine):
            pass

        assert issubclass(Yours, Mine)
        assert not issubclass(UniformSampler, Mine)
