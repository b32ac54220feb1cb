"""The first random batch as one picture: `python scripts/show_batch.py data.root=FOLDER sampler=chunked`."""

from __future__ import annotations

from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from lit_video.datamodule import VideoDataModule
from lit_video.measuring.canvas import require_matplotlib
from lit_video.measuring.contact_sheet import draw_batch
from lit_video.support.errors import told_in_a_sentence


@hydra.main(version_base="1.3", config_path="../conf", config_name="show_batch")
def main(cfg: DictConfig) -> None:
    """Compose, load, and write `batch.png` into Hydra's folder of this run."""
    with told_in_a_sentence():
        require_matplotlib()
        print(show(instantiate(cfg.data), Path(HydraConfig.get().runtime.output_dir)))


def show(datamodule: VideoDataModule, folder: Path) -> Path:
    """Write the first batch of the first epoch as training would see it, and return where."""
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


if __name__ == "__main__":
    main()
