"""Contenders that load clips of eight frames: their batches are images too, [B, 3, h, w], clip after clip."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lit_video.bench.contenders import Contest, PerVideo, Setting, epochs, ours, video_loader
from lit_video.index import Population
from lit_video.samplers.base import Sampler
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.uniform import UniformSampler

LENGTH = 8


def clips(setting: Setting, sampler: Callable[..., Sampler] = UniformSampler) -> Contest:
    """Load with VideoLoader clips that begin at uniformly random frames."""
    population = Population(setting.index(), clip_length=LENGTH)
    loader = video_loader(setting, population, sampler, batch_size=max(1, setting.batch_size // LENGTH))

    def images() -> Any:
        while True:
            for batch in loader:
                yield batch["image"].flatten(0, 1)

    return images(), loader.counts


def chunked_by_8(setting: Setting) -> Contest:
    """Load with VideoLoader single frames of chunks as long as the clips: what clips are measured against."""
    return ours(setting, partial(ChunkedSampler, chunk_length=LENGTH))


class RandomClips(Dataset):
    """torchcodec's sampler of clips, asked for one clip of one video: the very clips of `clips`."""

    def __init__(self, setting: Setting) -> None:
        self.videos, self.population = PerVideo(setting), Population(setting.index(), clip_length=LENGTH)

    def __getitem__(self, sample_id: int) -> Tensor:
        from torchcodec.samplers import clips_at_random_indices  # pyright: ignore[reportPrivateImportUsage]

        first = self.population.frames_of(np.array([sample_id]))[0][0, :1]
        (video_id,), (frame,) = (found.tolist() for found in self.population.index.locate(first))
        decoder = self.videos.decoder(self.population.index.path(video_id))
        found = clips_at_random_indices(
            decoder, num_frames_per_clip=LENGTH, sampling_range_start=frame, sampling_range_end=frame + 1
        )
        return found.data[0]


def torchcodec_clips(setting: Setting) -> Contest:
    """Load with torchcodec's `clips_at_random_indices` in a DataLoader with worker processes."""
    dataset = RandomClips(setting)
    order = UniformSampler(dataset.population, setting.seed).order(0)
    loader = DataLoader(
        dataset,
        sampler=order,  # type: ignore[arg-type]
        batch_size=max(1, setting.batch_size // LENGTH),
        num_workers=setting.workers,
        multiprocessing_context="spawn",
        persistent_workers=True,
        collate_fn=torch.cat,
    )
    return epochs(loader), None
