"""Random video frames for PyTorch Lightning.

Data flows one way, and the modules are named in that order::

    index -> samplers -> planner -> slots -> decoders -> loader -> transforms -> datamodule

`bias` says what a sampler costs statistically, `throughput` measures a run, `testing` holds samplers and decoders,
yours too, to their promises.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_video.datamodule import VideoDataModule as VideoDataModule
    from lit_video.index import VideoIndex as VideoIndex
    from lit_video.loading.loader import VideoLoader as VideoLoader
    from lit_video.support.errors import DataError as DataError
    from lit_video.support.errors import DecodeError as DecodeError
    from lit_video.support.errors import LitVideoError as LitVideoError

__version__ = "0.1.0"

_HOME = {
    "DataError": "lit_video.support.errors",
    "DecodeError": "lit_video.support.errors",
    "LitVideoError": "lit_video.support.errors",
    "VideoDataModule": "lit_video.datamodule",
    "VideoIndex": "lit_video.index",
    "VideoLoader": "lit_video.loading.loader",
}
__all__ = ["DataError", "DecodeError", "LitVideoError", "VideoDataModule", "VideoIndex", "VideoLoader"]


def __getattr__(name: str) -> object:
    # Lazy (PEP 562): every Hydra program in the environment imports this package at its start to find the options,
    # and must not wait five seconds for torch.
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
