"""Memory of a file that will be read soon: the disk is asked for all of it at once, not page after page."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable

import numpy as np

from lit_video.store.packing import Buffer


def prefetch(values: Iterable[Buffer]) -> None:
    """Have the system read the pages of mapped values ahead; do nothing where it cannot be asked."""
    if _MADVISE is None:
        return
    for value in values:
        address = np.frombuffer(value, np.uint8).ctypes.data
        first = address // mmap.PAGESIZE * mmap.PAGESIZE
        _MADVISE(first, address + len(value) - first, mmap.MADV_WILLNEED)


def _find_madvise():
    try:
        found = ctypes.CDLL(None).madvise
        mmap.MADV_WILLNEED  # noqa: B018
    except (OSError, AttributeError, TypeError):
        return None
    found.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return found


_MADVISE = _find_madvise()
