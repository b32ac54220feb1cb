"""By what the bytes of a file are known again, whatever it is called and whenever it was written."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

BLOCK_BYTES = 2**16
NUM_BLOCKS = 64
WHOLE_BYTES = NUM_BLOCKS * BLOCK_BYTES  # a file of so many bytes or fewer is read whole
DIGEST_BYTES = 16
UNKNOWN = bytes(DIGEST_BYTES)  # stands for what changed while it was looked at; equal to no file's


def digest_of(path: str | Path, size_bytes: int) -> bytes:
    """Return 16 bytes that stand for a file's size and bytes: all of them, or 64 blocks of 64 KiB of a large file.

    The blocks are the first, the last, and others evenly between. So a stretch that differs is noticed where it is
    longer than a 63rd of the file, and a few bytes in a large file may not be.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    digest = hashlib.blake2b(b"%d " % size_bytes, digest_size=DIGEST_BYTES)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))  # a pipe would wait
    with os.fdopen(handle, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        for place in _places(size_bytes):
            file.seek(place)
            digest.update(file.read(BLOCK_BYTES))
    return digest.digest()


def is_of_all_bytes(size_bytes: int) -> bool:
    """Tell whether the digest of a file of this size is of all its bytes."""
    return size_bytes <= WHOLE_BYTES


def _places(size_bytes: int) -> Iterable[int]:
    if is_of_all_bytes(size_bytes):
        return range(0, size_bytes, BLOCK_BYTES)
    return ((size_bytes - BLOCK_BYTES) * number // (NUM_BLOCKS - 1) for number in range(NUM_BLOCKS))
