"""VideoDataModule: everything together, for Lightning. One class for Hydra, LightningCLI and use by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor

from lit_video.decoders.geometry import parse_size
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.index.labels import Labels, check_labels
from lit_video.loading.arguments import check_arguments
from lit_video.loading.counters import Counts
from lit_video.loading.epoch import Batch
from lit_video.loading.faults import Fault
from lit_video.loading.loader import MakeDecoder, VideoLoader
from lit_video.loading.resume import Place
from lit_video.samplers.base import Sampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.demo import demo_clip
from lit_video.support.errors import DataError
from lit_video.training.lightning_batches import LightningBatches
from lit_video.training.streams import BesideDecoders
from lit_video.training.transforms import Draws

# LightningCLI makes these of a `class_path`, and leaves out the arguments that are named here: index and seed. What
# returns a class it takes for a factory of it, so a transform, which does not make its result but compute it, is Any.
MakeSampler = Callable[[VideoIndex, int], Sampler]
TransformBatch = Callable[[Tensor, Draws], Any]


class VideoDataModule(LightningDataModule):
    """Random frames of videos, as batches on the model's device.

    Each batch is a dict as `VideoLoader` describes, with `image` transformed on the device. The position in the epoch
    goes with Lightning's checkpoints, and a run resumes at the very next frame.

    Args:
        root: Folder (searched recursively), file, glob, or a list of these; None: the demo's clip.
        sampler: Factory `(index, seed) -> Sampler`, such as a sampler's class or a `functools.partial` of it.
        decoder: Factory `(index, size) -> Decoder`, likewise.
        transform: A `Transform` (`lit_video.training.transforms`), called with images and draws on the device; None
            leaves uint8.
        labels: What a video's frames are of, as the batch's `label`: `folder` (that the file lies in), `video` (each a
            class of its own), a CSV file with the columns `path` and `label`, or a mapping of paths to labels; None:
            batches have no `label`.
        size: Of the frames, `[height, width]` in pixels; an int is a square.
        batch_size: Of one rank.
        threads: That decode, in each process that does; `auto`: as the decoder likes it, or one for each core.
        num_workers: Processes that decode; 0: this one.
        start_method: How these start; by default as the decoder must, or as is usual on this system.
        seed: Of order and augmentation. Same seed, same frames.
        lookahead_bytes: Memory for decoded frames that wait, in each rank.
        lookahead: Positions that a read looks ahead; by default as far as the memory lasts.
        index_dir: Where the index is kept; by default in the user's cache folder.
        drop_last: Leave out the last batch where it is short.
        shard: How ranks share an epoch: `gop` (each GOP is decoded on as few ranks as can be) or `slot`.
        on_error: What to do about a frame that cannot be decoded: `raise`, `skip` or `redraw`.
        progress: Show a progress bar while files are indexed.

    Attributes:
        index: The videos, from `setup` on.
        loader: What the last training iterated.

    Raises:
        ValueError: An argument out of range.
        TypeError: `labels` is none of these.
    """

    def __init__(
        self,
        root: str | Path | Sequence[str | Path] | None = None,
        sampler: MakeSampler = UniformSampler,
        decoder: MakeDecoder = PyAVDecoder,
        transform: TransformBatch | None = None,
        labels: Labels | None = None,
        size: int | Sequence[int] = 224,
        batch_size: int = 128,
        threads: int | str = "auto",
        num_workers: int = 0,
        start_method: str | None = None,
        seed: int = 0,
        lookahead_bytes: int = 2**30,
        lookahead: int | None = None,
        index_dir: str | Path | None = None,
        drop_last: bool = False,
        shard: str = "gop",
        on_error: str = "raise",
        progress: bool = True,
    ) -> None:
        super().__init__()
        self.root, self.seed, self.index_dir, self.progress = root, seed, index_dir, progress
        self.transform, self.labels = transform, labels
        self.batch_size = batch_size  # of this name, Lightning's BatchSizeFinder finds it
        self._make_sampler, self._make_decoder = sampler, decoder
        self._loader_arguments: dict[str, Any] = {
            "size": size,
            "threads": threads,
            "num_workers": num_workers,
            "start_method": start_method,
            "lookahead_bytes": lookahead_bytes,
            "lookahead": lookahead,
            "drop_last": drop_last,
            "shard": shard,
            "on_error": on_error,
        }
        check_arguments(batch_size=batch_size, seed=seed, **self._loader_arguments)
        check_labels(labels)
        self.index: VideoIndex | None = None
        self._counts, self._ledger = Counts(), list[Fault]()
        self.loader: VideoLoader | None = None
        self._state: dict[str, int | str] | None = None
        self._batches: LightningBatches | None = None
        self._positions: np.ndarray | None = None  # of the batch that is on its way to the device
        self._beside: BesideDecoders | None = None

    # Lightning's hooks, in the order in which they are called.

    def prepare_data(self) -> None:
        """Build the index: on one rank of each machine, while the others wait."""
        self._scan()

    def setup(self, stage: str | None = None) -> None:
        """Map the index.

        Raises:
            DataError: The ranks do not see the same videos.
            DeviceError: What the decoder needs is not there, or does not decode some of the videos.
        """
        self._scan()
        self._check_same_on_all_ranks()
        assert self.index is not None
        # Which tells what it cannot decode before anything is trained.
        self._make_decoder(self.index, parse_size(self._loader_arguments["size"])).close()

    def train_dataloader(self) -> LightningBatches | VideoLoader:
        """Return what Lightning iterates: the loader's batches, from the place on that comes next.

        Without a trainer it is the loader itself, whose images are as decoded: the transform is a hook of training.

        Raises:
            DataError: An epoch has no batch.
        """
        before, self._batches = self._batches, None
        self.close()
        self.loader = self.make_loader()
        if not len(self.loader):
            raise DataError(
                f"An epoch of {self.loader.index.num_frames} frames has no batch of {self.batch_size}"
                " for each rank.\nLower data.batch_size, or keep the short one: data.drop_last=false"
            )
        # Lightning may ask for a loader anew in every epoch.
        self.loader.counts, self.loader.ledger = self._counts, self._ledger
        if self._state:
            self.loader.check_state(self._state)  # here already, before anything is trained
        if self.trainer is None:
            self.loader.go_to(self._resume() or self.loader.place)
            return self.loader
        goes_on = before is not None and before.trainer is self.trainer
        begin = before.place if goes_on and before is not None else Place(self.trainer.current_epoch, 0)
        self._batches = LightningBatches(self.loader, self.trainer, begin, self._resume)
        if self.loader.decodes_beside_the_model:
            self._beside = BesideDecoders(self.loader.device)
        return self._batches

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Note the positions while they are in main memory: to bring them back would make the training thread wait."""
        if self._is_ours(batch):
            self._positions = batch["position"].cpu().numpy()
        return batch

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Transform a batch, on the device that it now is on."""
        if self.transform is not None and self._is_ours(batch):
            positions, self._positions = self._positions, None
            positions = batch["position"].cpu().numpy() if positions is None else positions
            epoch = self._batches.epoch if self._batches is not None else 0
            batch["image"] = self.transform(batch["image"], Draws(self.seed, epoch, positions))
        return batch

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
            return dict(self._state or {})
        if self._batches is None:  # no trainer
            return self.loader.state_dict()
        return self.loader.state_at(*self._batches.place)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have the next training begin where `state_dict` was taken."""
        self._state = dict(state_dict) or None

    def _resume(self) -> Place | None:
        """Return the place that a checkpoint names, once; None where none was read."""
        state, self._state = self._state, None
        assert self.loader is not None
        return self.loader.check_state(state) if state else None

    # The parts, for use by hand.

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by the numbers in the batch's `label`; none before `setup`, or without labels."""
        return list(self.index.classes) if self.index is not None else []

    def make_loader(self) -> VideoLoader:
        """Return a loader of this rank's batches, at the beginning. `setup` must have been called."""
        assert self.index is not None, "call setup() first"
        return VideoLoader(
            self.index,
            self._make_sampler(self.index, self.seed),
            self._make_decoder,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            device=self.trainer.strategy.root_device if self.trainer else None,
            **self._loader_arguments,
        )

    def count_anew(self) -> None:
        """Forget what was counted: a search for a batch size comes before the training."""
        self._counts, self._ledger = Counts(), []
        if self.loader is not None:
            self.loader.counts, self.loader.ledger = self._counts, self._ledger

    def close(self) -> None:
        """End threads and close files."""
        if self._beside is not None:
            self._beside.end()
            self._beside = None
        if self.loader is not None:
            self.loader.close()

    def _scan(self) -> None:
        if self.index is None:
            root = demo_clip() if self.root is None else self.root
            index = VideoIndex.scan(root, self.index_dir, self.progress)
            self.index = index.with_labels(self.labels)

    def _check_same_on_all_ranks(self) -> None:
        """Refuse to train on a file that arrived between the scans of two ranks."""
        if self.index is None or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        digests: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(digests, self.index.digest())
        if len(set(digests)) > 1:
            raise DataError(
                f"The ranks do not see the same videos: rank {torch.distributed.get_rank()} has"
                f" {self.index.num_videos} with {self.index.num_frames} frames.\n"
                "Start again when no more files arrive; on several machines, look whether each has them all"
            )
