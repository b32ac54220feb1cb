"""Contenders that read frames extracted as JPEG, which is what is done today: the same frames, at the same size."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from lit_video.bench.contenders import Batches, Contest, Setting, epochs, video_loader
from lit_video.bench.prepared import Prepared, made_once
from lit_video.samplers.sequential import SequentialSampler
from lit_video.support.errors import LitVideoError

QUALITY = 95  # as published sets of extracted frames have it, and as litdata's README advises


def extracted(setting: Setting) -> Prepared:
    """Return the folder of all frames as JPEG, one folder a video: `000007/000123.jpg`."""

    def make(folder: Path) -> float:
        plain = Setting(setting.paths, setting.index_dir, setting.size, workers=setting.workers)
        loader = video_loader(plain, plain.index(), SequentialSampler)
        for video_id in range(plain.index().num_videos):
            (folder / f"{video_id:06}").mkdir()
        with contextlib.closing(loader), ThreadPoolExecutor(setting.workers) as pool:
            for batch in loader:
                places = zip(batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True)
                files = [folder / f"{video_id:06}" / f"{frame:06}.jpg" for video_id, frame in places]
                list(pool.map(_save, batch["image"], files))
        return 0.0

    return made_once(setting, "jpegs", make)


def _save(image: Tensor, file: Path) -> None:
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(file, quality=QUALITY)


def augmentation(setting: Setting) -> list[Any]:
    """Return the exercise's augmentation of one uint8 image, or nothing."""
    if not setting.augment:
        return []
    crop = v2.RandomResizedCrop(setting.size, scale=(0.9, 1.0), antialias=True)
    return [crop, v2.ToDtype(torch.float32, scale=True), v2.ColorJitter(0.5, 0.5, 0.5, 0.5)]


def imagefolder(setting: Setting) -> Contest:
    """Load extracted JPEGs with torchvision's ImageFolder in a DataLoader with worker processes."""
    transform = v2.Compose([v2.PILToTensor(), *augmentation(setting)])
    loader = DataLoader(
        ImageFolder(str(extracted(setting).folder), transform),
        batch_size=setting.batch_size,
        shuffle=True,
        num_workers=setting.workers,
        generator=torch.Generator().manual_seed(setting.seed),
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    return _first_of_each(epochs(loader)), None


def _first_of_each(batches: Iterator[Any]) -> Batches:
    for images, _ in batches:
        yield images


def chunks(setting: Setting) -> Prepared:
    """Return the folder of litdata's chunks, written from the extracted JPEGs as they are."""

    def make(folder: Path) -> float:
        jpegs = extracted(setting)
        files = sorted(str(file) for file in jpegs.folder.rglob("*.jpg"))
        random.Random(0).shuffle(files)  # the README's advice where neighbours are alike: chunks are shuffled, not data
        _write_chunks(files, folder, setting.workers)
        return jpegs.seconds

    return made_once(setting, "litdata", make)


def _write_chunks(files: list[str], folder: Path, workers: int) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as listed:
        json.dump(files, listed)
        listed.flush()
        program = [sys.executable, "-m", "lit_video.bench.litdata_chunks"]
        done = subprocess.run([*program, listed.name, str(folder), str(workers)], capture_output=True, text=True)
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise LitVideoError(
            f"litdata could not write its chunks into {folder}: {told[0]}\nFree the disk, or leave it out"
        )


def litdata(setting: Setting) -> Contest:
    """Load litdata's chunks of the extracted JPEGs with its StreamingDataset and StreamingDataLoader."""
    library = _litdata()
    transform = v2.Compose([_Picture(), *augmentation(setting)])
    loader = library.StreamingDataLoader(
        library.StreamingDataset(str(chunks(setting).folder), shuffle=True, seed=setting.seed, transform=transform),
        batch_size=setting.batch_size,
        num_workers=setting.workers,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    return epochs(loader), None


class _Picture:
    """Takes the picture out of litdata's sample; a class, so that workers can be sent it."""

    def __call__(self, sample: dict[str, Tensor]) -> Tensor:
        return sample["image"]


def _litdata() -> Any:
    try:
        import litdata
    except ImportError:
        raise LitVideoError(
            "The contender litdata needs litdata, which is not here: pip install -e '.[peers]'"
        ) from None
    return litdata
