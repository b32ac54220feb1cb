"""What a loader may be told: checked where there is no index yet, so that a mistake is told before files are read."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

from lit_video.decoders.geometry import check_choice, parse_size
from lit_video.loading.faults import POLICIES
from lit_video.planning.sharding import SHARDS


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
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
    for name, value in (("batch_size", batch_size), ("lookahead", 1 if lookahead is None else lookahead)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    if not isinstance(lookahead_bytes, int):
        raise ValueError(f"lookahead_bytes must be a whole number, such as {2**30}, got {lookahead_bytes!r}")
    if lookahead_bytes < 3 * height * width * (batch_size + 1):
        raise ValueError(
            f"lookahead_bytes must hold more than a batch of {batch_size} frames of {height}x{width}, which is"
            f" {3 * height * width * (batch_size + 1)} bytes, got {lookahead_bytes}"
        )
