"""VideoDataModule under a real Trainer, and by hand."""

import os
from functools import partial
from itertools import islice

import pytest
import torch
from lightning import Callback, Trainer

from lit_video.datamodule import VideoDataModule
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError
from lit_video.training.models import DummyModel, NoModel
from lit_video.training.transforms import ExerciseTransform
from tests.loading.test_loader import SlowDecoder, ids, our_threads

QUIET = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
pytestmark = [
    # Lightning's own: torch deprecated what it calls, and it says so once a batch.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
]


class Seen(Callback):
    """Keeps what the model saw."""

    def __init__(self):
        self.batches = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches.append({key: value.clone() for key, value in batch.items()})


def fit(datamodule, model=None, **arguments):
    seen = Seen()
    trainer = Trainer(callbacks=[seen], **(QUIET | {"max_epochs": 1} | arguments))
    trainer.fit(model or NoModel(), datamodule)
    return seen.batches, trainer


def module_of(videos, **arguments):
    return VideoDataModule(videos, **({"size": 96, "batch_size": 16, "progress": False} | arguments))


def test_an_epoch_reaches_the_model_in_the_samplers_order(videos, index):
    batches, _ = fit(module_of(videos))
    assert ids(batches, index) == UniformSampler(index, 0).order(0).tolist()
    assert batches[0]["image"].dtype == torch.uint8


def test_without_a_trainer(videos, index):
    datamodule = module_of(videos)
    datamodule.prepare_data()
    datamodule.setup("fit")
    order = UniformSampler(index, 0).order
    batches = list(islice(datamodule.train_dataloader(), 3))
    assert ids(batches, index) == order(0)[:48].tolist()
    state = datamodule.state_dict()
    datamodule.close()
    another = module_of(videos)
    another.setup("fit")
    another.load_state_dict(state)
    loader = another.train_dataloader()
    assert ids(loader, index) == order(0)[48:].tolist()
    assert ids(loader, index) == order(1)[:].tolist()
    another.close()


@pytest.mark.parametrize("what", ["fit", "validate", "test", "predict"])
def test_lightning_takes_a_loader_as_it_is(what, index):
    class Model(NoModel):
        def __init__(self):
            super().__init__()
            self.batches = []

        def step(self, batch, batch_idx):
            self.batches.append(batch)
            return torch.zeros(())

        validation_step = test_step = predict_step = step

    model, seen = NoModel() if what == "fit" else Model(), Seen()
    loader = VideoLoader(index, UniformSampler(index, 0), PyAVDecoder, size=96, batch_size=16)
    getattr(Trainer(**QUIET, max_epochs=1, callbacks=[seen]), what)(model, loader)
    loader.close()
    assert (
        ids(model.batches if isinstance(model, Model) else seen.batches, index)
        == UniformSampler(index, 0).order(0)[:].tolist()
    )


def test_each_epoch_has_its_own_order(videos, index):
    batches, _ = fit(module_of(videos), max_epochs=3)
    expected = [frame for epoch in range(3) for frame in UniformSampler(index, 0).order(epoch).tolist()]
    assert ids(batches, index) == expected


def test_limit_train_batches_ends_an_epoch_early_and_the_next_has_the_next_order(videos, index):
    batches, _ = fit(module_of(videos), max_epochs=2, limit_train_batches=2)
    order = [UniformSampler(index, 0).order(epoch).tolist()[:32] for epoch in range(2)]
    assert ids(batches, index) == order[0] + order[1]


def test_reloading_every_epoch_changes_nothing(videos, index):
    batches, _ = fit(module_of(videos), max_epochs=2, reload_dataloaders_every_n_epochs=1)
    assert ids(batches, index) == [f for epoch in range(2) for f in UniformSampler(index, 0).order(epoch).tolist()]


def test_transform_is_applied_and_is_the_same_again(videos):
    runs = [fit(module_of(videos, transform=ExerciseTransform(size=64), threads=threads))[0] for threads in (1, 3)]
    assert runs[0][0]["image"].dtype == torch.float32
    assert runs[0][0]["image"].shape == (16, 3, 64, 64)
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(*runs, strict=True))


def test_transform_differs_between_epochs(videos):
    batches, _ = fit(module_of(videos, transform=ExerciseTransform(size=64), sampler=Same), max_epochs=2)
    assert not torch.equal(batches[0]["image"], batches[6]["image"])


class Same(UniformSampler):
    """The same order in every epoch."""

    def order(self, epoch):
        return super().order(0)


def test_threads_and_files_are_gone_after_the_fit(videos):
    module = module_of(videos)
    fit(module)
    assert not our_threads()
    assert module.loader._decoders == []


def test_threads_are_gone_after_an_error(videos):
    module = module_of(videos, decoder=partial(SlowDecoder, fail_at=(0, 33)))
    with pytest.raises(DecodeError):
        fit(module)
    assert not our_threads()


def test_batch_size_finder_works(videos):
    """It saves, tries, and restores: a state at position 0 imposes nothing."""
    from lightning.pytorch.tuner import Tuner

    module = module_of(videos, batch_size=4)
    trainer = Trainer(max_epochs=1, **QUIET)
    found = Tuner(trainer).scale_batch_size(NoModel(), datamodule=module, mode="power", max_trials=3, steps_per_trial=1)
    assert found == module.batch_size > 4


def test_a_scheduler_may_ask_how_many_steps_there_are(videos):
    class Asks(NoModel):
        def on_train_start(self):
            self.steps = self.trainer.estimated_stepping_batches

    model = Asks()
    fit(module_of(videos), model, max_epochs=2)
    assert model.steps == 12


def test_by_hand(videos, index):
    module = module_of(videos)
    module.setup()
    assert ids(module.make_loader(), index) == UniformSampler(index, 0).order(0).tolist()


def test_arguments_are_kept_plain_and_nothing_is_opened(videos):
    before = set(os.listdir("/proc/self/fd"))
    module_of("/nowhere/at/all")
    assert set(os.listdir("/proc/self/fd")) == before


class TestDummyModel:
    def test_runs_the_exercises_convolution_without_gradients(self):
        model = DummyModel()
        assert model.convolution.weight.shape == (64, 3, 3, 3)
        assert model.convolution.stride == (2, 2)
        outputs = []
        model.convolution.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        model.training_step({"image": torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)}, 0)
        assert outputs[0].shape == (2, 64, 15, 15)
        assert not outputs[0].requires_grad

    def test_scales_uint8_and_leaves_floats(self):
        model, inputs = DummyModel(), []
        model.convolution.register_forward_hook(lambda module, args, output: inputs.append(args[0]))
        model.training_step({"image": torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)}, 0)
        model.training_step({"image": torch.ones(1, 3, 8, 8)}, 0)
        assert torch.equal(inputs[0], inputs[1])

    def test_consumes_no_faster_than_it_is_told(self, monkeypatch):
        """100 images at 1,000 a second take 0.1 s, step by step, whatever a step itself takes."""
        from lit_video.training import models

        clock = [0.0]
        monkeypatch.setattr(models.time, "perf_counter", lambda: clock[0])
        monkeypatch.setattr(models.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
        model = DummyModel(images_per_s=1000)
        for _ in range(10):
            model.training_step({"image": torch.zeros(10, 3, 8, 8)}, 0)
        assert clock[0] == pytest.approx(0.1)
        clock[0] = 5.0  # a long wait for data is not made up for by running faster
        model.training_step({"image": torch.zeros(10, 3, 8, 8)}, 0)
        assert clock[0] == pytest.approx(5.01)

    def test_refuses_no_speed(self):
        with pytest.raises(ValueError, match="images_per_s must be above 0, got 0"):
            DummyModel(images_per_s=0)


def test_ranks_tell_each_other_on_which_machine_they_are(videos, tmp_path, monkeypatch):
    """As the third of four ranks, two on each of two machines, as torchrun tells them."""
    module = module_of(videos, store=tmp_path / "store", index_dir=tmp_path / "index")

    def gathered(told, mine):
        if mine[1] == {}:  # the indices of who looked at the files, and nobody did yet
            told[:] = [mine] * 4
            return
        told[:] = [(mine[0], f"GROUP_RANK={number}") for number in (0, 0, 1, 1)]
        assert mine[1] == "GROUP_RANK=1"

    monkeypatch.setenv("GROUP_RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gathered)
    module.setup()
    monkeypatch.undo()
    assert module._machines == [0, 0, 1, 1]
