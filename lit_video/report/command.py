"""A run's options -> the data that the report is about."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig

from lit_video.datamodule import VideoDataModule
from lit_video.report.setting import Setting


def setting_of(cfg: DictConfig) -> Setting:
    """Return the data that `cfg` describes, indexed."""
    datamodule: VideoDataModule = instantiate(cfg.data)  # which checks what was given
    datamodule.setup()
    assert datamodule.index is not None
    parts = {f"make_{part}": instantiate(cfg.data[part]) for part in ("sampler", "decoder")}
    names = ("size", "batch_size", "threads", "seed", "lookahead_bytes", "lookahead")
    given = {name: cfg.data[name] for name in names}
    return Setting(datamodule.index, **parts, transform=datamodule.transform, **given)
