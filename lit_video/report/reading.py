"""Frames by id -> one vector each, decoded by the project's own loader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from lit_video.index import VideoIndex
from lit_video.report.setting import Setting
from lit_video.samplers.base import Order
from lit_video.samplers.sequential import SequentialSampler

Describe = Callable[[UInt8[Tensor, "n 3 height width"], Int64[np.ndarray, " n"]], Float[np.ndarray, "n numbers"]]

BATCH = 32  # frames that are described at a time
REACH = 512  # positions within which the frames of a GOP are decoded together
ENDS = 2**16  # bytes of a file's beginning and end that are compared


@dataclass(frozen=True, eq=False)
class Listed(SequentialSampler):
    """The frames of a list, in its order, so that a loader decodes them."""

    frame_ids: Int64[np.ndarray, " n"] = field(default_factory=lambda: np.empty(0, np.int64))

    def order(self, epoch: int) -> Order:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the list."""
        return self.frame_ids


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
    listed = Listed(setting.index, setting.seed, frame_ids)
    batch_size = min(BATCH, setting.batch_size)  # of so many, the memory is known to hold more than one
    loader = setting.make_loader(listed, min(REACH, len(frame_ids)), batch_size=batch_size)
    try:
        return np.concatenate([describe(batch["image"], frame_ids[batch["position"].numpy()]) for batch in loader])
    finally:
        loader.close()


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
