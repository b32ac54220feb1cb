"""Contenders that only unpack frames of a store: the most that a later epoch can give."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from lit_video.bench.contenders import Batches, Contest, Setting, empty_batch, on_threads
from lit_video.bench.prepared import Prepared
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.samplers.base import Sampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.store.fill import fill_videos
from lit_video.store.folder import store_folder
from lit_video.store.frames import FrameStore
from lit_video.support.errors import LitVideoError


def frame_store(setting: Setting, index: VideoIndex) -> FrameStore:
    """Return the store of a setting, in which `ours` keeps its frames too; by default one beside the index."""
    folder = store_folder(setting.store or f"{setting.index_dir}-store")
    look = PyAVDecoder(index, setting.size).look
    return FrameStore(folder, index, look, (setting.size, setting.size), setting.packing, setting.store_bytes)


def filled(setting: Setting) -> Prepared:
    """Return the store of a setting, filled with what it lacks of its frames, and what that took this time."""
    index = setting.index()
    folder = store_folder(setting.store or f"{setting.index_dir}-store")
    with contextlib.closing(frame_store(setting, index)) as store:
        began = time.perf_counter()
        if not store.has().all():
            size, videos = (setting.size, setting.size), range(index.num_videos)
            fill_videos(store, index, PyAVDecoder, size, videos, threads=setting.workers)
        return Prepared(folder, time.perf_counter() - began, store.num_bytes_used)


def blobs(setting: Setting, sampler: Callable[..., Sampler] = SequentialSampler) -> Contest:
    """Unpack stored frames in the order of the files, with nothing else to do."""
    folder, index = filled(setting).folder, setting.index()
    order = sampler(index, seed=setting.seed).order(0)
    frame_ids, store = np.asarray(order[: len(order)]), frame_store(setting, index)
    with contextlib.closing(store):
        frame_ids = frame_ids[store.has(frame_ids)]
    if not len(frame_ids):
        raise LitVideoError(
            store.problem or f"{folder}: the store holds no frame of these.\nGive it room: --store-bytes"
        )
    parts = np.array_split(frame_ids, min(setting.workers, len(frame_ids)))
    return _with(store, on_threads([_unpacked(store, part, setting) for part in parts])), None


def _with(store: FrameStore, batches: Batches) -> Batches:
    with contextlib.closing(store), contextlib.closing(batches):
        yield from batches


def _unpacked(store: FrameStore, frame_ids: Int64[np.ndarray, " n"], setting: Setting) -> Iterator[Tensor]:
    for begin in itertools.count(step=setting.batch_size):
        wanted = frame_ids.take(range(begin, begin + setting.batch_size), mode="wrap")
        batch = empty_batch(setting)
        if not store.get(wanted, batch.numpy()).all():
            raise LitVideoError(store.problem or "Frames vanished from the store.\nLook: lit-video store verify FOLDER")
        yield batch


def blobs_uniform(setting: Setting) -> Contest:
    """Unpack stored frames in uniform order, with nothing else to do: what random reads of the store give alone."""
    return blobs(setting, UniformSampler)
