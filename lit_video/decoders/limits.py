"""How many files and decoders a thread that decodes keeps: as many as file handles and memory allow, and help."""

from __future__ import annotations

import numpy as np

from lit_video.index import VideoIndex
from lit_video.support.machine import memory_bytes, num_cores, num_file_handles

MOST_FILES, MOST_DECODERS = 512, 16

# Measured with PyAV 18.1: an open container takes some 400 kB, and 40 bytes for each frame in its table; a decoder six
# pictures, 18 MiB at 1080p.
FILE_BYTES, TABLE_BYTES = 400_000, 40
PICTURES = 6

FILES_SHARE, DECODERS_SHARE = 1 / 64, 1 / 16  # of the memory that this process may use
HANDLES_SHARE = 1 / 2  # the rest is for the model, its log, and workers' pipes


def files_to_keep(index: VideoIndex, threads: int | None = None) -> int:
    """Return how many files a thread may keep open.

    Args:
        index: The videos.
        threads: That decode in this process; by default one for each core.
    """
    threads = threads or num_cores()
    by_handles = HANDLES_SHARE * num_file_handles() / threads
    each = FILE_BYTES + TABLE_BYTES * float(np.mean(index.lengths))
    by_memory = FILES_SHARE * memory_bytes() / threads / each
    return max(1, int(min(MOST_FILES, by_handles, by_memory)))


def decoders_to_keep(index: VideoIndex, threads: int | None = None) -> int:
    """Return how many decoders a thread may keep for its open files, by the largest video's pictures."""
    bytes_a_sample = np.where(np.isin(np.arange(index.num_videos), index.deep), 2, 1)
    pixels = index.columns.width.astype(np.int64) * index.columns.height * bytes_a_sample
    each = PICTURES * 1.5 * float(pixels.max())
    return max(1, int(min(MOST_DECODERS, DECODERS_SHARE * memory_bytes() / (threads or num_cores()) / each)))
