"""Training: a model that learns from every sampler's frames, the demo as users start it, and the training curves."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from lightning import Trainer
from pyarrow.csv import read_csv
from pyarrow.parquet import read_table as read_parquet
from torch import nn

from lit_video.checks.stamps import write_stamped
from lit_video.datamodule import VideoDataModule
from lit_video.measuring import throughput
from lit_video.measuring.throughput import Throughput
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.demo import CLIPS, demo_clip, demo_clips, demo_stretches
from lit_video.support.errors import DataError, ResumeError
from lit_video.training.after_fit import after_fit
from lit_video.training.models import FrameClassifier, NoModel, judge, weighted_loss
from lit_video.training.networks import SmallVideoNetwork
from tests.programs import REPOSITORY, composed, run
from tests.test_datamodule import QUIET
from tests.test_train import KEYS, report_of, train

pytestmark = [
    # Lightning's own: torch deprecated what it calls, and it says so once a batch.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    # Lightning's own, and true: some of these train without a split.
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
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


def read_table(path):
    return read_csv(path) if path.suffix == ".csv" else read_parquet(path)


def metrics(folder):
    with (Path(folder) / "csv" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


class TestJudging:
    """What validation and test say of each sample counts once, over batches and ranks."""

    @staticmethod
    def batch(*rows):
        """Return a batch whose images are their scores."""
        scores, labels, weights = zip(*rows, strict=True)
        return torch.tensor(scores), torch.tensor(labels), torch.tensor(weights, dtype=torch.float32)

    def judged(self, *rows):
        means, total = judge(*self.batch(*rows))
        return {name: float(mean) for name, mean in means.items()} | {"total": float(total)}

    def test_padding_counts_not_at_all(self):
        rows = [([3.0, 0.0], 0, 1), ([0.0, 1.0], 0, 1), ([2.0, 0.0], 1, 1)]
        found = self.judged(*rows)
        loss = float(nn.functional.cross_entropy(*self.batch(*rows)[:2]))
        assert found == pytest.approx({"loss": loss, "accuracy": 1 / 3, "total": 3})
        assert self.judged(*rows, ([9.0, 0.0], 1, 0), ([0.0, 9.0], 1, 0)) == pytest.approx(found)

    def test_samples_without_a_label_count_not_at_all(self):
        rows = [([3.0, 0.0], 0, 1), ([0.0, 1.0], 0, 1)]
        assert self.judged(*rows, ([9.0, 0.0], -1, 1)) == pytest.approx(self.judged(*rows))
        assert float(weighted_loss(*self.batch(*rows, ([9.0, 0.0], -1, 1)))) * 3 == pytest.approx(
            2 * float(weighted_loss(*self.batch(*rows)))
        )

    def test_a_batch_of_padding_is_no_matter(self):
        assert self.judged(([3.0, 0.0], 1, 0)) == {"loss": 0, "accuracy": 0, "total": 0}

    @pytest.mark.parametrize("stage", ["validate", "test"])
    def test_batches_count_by_their_weights(self, stage):
        """Two batches, as of two ranks: three samples in one; in the other one sample, and two that pad it."""
        batches = [
            self.batch(([3.0, 0.0], 0, 1), ([3.0, 0.0], 0, 1), ([3.0, 0.0], 0, 1)),
            self.batch(([0.0, 1.0], 0, 1), ([9.0, 0.0], 1, 0), ([9.0, 0.0], 1, 0)),
        ]
        model = Scores(lambda num_classes: nn.Identity())
        loaders = [dict(zip(("image", "label", "weight"), batch, strict=True)) for batch in batches]
        trainer = Trainer(**QUIET)
        (found,) = getattr(trainer, stage)(model, torch.utils.data.DataLoader(loaders, batch_size=None), verbose=False)
        name = {"validate": "val", "test": "test"}[stage]
        losses = [nn.functional.cross_entropy(s[w > 0], t[w > 0], reduction="sum") for s, t, w in batches]
        assert found[f"{name}/accuracy"] == pytest.approx(3 / 4)
        assert found[f"{name}/loss"] == pytest.approx(float(sum(losses)) / 4)


class Scores(FrameClassifier):
    """Takes images for scores."""

    def setup(self, stage):
        self._make(["a", "b"])

    def forward(self, images):
        return images


class TestClips:
    @pytest.mark.parametrize("clips", [True, False])
    def test_are_scored_whole_or_frame_by_frame(self, clips):
        shapes = []

        class Network(nn.Module):
            def forward(self, images):
                shapes.append(tuple(images.shape))
                return images.flatten(1).mean(dim=1, keepdim=True).repeat(1, 2)

        model = FrameClassifier(lambda num_classes: Network(), clips=clips)
        model._make(["a", "b"])
        images = torch.randint(0, 255, (2, 5, 3, 8, 6), dtype=torch.uint8)
        scores = model(images)
        assert shapes == [(2, 3, 5, 8, 6) if clips else (10, 3, 8, 6)]
        assert scores[:, 0] == pytest.approx((images.float() / 255 - 0.45).flatten(1).mean(dim=1) / 0.225, abs=1e-5)

    def test_are_asked_for_where_the_network_takes_them(self):
        model = FrameClassifier(SmallVideoNetwork, clips=True)
        model._make(["a", "b"])
        with pytest.raises(ValueError, match=r"this model takes clips: give data\.clip_length"):
            model(torch.zeros(2, 3, 16, 16))

    def test_the_small_network_takes_any_length_and_sees_the_order_of_frames(self):
        network = SmallVideoNetwork(num_classes=3, width=8)
        clips = torch.randn(2, 3, 8, 16, 16)
        assert network(clips).shape == network(clips[:, :, :1]).shape == (2, 3)
        assert not torch.allclose(network(clips), network(clips.flip(2)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Twelve stamped videos in the folders of two classes."""
    folder = tmp_path_factory.mktemp("folders")
    for number in range(12):
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        write_stamped(folder / "ab"[number % 2] / f"{number}.mp4", 9, number % 2, gop=5)
    return folder


@pytest.mark.parametrize("table", ["p.csv", "deep/p.parquet"])
def test_the_whole_flow_on_any_folder(table, folders, tmp_path):
    """Train, validate, test, predict: by options alone, with clips of three frames."""
    data = [f"data.root={folders}", f"data.predict_root={folders}", "data.size=48", "data.batch_size=16"]
    clips = ["data.clip_length=3", "model=clip_classifier", "model.network.width=8"] if table.endswith("csv") else []
    config = composed("train", "experiment=train", *data, *clips, "data.split={train: 0.5, val: 0.25, test: 0.25}")
    module = instantiate(config.data)
    model = instantiate(config.model) if clips else FrameClassifier(linear, learning_rate=0.02)
    best = instantiate(config.callbacks.checkpoint, dirpath=tmp_path)
    stop = instantiate(config.callbacks.early_stopping)
    options = QUIET | {"enable_checkpointing": True, "max_epochs": 2, "default_root_dir": tmp_path}
    trainer = Trainer(**options, callbacks=[best, stop])
    trainer.fit(model, module)
    assert stop.best_score == best.best_model_score > 0
    assert set(trainer.callback_metrics) == {"loss", "accuracy", "val/loss", "val/accuracy"}
    after_fit(trainer, model, module, test=True, predict=table)
    assert set(trainer.callback_metrics) <= {"test/loss", "test/accuracy"}
    rows = read_table(tmp_path / table).to_pylist()
    assert len(rows) == 12 * (7 if clips else 9)
    first = 1 if clips else 0
    assert [row["frame_index"] for row in rows[: len(rows) // 12]] == list(range(first, len(rows) // 12 + first))
    assert {row["class"] for row in rows} <= {"a", "b"}
    assert all(0.5 <= row["probability"] <= 1 and Path(row["path"]).exists() for row in rows)
    assert rows[1]["seconds"] == pytest.approx((1 + first) / 30)


def test_a_model_that_cannot_test_is_not_asked_to(videos, tmp_path):
    trainer = Trainer(**QUIET, max_epochs=1)
    after_fit(trainer, NoModel(), VideoDataModule(videos), test=True, predict="p.csv")
    with pytest.raises(ValueError, match=r"predict must end in one of .csv, .parquet, got 'p.txt'"):
        after_fit(trainer, NoModel(), VideoDataModule(videos), test=False, predict="p.txt")


def test_validation_is_left_out_of_the_clock(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock[0])
    measured, model = Throughput("unused", {}), NoModel()
    trainer = Trainer(**QUIET)

    def after(seconds, event, *arguments):
        clock[0] += seconds
        getattr(measured, event)(trainer, model, *arguments)

    step = ("on_train_batch_end", None, {"image": torch.zeros(1)}, 1)
    for seconds, event, *arguments in (
        (5, "on_validation_start"), (9, "on_validation_end"),  # the sanity check
        (2, *step), (3, *step), (0, "on_validation_start"), (7, "on_validation_end"), (4, *step),
        (0, "on_validation_start"), (20, "on_validation_end"),  # the last one
    ):  # fmt: skip
        after(seconds, event, *arguments)
    assert measured._ended - measured._seconds_beside == 14 + 2 + 3 + 4


def test_the_demo_trains_logs_saves_and_resumes(tmp_path):
    """Two epochs in one go are two epochs in two runs."""
    pytest.importorskip("tensorboard")
    demo = ["experiment=train_demo", "data.size=32", "data.batch_size=128", "data.max_eval_samples=12"]
    whole, first, rest = (tmp_path / name for name in ("whole", "first", "rest"))
    for folder, *overrides in (
        (whole, "trainer.max_epochs=2"),
        (first, "trainer.max_epochs=1", "test=false", "predict=null"),
        (rest, "trainer.max_epochs=2", f"ckpt_path={first}/checkpoints/last.ckpt"),
    ):
        done = train(folder, *demo, *overrides, environment={"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
    report = report_of(whole)
    assert set(report) == KEYS
    assert report["run_model"] is True
    assert report["index"]["videos"] == len(CLIPS)
    rows = [row for row in metrics(whole) if row["loss"]]
    assert len(rows) == report["batches"]
    assert all(float(row["loss"]) > 0 for row in rows)
    assert all(float(row["images_per_s"]) > 0 for row in rows[1:])
    assert np.mean([float(row["loss"]) for row in rows[-3:]]) < float(rows[0]["loss"])
    for name in ("loss", "val/loss"):
        in_one_go, before, after = (
            [float(row[name]) for row in metrics(folder) if row[name]] for folder in (whole, first, rest)
        )
        assert before + after == pytest.approx(in_one_go, rel=1e-3)
    assert 0 <= float(metrics(whole)[-1]["test/accuracy"]) <= 1
    assert (whole / "checkpoints" / "best.ckpt").exists()
    with (whole / "predictions.csv").open() as file:
        predicted = list(csv.DictReader(file))
    assert {Path(row["path"]).name for row in predicted} == {"carphone_distorted.mp4"}
    assert len(predicted) == 12
    assert list((whole / "tensorboard").glob("events.out.tfevents.*"))


def test_the_demos_stretches_lie_apart():
    """No frame that is validated or tested on is a neighbour of one that is learned."""
    module = VideoDataModule(
        demo_clips(), intervals=demo_stretches(), split="intervals", labels="video", progress=False
    )
    module.setup()
    frames = {}
    for stage in ("train", "val", "test"):
        samples = module.population(stage)
        ids = np.arange(samples.num_samples)
        videos = samples.videos_of(ids)
        frames[stage] = set((samples.frames_of(ids)[0][:, 0] + 1000 * videos).tolist())  # videos are not neighbours
        assert set(videos.tolist()) == {0, 1, 2}
    for one, other in itertools.combinations(frames.values(), 2):
        assert min(abs(a - b) for a in one for b in other) > 11
    assert len(module.classes) == len(CLIPS)


def test_the_demos_clips_can_be_other_videos(videos):
    config = composed("train", "experiment=train", f"data.root={videos}", "data.labels=folder", "run_model=false")
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
