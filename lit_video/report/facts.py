"""Each finding -> plain numbers, which report.json, pictures and words are made of.

Their keys are described in docs/bias.md, section 15.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lit_video.bias import Recommendation
from lit_video.report.contenders import Contender
from lit_video.report.contest import Measured
from lit_video.report.costs import Epoch
from lit_video.report.features import Features
from lit_video.report.inclusion import Inclusion, Profile
from lit_video.report.likeness import Likeness
from lit_video.report.pilot import Pilot
from lit_video.report.setting import Options, Setting
from lit_video.report.worth import Worth, effective_rate
from lit_video.samplers.laws import HORIZONS

Facts = dict[str, Any]

DIGITS = 6  # of a number in the report


@dataclass(frozen=True, eq=False)
class Entrant:
    """A contender and all that was found of it.

    Attributes:
        contender: Itself.
        measured: What it did.
        epoch: What a whole epoch would do.
        worth: What its images are worth.
    """

    contender: Contender
    measured: Measured
    epoch: Epoch
    worth: Worth


def plain(value: Any) -> Any:
    """Return `value` as JSON has it: numbers rounded, what is not finite as None."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def data_facts(setting: Setting, pilot: Pilot) -> Facts:
    """Return what was looked at."""
    index, gops = setting.index, setting.gop_lengths
    return {
        "videos": index.num_videos,
        "different_videos": len(pilot.footage.videos),
        "frames": index.num_frames,
        "gops": len(gops),
        "gop_length": {"least": gops.min(), "median": float(np.median(gops)), "most": gops.max()},
        "width": index.columns.width[0],
        "height": index.columns.height[0],
        "codec": index.codec(0),
        "first_path": index.path(0),
        "skipped_files": len(index.skipped),
    }


def likeness_facts(likeness: Likeness, pilot: Pilot, features: Features) -> Facts:
    """Return R, where it comes from, and how sure it is."""
    measured = slice(0, likeness.num_measured)
    return {
        "features": {"kind": features.kind, "what": features.sentence},
        "pilot": {
            "whole": pilot.whole,
            "frames": len(pilot.frame_ids),
            "runs": len(pilot.runs),
            "pairs": len(pilot.pairs),
            "seconds": pilot.seconds,
        },
        "bootstrap": "blocks" if likeness.block else "videos",
        "bootstrap_words": likeness.bootstrap,
        "block": likeness.block,
        "lag": np.arange(likeness.num_measured),
        "R": likeness.R[measured],
        "low": likeness.low[measured],
        "high": likeness.high[measured],
        "pairs_of_lag": likeness.num_pairs,
        "model": asdict(likeness.model),
        "fitted": likeness.model.R(likeness.num_measured),
        "beyond": "measured" if likeness.exact else "model",
    }


def entrant_facts(entrant: Entrant, setting: Setting, options: Options, curves: Sequence[Facts]) -> Facts:
    """Return one row of the table; `curves` has the design effects of real orders."""
    contender, measured, epoch, worth = entrant.contender, entrant.measured, entrant.epoch, entrant.worth
    effective = {
        horizon: effective_rate(epoch.images_per_s, deff, setting.batch_size, options.noise, options.consumer_rate)
        for horizon, deff in worth.deff.items()
    }
    return {
        "name": contender.name,
        "family": contender.family,
        "arguments": contender.arguments,
        "chunk": contender.chunk,
        "lookahead": measured.budget.lookahead,
        "images_per_s": epoch.images_per_s,
        "standard_error": measured.standard_error * epoch.images_per_s / measured.images_per_s,
        "deff": worth.deff,
        "deff_low": worth.low,
        "deff_high": worth.high,
        "effective_images_per_s": effective,
        "effective_batch_size": {h: setting.batch_size / d if d else None for h, d in worth.deff.items()},
        "decoded_per_image": epoch.decoded_per_image,
        "decoded_per_image_theory": epoch.theory,
        "decoded_per_image_formula": epoch.formula,
        "reads_per_image": epoch.reads_per_image,
        "tv": worth.tv,
        "chi": worth.chi,
        "largest_weight": worth.largest_weight,
        "inclusion": worth.inclusion,
        "exact_uniform": worth.exact_uniform,
        "epoch_complete": worth.epoch_complete,
        "measured": _measurement(measured) | {"deff_batch": _batch_deff(contender, setting.batch_size, curves)},
    }


def _measurement(measured: Measured) -> Facts:
    return {
        "images_per_s": measured.images_per_s,
        "seconds": measured.seconds,
        "images_handed_out": measured.images,
        "first_batch_seconds": measured.first_batch_seconds,
        "wait_seconds": measured.wait_seconds,
        "decoded_per_image": measured.decoded_per_image,
        "reads_per_image": measured.reads_per_image,
        "peak_held_frames": measured.peak_held_frames,
        "warnings": measured.warned,
    }


def _batch_deff(contender: Contender, batch_size: int, curves: Sequence[Facts]) -> float | None:
    """Return the design effect of the batches of real orders; None where not all frames are known."""
    for curve in curves:
        if curve["name"] == contender.sampler_name and curve["measured"] is not None and batch_size in curve["slots"]:
            return float(curve["measured"][curve["slots"].index(batch_size)])
    return None


def pareto(rows: Sequence[Facts], horizon: str) -> list[str]:
    """Return the names of unbiased contenders that no other beats in images per second and worth, fastest first."""
    fair = [row for row in rows if row["exact_uniform"] and row["deff"][horizon]]
    ordered = sorted(fair, key=lambda row: (-row["images_per_s"], row["deff"][horizon]))
    front: list[Facts] = []
    for row in ordered:
        if not front or row["deff"][horizon] < front[-1]["deff"][horizon]:
            front.append(row)
    return [row["name"] for row in front]


def inclusion_facts(inclusion: Inclusion) -> Facts:
    """Return counts, tests and profiles."""
    return {
        "epochs": inclusion.epochs,
        "each_once": inclusion.each_once,
        "tests": [asdict(test) | {"as_it_should": test.as_it_should} for test in inclusion.tests],
        "by_edge": _profile(inclusion.by_edge),
        "by_gop": _profile(inclusion.by_gop),
    }


def _profile(profile: Profile | None) -> Facts | None:
    return None if profile is None else asdict(profile)


def law_facts(found: Recommendation) -> Facts:
    """Return what the cost model says."""
    return {
        "sampler": found.sampler,
        "parameters": dict(found.parameters),
        "reasons": found.reasons,
        "candidates": [asdict(candidate) for candidate in found.candidates],
    }


def horizon_words(batch_size: int) -> dict[str, str]:
    """Return what the horizons are."""
    words = (f"one batch of {batch_size}", "a moving average of batches, momentum 0.9", "many batches")
    return dict(zip(HORIZONS, words, strict=True))
