"""Which videos of an index are the same file: links and copies, which show nothing new."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from lit_video.index.table import VideoIndex
from lit_video.media.remote import is_remote

ENDS = 2**16  # bytes of a file's beginning and end that are compared


def first_copies(index: VideoIndex) -> Int64[np.ndarray, " videos"]:
    """Return for each video the first one that is the same file: links and copies are no further footage.

    Files of one size are the same if they begin and end alike and have the same timestamps.
    """
    first: dict[bytes, int] = {}
    found = np.arange(index.num_videos)
    _, group, how_many = np.unique(index.columns.size_bytes, return_inverse=True, return_counts=True)
    for video_id in np.flatnonzero(how_many[group] > 1).tolist():
        found[video_id] = first.setdefault(_fingerprint(index, video_id), video_id)
    return found


def _fingerprint(index: VideoIndex, video_id: int) -> bytes:
    """Return what a file shares with its copies alone, without reading all of it."""
    size = int(index.columns.size_bytes[video_id])
    if is_remote(index.path(video_id)):  # of which nobody knows a copy
        return index.columns.digest[video_id].tobytes()
    with Path(index.path(video_id)).open("rb") as file:
        begins = file.read(ENDS)
        file.seek(max(0, size - ENDS))
        return hashlib.blake2b(b"%d" % size + index.pts_of(video_id).tobytes() + begins + file.read(ENDS)).digest()
