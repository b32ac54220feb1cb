"""One contender, once, in this process: `python -m lit_video.bench.run JSON` prints a row of JSON.

Or what the contender reads is made, and nothing is timed but that: the row says what it took.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from lit_video.bench import CONTENDERS, PREPARED, contenders, of_clips, of_far, of_files, of_lance, of_store
from lit_video.bench.contenders import Contest, Setting
from lit_video.bench.prepared import Prepared
from lit_video.loading.counters import Counts
from lit_video.support.errors import LitVideoError

MODULES = (contenders, of_clips, of_far, of_files, of_lance, of_store)
CACHES = Path("/proc/sys/vm/drop_caches")


class Watch(threading.Thread):
    """Samples memory and open files of this process and its children, five times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = self.peak_files = 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until `end`."""
        while not self._ended.wait(0.2):
            try:
                family = [psutil.Process(), *psutil.Process().children(recursive=True)]
                self.peak_bytes = max(self.peak_bytes, sum(p.memory_info().rss for p in family))
                self.peak_files = max(self.peak_files, sum(p.num_fds() for p in family))
            except psutil.Error:  # a child that just ended
                continue

    def end(self) -> None:
        """Sample no more."""
        self._ended.set()
        self.join()


def contender(name: str) -> Callable[[Setting], Contest]:
    """Return a contender by its name."""
    assert name in CONTENDERS
    return _function(name)


def _function(name: str) -> Callable[[Setting], Any]:
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))


def prepare(name: str, setting: Setting) -> dict[str, Any]:
    """Make what a contender reads, unless it is there; return how long that took and how large it is, for its rows."""
    made: Prepared = _function(PREPARED[name])(setting)
    return {"prepare_seconds": made.seconds, "prepared_bytes": made.num_bytes}


def check_drop_caches() -> None:
    """Check that the page cache can be dropped.

    Raises:
        LitVideoError: It cannot, by this user or on this system.
    """
    if not os.access(CACHES, os.W_OK):
        raise LitVideoError(f"--drop-caches writes to {CACHES}, which this user cannot.\nRun it as root, or without it")


def drop_caches() -> None:
    """Have the next reads come from the disk. What a process has mapped and touched stays in memory."""
    check_drop_caches()
    os.sync()  # pages that are yet to be written stay as well
    CACHES.write_text("3")


def run(name: str, setting: Setting, skip: int, images: int, cold: bool = False) -> dict[str, Any]:
    """Load `skip` images, then time the next `images`, whole batches each.

    Args:
        name: Of the contender.
        setting: What it is to load.
        skip: Images before the clock starts.
        images: Images to time.
        cold: Drop the page cache before the contender begins, and again before the clock starts.

    Returns:
        The row: images timed, seconds, images_per_s, time to the first batch, wait after the skipped ones, peak
        memory and open files, and of ours the decode amplification of the timed part.
    """
    if cold:
        drop_caches()
    watch = Watch()
    watch.start()
    began = time.perf_counter()
    batches, counts = contender(name)(setting)
    seen, first = 0, None
    while seen < skip or first is None:
        seen += len(next(batches))
        first = first or time.perf_counter() - began
    if cold and skip:
        drop_caches()
    if not skip:  # the first batch is part of what is timed
        start, timed = began, seen
    else:
        start, timed = time.perf_counter(), 0
    before_clock = replace(counts) if counts and not timed else Counts()
    waited, busy_until = 0.0, time.perf_counter()
    while timed < images:
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        timed += len(batch)
        if setting.images_per_s:
            busy_until = max(time.perf_counter(), busy_until) + len(batch) / setting.images_per_s
            time.sleep(max(0.0, busy_until - time.perf_counter()))
    seconds = time.perf_counter() - start
    watch.end()
    batches.close()
    return {
        "contender": name,
        "images": timed,
        "seconds": seconds,
        "images_per_s": timed / seconds,
        "time_to_first_batch_s": first,
        "wait_seconds": waited,
        "peak_bytes": watch.peak_bytes,
        "peak_files": watch.peak_files,
        "decode_amplification": _each("decoded_frames", counts, before_clock),
        "reads_per_image": _each("reads", counts, before_clock),
        "requests_per_image": _each("requests", counts, before_clock) or None,
        "bytes_fetched_per_image": _each("bytes_fetched", counts, before_clock) or None,
    }


def _each(what: str, counts: Counts | None, before: Counts) -> float | None:
    """Return a count for each frame delivered since `before`; None if there was none, or nobody counts."""
    if counts is None or counts.delivered_frames == before.delivered_frames:
        return None
    return (getattr(counts, what) - getattr(before, what)) / (counts.delivered_frames - before.delivered_frames)


def main() -> None:
    """Run what the argument says."""
    task = json.loads(sys.argv[1])
    task["setting"]["paths"] = tuple(task["setting"]["paths"])
    setting, does = Setting(**task.pop("setting")), prepare if task.pop("prepare", False) else run
    print(json.dumps(does(task.pop("contender"), setting, **task)))


if __name__ == "__main__":
    main()
