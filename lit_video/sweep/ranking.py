"""What each job's images are worth, and its place among the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_video.decoders.pyav import PyAVDecoder
from lit_video.report.features import make_features
from lit_video.report.likeness import Likeness, lags_needed, measure_likeness
from lit_video.report.pilot import take_pilot
from lit_video.report.setting import Options, Setting, setting_of
from lit_video.report.worth import Worth, weigh
from lit_video.support.errors import LitVideoError
from lit_video.sweep.jobs import Job

OPTIONS = Options()


@dataclass(frozen=True)
class Row:
    """A job, and where it stands.

    Attributes:
        job: Itself.
        worth: What its sampler's laws say; None if it failed, or if that could not be measured.
        rank: By images per second, from 1; None if it failed.
        effective_rank: By effective images per second, from 1; None if it failed or these are not known.
    """

    job: Job
    worth: Worth | None
    rank: int | None = None
    effective_rank: int | None = None

    def values(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return what the job was started with, – for what it was not told."""
        return tuple(self.job.overrides.get(key, "–") for key in keys)

    @property
    def images_per_s(self) -> float | None:
        """As the job measured it; None if it failed."""
        return None if self.job.throughput is None else float(self.job.throughput["images_per_s"])

    @property
    def effective_images_per_s(self) -> float | None:
        """Images per second over the design effect of many batches; None of biased ones: bias does not average out."""
        deff = self.worth.deff["long"] if self.worth and self.unbiased != "no" else 0.0
        return self.images_per_s / deff if self.images_per_s and deff else None

    @property
    def unbiased(self) -> str:
        """Whether the expected gradient is that of all frames: `yes`, `with weights` or `no`; empty if not known."""
        if self.worth is None:
            return ""
        repairable = self.worth.tv > 0 and self.worth.largest_weight is not None
        return "yes" if self.worth.exact_uniform else "with weights" if repairable else "no"


@dataclass(frozen=True)
class Ranking:
    """All jobs, the best by effective images per second first.

    Attributes:
        rows: They.
        note: Why there are no effective rates, where there are none.
    """

    rows: Sequence[Row]
    note: str = ""


def rank(jobs: Sequence[Job]) -> Ranking:
    """Measure how alike the frames of the jobs' videos are, and rank the jobs."""
    worths, note = _weigh_all(jobs)
    rows = [Row(job, worths.get(job.name)) for job in jobs]
    by_rate, by_worth = _places(rows, "images_per_s"), _places(rows, "effective_images_per_s")
    ranked = [Row(row.job, row.worth, by_rate.get(row.job.name), by_worth.get(row.job.name)) for row in rows]
    last = len(jobs) + 1
    return Ranking(sorted(ranked, key=lambda row: (row.effective_rank or last, row.rank or last)), note)


def _places(rows: Sequence[Row], name: str) -> dict[str, int]:
    found = {row.job.name: value for row in rows if (value := getattr(row, name)) is not None}
    ordered = sorted(found, key=found.__getitem__, reverse=True)
    return {job: place for place, job in enumerate(ordered, 1)}


def _weigh_all(jobs: Sequence[Job]) -> tuple[dict[str, Worth], str]:
    """Return the worth of each job that ended, and a sentence if that of some could not be found."""
    likenesses: dict[str, Likeness] = {}
    found: dict[str, Worth] = {}
    for job in jobs:
        if job.throughput is None:
            continue
        try:
            setting, key = setting_of(job.config), _what_is_seen(job.config)
            if key not in likenesses:
                likenesses[key] = _look_at(setting)
            sampler = setting.make_sampler(index=setting.index, seed=setting.seed)
            found[job.name] = weigh(sampler, likenesses[key], setting.batch_size)
        except LitVideoError as error:
            return found, f"Effective images/s are not known: {error}"
    return found, ""


def _what_is_seen(config: DictConfig) -> str:
    """Return what names the frames that a job looks at: jobs of one sampler or another see the same."""
    seen: Any = {key: config.data[key] for key in ("root", "labels", "size", "transform")}
    return OmegaConf.to_yaml(OmegaConf.create(seen))


def _look_at(setting: Setting) -> Likeness:
    """Return how alike frames are, from some that are decoded here, whatever the job decodes with.

    Raises:
        DataError: The videos are too short, or all frames are the same.
    """
    setting = replace(setting, make_decoder=PyAVDecoder)
    pilot = take_pilot(setting, OPTIONS, make_features(setting, OPTIONS.features))
    return measure_likeness(pilot, OPTIONS, setting.seed, lags_needed(pilot.footage, OPTIONS))
