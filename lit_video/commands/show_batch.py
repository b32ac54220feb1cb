"""`lit-video show-batch`: the first random batch as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lit_video.commands.hydra_front import compose_and_run

if TYPE_CHECKING:
    from lit_video.datamodule import VideoDataModule


def main() -> None:
    """Compose, load, and write `batch.png` into Hydra's folder of this run."""
    compose_and_run("show_batch", run)


def run(cfg: DictConfig) -> None:
    """Write the sheet, and say where."""
    from lit_video.measuring.canvas import require_matplotlib

    require_matplotlib()
    print(show(hydra.utils.instantiate(cfg.data), Path(HydraConfig.get().runtime.output_dir)))


def show(datamodule: VideoDataModule, folder: Path) -> Path:
    """Write the first batch of the first epoch as training would see it, and return where."""
    import torch

    from lit_video.measuring.contact_sheet import draw_batch

    datamodule.setup()
    loader = datamodule.make_loader()
    try:
        batch = next(iter(loader))
    finally:
        loader.close()
    with torch.no_grad():
        batch = datamodule.on_after_batch_transfer(batch, 0)
    file = folder / "batch.png"
    file.write_bytes(draw_batch(batch, loader.index))
    return file
