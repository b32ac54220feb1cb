"""What a choice of sampler depends on: the data, the machine, the model. Measured once, checked here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from lit_video.bias.arguments import Integers, correlation, lengths_in_frames, real, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What was measured, and what there is to spend.

    Attributes:
        gop_lengths: Frames of every GOP of the data set, [GOPs].
        R: Correlation of gradients by distance in frames, R[0] = 1. Runs longer than it are not considered.
        b: Slots of a batch.
        decode_seconds: Time to decode a frame.
        seek_seconds: Time to get to a keyframe.
        frame_bytes: Bytes of a decoded, resized frame.
        memory_bytes: Memory for frames that wait.
        cache_bytes: Memory or scratch disk for all frames, decoded once.
        stored_frame_bytes: Bytes of a frame in that cache; None: `frame_bytes`.
        noise_scale: Gradient noise scale in frames; infinite if noise limits training.
        num_decoders: Decoders that run at once.
        consumer_rate: Frames per second that the model takes; infinite if it is always waiting.
        max_open: Chunks that may be open at once.
    """

    gop_lengths: ArrayLike
    R: ArrayLike
    b: int
    decode_seconds: float
    seek_seconds: float
    frame_bytes: int
    memory_bytes: int
    cache_bytes: int = 0
    stored_frame_bytes: int | None = None
    noise_scale: float = math.inf
    num_decoders: int = 1
    consumer_rate: float = math.inf
    max_open: int = 64

    def __post_init__(self) -> None:
        lengths_in_frames("gop_lengths", self.gop_lengths)
        correlation("R", self.R)
        for name in ("b", "frame_bytes", "num_decoders", "max_open"):
            whole(name, getattr(self, name))
        for name in ("memory_bytes", "cache_bytes"):
            whole(name, getattr(self, name), low=0)
        for name in ("decode_seconds", "seek_seconds", "noise_scale", "consumer_rate"):
            real(name, getattr(self, name))
        if self.stored_frame_bytes is not None:
            whole("stored_frame_bytes", self.stored_frame_bytes)
        seconds = self.decode_seconds + self.seek_seconds
        if not 0 < seconds < math.inf or self.consumer_rate == 0:
            came = f"{seconds:g} and {self.consumer_rate:g}"
            raise ValueError(f"decode_seconds + seek_seconds and consumer_rate must be above 0, got {came}")

    @property
    def gops(self) -> Integers:
        """Frames of every GOP, int64 [GOPs]."""
        return lengths_in_frames("gop_lengths", self.gop_lengths)

    @property
    def memory_frames(self) -> int:
        """Decoded frames that may wait."""
        return self.memory_bytes // self.frame_bytes
