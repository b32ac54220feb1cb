"""Frames by id -> one vector each, decoded by the project's own planner, slots and threads."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from lit_video.assembly import Assembly
from lit_video.index import VideoIndex
from lit_video.planner import plan
from lit_video.report.setting import Setting
from lit_video.slots import SlotPool
from lit_video.workers import ThreadWorkers

Describe = Callable[[UInt8[Tensor, "n 3 height width"], Int64[np.ndarray, " n"]], Float[np.ndarray, "n numbers"]]

BATCH = 32  # frames that are described at a time
REACH = 512  # positions within which the frames of a GOP are decoded together
PATIENCE_SECONDS = 10.0
ENDS = 2**16  # bytes of a file's beginning and end that are compared


def describe_frames(
    setting: Setting, frame_ids: Int64[np.ndarray, " n"], describe: Describe
) -> Float[np.ndarray, "n numbers"]:
    """Return the vectors of frames, each decoded once where ids are ascending.

    Args:
        setting: The data.
        frame_ids: Which frames, best ascending.
        describe: Images and their frame ids -> vectors.

    Raises:
        DecodeError: A frame could not be decoded.
    """
    vectors, begin = [], 0
    for images in _images(setting, frame_ids):
        vectors.append(describe(images, frame_ids[begin : begin + len(images)]))
        begin += len(images)
    return np.concatenate(vectors)


def _images(setting: Setting, frame_ids: Int64[np.ndarray, " n"]) -> Iterator[UInt8[Tensor, "batch 3 height width"]]:
    """Yield the frames in batches, in order."""
    batch = min(BATCH, setting.batch_size)  # of these, the memory is known to hold more than one
    budget = setting.budget(len(frame_ids), min(REACH, len(frame_ids)), batch)
    sizes = [len(part) for part in np.split(frame_ids, range(batch, len(frame_ids), batch))]
    with contextlib.ExitStack() as stack:
        decoders = [setting.make_decoder(setting.index, setting.shape) for _ in range(setting.num_threads)]
        for decoder in decoders:
            stack.callback(decoder.close)
        pool = SlotPool(budget.slots, setting.shape, decoders[0].device)
        workers = ThreadWorkers(decoders, pool.frames)
        stack.callback(workers.stop, PATIENCE_SECONDS)
        reads = plan(frame_ids, setting.index, budget.lookahead, budget.held)
        yield from Assembly(reads, pool, workers, budget.admission).images(sizes)


def first_copies(index: VideoIndex) -> Int64[np.ndarray, " videos"]:
    """Return for each video the first one that is the same file: links and copies are no further footage.

    Files of one size are the same if they begin and end alike and have the same timestamps.
    """
    first: dict[tuple[int, bytes], int] = {}
    sizes, how_many = np.unique(index.columns.size_bytes, return_counts=True)
    shared = set(sizes[how_many > 1].tolist())
    found = np.arange(index.num_videos)
    for video_id, size in enumerate(index.columns.size_bytes.tolist()):
        if size in shared:
            found[video_id] = first.setdefault((size, _fingerprint(index, video_id)), video_id)
    return found


def _fingerprint(index: VideoIndex, video_id: int) -> bytes:
    text = hashlib.blake2b(np.ascontiguousarray(index.pts[slice(*index.offset[video_id : video_id + 2])]).tobytes())
    with Path(index.path(video_id)).open("rb") as file:
        text.update(file.read(ENDS))
        file.seek(max(0, int(index.columns.size_bytes[video_id]) - ENDS))
        text.update(file.read(ENDS))
    return text.digest()
