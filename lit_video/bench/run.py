"""One contender, once, in this process: `python -m lit_video.bench.run JSON` prints a row of JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from lit_video.bench import CONTENDERS, contenders, of_clips
from lit_video.bench.contenders import Contest, Setting
from lit_video.loading.counters import Counts


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
    return getattr(contenders, name, None) or getattr(of_clips, name)


def run(name: str, setting: Setting, skip: int, images: int) -> dict[str, Any]:
    """Load `skip` images, then time the next `images`, whole batches each.

    Returns:
        The row: images timed, seconds, images_per_s, time to the first batch, wait after the skipped ones, peak
        memory and open files, and of ours the decode amplification of the timed part.
    """
    watch = Watch()
    watch.start()
    began = time.perf_counter()
    batches, counts = contender(name)(setting)
    seen, first = 0, None
    while seen < skip or first is None:
        seen += len(next(batches))
        first = first or time.perf_counter() - began
    if seen > skip:  # the first batch is part of what is timed
        start, timed = began, seen
    else:
        start, timed = time.perf_counter(), 0
    before_clock = (counts.decoded_frames, counts.delivered_frames) if counts and not timed else (0, 0)
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
        "decode_amplification": _amplification(counts, before_clock),
    }


def _amplification(counts: Counts | None, before: tuple[int, int]) -> float | None:
    """Return frames decoded for each one delivered by the reads that began since `before`; None if there were none."""
    if counts is None or counts.delivered_frames == before[1]:
        return None
    return (counts.decoded_frames - before[0]) / (counts.delivered_frames - before[1])


def main() -> None:
    """Run what the argument says."""
    task = json.loads(sys.argv[1])
    task["setting"]["paths"] = tuple(task["setting"]["paths"])
    print(json.dumps(run(task["contender"], Setting(**task["setting"]), task["skip"], task["images"])))


if __name__ == "__main__":
    main()
