"""Splits and the four loaders under a real Trainer: who sees which samples, when, and how often each counts."""

import copy
import csv
import json
import pickle
import signal
from functools import partial
from itertools import groupby
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, OnExceptionCheckpoint
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lit_video.checks.stamps import write_stamped
from lit_video.datamodule import VideoDataModule
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DataError, DecodeError
from tests.loading.test_loader import SlowDecoder, our_threads
from tests.loading.test_resume import Interrupt, saver
from tests.planning.test_ranks import torchrun
from tests.test_datamodule import QUIET

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory.*exists and is not empty.*"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*resuming from a checkpoint.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*weights_only.*"),
    pytest.mark.filterwarnings("ignore:.*there is no last checkpoint available.*"),
    pytest.mark.filterwarnings("ignore:.*was called without a model.*"),
]

LENGTHS = [12, 8, 12, 11, 12, 12, 12, 12, 8, 12, 11, 8]
TOLD = {"train": [0, 1, 2, 6, 7, 8], "val": [3, 9, 10], "test": [4, 5, 11]}  # 64, 34 and 32 frames: 8, 5 and 4 batches
NAMES = [f"{'aaaaaabbbbbb'[video]}/{video:02}.mp4" for video in range(12)]
SPLIT = {name: [NAMES[video] for video in videos] for name, videos in TOLD.items()}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Twelve videos of two classes, which are the names of their folders, and their index."""
    folder = tmp_path_factory.mktemp("footage")
    for video, length in enumerate(LENGTHS):
        path = folder / "videos" / NAMES[video]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_stamped(path, length, video, gop=6)
    return folder


@pytest.fixture
def module_of(footage):
    """Make a data module of the footage; its decoder says which frame it would have decoded."""

    def make(cls=VideoDataModule, **arguments):
        options = {
            "root": footage / "videos", "index_dir": footage / "index", "split": SPLIT, "labels": "folder",
            "decoder": SlowDecoder, "size": 32, "batch_size": 8, "threads": 1, "progress": False,
        }  # fmt: skip
        return cls(**(options | arguments))

    return make


class Model(LightningModule):
    """Notes what it is given, and by which step."""

    def __init__(self, losses=()):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.lr = 1e-3
        self.losses, self.steps, self.batches = list(losses), [], []

    def _step(self, step, batch):
        self.steps.append(step)
        self.batches.append((step, {key: value for key, value in batch.items() if key != "image"}))
        images = batch["image"].float().flatten(-2).mean(-1)
        return torch.nn.functional.cross_entropy(
            self.layer(images if images.dim() == 2 else images.mean(1)) / 255,
            batch.get("label", torch.zeros(len(images), dtype=torch.int64)),
        )

    def training_step(self, batch, batch_idx):
        return self._step("t", batch)

    def validation_step(self, batch, batch_idx):
        loss = self._step("s" if self.trainer.sanity_checking else "v", batch)
        if self.losses and not self.trainer.sanity_checking:
            loss = torch.tensor(self.losses[self.trainer.current_epoch])
        self.log("val/loss", loss)

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self._step("e", batch))

    def predict_step(self, batch, batch_idx):
        self._step("p", batch)
        return batch["position"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)

    @property
    def flow(self):
        """Steps in their order, as in `s2 t3 v5`."""
        return " ".join(f"{step}{len(list(group))}" for step, group in groupby(self.steps))

    def samples(self, step):
        """(video, frame) of what a kind of step was given, padding left out."""
        return [
            (video, frame)
            for kind, batch in self.batches
            if kind == step
            for video, frame, weight in zip(
                batch["video_id"].tolist(), batch["frame_index"].tolist(), batch["weight"].tolist(), strict=True
            )
            if weight
        ]


def trainer_of(**arguments):
    return Trainer(**(QUIET | {"max_epochs": 1} | arguments))


def fit(datamodule, model=None, ckpt_path=None, **arguments):
    model, trainer = model or Model(), trainer_of(**arguments)
    trainer.fit(model, datamodule, ckpt_path=ckpt_path)
    return model, trainer


def all_of(split):
    return [(video, frame) for video in TOLD[split] for frame in range(LENGTHS[video])]


def in_order(datamodule, epoch, sampler=UniformSampler):
    """(video, frame) of an epoch of training."""
    population = datamodule.population("train")
    frames = population.frames_of(sampler(population, 0).order(epoch)[:])[0][:, 0]
    return list(zip(*(ids.tolist() for ids in population.index.locate(frames)), strict=True))


class At(Callback):
    """Acts once, after so many batches of training or validation, or after so many validations."""

    def __init__(self, step, act, number):
        self.step, self.act, self.left = step, act, number

    def _count(self, step, trainer):
        self.left -= step == self.step
        if step == self.step and self.left == 0:
            self.act(trainer)

    def on_train_batch_end(self, trainer, *_):
        self._count("t", trainer)

    def on_validation_batch_end(self, trainer, *_):
        self._count("s" if trainer.sanity_checking else "v", trainer)

    def on_validation_end(self, trainer, *_):
        self._count("S" if trainer.sanity_checking else "V", trainer)


def sigterm(trainer):
    signal.raise_signal(signal.SIGTERM)


class TestSplits:
    def test_each_stage_has_its_own_videos_and_together_they_are_all(self, module_of):
        datamodule = module_of(split={"train": 0.5, "val": 0.25, "test": 0.25}, stratify="label")
        model, trainer = fit(datamodule)
        trainer.test(model, datamodule, verbose=False)
        videos = {step: {video for video, _ in model.samples(step)} for step in "tve"}
        assert [len(videos[step]) for step in "tve"] == [6, 4, 2] or [len(videos[step]) for step in "tve"] == [6, 3, 3]
        everything = [sample for step in "tve" for sample in model.samples(step)]
        assert sorted(everything) == [(video, frame) for video, n in enumerate(LENGTHS) for frame in range(n)]

    @pytest.mark.parametrize("shard", ["gop", "slot"])
    @pytest.mark.parametrize("stage", ["train", "val", "test"])
    def test_two_ranks_see_what_one_sees(self, module_of, stage, shard):
        found = []
        for world_size in (1, 2, 3):
            model, lengths = Model(), set()
            for rank in range(world_size):
                datamodule = module_of(shard=shard)
                datamodule.trainer = SimpleNamespace(
                    global_rank=rank, world_size=world_size, strategy=SimpleNamespace(root_device=torch.device("cpu"))
                )
                datamodule.setup("fit")
                with_batches = datamodule.make_loader(stage)
                model.batches += [("x", batch) for batch in with_batches]
                lengths.add(len(with_batches))
                datamodule.close()
            assert len(lengths) == 1, "as many batches on every rank"
            found.append(sorted(model.samples("x")))
        assert found[0] == all_of(stage)
        left_out = [len(all_of(stage)) % n if stage == "train" else 0 for n in (1, 2, 3)]
        assert [len(samples) for samples in found] == [len(all_of(stage)) - left for left in left_out]
        assert all(set(samples) <= set(found[0]) for samples in found)

    @pytest.mark.parametrize("world_size", [2, 3, 5])
    def test_a_weighted_mean_over_ranks_counts_each_sample_once(self, module_of, world_size):
        """34 samples: 5 ranks take 7 each, of which one is padding."""
        total, count, batches = 0.0, 0.0, []
        for rank in range(world_size):
            datamodule = module_of()
            datamodule.trainer = SimpleNamespace(
                global_rank=rank, world_size=world_size, strategy=SimpleNamespace(root_device=torch.device("cpu"))
            )
            datamodule.setup("validate")
            batches += list(datamodule.make_loader("val"))
            datamodule.close()
        for batch in batches:
            value = 100.0 * batch["video_id"] + batch["frame_index"]
            total, count = total + float((value * batch["weight"]).sum()), count + float(batch["weight"].sum())
        assert sum(len(batch["weight"]) for batch in batches) == -(-34 // world_size) * world_size
        assert total / count == pytest.approx(np.mean([100 * video + frame for video, frame in all_of("val")]))

    def test_more_ranks_than_samples(self, module_of):
        weights = []
        for rank in range(4):
            datamodule = module_of(max_eval_samples=2)
            datamodule.trainer = SimpleNamespace(
                global_rank=rank, world_size=4, strategy=SimpleNamespace(root_device=torch.device("cpu"))
            )
            datamodule.setup("validate")
            (batch,) = datamodule.make_loader("val")
            weights += batch["weight"].tolist()
            datamodule.close()
        assert sorted(weights) == [0, 0, 1, 1]

    def test_a_few_samples_are_spread_over_the_videos(self, module_of):
        model = Model()
        trainer_of().validate(model, module_of(max_eval_samples=9), verbose=False)
        videos = [video for video, _ in model.samples("v")]
        assert len(videos) == 9
        assert all(abs(videos.count(video) - 9 * LENGTHS[video] / 34) <= 1 for video in TOLD["val"])

    def test_roots_of_their_own(self, footage, module_of):
        roots = {"val_root": footage / "videos" / "b" / "08.mp4", "test_root": footage / "videos" / "b"}
        datamodule = module_of(split=None, root=footage / "videos", predict_root=[footage / "videos" / "a"], **roots)
        model, trainer = fit(datamodule)
        trainer.test(model, datamodule, verbose=False)
        trainer.predict(model, datamodule)
        counts = {step: len(model.samples(step)) for step in "tvep"}
        assert counts == {"t": sum(LENGTHS), "v": LENGTHS[8], "e": sum(LENGTHS[6:]), "p": sum(LENGTHS[:6])}
        # Only videos of class b are there, and it has the number that it has in training.
        labels = {label for step, batch in model.batches if step == "v" for label in batch["label"].tolist()}
        assert labels == {1}
        assert datamodule.classes == ["a", "b"]

    def test_classes_are_the_training_sets(self, module_of):
        split = {"train": SPLIT["train"], "val": ["a/03.mp4"], "test": ["b/11.mp4"]}
        datamodule = module_of(split=split)
        datamodule.setup("fit")
        labels = {stage: {*torch.cat([b["label"] for b in datamodule.make_loader(stage)]).tolist()} for stage in split}
        datamodule.close()
        assert labels == {"train": {0, 1}, "val": {0}, "test": {1}}
        assert (datamodule.classes, datamodule.num_classes) == (["a", "b"], 2)


class TestFlows:
    """s: sanity check, t: training, v: validation, e: test, p: prediction; each with a number of batches."""

    @pytest.mark.parametrize(
        ("options", "flow"),
        [
            pytest.param({}, "s2 t8 v5", id="plain"),
            pytest.param({"num_sanity_val_steps": -1}, "s5 t8 v5", id="whole sanity check"),
            pytest.param({"val_check_interval": 3}, "s2 t3 v5 t3 v5 t2", id="val_check_interval=3"),
            pytest.param({"val_check_interval": 0.5}, "s2 t4 v5 t4 v5", id="val_check_interval=0.5"),
            pytest.param({"check_val_every_n_epoch": 2, "max_epochs": 2}, "s2 t16 v5", id="every other epoch"),
            pytest.param({"limit_val_batches": 1}, "s1 t8 v1", id="limit_val_batches=1"),
            pytest.param({"limit_val_batches": 0.4, "max_epochs": 2}, "s2 t8 v2 t8 v2", id="limit_val_batches=0.4"),
            pytest.param({"limit_val_batches": 0}, "t8", id="limit_val_batches=0"),
            pytest.param({"fast_dev_run": True}, "t1 v1", id="fast_dev_run"),
            pytest.param({"fast_dev_run": 3}, "t3 v3", id="fast_dev_run=3"),
            pytest.param({"reload_dataloaders_every_n_epochs": 1, "max_epochs": 2}, "s2 t8 v5 t8 v5", id="reload"),
        ],
    )
    def test_who_comes_when(self, module_of, options, flow):
        datamodule = module_of()
        model, _ = fit(datamodule, **options)
        assert model.flow == flow
        limit = options.get("fast_dev_run", 0) * 8 or None
        trained = [s for epoch in range(options.get("max_epochs", 1)) for s in in_order(datamodule, epoch)[:limit]]
        assert model.samples("t") == trained, "validation takes nothing away from training"
        validated = [batch["position"].tolist() for step, batch in model.batches if step == "v"]
        each = [list(range(begin, min(begin + 8, 34))) for begin in range(0, 34, 8)]
        of_each = [int(part[1:]) for part in flow.split() if part[0] == "v"]
        assert validated == [positions for number in of_each for positions in each[:number]], "from the first one on"

    @pytest.mark.parametrize("limit", [2, 0.25])
    def test_overfit_batches_are_the_same_in_every_epoch(self, module_of, limit):
        datamodule = module_of()
        model, _ = fit(datamodule, overfit_batches=limit, max_epochs=3)
        assert model.samples("t") == in_order(datamodule, 0)[:16] * 3

    def test_validate_test_and_predict(self, module_of):
        split = {"train": SPLIT["train"], "val": SPLIT["val"], "predict": SPLIT["test"]}
        datamodule, model, trainer = module_of(split=split), Model(), trainer_of()
        for _ in range(2):
            trainer.validate(model, datamodule, verbose=False)
        predicted = trainer.predict(model, datamodule)
        assert model.flow == "v10 p4"
        assert model.samples("v") == all_of("val") * 2
        assert torch.cat(predicted).tolist() == list(range(32))
        with pytest.raises(DataError, match=r"There are no videos for test\.\nSplit them off"):
            trainer.test(model, datamodule)

    @pytest.mark.parametrize("split", [None, {"train": SPLIT["train"], "test": SPLIT["test"]}])
    def test_nothing_to_validate_on_is_no_mistake(self, module_of, split):
        """Lightning warns as it does of any data without `val_dataloader`, and trains. Asked for, it is a mistake."""
        datamodule = pickle.loads(pickle.dumps(module_of(split=split)))
        with pytest.warns(UserWarning, match="You defined a `validation_step` but have no `val_dataloader`"):
            model, trainer = fit(datamodule)
        assert set(model.steps) == {"t"}
        with pytest.raises(DataError, match="There are no videos for val"):
            trainer.validate(model, datamodule)
        with pytest.raises(DataError, match="There are no videos for val"):
            copy.deepcopy(datamodule).val_dataloader()

    def test_a_loader_as_it_is_for_training_and_validation(self, module_of):
        datamodule = module_of()
        datamodule.setup()
        train, val = datamodule.make_loader("train"), datamodule.make_loader("val")
        model, trainer = Model(), trainer_of(max_epochs=2, val_check_interval=4)
        trainer.fit(model, train, val)
        assert model.flow == "s2 t4 v5 t4 v5 t4 v5 t4 v5"
        assert model.samples("t") == in_order(datamodule, 0) + in_order(datamodule, 1)
        assert model.samples("v") == all_of("val") * 4
        train.close()
        val.close()

    def test_another_order_for_evaluation(self, module_of):
        model = Model()
        trainer_of().validate(model, module_of(eval_sampler=UniformSampler), verbose=False)
        assert model.samples("v") != all_of("val")
        assert sorted(model.samples("v")) == all_of("val")


class TestCallbacks:
    def test_early_stopping_and_the_best_checkpoint(self, module_of, tmp_path):
        best = ModelCheckpoint(tmp_path, monitor="val/loss", filename="{epoch}")
        datamodule = module_of()
        callbacks = [EarlyStopping("val/loss", patience=2), best]
        losses = [3.0, 1.0, 2.0, 2.5, 0.0]
        model, trainer = fit(datamodule, Model(losses), callbacks=callbacks, max_epochs=5, enable_checkpointing=True)
        assert trainer.current_epoch == 4, "2.0 and 2.5 are no better than 1.0"
        assert best.best_model_path == str(tmp_path / "epoch=1.ckpt")
        trainer.test(model, datamodule, ckpt_path="best", verbose=False)
        assert model.samples("e") == all_of("test")

    def test_training_goes_on_after_a_test_of_an_older_checkpoint(self, module_of, tmp_path):
        """The checkpoint's place in the data is for who resumes training from it, and not for who tests it."""
        best = ModelCheckpoint(tmp_path, monitor="val/loss", filename="{epoch}")
        datamodule = module_of()
        model, trainer = fit(
            datamodule, Model(losses=[1.0, 2.0, 3.0]), callbacks=[best], max_epochs=2, enable_checkpointing=True
        )
        trainer.test(model, datamodule, ckpt_path="best", verbose=False)
        trainer.fit_loop.max_epochs = 3
        trainer.fit(model, datamodule)
        assert model.samples("t") == [sample for epoch in range(3) for sample in in_order(datamodule, epoch)]

    @pytest.mark.parametrize("method", ["fit", "validate"])
    def test_batch_size_finder(self, module_of, method):
        datamodule = module_of(batch_size=2)
        model, trainer = Model(), trainer_of()
        found = Tuner(trainer).scale_batch_size(
            model, datamodule=datamodule, method=method, mode="power", max_trials=2, steps_per_trial=1
        )
        assert found == datamodule.batch_size > 2
        model.batches.clear()
        getattr(trainer, method)(model, datamodule)
        assert model.samples("t") == (in_order(datamodule, 0) if method == "fit" else [])
        assert model.samples("v") == all_of("val")

    def test_learning_rate_finder(self, module_of):
        datamodule, model, trainer = module_of(), Model(), trainer_of()
        finder = Tuner(trainer).lr_find(model, datamodule, num_training=8, early_stop_threshold=None)
        assert len(finder.results["loss"]) == 8
        model.batches.clear()
        trainer.fit(model, datamodule)
        assert model.samples("t") == in_order(datamodule, 0)


class TestResume:
    """Two epochs with two validations in each, one in its middle and one at its end: `s2 t4 v5 t4 v5 t4 v5 t4 v5`."""

    OPTIONS: ClassVar = {"max_epochs": 2, "val_check_interval": 4}

    @pytest.mark.parametrize(
        ("step", "number"),
        [
            pytest.param("t", 2, id="in an epoch"),
            pytest.param("t", 4, id="before a validation in an epoch"),
            pytest.param("v", 1, id="in a validation in an epoch"),
            pytest.param("V", 1, id="after a validation in an epoch"),
            pytest.param("t", 8, id="before a validation at an epoch's end"),
            pytest.param("v", 8, id="in a validation at an epoch's end"),
            pytest.param("V", 2, id="after a validation at an epoch's end"),
            pytest.param("v", 13, id="in a validation in a later epoch"),
            pytest.param("s", 1, id="in the sanity check"),
        ],
    )
    def test_goes_on_where_it_was(self, module_of, tmp_path, step, number):
        first = Model()
        with pytest.raises(Interrupt):
            fit(module_of(), first, callbacks=[At(step, saver(tmp_path / "a.ckpt"), number)], **self.OPTIONS)
        datamodule = module_of()
        second, _ = fit(datamodule, ckpt_path=tmp_path / "a.ckpt", **self.OPTIONS)
        trained = [sample for epoch in range(2) for sample in in_order(datamodule, epoch)]
        assert first.samples("t") + second.samples("t") == trained
        held, rest = divmod(len(second.samples("v")), 34)
        assert rest == 0, "a validation that was left in its middle is held again, whole"
        # One that was not begun, though it was due, is left out by Lightning.
        assert held == 4 - (len(first.samples("t")) // 32 if step == "t" else len(first.samples("v")) // 34)

    @pytest.mark.parametrize("number", [3, 8])
    def test_goes_on_after_sigterm_in_a_validation(self, module_of, tmp_path, number):
        first, callbacks = Model(), [OnExceptionCheckpoint(tmp_path), At("v", sigterm, number)]
        with pytest.raises(SIGTERMException):
            fit(module_of(), first, callbacks=callbacks, enable_checkpointing=True, **self.OPTIONS)
        datamodule = module_of()
        second, _ = fit(datamodule, ckpt_path=tmp_path / "on_exception.ckpt", **self.OPTIONS)
        assert (first.flow, second.flow) == {
            3: ("s2 t4 v3", "v5 t4 v5 t4 v5 t4 v5"),
            8: ("s2 t4 v5 t4 v3", "v5 t4 v5 t4 v5"),
        }[number]
        trained = [sample for epoch in range(2) for sample in in_order(datamodule, epoch)]
        assert first.samples("t") + second.samples("t") == trained

    @pytest.mark.parametrize("number", [3, 8])
    def test_goes_on_after_an_exception_in_a_validation(self, module_of, tmp_path, number):
        class Fails(Model):
            def validation_step(self, batch, batch_idx):
                super().validation_step(batch, batch_idx)
                if self.steps.count("v") == number:
                    raise Interrupt

        first, callbacks = Fails(), [OnExceptionCheckpoint(tmp_path)]
        with pytest.raises(Interrupt):
            fit(module_of(), first, callbacks=callbacks, enable_checkpointing=True, **self.OPTIONS)
        datamodule = module_of()
        second, _ = fit(datamodule, ckpt_path=tmp_path / "on_exception.ckpt", **self.OPTIONS)
        trained = [sample for epoch in range(2) for sample in in_order(datamodule, epoch)]
        assert first.samples("t") + second.samples("t") == trained
        assert second.samples("v") == all_of("val") * (4 - len(first.samples("v")) // 34)

    def test_a_mixture_keeps_its_shares(self, footage, module_of, tmp_path):
        root = {str(footage / "videos" / "a"): 0.75, str(footage / "videos" / "b"): 0.25}

        def make():
            return module_of(root=root, split={"train": 0.7, "val": 0.3}, stratify="label")

        whole = fit(make(), max_epochs=2)[0]
        for _, batch in ((step, batch) for step, batch in whole.batches if step == "t" and len(batch["label"]) == 8):
            assert abs(batch["label"].tolist().count(0) - 6) <= 1, "within one sample"
        first = Model()
        with pytest.raises(Interrupt):
            fit(make(), first, callbacks=[At("t", saver(tmp_path / "a.ckpt"), 11)], max_epochs=2)
        second, _ = fit(make(), ckpt_path=tmp_path / "a.ckpt", max_epochs=2)
        assert first.samples("t") + second.samples("t") == whole.samples("t")


class Brighter:
    """A transform that adds what was drawn for each sample, and counts its calls."""

    def __init__(self, amount):
        self.amount, self.batches = amount, []

    def __call__(self, images, draws):
        self.batches.append((images.shape[0], draws.epoch, draws.positions.tolist()))
        shift = torch.tensor(draws.uniform("brighter", 1), dtype=torch.float32)
        return images.float() + self.amount + shift[:, :, None, None]


class TestTransforms:
    def test_augmentation_is_for_training_and_eval_transform_for_the_rest(self, module_of):
        train, rest = Brighter(1000), Brighter(2000)
        split = SPLIT | {"predict": SPLIT["test"][:1]}
        split["test"] = SPLIT["test"][1:]
        datamodule = module_of(transform=train, eval_transform=rest, split=split)
        means = {}

        class Looks(Model):
            def _step(self, step, batch):
                means.setdefault(step, []).append(float(batch["image"].min()) // 1000)
                return super()._step(step, batch)

        model, trainer = fit(datamodule, Looks(), val_check_interval=4)
        trainer.test(model, datamodule, verbose=False)
        trainer.predict(model, datamodule)
        assert {step: set(of_step) for step, of_step in means.items()} == {
            "s": {2}, "t": {1}, "v": {2}, "e": {2}, "p": {2}
        }  # fmt: skip
        assert [positions for _, _, positions in train.batches] == [list(range(8 * n, 8 * n + 8)) for n in range(8)]
        assert {epoch for _, epoch, _ in rest.batches} == {0}

    def test_validation_frames_are_as_decoded_without_one(self, module_of):
        types = set()

        class Looks(Model):
            def _step(self, step, batch):
                types.add((step, batch["image"].dtype))
                return super()._step(step, batch)

        fit(module_of(transform=Brighter(1)), Looks())
        assert types == {("s", torch.uint8), ("v", torch.uint8), ("t", torch.float32)}

    def test_frames_of_a_clip_are_drawn_alike(self, module_of):
        shifts = []

        class Looks(Model):
            def training_step(self, batch, batch_idx):
                assert batch["image"].shape[1:] == (4, 3, 32, 32)
                shifts.extend((batch["image"][:, :, 0, 5, 5] - 1000).tolist())
                return super().training_step(batch, batch_idx)

        fit(module_of(transform=Brighter(1000), clip_length=4, decoder=Black), Looks(), limit_train_batches=2)
        assert len(shifts) == 16
        assert all(len({round(value, 3) for value in clip}) == 1 for clip in shifts), "frames of a clip"
        assert len({round(clip[0], 3) for clip in shifts}) > 8, "clips"

    @pytest.mark.parametrize("keys", [("image",), ("image", "label"), ("image", "position")])
    def test_a_subclass_with_a_dataloader_of_its_own(self, module_of, keys):
        class Mine(VideoDataModule):
            def val_dataloader(self):
                one = {"image": torch.zeros(3, 4, 4), "label": 1, "position": 0}
                return torch.utils.data.DataLoader([{key: one[key] for key in keys}] * 3)

        seen = []

        class Looks(Model):
            def validation_step(self, batch, batch_idx):
                seen.append(float(batch["image"].max()))

        transform = Brighter(1)
        fit(module_of(Mine, transform=transform), Looks())
        assert seen == [0.0] * 5
        assert len(transform.batches) == 8


class Black(SlowDecoder):
    """Its frames are black."""

    def decode(self, read, out):
        for image in out:
            image.zero_()


class TestResources:
    def test_validation_does_not_take_the_trainings_memory_once_more(self, module_of):
        frame = 3 * 32 * 32
        found = []

        class Looks(Model):
            def on_train_end(self):
                loaders = [datamodule.loader, *datamodule._evaluations.values()]
                found.extend(loader._pool.frames.numel() // frame for loader in loaders)

        datamodule = module_of(lookahead_bytes=200 * frame, split={"train": NAMES[:6], "val": NAMES[6:]}, batch_size=2)
        fit(datamodule, Looks())
        train, val = found
        assert val <= 8 * 2 < train <= 200

    def test_all_is_closed_after_each(self, module_of):
        datamodule = module_of()
        model, trainer = fit(datamodule, limit_val_batches=1)
        assert not our_threads()
        trainer.test(model, datamodule, verbose=False)
        assert not our_threads()
        assert datamodule._evaluations == {}

    @pytest.mark.parametrize("fails", ["s", "v", "e", "decoder"])
    def test_all_is_closed_after_an_error(self, module_of, fails):
        class Fails(Model):
            def _step(self, step, batch):
                if step == fails:
                    raise Interrupt
                return super()._step(step, batch)

        arguments = {"decoder": partial(SlowDecoder, fail_at=(9, 3))} if fails == "decoder" else {}
        datamodule, model, trainer = module_of(**arguments), Fails(), trainer_of(num_sanity_val_steps=1)

        def train_and_test():
            trainer.fit(model, datamodule)
            trainer.test(model, datamodule)

        with pytest.raises(DecodeError if fails == "decoder" else Interrupt):
            train_and_test()
        assert not our_threads()
        assert datamodule._evaluations == {}


class TestWithoutATrainer:
    def test_loaders_of_all_stages(self, module_of):
        datamodule = module_of()
        datamodule.prepare_data()
        datamodule.setup("fit")
        assert next(iter(datamodule.train_dataloader()))["image"].shape == (8, 3, 32, 32)
        for stage in ("val", "test"):
            loader = getattr(datamodule, f"{stage}_dataloader")()
            assert isinstance(loader, VideoLoader)
            model = Model()
            model.batches = [("x", batch) for batch in loader]
            assert model.samples("x") == all_of(stage)
        with pytest.raises(DataError, match="There are no videos for predict"):
            datamodule.predict_dataloader()
        datamodule.close()

    def test_each_call_is_an_epoch_further(self, module_of):
        datamodule, model = module_of(), Model()
        datamodule.setup("fit")
        for step in range(3):
            model.batches += [(step, batch) for batch in datamodule.train_dataloader()]
        assert [model.samples(step) for step in range(3)] == [in_order(datamodule, epoch) for epoch in range(3)]
        for step in (3, 4):
            model.batches.append((step, next(iter(datamodule.train_dataloader()))))
        assert [model.samples(step) for step in (3, 4)] == [in_order(datamodule, epoch)[:8] for epoch in (3, 4)]
        datamodule.close()


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(), *rows])
    return path


class TestLabels:
    def test_columns_of_a_list_travel(self, module_of, tmp_path):
        rows = [(name, "xy"[video % 2], 10 * video, 0.5 * video, f"person {video}") for video, name in enumerate(NAMES)]
        labels = write_csv(tmp_path / "labels.csv", "path label age weight who", rows)
        datamodule = module_of(labels=labels)
        model, trainer = fit(datamodule)
        trainer.test(model, datamodule, verbose=False)
        assert {step for step, _ in model.batches} == {"s", "t", "v", "e"}
        for _, batch in model.batches:
            assert batch["label"].tolist() == (batch["video_id"] % 2).tolist()
            assert batch["meta"]["age"].tolist() == (10 * batch["video_id"]).tolist()
            assert batch["meta"]["weight"].tolist() == (0.5 * batch["video_id"]).tolist()
        assert datamodule.classes == ["x", "y"]
        assert datamodule.table["who"].to_pylist() == [f"person {video}" for video in range(12)]

    def test_a_column_tells_the_splits(self, module_of, tmp_path):
        names = {video: name for name, videos in TOLD.items() for video in videos}
        rows = [(name, "x", names[video]) for video, name in enumerate(NAMES)]
        labels = write_csv(tmp_path / "labels.csv", "path label split", rows)
        for how in ({"split": "split"}, {"split": None, "split_by": "column"}):
            model, _ = fit(module_of(labels=labels, **how))
            assert sorted(model.samples("t")) == all_of("train")
            assert model.samples("v") == all_of("val")

    def test_labels_of_frames(self, module_of, tmp_path):
        rows = [(name, frame, ("low", "high")[frame >= 5]) for name in NAMES for frame in (0, 5)]
        frames = write_csv(tmp_path / "frames.csv", "path frame_index label", rows)
        datamodule = module_of(labels=None, frame_labels=frames, labels_at="interval")
        model, _ = fit(datamodule)
        assert datamodule.classes == ["high", "low"]
        for _, batch in model.batches:
            assert batch["label"].tolist() == (batch["frame_index"] < 5).long().tolist()

    def test_stretches_with_labels(self, module_of, tmp_path):
        rows = [
            (NAMES[video], begin, begin + 3, label) for video in (0, 6, 9) for begin, label in ((1, "in"), (5, "out"))
        ]
        stretches = write_csv(tmp_path / "stretches.csv", "path start_frame end_frame label", rows)
        model, _ = fit(module_of(labels=None, intervals=stretches, split={"train": NAMES[:9], "val": NAMES[9:]}))
        assert sorted(model.samples("t")) == [(video, frame) for video in (0, 6) for frame in (1, 2, 3, 5, 6, 7)]
        assert model.samples("v") == [(9, frame) for frame in (1, 2, 3, 5, 6, 7)]
        for _, batch in model.batches:
            assert batch["label"].tolist() == (batch["frame_index"] > 4).long().tolist()


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            pytest.param(
                {"split": {"train": 0.97, "val": 0.03}},
                r"split: 0 of 12 videos fall to val \(train \d+, val 0\)\.\nTake",
                id="a split that nobody falls to",
            ),
            pytest.param(
                {"split": {"train": NAMES[:6], "val": []}}, r"split: 0 of 12 videos fall to val \(train 6, val 0\)",
                id="an empty list",
            ),
            pytest.param({"split": {"train": 0.8, "validate": 0.2}}, "split must name some of", id="an unknown name"),
            pytest.param({"split": {"train": 0.8, "val": 0.4}}, "at most 1 in all", id="more than all"),
            pytest.param({"split": "fold"}, "fold is neither a column nor a file", id="an unknown column"),
            pytest.param({"val_root": NAMES[0]}, "no such file or folder", id="a val_root that is not there"),
            pytest.param({"split": None, "val_root": "EMPTY"}, "no file here or below", id="a val_root without videos"),
            pytest.param({"val_root": "VIDEOS"}, "a share for val or give data.val_root, not both", id="both"),
            pytest.param({"max_eval_samples": 0}, "max_eval_samples must be at least 1, got 0", id="no samples"),
            pytest.param({"split": {"val": NAMES}}, "There are no videos for train", id="nothing to train on"),
        ],
    )  # fmt: skip
    def test_is_told_in_a_sentence(self, footage, module_of, tmp_path, arguments, told):
        places = {"EMPTY": tmp_path, "VIDEOS": footage / "videos"}
        arguments = {
            name: places.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()
        }
        with pytest.raises((DataError, ValueError, FileNotFoundError), match=told) as error:
            fit(module_of(**arguments))
        assert len(str(error.value).splitlines()) <= 2


PROGRAM = """
import json, sys
from tests.test_evaluation import Model, fit, trainer_of
from tests.loading.test_loader import SlowDecoder
from lit_video.datamodule import VideoDataModule

if __name__ == "__main__":
    root, index_dir, out, split = sys.argv[1:]
    datamodule = VideoDataModule(
        root, index_dir=index_dir, split=json.loads(split), split_seed=3, labels="folder", decoder=SlowDecoder, size=32,
        batch_size=4, threads=1, progress=False,
    )
    model, trainer = fit(datamodule, devices=2, strategy="ddp", val_check_interval=4, num_sanity_val_steps=1)
    trainer.test(model, datamodule, verbose=False)
    seen = {step: model.samples(step) for step in "tve"}
    with open(f"{out}/rank{trainer.global_rank}.json", "w") as file:
        json.dump({"flow": model.flow, "seen": seen, "classes": datamodule.classes}, file)
"""


@pytest.mark.filterwarnings("ignore")
def test_two_real_ranks(footage, module_of, tmp_path):
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = [footage / "videos", tmp_path / "index", tmp_path, json.dumps(split)]
    torchrun(str(tmp_path / "program.py"), *map(str, arguments))
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert ranks[0]["flow"] == ranks[1]["flow"]
    one, trainer = fit(datamodule := module_of(split=split, split_seed=3), val_check_interval=4)
    trainer.test(one, datamodule, verbose=False)
    videos = {}
    for step in "tve":
        together = sorted((video, frame) for rank in ranks for video, frame in rank["seen"][step])
        left_out = len(one.samples(step)) % 2 if step == "t" else 0
        assert len(together) == len(one.samples(step)) - left_out
        assert not set(together) - set(one.samples(step))
        videos[step] = {video for video, _ in one.samples(step)}
    assert videos["t"] | videos["v"] | videos["e"] == set(range(12))
    assert len(videos["t"]) + len(videos["v"]) + len(videos["e"]) == 12, "no video is in two splits"
    assert ranks[0]["classes"] == ranks[1]["classes"] == datamodule.classes
