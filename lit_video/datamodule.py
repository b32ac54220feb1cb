"""VideoDataModule: everything together, for Lightning. One class for Hydra, LightningCLI and use by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor

from lit_video.decoders.form import Form, with_form
from lit_video.decoders.geometry import parse_size
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import Population, Samples, VideoIndex
from lit_video.index.far_videos import REMOTE_BYTES
from lit_video.index.labels import Labels
from lit_video.index.selection import Rate
from lit_video.index.splits import Split
from lit_video.index.stages import Choices, Root, Stages
from lit_video.loading.arguments import check_arguments
from lit_video.loading.counters import Counts
from lit_video.loading.epoch import Batch
from lit_video.loading.faults import Fault
from lit_video.loading.loader import MakeDecoder, VideoLoader
from lit_video.loading.resume import Place
from lit_video.planning.budget import least_slots
from lit_video.samplers.base import Sampler
from lit_video.samplers.mixture import MixtureSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.samplers.weighted import WeightedSampler
from lit_video.support.demo import demo_clip
from lit_video.support.errors import DataError
from lit_video.support.machine import name_of_machine
from lit_video.training.lightning_batches import EvaluationBatches, FirstEpoch, LightningBatches, Unseen
from lit_video.training.streams import BesideDecoders
from lit_video.training.transforms import Draws

# LightningCLI makes these of a `class_path`, and leaves out the arguments that are named here: index and seed. What
# returns a class it takes for a factory of it, so a transform, which does not make its result but compute it, is Any.
MakeSampler = Callable[[Samples, int], Sampler]
TransformBatch = Callable[[Tensor, Draws], Any]

# Batches that an evaluation's look-ahead has memory for: it reads in order, and there is nothing to look far ahead for.
EVALUATION_BATCHES = 8


class VideoDataModule(LightningDataModule):
    """Random frames or clips of videos, as batches on the model's device, for training and for all that follows it.

    Each batch is a dict as `VideoLoader` describes, with `image` transformed on the device. The position in the epoch
    goes with Lightning's checkpoints, and a run resumes at the very next frame.

    Args:
        root: Folder (searched recursively), file, glob, or a list of these, each of which may be a URL that fsspec
            opens; or a mapping of these to their shares of each batch, `{"a": 0.7, "b": 0.3}`; None: the demo's clip.
        sampler: Factory `(samples, seed) -> Sampler`, such as a sampler's class or a `functools.partial` of it.
        decoder: Factory `(index, size) -> Decoder`, likewise.
        transform: A `Transform` (`lit_video.training.transforms`) for training, called with images and draws on the
            device; None leaves uint8. Frames of a clip are drawn alike.
        labels: What videos are of, as the batch's `label`: `folder` (that the file lies in), `video` (each a class of
            its own), a file of a table with paths, or a mapping of paths to labels; None: batches have no `label`.
        label_column: Of that file, and of `intervals` and `frame_labels`; a list of columns makes `label` a dict.
        label_kind: `auto`: text and whole numbers are classes, other numbers are numbers; `class`; `number`.
        missing: What becomes of videos without a label: `raise`, or `skip` and leave them out.
        frame_labels: A file of a table with paths, frames or times, and labels of these.
        labels_at: Such a label holds for the frames `nearest` to it, or for the `interval` up to the next one.
        split: What is for training and for the rest: shares, `{"train": 0.8, "val": 0.1, "test": 0.1}`; lists of
            paths by name; `folders` called train, val, test or predict; a column of the list of labels; a file; or
            `intervals`: the column `split` of these tells, and stretches of one video may be in different splits.
        split_by: What shares keep together: each `video`, each `folder`, or videos alike in a column of that name;
            `column`: a column tells the splits.
        stratify: `label` or a column: shares hold within each of its values.
        split_seed: Another number is another split. A hash of a video's name decides, so adding files moves nobody.
        val_root: Videos for validation, instead of a split; as `root`.
        test_root: Likewise.
        predict_root: Likewise; these need no labels.
        stride: Every so manieth frame is a sample.
        fps: Samples are the frames nearest to so many a second.
        every_seconds: Samples are so far apart.
        keyframes_only: Samples are keyframes, which decode alone.
        intervals: A file of a table with paths, begins and ends, and perhaps labels: samples come from these stretches.
        exclude: What is left out: `damage` (true: frames that the index knows to be damaged), `first_seconds` and
            `last_seconds` of each video, `files` (globs, matched with the ends of paths); or nothing but such globs.
        clip_length: T, frames of a sample, whose `image` is [B, T, 3, H, W]; None: samples are frames, [B, 3, H, W].
        clip_stride: From one frame of a clip to the next.
        clip_fps: Frames a second within a clip, instead.
        ends: Clips at the ends of a video or stretch: `inside`, `pad` or `circular` (`lit_video.index.clips`).
        eval_sampler: As `sampler`, for validation, test and prediction; None: every sample once, in order.
        max_eval_samples: At most so many of these, evenly spread over the videos; None: all.
        eval_transform: As `transform`, for these; None leaves uint8.
        size: Of the frames, `[height, width]` in pixels; an int is a square.
        batch_size: Of one rank.
        threads: That decode, in each process that does; `auto`: as the decoder likes it, or one for each core.
        num_workers: Processes that decode; 0: this one.
        start_method: How these start; by default as the decoder must, or as is usual on this system.
        seed: Of order and augmentation. Same seed, same frames.
        lookahead_bytes: Memory for decoded frames that wait, in each rank.
        lookahead: Positions that a read looks ahead; by default as far as the memory lasts.
        keep: How frames wait in memory: `raw`; `lossless`, packed, so that more fit and less is decoded; `jpeg`,
            packed, and no longer the very pixels; `auto`: lossless where by measure it pays, else raw.
        jpeg_quality: Of JPEG, from 1 to 100.
        store: A folder on a local disk where decoded frames are kept: each GOP is decoded once, in this run and all
            others; `auto`: one in the user's cache; None: every epoch decodes anew.
        store_bytes: Of the store at most; None: what the disk has.
        store_packing: How frames are stored: `lossless`, `raw` (larger and faster) or `jpeg`.
        remote_bytes: Memory for compressed bytes of videos far away, in each rank; they are asked for before they are
            needed, as many at a time as fit.
        index: An index that is taken as it is, in the place of a search for files: what `lit-video index --out` or
            `VideoIndex.save` wrote, or a folder that indices are kept in, or the header of one. No file is looked at
            before it is read. `root` then only says what videos are told apart by.
        index_dir: Where the index is kept; by default in the user's cache folder.
        scan: How it is made: from all `packets`, from containers' tables of them (`table`), or `auto`: from these where
            packets would not tell more (`VideoIndex.scan`).
        drop_last: Leave out the last batch where it is short; of training alone.
        shard: How ranks share an epoch: `gop` (each GOP is decoded on as few ranks as can be) or `slot`.
        on_error: What to do about a frame that cannot be decoded: `raise`, `skip` or `redraw`.
        dtype: Of `image`: `uint8`, or `uint16` for more than 8 bits, with samples as they are in the file.
        channels: Of `image`: 3, or 1 for grey.
        progress: Show a progress bar while files are indexed.
        proxy: A folder that `lit-video proxy` made: its copies are read in the place of the videos, which keep their
            names, labels and splits.

    Attributes:
        index: The videos of `root`, or of the index that was given, from `setup` on.
        loader: What the last training iterated.

    Raises:
        ValueError: An argument out of range.
        TypeError: `labels` or `split` is none of these.
    """

    def __init__(
        self,
        root: Root | Mapping[str, float] | None = None,
        sampler: MakeSampler = UniformSampler,
        decoder: MakeDecoder = PyAVDecoder,
        transform: TransformBatch | None = None,
        labels: Labels | None = None,
        label_column: str | Sequence[str] = "label",
        label_kind: str = "auto",
        missing: str = "raise",
        frame_labels: str | Path | None = None,
        labels_at: str = "nearest",
        split: Split | None = None,
        split_by: str = "video",
        stratify: str | None = None,
        split_seed: int = 0,
        val_root: Root | None = None,
        test_root: Root | None = None,
        predict_root: Root | None = None,
        stride: int = 1,
        fps: Rate = None,
        every_seconds: Rate = None,
        keyframes_only: bool = False,
        intervals: Any = None,
        exclude: Mapping[str, Any] | Sequence[str] | str | None = None,
        clip_length: int | None = None,
        clip_stride: int = 1,
        clip_fps: Rate = None,
        ends: str = "inside",
        eval_sampler: MakeSampler | None = None,
        max_eval_samples: int | None = None,
        eval_transform: TransformBatch | None = None,
        size: int | Sequence[int] = 224,
        batch_size: int = 128,
        threads: int | str = "auto",
        num_workers: int = 0,
        start_method: str | None = None,
        seed: int = 0,
        lookahead_bytes: int = 2**30,
        lookahead: int | None = None,
        keep: str = "auto",
        jpeg_quality: int = 95,
        store: str | Path | None = None,
        store_bytes: int | None = None,
        store_packing: str = "lossless",
        remote_bytes: int = REMOTE_BYTES,
        index: str | Path | None = None,
        index_dir: str | Path | None = None,
        scan: str = "auto",
        drop_last: bool = False,
        shard: str = "gop",
        on_error: str = "raise",
        dtype: str = "uint8",
        channels: int = 3,
        progress: bool = True,
        proxy: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.root, self.seed, self.index_dir, self.progress = root, seed, index_dir, progress
        self.transform, self.eval_transform, self.labels = transform, eval_transform, labels
        self.batch_size = batch_size  # of this name, Lightning's BatchSizeFinder finds it
        self._make_sampler, self._make_decoder = _keeping_shares(sampler, root), decoder
        self._make_eval_sampler, self.max_eval_samples = eval_sampler or SequentialSampler, max_eval_samples
        self._loader_arguments: dict[str, Any] = {
            "size": size,
            "threads": threads,
            "num_workers": num_workers,
            "start_method": start_method,
            "lookahead_bytes": lookahead_bytes,
            "lookahead": lookahead,
            "keep": keep,
            "jpeg_quality": jpeg_quality,
            "store": store,
            "store_bytes": store_bytes,
            "store_packing": store_packing,
            "remote_bytes": remote_bytes,
            "drop_last": drop_last,
            "shard": shard,
            "on_error": on_error,
            "dtype": dtype,
            "channels": channels,
        }
        with_form(decoder, dtype, channels)  # refuses what the decoder does not write
        check_arguments(batch_size=batch_size, seed=seed, clip_length=clip_length or 1, **self._loader_arguments)
        if max_eval_samples is not None and (not isinstance(max_eval_samples, int) or max_eval_samples < 1):
            raise ValueError(f"max_eval_samples must be at least 1, got {max_eval_samples!r}")
        self._choices = Choices(
            root=_paths_of(root),
            index=index,
            proxy=proxy,
            val_root=val_root,
            test_root=test_root,
            predict_root=predict_root,
            split=split,
            split_by=split_by,
            stratify=stratify,
            split_seed=split_seed,
            labels=labels,
            label_column=label_column,
            label_kind=label_kind,
            missing=missing,
            frame_labels=frame_labels,
            labels_at=labels_at,
            stride=stride,
            fps=fps,
            every_seconds=every_seconds,
            keyframes_only=keyframes_only,
            intervals=intervals,
            exclude=exclude,
            clip_length=clip_length,
            clip_stride=clip_stride,
            clip_fps=clip_fps,
            ends=ends,
            scan=scan,
        )
        if not self._choices.may_have("val") and type(self).val_dataloader is VideoDataModule.val_dataloader:
            self.val_dataloader = Unseen(self.val_dataloader)
        self._stages: Stages | None = None
        self._machines: list[int] | None = None  # of all ranks
        self._counts, self._ledger = Counts(), list[Fault]()
        self.loader: VideoLoader | None = None
        self._evaluations: dict[str, VideoLoader] = {}
        self._state: dict[str, int | str] | None = None
        self._batches: LightningBatches | None = None
        self._positions: np.ndarray | None = None  # of the batch that is on its way to the device
        self._beside: BesideDecoders | None = None

    # Lightning's hooks, in the order in which they are called.

    def prepare_data(self) -> None:
        """Build the index: on one rank of each machine, while the others wait."""
        self._scan()

    def setup(self, stage: str | None = None) -> None:
        """Map the index, and find out who is in which split.

        Raises:
            DataError: The ranks do not see the same videos.
            DeviceError: What the decoder needs is not there, or does not decode some of the videos.
        """
        self._scan(self._made_on_this_machine())
        self._check_same_on_all_ranks()
        assert self.index is not None
        # Which tells what it cannot decode before anything is trained.
        arguments = self._loader_arguments
        make_decoder = with_form(self._make_decoder, arguments["dtype"], arguments["channels"])
        make_decoder(self.index, parse_size(arguments["size"])).close()

    def train_dataloader(self) -> LightningBatches | VideoLoader:
        """Return what Lightning iterates: the loader's batches, from the place on that comes next.

        Without a trainer it is the loader itself, whose images are as decoded: the transform is a hook of training.

        Raises:
            DataError: An epoch has no batch.
        """
        before, self._batches = self._batches, None
        begin = self.loader.next_place if self.loader is not None else Place(0, 0)
        self._close_training()
        self.loader = self.make_loader()
        if not len(self.loader):
            raise DataError(
                f"An epoch of {self.loader.population.num_samples} samples has no batch of {self.batch_size}"
                " for each rank.\nLower data.batch_size, or keep the short one: data.drop_last=false"
            )
        # Lightning may ask for a loader anew in every epoch.
        self.loader.counts, self.loader.ledger = self._counts, self._ledger
        if self._state:
            self.loader.check_state(self._state)  # here already, before anything is trained
        if self.trainer is None:
            self.loader.go_to(self._resume() or begin)  # an epoch further each time
            return self.loader
        goes_on = before is not None and before.trainer is self.trainer
        begin = before.place if goes_on and before is not None else Place(self.trainer.current_epoch, 0)
        self._batches = LightningBatches(self.loader, self.trainer, begin, self._resume)
        if self.loader.decodes_beside_the_model:
            self._beside = BesideDecoders(self.loader.device)
        return self._batches

    def val_dataloader(self) -> EvaluationBatches | VideoLoader | list:
        """Return what Lightning validates on: each sample once, the same ones each time; nothing where there are none.

        Without a trainer it is the loader itself, likewise for test and prediction.

        Raises:
            DataError: `trainer.validate` was asked for, and there are none.
        """
        return self._evaluate("val", "validate")

    def test_dataloader(self) -> EvaluationBatches | VideoLoader | list:
        """Return what Lightning tests on, likewise."""
        return self._evaluate("test", "test")

    def predict_dataloader(self) -> EvaluationBatches | VideoLoader | list:
        """Return what Lightning predicts on, likewise."""
        return self._evaluate("predict", "predict")

    def _evaluate(self, stage: str, asked: str) -> EvaluationBatches | VideoLoader | list:
        assert self._stages is not None, "call setup() first"
        is_asked = self.trainer is None or self.trainer.state.fn == asked
        if stage not in self._stages.names() and not is_asked:
            return []
        if stage in self._evaluations:
            self._evaluations.pop(stage).close()
        loader = self._evaluations[stage] = self.make_loader(stage)
        if self.trainer is None:
            return loader
        batches = EvaluationBatches(loader, self.trainer)
        if self.trainer.state.fn == "fit":
            batches.hold_again()
        return batches

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Note the positions while they are in main memory: to bring them back would make the training thread wait."""
        if self._is_ours(batch):
            self._positions = batch["position"].cpu().numpy()
        return batch

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Transform a batch, on the device that it now is on."""
        is_training = self.trainer is None or self.trainer.training
        transform = self.transform if is_training else self.eval_transform
        if transform is not None and self._is_ours(batch):
            positions, self._positions = self._positions, None
            positions = batch["position"].cpu().numpy() if positions is None else positions
            epoch = self._batches.epoch if self._batches is not None and is_training else 0
            batch["image"] = self._apply(transform, batch["image"], Draws(self.seed, epoch, positions))
        return batch

    @staticmethod
    def _apply(transform: TransformBatch, images: Tensor, draws: Draws) -> Tensor:
        """Return images transformed; of a clip all frames alike."""
        if images.dim() == 4:
            return transform(images, draws)
        num_clips, length = images.shape[:2]
        of_frames = replace(draws, positions=np.repeat(draws.positions, length))
        return transform(images.flatten(0, 1), of_frames).unflatten(0, (num_clips, length))

    @staticmethod
    def _is_ours(batch: object) -> bool:
        """Tell a batch of the loader's from one that another dataloader, of a subclass, gives for validation."""
        return isinstance(batch, dict) and "position" in batch and "image" in batch

    def teardown(self, stage: str) -> None:
        """End threads and close files."""
        self.close()

    def on_exception(self, exception: BaseException) -> None:
        """End threads and close files: Lightning does not call `teardown` after an error."""
        self.close()

    # Resuming.

    def state_dict(self) -> dict[str, Any]:
        """Return the place after the last batch that was processed, for Lightning's checkpoint."""
        if self.loader is None or self._state:
            return dict(self._state or {"epoch": 0, "position": 0})  # a search for a batch size goes back to it
        if self._batches is None:  # no trainer
            return self.loader.state_dict()
        return self.loader.state_at(*self._batches.place)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have the next training begin where `state_dict` was taken; a test of that checkpoint does not."""
        if self.trainer is None or self.trainer.state.fn == "fit":
            self._state = dict(state_dict) or None

    def _resume(self) -> Place | None:
        """Return the place that a checkpoint names, once; None where none was read."""
        state, self._state = self._state, None
        assert self.loader is not None
        return self.loader.check_state(state) if state else None

    # The parts, for use by hand.

    @property
    def index(self) -> VideoIndex | None:
        """The videos of `root`; None before `setup`."""
        return None if self._stages is None else self._stages.index

    @property
    def classes(self) -> Any:
        """Names of the classes, by the numbers in the batch's `label`, those of the training set in every split.

        None before `setup`, without labels, or where these are numbers; by column where there are several.
        """
        if self._stages is None:
            return []
        classes = self._stages.population("train").classes
        return dict(classes) if isinstance(classes, Mapping) else list(classes)

    @property
    def num_classes(self) -> int:
        """Number of classes; of the first column, where there are several."""
        classes = self.classes
        return len(next(iter(classes.values()))) if isinstance(classes, Mapping) else len(classes)

    @property
    def table(self) -> Any:
        """All columns of the list of labels, a `pyarrow.Table` with a row for each `video_id`; None without a list."""
        return self.index.described.table if self.index is not None and self.index.described is not None else None

    def population(self, stage: str = "train") -> Population:
        """Return the samples of `train`, `val`, `test` or `predict`. `setup` must have been called."""
        assert self._stages is not None, "call setup() first"
        return self._stages.population(stage)

    def make_loader(self, stage: str = "train") -> VideoLoader:
        """Return a loader of this rank's batches, at the beginning. `setup` must have been called."""
        samples, arguments = self.population(stage), self._loader_arguments
        make_sampler = self._make_sampler
        if stage != "train":
            make_sampler, arguments = self._make_eval_sampler, self._arguments_of_evaluation(samples)
            samples = samples.thinned(self.max_eval_samples or samples.num_samples)
        sampler: Any = make_sampler(samples, self.seed)
        if getattr(self.trainer, "overfit_batches", 0):
            sampler = FirstEpoch(sampler)
        return VideoLoader(
            samples,
            sampler,
            self._make_decoder,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            local_world_size=getattr(self.trainer, "num_devices", None),
            device=self.trainer.strategy.root_device if self.trainer else None,
            last_epoch=self._last_epoch,
            machines=self._machines,
            **arguments,
        )

    @property
    def _last_epoch(self) -> int | None:
        """Number of the last epoch that the trainer will ask for, as far as it knows."""
        most = getattr(self.trainer, "max_epochs", None)
        return None if most is None or most < 1 else most - 1

    def _arguments_of_evaluation(self, samples: Population) -> dict[str, Any]:
        """Return a loader's arguments where each sample is wanted once, in order, and memory is the training's."""
        arguments = self._loader_arguments
        form = Form(*parse_size(arguments["size"]), arguments["channels"], arguments["dtype"])
        batch = form.num_bytes * self.batch_size * samples.frames_per_sample
        memory = min(arguments["lookahead_bytes"], EVALUATION_BATCHES * batch)
        if arguments["store"] is not None:
            memory = max(memory, form.num_bytes * least_slots(self.batch_size * samples.frames_per_sample))
        changed = {"lookahead_bytes": memory, "lookahead": None, "keep": "raw", "drop_last": False, "pad_last": True}
        return arguments | changed

    def count_anew(self) -> None:
        """Forget what was counted: a search for a batch size comes before the training."""
        self._counts, self._ledger = Counts(), []
        if self.loader is not None:
            self.loader.counts, self.loader.ledger = self._counts, self._ledger

    def close(self) -> None:
        """End threads and close files."""
        self._close_training()
        while self._evaluations:
            self._evaluations.popitem()[1].close()

    def _close_training(self) -> None:
        if self._beside is not None:
            self._beside.end()
            self._beside = None
        if self.loader is not None:
            self.loader.close()

    def _scan(self, made: Mapping[str, Path] | None = None) -> None:
        if self._stages is None:
            choices = self._choices
            if choices.root is None and choices.index is None:
                choices = replace(choices, root=demo_clip())
            self._stages = Stages(choices, self.index_dir, self.progress, made)

    def _made_on_this_machine(self) -> Mapping[str, Path]:
        """Return where a rank that looked at the files has what it found, so that the others of its machine map it."""
        if not _are_ranks():
            return {}
        here, indices = name_of_machine(), {} if self._stages is None else self._stages.indices
        found: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, (here, indices))
        made = next((indices for machine, indices in found if machine == here and indices), {})
        # Machines of one name, or containers, may not see each other's folders.
        return made if all(folder.exists() for folder in made.values()) else {}

    def _check_same_on_all_ranks(self) -> None:
        """Refuse to train on a file that arrived between the scans of two ranks; and note on which machine each is."""
        if self._stages is None or not _are_ranks():
            return
        told: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(told, (self._stages.digest(), name_of_machine()))
        names = list(dict.fromkeys(name for _, name in told))
        self._machines = [names.index(name) for _, name in told]
        if len({digest for digest, _ in told}) > 1:
            index = self._stages.index
            raise DataError(
                f"The ranks do not see the same videos: rank {torch.distributed.get_rank()} has"
                f" {index.num_videos} with {index.num_frames} frames.\n"
                "Start again when no more files arrive; on several machines, look whether each has them all"
            )


def _are_ranks() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _paths_of(root: Any) -> Root | None:
    """Return what a root names, without shares."""
    return list(root) if isinstance(root, Mapping) else root


def _keeping_shares(sampler: MakeSampler, root: Any) -> MakeSampler:
    """Return the sampler that keeps a root's shares: `mixture` for the default, else the one given where it can.

    Raises:
        ValueError: It cannot.
    """
    if not isinstance(root, Mapping):
        return sampler
    kind = sampler.func if isinstance(sampler, partial) else sampler
    if kind is UniformSampler:
        return partial(MixtureSampler, by="root", shares=dict(root))
    if kind in (MixtureSampler, WeightedSampler):
        return partial(sampler, by="root", shares=dict(root))
    raise ValueError(f"root has shares, which the samplers mixture and weighted keep, and sampler is {kind!r}")
