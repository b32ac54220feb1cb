"""The jobs of a sweep, as they left their folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_video.support.errors import DataError

FAILED = "failed.txt"  # why a job has no throughput.json


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        name: Of its folder, from the sweep's on.
        overrides: What it was started with, value by key.
        config: All its options.
        throughput: Its throughput.json, or None if it failed.
        failed: Why it failed; empty if it did not.
    """

    name: str
    overrides: dict[str, str]
    config: DictConfig
    throughput: dict[str, Any] | None
    failed: str


def find_jobs(sweep: Path) -> list[Job]:
    """Return the jobs whose folders lie in a sweep's folder, in the order of their numbers.

    Raises:
        DataError: There is none.
    """
    folders = [path.parent.parent for path in sweep.glob("**/.hydra/overrides.yaml")]
    if not folders:
        raise DataError(f"{sweep}: no job of a sweep lies here.\nName the folder of one, such as multirun/DATE/TIME")
    return [_read(folder, sweep) for folder in sorted(folders, key=_in_order)]


def _in_order(folder: Path) -> tuple[int, str]:
    return int(folder.name) if folder.name.isdecimal() else -1, str(folder)


def _read(folder: Path, sweep: Path) -> Job:
    overrides = OmegaConf.load(folder / ".hydra" / "overrides.yaml")
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert isinstance(config, DictConfig)
    measured, failed = folder / "throughput.json", folder / FAILED
    throughput = json.loads(measured.read_text()) if measured.exists() else None
    reason = failed.read_text().strip() if failed.exists() else "" if throughput else "it did not end"
    return Job(folder.relative_to(sweep).as_posix(), _split(overrides), config, throughput, reason)


def _split(overrides: Iterable[str]) -> dict[str, str]:
    pairs = (override.lstrip("+").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs}


def swept(jobs: Sequence[Job]) -> list[str]:
    """Return the keys of the overrides in which jobs differ."""
    keys = dict.fromkeys(key for job in jobs for key in job.overrides)
    return [key for key in keys if len({job.overrides.get(key) for job in jobs}) > 1]
