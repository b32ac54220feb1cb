"""Which sampler for these videos, and why: `python scripts/bias_report.py data.root=FOLDER`."""

from __future__ import annotations

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from lit_video.datamodule import VideoDataModule
from lit_video.errors import told_in_a_sentence
from lit_video.report import Setting
from lit_video.report.main import main as report


@hydra.main(version_base="1.3", config_path="../conf", config_name="bias_report")
def main(cfg: DictConfig) -> None:
    """Compose, instantiate, report into Hydra's folder of this run."""
    with told_in_a_sentence():
        run(cfg)


def run(cfg: DictConfig) -> None:
    """Write the report, and print what it recommends."""
    options = instantiate(cfg.report)
    runtime, overrides = HydraConfig.get().runtime, HydraConfig.get().overrides.task
    names = {group: runtime.choices[group] for group in ("sampler", "decoder", "transform")}
    facts = report(setting_of(cfg), options, runtime.output_dir, names, list(overrides), Console().print)
    recommendation = facts["recommendation"]
    Console().print(f"\nTake {recommendation['name']}:\n  {recommendation['command']}", soft_wrap=True, highlight=False)
    Console().print(f"Why: {runtime.output_dir}/report.md", soft_wrap=True, highlight=False)


def setting_of(cfg: DictConfig) -> Setting:
    """Return the data that `cfg` describes, indexed."""
    datamodule: VideoDataModule = instantiate(cfg.data)  # which checks what was given
    datamodule.setup()
    assert datamodule.index is not None
    parts = {f"make_{part}": instantiate(cfg.data[part]) for part in ("sampler", "decoder")}
    names = ("size", "batch_size", "threads", "seed", "lookahead_bytes", "lookahead")
    given = {name: cfg.data[name] for name in names}
    return Setting(datamodule.index, **parts, transform=datamodule.transform, **given)


if __name__ == "__main__":
    main()
