"""Interrupted and resumed equals uninterrupted: frame by frame, for every way to stop that Lightning has."""

import json
import random
import signal
import time

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint

from lit_video.datamodule import VideoDataModule
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import ResumeError
from lit_video.training.transforms import ExerciseTransform
from tests.programs import run, running
from tests.test_datamodule import QUIET

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory.*exists and is not empty.*"),
    pytest.mark.filterwarnings("ignore:.*resuming from a checkpoint.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*weights_only.*"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`.*"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`.*"),
    pytest.mark.filterwarnings("ignore:.*was called without a model.*"),
    pytest.mark.filterwarnings("ignore:.*there is no last checkpoint available.*"),
]

BATCHES = 6  # of 16 frames, the last of 13


class Small(LightningModule):
    """Learns a little, so that steps, schedulers and accumulation mean something."""

    def __init__(self, scheduler=False):
        super().__init__()
        self.layer, self.scheduler = torch.nn.Linear(3, 1), scheduler

    def training_step(self, batch, batch_idx):
        return self.layer(batch["image"].float().mean(dim=(2, 3))).mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1e-6)
        if not self.scheduler:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        return [optimizer], [torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=int(steps))]


class Ids(Callback):
    """Notes what was processed, and does `act` at one batch of one epoch."""

    def __init__(self, act=None, at=None):
        self.seen, self.act, self.at = [], act, at

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append([trainer.current_epoch, *batch["position"].tolist(), *batch["frame_index"].tolist()])
        if self.act and self.at == (trainer.current_epoch, batch_idx):
            self.act(trainer)


class Validated(VideoDataModule):
    """With something to validate on."""

    def val_dataloader(self):
        return torch.utils.data.DataLoader([{"image": torch.zeros(3, 4, 4)}] * 2)


def module_of(videos, cls=VideoDataModule, **arguments):
    return cls(videos, **({"size": 32, "batch_size": 16, "progress": False, "threads": 2} | arguments))


def fit(module, *callbacks, ckpt_path=None, model=None, **arguments):
    ids = next((c for c in callbacks if isinstance(c, Ids)), Ids())
    others = [c for c in callbacks if c is not ids]
    options = QUIET | {"max_epochs": 3, "callbacks": [ids, *others], "num_sanity_val_steps": 0} | arguments
    trainer = Trainer(**options)
    trainer.fit(model or Small(), module, ckpt_path=ckpt_path)
    return ids.seen


class Interrupt(Exception):
    """What ends a run in the middle."""


def saver(path):
    """Save a checkpoint and stop there."""

    def act(trainer):
        trainer.save_checkpoint(path)
        raise Interrupt

    return act


@pytest.fixture(scope="module")
def whole(videos):
    """The uninterrupted run."""
    return fit(module_of(videos))


@pytest.mark.parametrize("at", [(0, 0), (0, 3), (1, 2), (1, 5), (2, 4)], ids=str)
@pytest.mark.parametrize(
    "other",
    [
        pytest.param({}, id="same"),
        pytest.param({"threads": 1, "lookahead": 2}, id="other threads and look-ahead"),
        pytest.param({"lookahead_bytes": 20 * 3 * 32 * 32}, id="less memory"),
    ],
)
def test_at_any_batch(videos, whole, tmp_path, at, other):
    ids = Ids(saver(tmp_path / "a.ckpt"), at)
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids)
    rest = fit(module_of(videos, **other), ckpt_path=tmp_path / "a.ckpt")
    assert ids.seen + rest == whole


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_with_worker_processes_afterwards(videos, whole, tmp_path, start_method):
    ids = Ids(saver(tmp_path / "a.ckpt"), (1, 2))
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids)
    rest = fit(module_of(videos, num_workers=2, start_method=start_method), ckpt_path=tmp_path / "a.ckpt")
    assert ids.seen + rest == whole


def test_at_the_end_of_an_epoch(videos, whole, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, every_n_epochs=1, save_top_k=-1, filename="{epoch}")
    first = fit(module_of(videos), checkpoint, max_epochs=2, enable_checkpointing=True)
    assert first == whole[: 2 * BATCHES]
    for epoch in range(2):
        rest = fit(module_of(videos), ckpt_path=tmp_path / f"epoch={epoch}.ckpt")
        assert rest == whole[(epoch + 1) * BATCHES :]


@pytest.mark.parametrize("steps", [3, 6, 8, 12])
def test_every_n_steps_with_max_steps(videos, whole, tmp_path, steps):
    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=steps, save_top_k=-1, filename="{step}")
    fit(module_of(videos), checkpoint, max_steps=steps, max_epochs=-1, enable_checkpointing=True)
    rest = fit(module_of(videos), ckpt_path=tmp_path / f"step={steps}.ckpt")
    assert rest == whole[steps:]


@pytest.mark.parametrize("where", ["in a step", "after a step"])
def test_on_an_exception(videos, whole, tmp_path, where):
    """A batch whose step failed was not processed, and comes again; one whose step was done does not."""

    class Fails(Small):
        def training_step(self, batch, batch_idx):
            if where == "in a step" and (self.trainer.current_epoch, batch_idx) == (1, 3):
                raise Interrupt
            return super().training_step(batch, batch_idx)

    def fail(trainer):
        raise Interrupt

    ids = Ids(fail if where == "after a step" else None, (1, 3))
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids, OnExceptionCheckpoint(tmp_path), model=Fails(), enable_checkpointing=True)
    rest = fit(module_of(videos), ckpt_path=tmp_path / "on_exception.ckpt")
    assert ids.seen + rest == whole


def test_with_gradient_accumulation(videos, tmp_path):
    expected = fit(module_of(videos), accumulate_grad_batches=2)
    ids = Ids(saver(tmp_path / "a.ckpt"), (1, 2))
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids, accumulate_grad_batches=2)
    rest = fit(module_of(videos), ckpt_path=tmp_path / "a.ckpt", accumulate_grad_batches=2)
    assert ids.seen + rest == expected


@pytest.mark.parametrize("at", [(0, 2), (1, 0), (1, 5)], ids=str)
def test_with_dataloaders_reloaded_every_epoch(videos, whole, tmp_path, at):
    ids = Ids(saver(tmp_path / "a.ckpt"), at)
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids, reload_dataloaders_every_n_epochs=1)
    rest = fit(module_of(videos), ckpt_path=tmp_path / "a.ckpt", reload_dataloaders_every_n_epochs=1)
    assert ids.seen + rest == whole


@pytest.mark.parametrize("at", [(0, 2), (1, 3)], ids=str)
def test_with_validation_in_mid_epoch(videos, whole, tmp_path, at):
    options = {"val_check_interval": 3}
    ids = Ids(saver(tmp_path / "a.ckpt"), at)
    with pytest.raises(Interrupt):
        fit(module_of(videos, Validated), ids, **options)
    rest = fit(module_of(videos, Validated), ckpt_path=tmp_path / "a.ckpt", **options)
    assert ids.seen + rest == whole


def test_checkpoints_of_validations(videos, whole, tmp_path):
    """Saved by Lightning at the end of a validation in the middle of an epoch, and at its end."""
    checkpoint = ModelCheckpoint(tmp_path, save_top_k=-1, filename="{epoch}-{step}", save_on_train_epoch_end=False)
    options = {"val_check_interval": 3, "enable_checkpointing": True}
    fit(module_of(videos, Validated), checkpoint, max_epochs=2, **options)
    saved = sorted(tmp_path.glob("*.ckpt"), key=lambda path: int(path.stem.split("step=")[1]))
    assert [int(path.stem.split("step=")[1]) for path in saved] == [3, 6, 9, 12]
    for path, done in zip(saved, (3, 6, 9, 12), strict=True):
        rest = fit(module_of(videos, Validated), ckpt_path=path, val_check_interval=3)
        assert rest == whole[done:], path.name


@pytest.mark.parametrize("at", [(0, 1), (1, 3), (1, 0)], ids=str)
def test_with_limit_train_batches(videos, tmp_path, at):
    expected = fit(module_of(videos), limit_train_batches=4)
    assert len(expected) == 12
    ids = Ids(saver(tmp_path / "a.ckpt"), at)
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids, limit_train_batches=4)
    rest = fit(module_of(videos), ckpt_path=tmp_path / "a.ckpt", limit_train_batches=4)
    assert ids.seen + rest == expected


def test_with_a_scheduler_that_asks_for_the_number_of_steps(videos, whole, tmp_path):
    """Lightning #20550: asking makes Lightning build the loader early, and a loader's own state is then lost."""
    ids = Ids(saver(tmp_path / "a.ckpt"), (1, 2))
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids, model=Small(scheduler=True))
    rest = fit(module_of(videos), ckpt_path=tmp_path / "a.ckpt", model=Small(scheduler=True))
    assert ids.seen + rest == whole


def test_twice(videos, whole, tmp_path):
    """A resumed run is interrupted again, in the same epoch."""
    first = Ids(saver(tmp_path / "a.ckpt"), (1, 1))
    with pytest.raises(Interrupt):
        fit(module_of(videos), first)
    second = Ids(saver(tmp_path / "b.ckpt"), (1, 3))
    with pytest.raises(Interrupt):
        fit(module_of(videos), second, ckpt_path=tmp_path / "a.ckpt")
    rest = fit(module_of(videos), ckpt_path=tmp_path / "b.ckpt")
    assert first.seen + second.seen + rest == whole


def test_with_another_batch_size(videos, whole, tmp_path):
    """The frames go on at the very next position, in batches of another size."""
    ids = Ids(saver(tmp_path / "a.ckpt"), (0, 2))
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids)
    rest = fit(module_of(videos, batch_size=9), ckpt_path=tmp_path / "a.ckpt", max_epochs=1)
    positions = [p for epoch, *numbers in rest for p in numbers[: len(numbers) // 2]]
    assert positions == list(range(48, 93))


def test_another_batch_size_interrupted_again(videos, whole, tmp_path):
    first = Ids(saver(tmp_path / "a.ckpt"), (0, 2))
    with pytest.raises(Interrupt):
        fit(module_of(videos), first)
    second = Ids(saver(tmp_path / "b.ckpt"), (0, 8))  # of 11, of which Lightning counts 6 as processed
    with pytest.raises(Interrupt):
        fit(module_of(videos, batch_size=9), second, ckpt_path=tmp_path / "a.ckpt", max_epochs=1)
    state = torch.load(tmp_path / "b.ckpt", weights_only=False)["VideoDataModule"]
    assert state["position"] == 48 + 9 * len(second.seen)


@pytest.mark.parametrize("batch_size", [9, 24, 32])
def test_another_batch_size_goes_on_for_epochs(videos, tmp_path, batch_size):
    """Lightning's epochs and ours stay in step: each validation is held, and each checkpoint is of the right place."""
    with pytest.raises(Interrupt):
        fit(module_of(videos, Validated), Ids(saver(tmp_path / "a.ckpt"), (0, 2)))
    validated = []

    class Model(Small):
        def validation_step(self, batch, batch_idx):
            validated.append(self.trainer.current_epoch)

    checkpoint = ModelCheckpoint(tmp_path, save_top_k=-1, filename="{epoch}", save_on_train_epoch_end=True)
    module = module_of(videos, Validated, batch_size=batch_size)
    options = {"enable_checkpointing": True, "model": Model(), "limit_val_batches": 1}
    rest = fit(module, checkpoint, ckpt_path=tmp_path / "a.ckpt", **options)
    wanted = [(0, list(range(48, 93))), (1, list(range(93))), (2, list(range(93)))]
    assert [(epoch, positions_of(rest, epoch)) for epoch in range(3)] == wanted
    assert validated == [0, 1, 2]
    again = fit(module_of(videos, Validated, batch_size=batch_size), ckpt_path=tmp_path / "epoch=1.ckpt")
    assert positions_of(again, 2) == list(range(93))
    assert len(again) == -(-93 // batch_size)


def positions_of(rows, epoch):
    return [p for e, *numbers in rows if e == epoch for p in numbers[: len(numbers) // 2]]


def test_a_rest_that_makes_no_batch_ends_its_epoch(videos, whole, tmp_path):
    ids = Ids(saver(tmp_path / "a.ckpt"), (0, 4))
    with pytest.raises(Interrupt):
        fit(module_of(videos), ids)
    rest = fit(module_of(videos, drop_last=True), ckpt_path=tmp_path / "a.ckpt")
    assert rest == [row for row in whole if row[0] > 0 and len(row) == 33]


@pytest.mark.parametrize("reload", [0, 1])
def test_twice_with_a_scheduler_that_asks_for_the_number_of_steps(videos, whole, tmp_path, reload):
    """The loader is built before Lightning has read how far it was, and twice if it is reloaded every epoch."""
    seen, path = [], None
    for number, at in enumerate([(1, 1), (1, 3), (2, 0)]):
        ids = Ids(saver(tmp_path / f"{number}.ckpt"), at)
        options = {"model": Small(scheduler=True), "reload_dataloaders_every_n_epochs": reload}
        with pytest.raises(Interrupt):
            fit(module_of(videos), ids, ckpt_path=path, **options)
        seen, path = seen + ids.seen, tmp_path / f"{number}.ckpt"
    assert seen + fit(module_of(videos), ckpt_path=path, **options) == whole


def test_a_checkpoint_saved_after_the_end(videos, whole, tmp_path):
    module, ids = module_of(videos), Ids()
    trainer = Trainer(**QUIET, max_epochs=2, callbacks=[ids])
    trainer.fit(Small(), module)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert ids.seen + fit(module_of(videos), ckpt_path=tmp_path / "a.ckpt") == whole


def test_stopped_in_the_middle_of_an_epoch(videos, whole, tmp_path):
    """As `max_time` and EarlyStopping do. Lightning holds the epoch for done, and frames go on all the same."""

    def stop(trainer):
        trainer.should_stop = True

    checkpoint = ModelCheckpoint(tmp_path, filename="a", save_on_train_epoch_end=True)
    first = fit(module_of(videos), Ids(stop, (1, 2)), checkpoint, enable_checkpointing=True)
    second = Ids(saver(tmp_path / "b.ckpt"), (2, 4))
    with pytest.raises(Interrupt):
        fit(module_of(videos), second, ckpt_path=tmp_path / "a.ckpt", max_epochs=5)
    third = fit(module_of(videos), ckpt_path=tmp_path / "b.ckpt", max_epochs=5)
    frames = [row[1:] for row in first + second.seen + third]
    assert frames[: len(whole)] == [row[1:] for row in whole]


def test_a_resumed_batch_is_augmented_as_if_nothing_had_happened(videos, tmp_path):
    """The draws belong to the loader's epoch, whatever Lightning counts."""

    class Pixels(Ids):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            self.seen[-1] = [*self.seen[-1][1:], *batch["image"].sum(dim=(1, 2, 3)).tolist()]

    def stop(trainer):
        trainer.should_stop = True

    arguments = {"transform": ExerciseTransform(size=32)}
    whole = fit(module_of(videos, **arguments), Pixels())
    checkpoint = ModelCheckpoint(tmp_path, filename="a", save_on_train_epoch_end=True)
    first = fit(module_of(videos, **arguments), Pixels(stop, (0, 2)), checkpoint, enable_checkpointing=True)
    rest = fit(module_of(videos, **arguments), Pixels(), ckpt_path=tmp_path / "a.ckpt", max_epochs=4)
    assert first + rest == whole


class EpochEnd(Callback):
    """Saves at the end of an epoch, and stops there."""

    def __init__(self, path, epoch):
        self.path, self.epoch = path, epoch

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            saver(self.path)(trainer)


@pytest.mark.parametrize("seed", range(8))
def test_chains_of_interruptions(videos, whole, tmp_path, seed):
    """Three of any kind, wherever: a checkpoint after a batch, at an epoch's end, or on an exception in a step."""
    draw, path, seen = random.Random(seed), None, []
    for leg in range(3):
        epoch, batch = divmod(draw.randrange(len(seen), min(len(whole), len(seen) + 7)), BATCHES)
        kind, folder = draw.choice(["batch", "epoch", "exception"]), tmp_path / str(leg)
        wanted = folder / ("on_exception.ckpt" if kind == "exception" else "a.ckpt")

        class Fails(Small):
            def training_step(self, batch, batch_idx, at=(epoch, batch), fails=kind == "exception"):
                if fails and (self.trainer.current_epoch, batch_idx) == at:
                    raise Interrupt
                return super().training_step(batch, batch_idx)

        callbacks = [Ids(saver(wanted) if kind == "batch" else None, (epoch, batch))]
        callbacks += [EpochEnd(wanted, epoch)] if kind == "epoch" else []
        callbacks += [OnExceptionCheckpoint(folder)] if kind == "exception" else []
        options = {"enable_checkpointing": kind == "exception", "model": Fails()}
        with pytest.raises(Interrupt):
            fit(module_of(videos), *callbacks, ckpt_path=path, **options)
        seen, path = seen + callbacks[0].seen, wanted
        if len(seen) == len(whole):
            break
    rest = fit(module_of(videos), ckpt_path=path)
    assert [row[1:] for row in seen + rest] == [row[1:] for row in whole]


class TestRefusals:
    @pytest.fixture
    def checkpoint(self, videos, tmp_path):
        with pytest.raises(Interrupt):
            fit(module_of(videos), Ids(saver(tmp_path / "a.ckpt"), (0, 2)))
        return tmp_path / "a.ckpt"

    @pytest.mark.parametrize(
        ("other", "told"),
        [
            ({"seed": 1}, "with seed 0, and this run has seed 1"),
            ({"sampler": SequentialSampler}, "another sampler"),
            ({"sampler": ChunkedSampler}, "another sampler"),
        ],
    )
    def test_another_seed_or_sampler(self, videos, checkpoint, other, told):
        with pytest.raises(ResumeError, match=told):
            fit(module_of(videos, **other), ckpt_path=checkpoint)

    def test_a_position_that_is_none(self, videos, checkpoint):
        module = module_of(videos)
        module.setup()
        loader = module.make_loader()
        for position in (93, 96, -16):
            with pytest.raises(ResumeError, match=f"position {position} of epoch 0 which is none of the 93"):
                loader.load_state_dict(loader.state_at(0, 16) | {"position": position})

    def test_other_data(self, videos, checkpoint):
        with pytest.raises(ResumeError, match="on 93 frames, and the videos now have 50"):
            fit(module_of(videos / "0.mp4"), ckpt_path=checkpoint)

    def test_at_an_epochs_end_nothing_is_imposed(self, videos, tmp_path):
        checkpoint = ModelCheckpoint(tmp_path, filename="end")
        fit(module_of(videos), checkpoint, max_epochs=1, enable_checkpointing=True)
        rest = fit(module_of(videos, sampler=SequentialSampler), ckpt_path=tmp_path / "end.ckpt", max_epochs=2)
        assert len(rest) == BATCHES


def test_a_checkpoint_holds_primitives_only(videos, tmp_path):
    with pytest.raises(Interrupt):
        fit(module_of(videos), Ids(saver(tmp_path / "a.ckpt"), (1, 2)))
    state = torch.load(tmp_path / "a.ckpt", weights_only=False)["VideoDataModule"]
    assert set(state) == {"seed", "epoch", "position", "order_digest", "num_frames"}
    assert (state["epoch"], state["position"]) == (1, 48)
    json.dumps(state)


def test_lightning_still_counts_processed_batches(videos):
    """A contract with what is not public: batches whose step is done, in all epochs, and those of this epoch so far."""
    counts = []

    def look(trainer):
        progress, fetcher = trainer.fit_loop.epoch_loop.batch_progress, trainer.fit_loop._data_fetcher
        counts.extend([progress.total.processed, progress.current.ready, progress.current.processed, fetcher.fetched])

    fit(module_of(videos), Ids(look, (1, 2)), max_epochs=2)
    assert counts == [BATCHES + 3, 3, 3, 3]


def test_lightning_sees_no_state_of_the_loader(videos):
    """Lightning #21938 and others: it would keep a loader's state of rank 0, after prefetching."""
    module = module_of(videos)
    fit(module, max_epochs=1)
    batches = module.train_dataloader()
    assert not hasattr(batches, "state_dict")
    assert len(batches) == BATCHES
    module.close()


PROGRAM = """
import json, os, sys, time
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lit_video.datamodule import VideoDataModule
from tests.loading.test_resume import Small
from lit_video.training.transforms import ExerciseTransform
from tests.test_datamodule import QUIET

class Log(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        row = [trainer.current_epoch, *batch["position"].tolist(), *batch["frame_index"].tolist()]
        print(json.dumps(row), flush=True)
        time.sleep(float(os.environ["PAUSE"]))

if __name__ == "__main__":
    videos, folder, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    last = os.path.join(folder, "last.ckpt")
    saved = ModelCheckpoint(folder, every_n_train_steps=1, save_last=True, save_top_k=0)
    trainer = Trainer(**(QUIET | dict(max_epochs=3, enable_checkpointing=True, callbacks=[Log(), saved])))
    module = VideoDataModule(videos, size=32, batch_size=16, progress=False, **arguments)
    trainer.fit(Small(), module, ckpt_path=last if os.path.exists(last) else None)
"""


@pytest.mark.parametrize(
    "afterwards",
    [
        pytest.param({"threads": 1}, id="threads"),
        pytest.param({"num_workers": 2, "start_method": "spawn"}, id="spawned workers"),
    ],
)
def test_from_a_sigkill(videos, whole, tmp_path, afterwards):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [tmp_path / "program.py", videos, tmp_path / "saved"]
    before = [*command, json.dumps({"threads": 2})]
    with running(*before, pipe=tmp_path / "pipe", environment={"PAUSE": "0.2"}) as process:
        seen = [json.loads(process.stdout.readline()) for _ in range(9)]
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    done = run(*command, json.dumps(afterwards), environment={"PAUSE": "0"})
    rest = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert rest, done.stderr
    # What was processed after the last checkpoint that was whole comes again, and nothing is left out.
    assert rest == whole[len(whole) - len(rest) :]
    assert len(whole) - len(rest) >= len(seen) - 1


def test_orders_of_all_epochs_are_different(videos):
    module = module_of(videos)
    module.setup()
    orders = [tuple(UniformSampler(module.index, 0).order(epoch)) for epoch in range(3)]
    assert len(set(orders)) == 3
