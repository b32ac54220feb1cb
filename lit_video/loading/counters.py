"""What a loader did: the figures that `throughput.json` is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counts:
    """What a loader did since it was made. Times are of `time.perf_counter`."""

    images: int = 0
    batches: int = 0
    reads: int = 0
    delivered_frames: int = 0
    decoded_frames: int = 0
    fetched_frames: int = 0  # of the delivered ones, those that were decoded before: kept in memory, or stored
    requests: int = 0  # of stores, where videos are far away
    bytes_fetched: int = 0
    peak_held_frames: int = 0
    skipped_frames: int = 0
    images_from_cpu: int = 0  # of videos that the decoder's GPU does not decode
    wait_seconds: float = 0.0
    first_request: float | None = None
    first_batch: float | None = None
