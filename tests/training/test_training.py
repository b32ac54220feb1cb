"""Training: a model that learns from every sampler's frames, the demo as users start it, and the training curves."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from lightning import Trainer
from torch import nn

from lit_video.datamodule import VideoDataModule
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.demo import CLIPS, demo_clip, demo_clips
from lit_video.support.errors import DataError, ResumeError
from lit_video.training.models import FrameClassifier, weighted_loss
from tests.programs import REPOSITORY, composed, run
from tests.test_datamodule import QUIET
from tests.test_train import KEYS, report_of, train

pytestmark = [
    # Lightning's own: torch deprecated what it calls, and it says so once a batch.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
]


def linear(num_classes):
    """The smallest network that learns to read the stamps' video id."""
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * 12 * 12, num_classes))


def all_frames(videos):
    module = VideoDataModule(videos, labels="video", size=48, progress=False)
    module.setup()
    (batch,) = module.make_loader()
    return batch


class TestLoss:
    @pytest.mark.parametrize(
        "sampler",
        ["uniform", "chunked", "reservoir", "sampler=uniform data.sampler.per_video=true"],
    )
    def test_falls_with_every_sampler(self, videos, sampler):
        overrides = sampler.split() if "=" in sampler else [f"sampler={sampler}"]
        data = [f"data.root={videos}", "data.labels=video", "data.size=48", "data.batch_size=16", "data.progress=false"]
        module = instantiate(composed("train", *overrides, *data).data)
        model = FrameClassifier(linear, learning_rate=0.02)
        frames, losses = all_frames(videos), []
        for epochs in (0, 4):
            Trainer(**QUIET, max_epochs=epochs).fit(model, module)
            with torch.no_grad():
                losses.append(float(nn.functional.cross_entropy(model(frames["image"]), frames["label"])))
        assert losses[1] < 0.5 * losses[0]

    def test_weights_make_the_gradient_that_of_all_frames(self, index):
        """Videos drawn alike, with weights: the expected gradient is the mean over all frames, to the last digit."""
        sampler = UniformSampler(index, per_video=True)
        every = np.arange(index.num_frames)
        draw = np.random.default_rng(0)
        images = torch.from_numpy(draw.standard_normal((len(every), 5)))
        labels = torch.from_numpy(index.locate(every)[0])
        matrix = torch.from_numpy(draw.standard_normal((5, 3))).requires_grad_()

        def gradient(loss):
            return torch.autograd.grad(loss, matrix)[0]

        wanted = gradient(nn.functional.cross_entropy(images @ matrix, labels))
        q, w = (torch.from_numpy(np.asarray(x)) for x in (sampler.inclusion_probability(), sampler.weights(every)))
        each = [
            gradient(weighted_loss(images[i : i + 1] @ matrix, labels[i : i + 1], w[i : i + 1])) for i in every.tolist()
        ]
        assert torch.allclose(sum(p * g for p, g in zip(q, each, strict=True)), wanted, atol=1e-12)
        assert not torch.allclose(sum(p / v * g for p, v, g in zip(q, w, each, strict=True)), wanted, atol=1e-3)

    def test_is_divided_by_the_number_of_frames(self):
        scores, labels = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
        weights = torch.tensor([1.0, 3.0, 0.5, 0.5])
        assert weighted_loss(scores, labels, weights) == pytest.approx(np.log(2) * 5 / 4)


class TestClassifier:
    def make(self, videos, seed=0, labels="video", **arguments):
        module = VideoDataModule(videos, labels=labels, size=48, batch_size=32, progress=False)
        model, trainer = FrameClassifier(linear, seed=seed), Trainer(**(QUIET | {"max_epochs": 0} | arguments))
        trainer.fit(model, module)
        return model, trainer

    def test_weights_come_from_the_seed_alone(self, videos):
        state = torch.get_rng_state()
        weights = [self.make(videos, seed)[0].network[2].weight for seed in (0, 0, 1)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
        assert torch.equal(torch.get_rng_state(), state)

    def test_needs_classes(self, videos):
        with pytest.raises(DataError, match=r"needs two classes or more, and the data has 0.\n.*data.labels=folder"):
            self.make(videos, labels=None)
        with pytest.raises(DataError, match="the data has 1"):
            self.make(videos, labels="folder")

    def test_a_checkpoint_is_read_without_the_data(self, videos, tmp_path):
        model, trainer = self.make(videos, max_epochs=1, enable_checkpointing=True, default_root_dir=tmp_path)
        trainer.save_checkpoint(tmp_path / "a.ckpt")
        again = FrameClassifier.load_from_checkpoint(tmp_path / "a.ckpt", network=linear)
        assert again.classes == ["0", "1", "2"]
        images = all_frames(videos)["image"]
        assert torch.equal(again(images), model(images))

    def test_other_classes_do_not_resume_it(self, videos, tmp_path):
        _, trainer = self.make(videos)
        trainer.save_checkpoint(tmp_path / "a.ckpt")
        module = VideoDataModule(videos, labels={"0.mp4": "a", "1.mp4": "b", "2.mp4": "c"}, size=48, progress=False)
        with pytest.raises(ResumeError, match="classes are 0, 1, 2, and the data's are a, b, c"):
            Trainer(**QUIET, max_epochs=1).fit(FrameClassifier(linear), module, ckpt_path=tmp_path / "a.ckpt")


def metrics(folder):
    with (Path(folder) / "csv" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_demo_trains_logs_saves_and_resumes(tmp_path):
    """Two epochs in one go are two epochs in two runs."""
    pytest.importorskip("tensorboard")
    demo = ["experiment=train_demo", "data.size=32", "data.batch_size=128"]
    whole, first, rest = (tmp_path / name for name in ("whole", "first", "rest"))
    for folder, *overrides in (
        (whole, "trainer.max_epochs=2"),
        (first, "trainer.max_epochs=1"),
        (rest, "trainer.max_epochs=2", f"ckpt_path={first}/checkpoints/last.ckpt"),
    ):
        done = train(folder, *demo, *overrides, environment={"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
    report = report_of(whole)
    assert set(report) == KEYS
    assert report["run_model"] is True
    assert report["index"]["videos"] == len(CLIPS)
    rows = metrics(whole)
    assert len(rows) == report["batches"]
    assert all(float(row["loss"]) > 0 for row in rows)
    assert all(float(row["images_per_s"]) > 0 for row in rows[1:])
    assert np.mean([float(row["loss"]) for row in rows[-3:]]) < float(rows[0]["loss"])
    in_one_go, before, after = ([float(row["loss"]) for row in metrics(folder)] for folder in (whole, first, rest))
    assert before + after == pytest.approx(in_one_go, rel=1e-4)
    assert list((whole / "tensorboard").glob("events.out.tfevents.*"))


def test_the_demos_clips_can_be_other_videos(videos):
    config = composed("train", "experiment=train_demo", f"data.root={videos}", "data.labels=folder", "run_model=false")
    assert (config.data.root, config.data.labels, config.run_model) == (str(videos), "folder", False)
    assert composed("train", "experiment=train_demo").run_model is True


def test_the_demos_clips_are_there():
    assert [path.name for path in demo_clips()] == list(CLIPS)
    assert demo_clips()[0] == demo_clip()
    assert all(path.is_file() for path in demo_clips())


@pytest.fixture(scope="module")
def curves(videos, tmp_path_factory):
    """The training curves' rows and picture, of a run that is too short to say much."""
    folder = tmp_path_factory.mktemp("curves")
    arguments = ["--root", videos, "--size", 32, "--batch-size", 31, "--epochs", 2, "--seeds", 2, "--every", 2]
    done = run("scripts/training_curves.py", *arguments, "--out", folder)
    assert done.returncode == 0, done.stderr
    with (folder / "training_curves.csv").open() as file:
        return list(csv.DictReader(file)), (folder / "training_curves.png").read_bytes(), done.stdout


def test_curves_compare_equal_frames_and_equal_beginnings(curves):
    rows, picture, told = curves
    orders = {row["order"] for row in rows}
    assert len(orders) == 3
    for order in orders:
        for seed in ("0", "1"):
            mine = [row for row in rows if (row["order"], row["seed"]) == (order, seed)]
            assert [int(row["frames"]) for row in mine] == [0, 62, 124, 186]
            assert len({row["loss"] for row in mine}) == 4, "every measurement is of another state of the network"
    first = {(row["seed"], row["loss"]) for row in rows if row["frames"] == "0"}
    assert len(first) == 2, "orders begin with the same weights and are judged on the same frames"
    assert picture.startswith(b"\x89PNG")
    assert all(order in told for order in orders)


def test_the_picture_in_the_docs_is_small():
    assert 10_000 < (REPOSITORY / "docs" / "images" / "training_curves.png").stat().st_size < 100_000
