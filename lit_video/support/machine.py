"""What this process may use of the machine."""

from __future__ import annotations

import os
from contextlib import suppress


def num_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def files_for_each_core(most: int) -> int:
    """Return how many files a thread for each core may keep open: `most`, or what a quarter of the limit allows."""
    with suppress(ImportError):  # not on Windows
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit

        limit, _ = getrlimit(RLIMIT_NOFILE)
        if limit != RLIM_INFINITY:
            return max(1, min(most, limit // (4 * num_cores())))
    return most
