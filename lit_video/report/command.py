"""The report from the command line: what scripts/bias_report.py and `lit-video bias` run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from lit_video.datamodule import VideoDataModule
from lit_video.measuring.canvas import require_matplotlib
from lit_video.report.document import reasons, write_document
from lit_video.report.facts import Facts, measure
from lit_video.report.pictures import draw
from lit_video.report.setting import Options, Setting
from lit_video.support.errors import told_in_a_sentence
from lit_video.support.screen import screen

GROUPS = ("sampler", "decoder", "transform")


def offer_short_names() -> None:
    """Let `sampler=chunked` mean the package's option, as the files in conf/ of the repository do for train.py."""
    for group in GROUPS:
        for option in files("lit_video.conf").joinpath("lit_video", group).iterdir():
            name = option.name.removesuffix(".yaml")
            alias = {"defaults": [f"/lit_video/{group}/{name}@_here_"]}
            ConfigStore.instance().store(name, alias, group=group, package=f"data.{group}")


def main() -> None:
    """Compose, instantiate, report into Hydra's folder of this run."""
    # Here and not on import: a process that composes train.py's options too would have each short name twice.
    offer_short_names()
    _main()


@hydra.main(version_base="1.3", config_path="conf", config_name="bias_report")
def _main(cfg: DictConfig) -> None:
    with told_in_a_sentence():
        run(cfg)


def run(cfg: DictConfig) -> None:
    """Write the report, and print what it recommends."""
    options = instantiate(cfg.report)
    runtime, given = HydraConfig.get().runtime, HydraConfig.get().overrides.task
    names = {group: runtime.choices[group] for group in GROUPS}
    facts = report(setting_of(cfg), options, runtime.output_dir, names, list(given), screen().print)
    recommendation = facts["recommendation"]
    console = screen(highlight=False)
    console.print(
        f"\nTake {' '.join(recommendation['overrides']) or recommendation['name']}:\n  {recommendation['command']}",
        soft_wrap=True,
    )
    console.print(f"Why: {runtime.output_dir}/report.md", soft_wrap=True)


def setting_of(cfg: DictConfig) -> Setting:
    """Return the data that `cfg` describes, indexed."""
    datamodule: VideoDataModule = instantiate(cfg.data)  # which checks what was given
    datamodule.setup()
    assert datamodule.index is not None
    parts = {f"make_{part}": instantiate(cfg.data[part]) for part in ("sampler", "decoder")}
    names = ("size", "batch_size", "threads", "seed", "lookahead_bytes", "lookahead")
    given = {name: cfg.data[name] for name in names}
    return Setting(datamodule.index, **parts, transform=datamodule.transform, **given)


def report(
    setting: Setting,
    options: Options,
    folder: str | Path,
    names: Mapping[str, str],
    given: Sequence[str] = (),
    tell: Callable[[str], None] = print,
) -> Facts:
    """Measure, and write the report into `folder`; nothing is written before all is measured.

    Args:
        setting: The data, as training would load it.
        options: How thoroughly to look.
        folder: Where report.md, report.json and the pictures go.
        names: What the run calls its `sampler`, `decoder` and `transform`.
        given: Overrides of the command line, for the command that is recommended.
        tell: Is told what is going on.

    Returns:
        What report.json holds.

    Raises:
        LitVideoError: matplotlib is missing, a video cannot be decoded, or there is nothing to compare.
    """
    require_matplotlib()
    began = time.perf_counter()
    facts = measure(setting, options, names, given, tell)
    facts["recommendation"]["reasons"] = reasons(facts)
    pictures = draw(facts)
    facts["seconds"] = round(time.perf_counter() - began, 1)
    write(Path(folder), facts, pictures)
    return facts


def write(folder: Path, facts: Facts, pictures: Mapping[str, bytes]) -> None:
    """Write each file whole or not at all, report.md last: where it is, all is."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {**pictures, "report.json": (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode()}
    contents["report.md"] = write_document(facts, pictures).encode()
    for name, content in contents.items():
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)
