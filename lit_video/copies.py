"""Bytes copied between main memory and a GPU, counted by torch's profiler: frames that stay on the GPU copy none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch


@runtime_checkable
class CopyEvent(Protocol):
    """What the profiler records of one operation on the device."""

    def name(self) -> str:
        """Return such as `Memcpy HtoD (Pinned -> Device)`."""
        ...

    def nbytes(self) -> int:
        """Return the bytes that it moved."""
        ...


class Copied(NamedTuple):
    """Bytes that crossed between main memory and the GPU."""

    host_to_device: int
    device_to_host: int


class CopyCounter:
    """Counts copies between `start` and `stop`, of all threads of this process."""

    def __init__(self) -> None:
        self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])

    def start(self) -> None:
        """Begin to count."""
        self._profiler.start()

    def stop(self) -> Copied:
        """Return what was copied since `start`, and count no more."""
        torch.cuda.synchronize()
        self._profiler.stop()
        results = self._profiler.profiler
        assert results is not None
        assert results.kineto_results is not None
        return count(cast(Iterable[CopyEvent], results.kineto_results.events()))


def count(events: Iterable[CopyEvent]) -> Copied:
    """Return the bytes of all copies among the profiler's events."""
    to_device = to_host = 0
    for event in events:
        name = event.name()
        if name.startswith("Memcpy HtoD"):
            to_device += event.nbytes()
        elif name.startswith("Memcpy DtoH"):
            to_host += event.nbytes()
    return Copied(to_device, to_host)
