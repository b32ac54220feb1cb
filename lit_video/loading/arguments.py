"""What a loader may be told: checked where there is no index yet, so that a mistake is told before files are read."""

from __future__ import annotations

import multiprocessing
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path

from lit_video.decoders.form import Form, check_form
from lit_video.decoders.geometry import parse_size
from lit_video.index import VideoIndex
from lit_video.index.far_videos import REMOTE_BYTES
from lit_video.loading.faults import POLICIES
from lit_video.loading.keep import KEEPS
from lit_video.planning.sharding import SHARDS
from lit_video.samplers.base import Sampler
from lit_video.store.packing import PACKINGS
from lit_video.support.errors import check_choice


def check_arguments(
    size: int | Sequence[int],
    batch_size: int,
    threads: int | str,
    num_workers: int,
    start_method: str | None,
    lookahead_bytes: int,
    lookahead: int | None,
    drop_last: bool,
    shard: str,
    on_error: str = "raise",
    seed: int = 0,
    clip_length: int = 1,
    keep: str = "raw",
    jpeg_quality: int = 95,
    store: str | Path | None = None,
    store_bytes: int | None = None,
    store_packing: str = "lossless",
    remote_bytes: int = REMOTE_BYTES,
    dtype: str = "uint8",
    channels: int = 3,
) -> None:
    """Check what can be checked of a loader's arguments before there is an index.

    Raises:
        ValueError: One is out of range.
    """
    height, width = parse_size(size)
    if threads != "auto" and (not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads must be 'auto' or at least 1, got {threads!r}")
    if not isinstance(num_workers, int) or num_workers < 0:
        raise ValueError(f"num_workers must be at least 0, got {num_workers!r}")
    check_choice("start_method", start_method or "spawn", multiprocessing.get_all_start_methods())
    check_choice("shard", shard, SHARDS)
    check_choice("on_error", on_error, POLICIES)
    check_choice("keep", keep, KEEPS)
    check_choice("store_packing", store_packing, PACKINGS)
    if not isinstance(jpeg_quality, int) or not 1 <= jpeg_quality <= 100:
        raise ValueError(f"jpeg_quality must be from 1 to 100, got {jpeg_quality!r}")
    if store is not None and (not isinstance(store, str | Path) or not str(store)):
        raise ValueError(f"store must be a folder, 'auto' or None, got {store!r}")
    if store_bytes is not None and (not isinstance(store_bytes, int) or store_bytes < 1):
        raise ValueError(f"store_bytes must be a whole number of at least 1, such as {2**33}, got {store_bytes!r}")
    if not isinstance(remote_bytes, int) or remote_bytes < 1:
        raise ValueError(
            f"remote_bytes must be a whole number of at least 1, such as {REMOTE_BYTES}, got {remote_bytes!r}"
        )
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
    for name, value in (("batch_size", batch_size), ("lookahead", 1 if lookahead is None else lookahead)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    if not isinstance(lookahead_bytes, int):
        raise ValueError(f"lookahead_bytes must be a whole number, such as {2**30}, got {lookahead_bytes!r}")
    check_form(dtype, channels)
    for name, packing in (("keep", keep), ("store_packing", store_packing)):
        if packing == "jpeg" and (dtype, channels) != ("uint8", 3):
            raise ValueError(
                f"{name}='jpeg' is for dtype='uint8' and channels=3, got {dtype!r} and {channels}: 'lossless'"
            )
    needed = Form(height, width, channels, dtype).num_bytes * (batch_size + 1) * clip_length
    if lookahead_bytes < needed:
        clips = f" clips of {clip_length}" if clip_length > 1 else ""
        raise ValueError(
            f"lookahead_bytes must hold more than a batch of {batch_size}{clips} frames of {height}x{width}, which is"
            f" {needed} bytes, got {lookahead_bytes}"
        )


def warn_of_lost_bits(index: VideoIndex) -> None:
    """Say once for a data set that pictures of more than 8 bits do not keep them."""
    deep = index.deep
    if len(deep) and index not in _TOLD_OF_LOST_BITS:
        _TOLD_OF_LOST_BITS.add(index)
        first = int(deep[0])
        warnings.warn(
            f"{len(deep)} of {index.num_videos} videos have more than 8 bits a sample, and frames are uint8:"
            f" the rest is cut off, but not with data.dtype=uint16. The first is {index.path(first)}"
            f" ({index.pixel_format(first)}).",
            stacklevel=3,
        )


_TOLD_OF_LOST_BITS: weakref.WeakSet[VideoIndex] = weakref.WeakSet()


def warn_of_short_sight(sampler: Sampler, num_positions: int, reach: int) -> None:
    """Say so where a sampler's chunks spread further than look-ahead and memory reach, and are decoded piecemeal."""
    needed = min(getattr(sampler, "needed_lookahead", 1), num_positions)
    if needed > reach:
        warnings.warn(
            f"The sampler spreads each chunk over {needed} positions and the look-ahead reaches {reach}, so chunks"
            f" are decoded more than once: take about {max(1, 100 * reach // needed)} % as many lanes or frames of"
            " buffer, or raise data.lookahead_bytes.",
            stacklevel=3,
        )
