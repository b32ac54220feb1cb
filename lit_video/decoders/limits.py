"""How many files and decoders a thread that decodes keeps: as many as file handles and memory allow, and help."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import numpy as np

from lit_video.index import VideoIndex
from lit_video.support.machine import cores_of_all_workers, free_file_handles, memory_bytes

Decoding = TypeVar("Decoding")

MOST_FILES, MOST_DECODERS = 512, 16

# Measured with PyAV 18.1: an open container takes some 400 kB, and 40 bytes for each frame in its table; a decoder six
# pictures, 18 MiB at 1080p.
FILE_BYTES, TABLE_BYTES = 400_000, 40
PICTURES = 6

FILES_SHARE, DECODERS_SHARE = 1 / 64, 1 / 16  # of the memory that this process may use
HANDLES_SHARE = 1 / 2  # of those that are free: the rest is for the model, its log, and workers' pipes

_num_decoders: ContextVar[int | None] = ContextVar("num_decoders", default=None)  # that share, while one is made


def one_of(num_decoders: int | None, make_decoder: Callable[..., Decoding]) -> Callable[..., Decoding]:
    """Return a factory of decoders each of which keeps its share of what so many may keep together.

    For whoever makes several that decode beside each other, in threads and worker processes. A decoder need not know:
    it asks `files_to_keep` and `decoders_to_keep` while it is made. None, as for one that is made alone: one a core.
    """
    return partial(_make_one_of, num_decoders, make_decoder)


def _make_one_of(
    num_decoders: int | None, make_decoder: Callable[..., Decoding], *args: Any, **kwargs: Any
) -> Decoding:
    before = _num_decoders.set(num_decoders)
    try:
        return make_decoder(*args, **kwargs)
    finally:
        _num_decoders.reset(before)


def files_to_keep(index: VideoIndex) -> int:
    """Return how many files the decoder that is being made may keep open."""
    by_handles = HANDLES_SHARE * free_file_handles() / _sharing()
    each = FILE_BYTES + TABLE_BYTES * float(np.mean(index.lengths))
    by_memory = FILES_SHARE * memory_bytes() / _sharing() / each
    return max(1, int(min(MOST_FILES, by_handles, by_memory)))


def decoders_to_keep(index: VideoIndex) -> int:
    """Return how many of FFmpeg's decoders it may keep for its open files, by the largest video's pictures."""
    bytes_a_sample = np.where(np.isin(np.arange(index.num_videos), index.deep), 2, 1)
    pixels = index.columns.width.astype(np.int64) * index.columns.height * bytes_a_sample
    each = PICTURES * 1.5 * float(pixels.max())
    return max(1, int(min(MOST_DECODERS, DECODERS_SHARE * memory_bytes() / _sharing() / each)))


def _sharing() -> int:
    return _num_decoders.get() or cores_of_all_workers()
