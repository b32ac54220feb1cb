"""What is reported on: the data as a training run would load it, and how thoroughly it is looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from lit_video.decoders.base import Decoder
from lit_video.decoders.geometry import parse_size
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.planning.planner import Budget, divide
from lit_video.samplers.base import Sampler
from lit_video.training.transforms import Transform

FEATURES = ("auto", "gradients", "pixels", "network")
FAMILIES = ("uniform", "chunked", "reservoir", "sequential")


@dataclass(frozen=True)
class Options:
    """How thoroughly to look, and at what.

    Attributes:
        pilot_frames: Data of at most so many different frames is decoded whole.
        num_windows: Runs of neighbouring frames, of larger data.
        num_pairs: Pairs of independent frames, of larger data.
        max_lag: Frames; how far apart likeness is measured.
        features: What stands for a frame's gradient, one of FEATURES.
        rounds: In which all contenders take turns, so that a machine that slows down slows all of them.
        seconds: Of measuring, for each contender.
        images: Of measuring, for each contender at most.
        contenders: Families that compete, of FAMILIES.
        chunk_lengths: Of chunked contenders; `gop`: whole GOPs.
        lookaheads: Of uniform contenders, as shares of what the memory allows; 0: each frame on its own.
        noise_scale: Gradient noise scale in frames; None: noise alone limits training.
        images_per_s: What the model consumes; None: more than can be loaded.

    Raises:
        ValueError: An option out of range.
    """

    pilot_frames: int = 3000
    num_windows: int = 60
    num_pairs: int = 500
    max_lag: int = 64
    features: str = "auto"
    rounds: int = 2
    seconds: float = 5.0
    images: int = 5000
    contenders: Sequence[str] = FAMILIES
    chunk_lengths: Sequence[int | str] = (4, 8, 16, 30, "gop")
    lookaheads: Sequence[float] = (0, 0.25, 1)
    noise_scale: float | None = None
    images_per_s: float | None = None

    def __post_init__(self) -> None:
        least = {"pilot_frames": 0, "num_windows": 10, "num_pairs": 10, "max_lag": 4, "rounds": 1, "images": 1}
        for name, low in least.items():
            value = getattr(self, name)
            _refuse_unless(isinstance(value, int) and value >= low, f"{name} must be at least {low}, got {value!r}")
        for name in ("seconds", "noise_scale", "images_per_s"):
            value = getattr(self, name)
            _refuse_unless(value is None or value > 0, f"{name} must be above 0, got {value!r}")
        _refuse_unless(self.features in FEATURES, f"features must be one of {FEATURES}, got {self.features!r}")
        wrong = [name for name in self.contenders if name not in FAMILIES]
        _refuse_unless(not wrong, f"contenders must be of {FAMILIES}, got {wrong}")
        wrong = [k for k in self.chunk_lengths if k != "gop" and not (isinstance(k, int) and k >= 1)]
        _refuse_unless(not wrong, f"chunk_lengths must be numbers from 1 on or 'gop', got {wrong}")
        wrong = [share for share in self.lookaheads if not 0 <= share <= 1]
        _refuse_unless(not wrong, f"lookaheads must be in [0, 1], got {wrong}")

    @property
    def noise(self) -> float:
        """The noise scale as a number."""
        return math.inf if self.noise_scale is None else float(self.noise_scale)

    @property
    def consumer_rate(self) -> float:
        """What the model consumes as a number."""
        return math.inf if self.images_per_s is None else float(self.images_per_s)


def _refuse_unless(fine: bool, message: str) -> None:
    if not fine:
        raise ValueError(message)


@dataclass(frozen=True)
class Setting:
    """Data, decoder and loader as `train.py` has them.

    Attributes:
        index: The videos.
        make_sampler: Factory `(index, seed) -> Sampler`: the one that this run names.
        make_decoder: Factory `(index, size) -> Decoder`.
        transform: Applied to what the features see; None for none.
        size: Of the frames, `[height, width]` in pixels; an int is a square.
        batch_size: Of one rank.
        threads: That decode, or `auto`.
        seed: Of everything that is random.
        lookahead_bytes: Memory for decoded frames that wait.
        lookahead: Positions that a read looks ahead; None: as far as the memory lasts.
    """

    index: VideoIndex
    make_sampler: Callable[..., Sampler]
    make_decoder: Callable[..., Decoder]
    transform: Transform | None = None
    size: int | Sequence[int] = 224
    batch_size: int = 128
    threads: int | str = "auto"
    seed: int = 0
    lookahead_bytes: int = 2**30
    lookahead: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame, in pixels."""
        return parse_size(self.size)

    @property
    def frame_bytes(self) -> int:
        """Of a decoded frame that waits."""
        return 3 * self.shape[0] * self.shape[1]

    @cached_property
    def gop_lengths(self) -> Int64[np.ndarray, " gops"]:
        """Frames of every GOP."""
        return np.diff(self.index.keyframes)

    @cached_property
    def lead_in(self) -> float:
        """Frames that are decoded for nothing before a frame taken at random."""
        return float(self.gop_lengths @ (self.gop_lengths - 1) / (2 * self.gop_lengths.sum()))

    def budget(self, num_positions: int) -> Budget:
        """Return how the loader of an epoch of so many positions divides the memory, with the look-ahead as it is."""
        num_slots, num_gops = self.lookahead_bytes // self.frame_bytes, len(self.gop_lengths)
        return divide(num_slots, self.batch_size, num_positions, self.index.num_frames, num_gops, self.lookahead)

    def make_loader(
        self,
        sampler: Sampler,
        lookahead: int | None,
        make_decoder: Callable[..., Decoder] | None = None,
        batch_size: int | None = None,
    ) -> VideoLoader:
        """Return a loader as training would have it, on threads of this process: so its reads can be watched."""
        return VideoLoader(
            self.index,
            sampler,
            make_decoder or self.make_decoder,
            size=self.size,
            batch_size=batch_size or self.batch_size,
            threads=self.threads,
            lookahead_bytes=self.lookahead_bytes,
            lookahead=lookahead,
            seed=self.seed,
        )
