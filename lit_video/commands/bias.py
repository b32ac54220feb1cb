"""`lit-video bias`: which sampler for these videos, and why."""

from __future__ import annotations

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lit_video.commands.hydra_front import GROUPS, compose_and_run
from lit_video.support.screen import screen


def main() -> None:
    """Compose, instantiate, report into Hydra's folder of this run."""
    compose_and_run("bias_report", run)


def run(cfg: DictConfig) -> None:
    """Write the report, and print what it recommends."""
    from lit_video.report.facts import report
    from lit_video.report.setting import setting_of

    runtime, overrides = HydraConfig.get().runtime, HydraConfig.get().overrides.task
    names = {group: runtime.choices[group] for group in GROUPS}
    options = hydra.utils.instantiate(cfg.report)
    facts = report(setting_of(cfg), options, runtime.output_dir, names, list(overrides), screen().print)
    recommendation = facts["recommendation"]
    console = screen(highlight=False)
    taken = " ".join(recommendation["overrides"]) or recommendation["name"]
    console.print(f"\nTake {taken}:\n  {recommendation['command']}", soft_wrap=True)
    console.print(f"Why: {runtime.output_dir}/report.md", soft_wrap=True)
