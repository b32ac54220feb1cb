"""Bytes copied between main memory and a GPU, counted by torch's profiler: frames that stay on the GPU copy none."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Copied(NamedTuple):
    """Bytes that crossed between main memory and the GPU."""

    host_to_device: int
    device_to_host: int


class CopyCounter:
    """Counts copies between `start` and `stop`, of all threads of this process.

    The profiler keeps a record of everything that the GPU does meanwhile: for some dozens of batches, not for a run.
    """

    def __init__(self) -> None:
        self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])

    def start(self) -> None:
        """Begin to count. The first time takes some seconds, in which CUDA's profiling interface is loaded."""
        self._profiler.start()

    def stop(self) -> Copied:
        """Return what was copied since `start`, and count no more."""
        torch.cuda.synchronize()
        self._profiler.stop()
        with tempfile.TemporaryDirectory() as folder:
            # An event's bytes are in the exported trace only: `nbytes()` tells those of allocations, and 0 of copies.
            trace = Path(folder) / "trace.json"
            self._profiler.export_chrome_trace(str(trace))
            return count(json.loads(trace.read_text())["traceEvents"])


def count(events: Iterable[Mapping[str, Any]]) -> Copied:
    """Return the bytes of all copies among the events of a trace."""
    to_device = to_host = 0
    for event in events:
        name = str(event.get("name", ""))
        if name.startswith("Memcpy HtoD"):
            to_device += int(event["args"]["bytes"])
        elif name.startswith("Memcpy DtoH"):
            to_host += int(event["args"]["bytes"])
    return Copied(to_device, to_host)
