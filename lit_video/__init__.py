"""Random video frames for PyTorch Lightning.

Data flows one way, and each stage is a folder, a room; a room knows only those below it::

    support, media, bias -> index -> samplers -> planning -> decoders -> loading -> training -> datamodule

`engines` runs on many machines what is the same for each file, and `proxies` and `store` keep what that gives.
`measuring`, `bench`, `report` and `sweep` look at runs, `checks` (and `testing`, its public name) holds everything,
your samplers and decoders too, to its promises, `commands` is `lit-video`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
        if name.startswith("Video"):  # is an index, or has one
            importlib.import_module("lit_video.index").VideoIndex.verify = _verify
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _verify(self: VideoIndex, video_id: int) -> Any:
    """Check every frame of a video by random access, sample by sample, against one sequential decode.

    `lit_video.checks.verify.verify` as a method, put on here: the index itself may not know what it is held to.

    Raises:
        OSError: The file cannot be opened any more.
    """
    return importlib.import_module("lit_video.checks.verify").verify(self, video_id)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
