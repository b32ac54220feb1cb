"""What is reported on: the data as a training run would load it, and how thoroughly it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hydra.utils import instantiate
from jaxtyping import Int64
from omegaconf import DictConfig

from lit_video.bias.validation import whole
from lit_video.datamodule import VideoDataModule
from lit_video.decoders.base import Decoder
from lit_video.decoders.geometry import parse_size
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.planning.budget import divide
from lit_video.samplers.base import Sampler
from lit_video.support.errors import check_choice
from lit_video.training.transforms import Transform

FEATURES = ("auto", "gradients", "pixels", "network")
FAMILIES = ("uniform", "chunked", "reservoir", "sequential")
LOADING = ("size", "batch_size", "threads", "seed", "lookahead_bytes", "lookahead")  # of a setting, what loaders take


@dataclass(frozen=True)
class Options:
    """How thoroughly to look, and at what.

    Raises:
        ValueError: An option out of range.
    """

    pilot_frames: int = 3000  # data of at most so many different frames is decoded whole
    num_windows: int = 60  # runs of neighbouring frames, of larger data
    num_pairs: int = 500  # pairs of independent frames, of larger data
    max_lag: int = 64  # frames; how far apart likeness is measured
    features: str = "auto"  # what stands for a frame's gradient, one of FEATURES
    rounds: int = 2  # in which all contenders take turns, so that a machine that slows down slows all of them
    seconds: float = 5.0  # of measuring, for each contender
    images: int = 5000  # of measuring, for each contender at most
    contenders: Sequence[str] = FAMILIES  # families that compete
    chunk_lengths: Sequence[int | str] = (4, 8, 16, 30, "gop")  # of chunked contenders; `gop`: whole GOPs
    lookaheads: Sequence[float] = (
        0,
        0.25,
        1,
    )  # of uniform ones, as shares of what the memory allows; 0: each frame alone
    noise_scale: float | None = None  # gradient noise scale in frames; None: noise alone limits training
    images_per_s: float | None = None  # what the model consumes; None: more than can be loaded

    def __post_init__(self) -> None:
        least = {"pilot_frames": 0, "num_windows": 10, "num_pairs": 10, "max_lag": 4, "rounds": 1, "images": 1}
        for name, low in least.items():
            whole(name, getattr(self, name), low)
        check_choice("features", self.features, FEATURES)
        for name in ("seconds", "noise_scale", "images_per_s"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value!r}")
        is_length = lambda k: k == "gop" or (isinstance(k, int) and k >= 1)  # noqa: E731
        self._check_each("contenders", f"of {FAMILIES}", lambda name: name in FAMILIES)
        self._check_each("chunk_lengths", "numbers from 1 on or 'gop'", is_length)
        self._check_each("lookaheads", "in [0, 1]", lambda share: 0 <= share <= 1)

    def _check_each(self, name: str, allowed: str, is_fine: Callable[[Any], bool]) -> None:
        if wrong := [value for value in getattr(self, name) if not is_fine(value)]:
            raise ValueError(f"{name} must be {allowed}, got {wrong}")


@dataclass(frozen=True)
class Setting:
    """Data, decoder and loader as `train.py` has them."""

    index: VideoIndex
    make_sampler: Callable[..., Sampler]  # factory `(index, seed) -> Sampler`: the one that this run names
    make_decoder: Callable[..., Decoder]  # factory `(index, size) -> Decoder`
    transform: Transform | None = None  # applied to what the features see; None for none
    size: int | Sequence[int] = 224  # of the frames, `[height, width]` in pixels; an int is a square
    batch_size: int = 128  # of one rank
    threads: int | str = "auto"  # that decode, or `auto`
    seed: int = 0  # of everything that is random
    lookahead_bytes: int = 2**30  # memory for decoded frames that wait
    lookahead: int | None = None  # positions that a read looks ahead; None: as far as the memory lasts

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

    @property
    def reach(self) -> int:
        """Positions that a read of uniform order looks ahead, as far as memory or the user lets it."""
        num_slots, n, num_gops = self.lookahead_bytes // self.frame_bytes, self.index.num_frames, len(self.gop_lengths)
        return divide(num_slots, self.batch_size, n, n, num_gops, self.lookahead).lookahead

    def make_loader(self, sampler: Sampler, **changes: Any) -> VideoLoader:
        """Return a loader as training would have it but for `changes`.

        It decodes on threads of this process, so that its reads can be watched.
        """
        as_given = {name: getattr(self, name) for name in LOADING}
        alone = {"decoder": self.make_decoder, "last_epoch": 0}  # epochs are measured one by one
        return VideoLoader(self.index, sampler, **{**alone, **as_given, **changes})


def setting_of(cfg: DictConfig) -> Setting:
    """Return the data that `cfg` describes, indexed."""
    datamodule: VideoDataModule = instantiate(cfg.data)  # which checks what was given
    datamodule.setup()
    assert datamodule.index is not None
    parts = {f"make_{part}": instantiate(cfg.data[part]) for part in ("sampler", "decoder")}
    given = {name: cfg.data[name] for name in LOADING}
    return Setting(datamodule.index, **parts, transform=datamodule.transform, **given)
