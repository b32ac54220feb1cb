"""Contenders of the benchmark: batches of images, float or uint8 [B, 3, h, w], and where it is known, what they cost.

All take the same `Setting`; what a contender does not know (a look-ahead, say) it ignores.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lit_video.decoders.base import Decoder
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.scaler import Scaler
from lit_video.decoders.torchcodec import TorchCodecDecoder
from lit_video.index import Samples, VideoIndex
from lit_video.loading.counters import Counts
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.base import Sampler
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.training.transforms import Draws, ExerciseTransform, NoTransform

# Without end; closing it ends what makes them.
Batches = Generator[Tensor, None, None]

# Batches, and the counts of the loader that makes them, where it is ours.
Contest = tuple[Batches, Counts | None]


@dataclass(frozen=True)
class Setting:
    """What a contender is to load.

    Attributes:
        paths: The videos.
        index_dir: Where their index is.
        size: Height and width of the images, in pixels.
        batch_size: Images in a batch.
        workers: Processes of a contender that uses processes, threads of one that uses threads.
        augment: Random resized crop and colour jitter; else the middle, scaled.
        seed: Of the order.
        lookahead_bytes: Memory for frames that wait.
        images_per_s: Speed of a model that consumes the batches; None: none.
        keep: How frames that wait in memory are kept: `auto`, `raw`, `lossless` or `jpeg`.
        store: Folder of frames that were decoded once, or `auto`; None: nothing is stored.
        packing: How the store keeps them: `raw`, `lossless` or `jpeg`.
        store_bytes: Room for them; None: as much as there is.
        delay_seconds: Before each answer, where files are far away.
    """

    paths: tuple[str, ...]
    index_dir: str
    size: int = 224
    batch_size: int = 128
    workers: int = 2
    augment: bool = False
    seed: int = 0
    lookahead_bytes: int = 2**30
    images_per_s: float | None = None
    keep: str = "auto"
    store: str | None = None
    packing: str = "lossless"
    store_bytes: int | None = None
    delay_seconds: float = 0.05

    def index(self) -> VideoIndex:
        """Return the videos' index."""
        return VideoIndex.scan(list(self.paths), self.index_dir, progress=False)

    def storage(self) -> dict[str, Any]:
        """Return what VideoLoader is told about keeping frames: all, for its defaults are not VideoDataModule's."""
        stored = {"store": self.store, "store_packing": self.packing, "store_bytes": self.store_bytes}
        return {"keep": self.keep, **stored}


class Starter(Dataset):
    """The exercise's starter: one frame an item, found by seeking to its keyframe and decoding up to its pts."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        index = setting.index()
        self.frames = [
            (path, int(pts))
            for video_id, path in enumerate(index.paths)
            for pts in index.pts[slice(*index.offset[video_id : video_id + 2])]
        ]
        self.files: dict[str, Any] = {}  # opened in the worker that reads them, and left open
        size = setting.size
        steps: list[Any] = [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
        if setting.augment:
            jitter = transforms.ColorJitter(0.5, 0.5, 0.5, 0.5)
            steps = [transforms.RandomResizedCrop(size, scale=(0.9, 1.0)), transforms.ToTensor(), jitter]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> Tensor:
        path, pts = self.frames[number]
        if path not in self.files:
            container = av.open(path)
            container.streams.video[0].codec_context.thread_count = 1  # a worker for each core: threads would be more
            self.files[path] = container
        container = self.files[path]
        stream = container.streams.video[0]
        container.seek(pts, stream=stream)
        for frame in container.decode(stream):
            if frame.pts == pts:
                return self.transform(frame.to_image())
        raise LookupError(f"{path}: no frame at pts {pts}")


def baseline(setting: Setting) -> Contest:
    """Load with the exercise's starter in a DataLoader with worker processes."""
    generator = torch.Generator().manual_seed(setting.seed)
    loader = DataLoader(
        Starter(setting),
        batch_size=setting.batch_size,
        shuffle=True,
        num_workers=setting.workers,
        generator=generator,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    return epochs(loader), None


def epochs(loader: DataLoader) -> Batches:
    """Yield a DataLoader's batches, one epoch after another."""
    while True:
        yield from loader


def ours(
    setting: Setting,
    sampler: Callable[..., Sampler] = UniformSampler,
    decoder: Callable[..., Decoder] = PyAVDecoder,
) -> Contest:
    """Load with VideoLoader, one epoch after another."""
    loader = video_loader(setting, setting.index(), sampler, decoder)
    return _augmented(loader, setting), loader.counts


def video_loader(
    setting: Setting,
    samples: Samples,
    sampler: Callable[..., Sampler] = UniformSampler,
    decoder: Callable[..., Decoder] = PyAVDecoder,
    batch_size: int | None = None,
    lookahead: int | None = None,
) -> VideoLoader:
    """Return the VideoLoader of a setting."""
    return VideoLoader(
        samples,
        sampler(samples, seed=setting.seed),
        decoder,
        size=setting.size,
        batch_size=batch_size or setting.batch_size,
        threads=setting.workers,
        lookahead_bytes=setting.lookahead_bytes,
        lookahead=lookahead,
        seed=setting.seed,
        **setting.storage(),
    )


def _augmented(loader: VideoLoader, setting: Setting) -> Batches:
    transform = ExerciseTransform(setting.size) if setting.augment else NoTransform()
    for epoch in itertools.count():
        for batch in loader:
            yield transform(batch["image"], Draws(setting.seed, epoch, batch["position"].numpy()))


def sequential(setting: Setting) -> Contest:
    """Load with VideoLoader in the order of the files."""
    return ours(setting, SequentialSampler)


def chunked(setting: Setting) -> Contest:
    """Load with VideoLoader whole GOPs, mixed."""
    return ours(setting, ChunkedSampler)


def ours_torchcodec(setting: Setting) -> Contest:
    """Load with VideoLoader, decoding with torchcodec."""
    return ours(setting, decoder=TorchCodecDecoder)


def ours_alone(setting: Setting) -> Contest:
    """Load with VideoLoader without looking ahead: each frame is decoded for itself, as `seek_loop` does."""
    loader = video_loader(setting, setting.index(), lookahead=1)
    return _augmented(loader, setting), loader.counts


def seek_loop(setting: Setting) -> Contest:
    """Seek to one random frame after another and decode up to it, on this thread, with PyAV and nothing else.

    The order is that of `ours`. Files stay open, and pictures are made RGB and scaled as PyAV does it.
    """
    index = setting.index()
    return _sought(index, UniformSampler(index, setting.seed), setting), None


def _sought(index: VideoIndex, sampler: Sampler, setting: Setting) -> Batches:
    files: dict[int, Any] = {}
    frame_ids = (frame_id for epoch in itertools.count() for frame_id in sampler.order(epoch)[:].tolist())
    while True:
        batch = empty_batch(setting)
        for image, frame_id in zip(batch, frame_ids, strict=False):
            video_id = int(index.locate(np.array([frame_id]))[0][0])
            if video_id not in files:
                files[video_id] = av.open(index.path(video_id))
                files[video_id].streams.video[0].codec_context.thread_count = 1
            picture = _seek_to(files[video_id], int(index.pts[frame_id]))
            pixels = picture.reformat(setting.size, setting.size, "rgb24").to_ndarray()
            image.copy_(torch.from_numpy(pixels).permute(2, 0, 1))
        yield batch


def _seek_to(container: Any, pts: int) -> VideoFrame:
    stream = container.streams.video[0]
    container.seek(pts, stream=stream)
    return next(picture for picture in container.decode(stream) if picture.pts is not None and picture.pts >= pts)


def limit(setting: Setting) -> Contest:
    """Decode and scale in the order of the files, with nothing else to do: the most that this machine gives."""
    usable = setting.index().paths
    paths = [usable[number :: setting.workers] or usable for number in range(setting.workers)]
    return on_threads([_decoded(some, setting) for some in paths]), None


def on_threads(sources: Sequence[Iterator[Tensor]]) -> Batches:
    """Yield the batches of all sources as they come, each source advanced by a thread of its own."""
    ready: queue.Queue[Tensor | Exception] = queue.Queue(maxsize=2 * len(sources))
    ended = threading.Event()
    threads = [threading.Thread(target=_advance, args=(source, ready, ended)) for source in sources]
    for thread in threads:
        thread.start()
    try:
        while True:
            batch = ready.get()
            if isinstance(batch, Exception):
                raise batch
            yield batch
    finally:
        ended.set()
        for thread in threads:
            while thread.is_alive():  # it may be waiting for room
                with contextlib.suppress(queue.Empty):
                    ready.get(timeout=0.01)


def _advance(source: Iterator[Tensor], ready: queue.Queue, ended: threading.Event) -> None:
    try:
        while not ended.is_set():
            ready.put(next(source))
    except Exception as error:
        ready.put(error)


def _decoded(paths: Sequence[str], setting: Setting) -> Iterator[Tensor]:
    scaler = Scaler((setting.size, setting.size), "crop", "bilinear", "bt601")
    pictures = (picture for path in itertools.cycle(paths) for picture in _pictures(path))
    while True:
        batch = empty_batch(setting)
        for image in batch:
            scaler.write(next(pictures), image)
        yield batch


def empty_batch(setting: Setting) -> Tensor:
    """Return memory for a batch: uint8 [B, 3, size, size]."""
    return torch.empty((setting.batch_size, 3, setting.size, setting.size), dtype=torch.uint8)


def _pictures(path: str) -> Iterator[VideoFrame]:
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        yield from container.decode(video=0)


class PerVideo(Dataset):
    """torchcodec, asked once a batch for all frames of a video that the batch wants."""

    seek_mode: Literal["exact", "approximate"] = "exact"

    def __init__(self, setting: Setting) -> None:
        self.setting, self.index = setting, setting.index()
        self.files: dict[str, Any] = {}

    def __getitem__(self, frame_ids: np.ndarray) -> Tensor:
        images = torch.empty((len(frame_ids), 3, self.setting.size, self.setting.size), dtype=torch.uint8)
        video_ids, frame_indices = self.index.locate(np.asarray(frame_ids))
        places = defaultdict(list)
        for place, video_id in enumerate(video_ids.tolist()):
            places[video_id].append(place)
        for video_id, found in places.items():
            found = sorted(found, key=lambda place: frame_indices[place])
            frames = self.decoder(self.index.path(video_id)).get_frames_at(frame_indices[found].tolist())
            images[found] = frames.data
        return images

    def decoder(self, path: str) -> Any:
        """Return the decoder of a video, which stays open."""
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportPrivateImportUsage]
        from torchcodec.transforms import Resize  # pyright: ignore[reportPrivateImportUsage]

        if path not in self.files:
            size = self.setting.size
            resize = Resize((size, size))
            self.files[path] = VideoDecoder(self.source(path), transforms=[resize], seek_mode=self.seek_mode)
        return self.files[path]

    def source(self, path: str) -> Any:
        """Return what torchcodec is to open."""
        return path


def torchcodec(setting: Setting) -> Contest:
    """Load with torchcodec: sorted indices per video, scaling in the decoder, and the very order of `ours`."""
    return per_video(PerVideo(setting)), None


def per_video(dataset: PerVideo) -> Batches:
    """Yield batches of a data set that is asked once a batch, in the very order of `ours`."""
    setting = dataset.setting
    order = UniformSampler(dataset.index, setting.seed).order(0)
    batches = [order[begin : begin + setting.batch_size] for begin in range(0, len(order), setting.batch_size)]
    loader = DataLoader(
        dataset,
        sampler=batches,  # type: ignore[arg-type]
        batch_size=None,
        num_workers=setting.workers,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    return epochs(loader)
