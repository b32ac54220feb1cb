"""The whole measurement, from the videos to plain numbers: what report.json, pictures and words are made of.

Their keys are described in docs/bias.md, section 15.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from lit_video import __version__
from lit_video.bias import momentum_reach, planner_sliding
from lit_video.bias.planner_law import SLOTS_PER_FRAME
from lit_video.measuring.throughput import machine
from lit_video.planning.planner import plan
from lit_video.report.advice import best_of_others, pick, propose, tied
from lit_video.report.choices import Contender, command, list_contenders, overrides, translate, uniform_reach
from lit_video.report.contest import Measured, compete
from lit_video.report.costs import PLANNED, Costs, fit_costs, plan_epoch
from lit_video.report.features import Features, make_features
from lit_video.report.inclusion import check_inclusion
from lit_video.report.likeness import Likeness, lags_needed, measure_likeness
from lit_video.report.pilot import Pilot, take_pilot
from lit_video.report.setting import Options, Setting
from lit_video.report.worth import deff_by_horizon, effective_rate, weigh
from lit_video.samplers.laws import HORIZONS
from lit_video.samplers.uniform import UniformSampler

Facts = dict[str, Any]

DIGITS = 6  # of a number in the report
MEASURED = (
    "images_per_s", "seconds", "first_batch_seconds", "wait_seconds", "decoded_per_image",
    "reads_per_image", "peak_held_frames", "warnings",
)  # fmt: skip


def measure(
    setting: Setting, options: Options, names: Mapping[str, str], given: Sequence[str], tell: Callable[[str], None]
) -> Facts:
    """Measure everything: frames, then contenders, then the one that the cost model proposes if it is none of them.

    Args:
        setting: The data.
        options: How thoroughly to look at it.
        names: What the run calls its `sampler`, `decoder` and `transform`.
        given: Overrides of the command line.
        tell: Is told what is going on.
    """
    contenders, features = list_contenders(setting, options, names["sampler"]), make_features(setting, options.features)
    tell(f"Looking at frames: {features.kind}")
    pilot = take_pilot(setting, options, features)
    likeness = measure_likeness(pilot, options, setting.seed, lags_needed(pilot.footage, options))
    measured = compete(setting, options, contenders, tell)
    threads = measured[contenders[0]].threads
    costs = fit_costs([read for one in measured.values() for read in one.reads])
    reach = uniform_reach(setting)
    law = propose(setting, options, likeness, costs, threads, reach)
    proposed = translate(law, setting, reach)
    known = [one for one in contenders if one.same_order_as(proposed) and one.lookahead == proposed.lookahead]
    if not known:
        tell("The cost model proposes another one")
        measured |= compete(setting, options, [proposed], tell)
    tell("Counting and drawing")
    curves = plain(deff_by_horizon(setting, pilot, likeness, measured))
    rows = [
        plain(_row(setting, options, contender, one, likeness, costs, curves)) for contender, one in measured.items()
    ]
    best = pick(rows)
    chosen = list(measured)[rows.index(best)]
    return plain(
        {
            "lit_video": __version__,
            "horizons": HORIZONS,
            "recommendation": {
                "name": chosen.name,
                "overrides": overrides(chosen, given),
                "command": command(chosen, given),
                "tied_with": [row["name"] for row in tied(rows, best)],
                "best_of_others": [row["name"] for row in best_of_others(rows, best)],
                "law": asdict(law) | {"name": (known or [proposed])[0].name},
            },
            "contenders": rows,
            "data": _data(setting, pilot),
            "settings": _settings(setting, threads, names),
            "options": asdict(options),
            "machine": machine(),
            "correlation": _correlation(likeness, pilot, features),
            "costs": asdict(costs),
            "deff_by_horizon": curves,
            "lookahead": _lookahead(setting, rows),
            "inclusion": check_inclusion(setting, list(measured)),
        }
    )


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


def _row(
    setting: Setting,
    options: Options,
    contender: Contender,
    measured: Measured,
    likeness: Likeness,
    costs: Costs,
    curves: Sequence[Facts],
) -> Facts:
    """Return one row of the table; `curves` has the design effects of real orders."""
    batch_size, epoch = setting.batch_size, plan_epoch(setting, contender, measured, costs)
    worth = weigh(contender.make(setting.seed), likeness, batch_size)
    curve = next(one for one in curves if one["name"] == contender.sampler_name)
    real = dict(zip(curve["slots"], curve["measured"] or (), strict=False))

    def effective(deffs: Mapping[str, float], errors: int) -> Facts:
        speed = max(0.0, epoch["images_per_s"] + errors * epoch["interval"])
        limits = batch_size, options.noise, options.consumer_rate
        return {horizon: effective_rate(speed, deff, *limits) for horizon, deff in deffs.items()}

    return {
        "name": contender.name,
        "family": contender.family,
        "arguments": contender.arguments,
        "chunk": contender.chunk,
        "lookahead": measured.budget.lookahead,
        **epoch,
        **asdict(worth),
        "effective_images_per_s": effective(worth.deff, 0),
        "effective_low": effective(worth.deff_high, -1),
        "effective_high": effective(worth.deff_low, 1),
        "effective_batch_size": {h: batch_size / d if d else None for h, d in worth.deff.items()},
        "measured": {name: getattr(measured, name) for name in MEASURED} | {"deff_batch": real.get(batch_size)},
    }


def _data(setting: Setting, pilot: Pilot) -> Facts:
    """Return what was looked at."""
    index, gops = setting.index, setting.gop_lengths
    sizes = zip(index.columns.width.tolist(), index.columns.height.tolist(), strict=True)
    return {
        "videos": index.num_videos,
        "different_videos": len(pilot.footage.videos),
        "frames": index.num_frames,
        "gops": len(gops),
        "gop_length": {"least": gops.min(), "median": float(np.median(gops)), "most": gops.max()},
        "codecs": dict(Counter(index.codec(video_id) for video_id in range(index.num_videos)).most_common()),
        "sizes": {f"{width}×{height}": many for (width, height), many in sorted(Counter(sizes).items())},
        "first_path": index.path(0),
        "skipped_files": len(index.skipped),
    }


def _settings(setting: Setting, threads: int, names: Mapping[str, str]) -> Facts:
    return {
        "batch_size": setting.batch_size,
        "height": setting.shape[0],
        "width": setting.shape[1],
        "frame_bytes": setting.frame_bytes,
        "lookahead_bytes": setting.lookahead_bytes,
        "threads": threads,
        "seed": setting.seed,
        "momentum_slots": momentum_reach(min(setting.batch_size, setting.index.num_frames)),
        **{name: names[name] for name in ("sampler", "decoder", "transform")},
    }


def _correlation(likeness: Likeness, pilot: Pilot, features: Features) -> Facts:
    """Return R, where it comes from, and how sure it is."""
    measured = slice(0, likeness.num_measured)
    return {
        "features": {"kind": features.kind, "what": features.sentence},
        "pilot": {
            "whole": pilot.whole,
            "frames": len(pilot.frame_ids),
            "runs": len(pilot.runs),
            "pairs": len(pilot.pairs),
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


def _lookahead(setting: Setting, rows: Sequence[Facts]) -> Facts:
    """Return decode amplification of uniform order by look-ahead: by law, planned, and measured."""
    frames, gops = setting.index.num_frames, setting.gop_lengths
    fine = np.unique(np.geomspace(1, frames, 60).round().astype(np.int64))
    coarse = np.unique(np.geomspace(1, min(frames, PLANNED), 9).round().astype(np.int64))
    memory = lambda W: W / SLOTS_PER_FRAME * setting.frame_bytes / 2**20  # noqa: E731
    uniform = [row for row in rows if row["family"] == "uniform"]
    return {
        "lookahead": fine,
        "mib": [memory(W) for W in fine],
        "law": [planner_sliding(gops, int(W)).decoded for W in fine],
        "planned_lookahead": coarse,
        "planned_mib": [memory(W) for W in coarse],
        "planned": [_planned(setting, int(W)) for W in coarse],
        "measured_lookahead": [row["lookahead"] for row in uniform],
        "measured_mib": [memory(row["lookahead"]) for row in uniform],
        "measured": [row["measured"]["decoded_per_image"] for row in uniform],
        "memory_mib": setting.lookahead_bytes / 2**20,
        "reach": uniform_reach(setting),
    }


def _planned(setting: Setting, lookahead: int) -> float:
    """Return the decode amplification of uniform order with a look-ahead, planned without a limit of memory."""
    order = UniformSampler(setting.index, setting.seed).order(0)
    positions = np.asarray(order[0 : min(len(order), PLANNED)])
    reads = plan(positions, setting.index, lookahead, len(positions))
    for _ in reads:
        pass
    return reads.decode_amplification
