"""A run's options -> the data that the report is about; and the whole report, in a folder written at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from lit_video.datamodule import VideoDataModule
from lit_video.measuring.canvas import require_matplotlib
from lit_video.report.document import reasons, write_document
from lit_video.report.facts import Facts, measure
from lit_video.report.pictures import draw
from lit_video.report.setting import Options, Setting


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
