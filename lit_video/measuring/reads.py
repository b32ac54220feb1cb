"""What each read of a loader takes: a decoder that writes it down while another one decodes."""

from __future__ import annotations

import time
from typing import NamedTuple

from lit_video.decoders.base import Decoder, Frames
from lit_video.planning.planner import GopRead


class Read(NamedTuple):
    """One read that ended."""

    ended: float  # a time of `time.perf_counter`
    seconds: float  # that its thread was busy
    cpu_seconds: float  # of these, that it had a core
    decoded: int  # frames from the keyframe to the last wanted one
    wanted: int  # frames that were scaled and written
    filled: int  # positions of the order that they fill


class WatchedDecoder:
    """A decoder that appends what each of its reads took to `reads`."""

    def __init__(self, decoder: Decoder, reads: list[Read]) -> None:
        self._decoder, self._reads = decoder, reads
        self.device, self.start_method = decoder.device, decoder.start_method
        self.default_threads, self.look = getattr(decoder, "default_threads", None), getattr(decoder, "look", None)

    def decode(self, read: GopRead, out: Frames) -> None:
        """Decode, and note what it took."""
        began, cpu_began = time.perf_counter(), time.thread_time()
        self._decoder.decode(read, out)
        ended, cpu_ended = time.perf_counter(), time.thread_time()
        work = read.num_decoded, len(read.frame_indices), sum(map(len, read.positions))
        self._reads.append(Read(ended, ended - began, cpu_ended - cpu_began, *work))

    def close(self) -> None:
        """Close all files."""
        self._decoder.close()
