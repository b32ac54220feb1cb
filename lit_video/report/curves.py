"""What is drawn as a curve: design effect by horizon, training time by run length, decoding by look-ahead."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lit_video.bias import eff_rates, h_curve, planner_sliding
from lit_video.bias.planner_law import SLOTS_PER_FRAME
from lit_video.report.contenders import Contender, different, uniform_reach
from lit_video.report.costs import Costs, Epoch, planned_curve
from lit_video.report.facts import Facts
from lit_video.report.likeness import Likeness
from lit_video.report.pilot import Pilot
from lit_video.report.setting import Options, Setting
from lit_video.report.worth import measured_deff

LONGEST_RUN = 512  # frames of a run whose cost is shown
LONGEST_HORIZON = 2**14  # slots


def variance_time(setting: Setting, pilot: Pilot, likeness: Likeness, contenders: Sequence[Contender]) -> list[Facts]:
    """Return the design effect by horizon, by law and as measured, of each order once."""
    curves: list[Facts] = []
    for contender in different(contenders):
        sampler = contender.make(setting.seed)
        doubled = [2**i for i in range(LONGEST_HORIZON.bit_length())]
        horizons = [slots for slots in sorted({*doubled, setting.batch_size}) if slots <= len(sampler.order(0))]
        measured = measured_deff(setting, pilot, contender, horizons) if pilot.whole else None
        curves.append(
            {
                "name": contender.sampler_name,
                "family": contender.family,
                "slots": horizons,
                "law": [sampler.design_effect(likeness.R, setting.batch_size, slots) for slots in horizons],
                "measured": None if measured is None else measured.deff,
                "relative_sd": None if measured is None else measured.relative_sd,
            }
        )
    return curves


def run_lengths(setting: Setting, options: Options, likeness: Likeness, costs: Costs, epoch: Epoch | None) -> Facts:
    """Return the training time by run length, relative to single frames: J(k) / J(1) of F42.

    Args:
        setting: GOPs and batch size.
        options: The noise scale.
        likeness: R.
        costs: Of reads.
        epoch: Of uniform order with a look-ahead; None: it did not compete.
    """
    R = likeness.for_runs(int(setting.gop_lengths.max()))[:LONGEST_RUN]
    reach = costs.seek_seconds + costs.decode_seconds * setting.lead_in
    frame = costs.decode_seconds + costs.deliver_seconds
    scales = {"infinite": math.inf, "batch": float(setting.batch_size), "zero": 0.0}
    if options.noise_scale is not None:
        scales["chosen"] = options.noise
    rates = {name: eff_rates(reach, frame, R, setting.batch_size, scale) for name, scale in scales.items()}
    single = reach + frame
    curve, gops = h_curve(R), setting.gop_lengths
    whole = None
    if gops.max() <= len(curve):
        seconds = frame + costs.seek_seconds * len(gops) / gops.sum()
        mean = float(gops @ gops / gops.sum())
        whole = {"k": mean, "relative_time": float(gops @ curve[gops - 1] / gops.sum()) * seconds / single}
    shared = None
    if epoch is not None:
        shared = costs.per_image(epoch.decoded_per_image, epoch.wanted_per_image, epoch.reads_per_image) / single
    return {
        "k": np.arange(1, len(R) + 1),
        "relative_time": {name: rate[0] / rate for name, rate in rates.items()},
        "best_k": {name: int(rate.argmax()) + 1 for name, rate in rates.items()},
        "whole_gops": whole,
        "uniform_with_lookahead": shared,
        "a_over_c": reach / frame if frame else None,
    }


def lookahead_facts(setting: Setting, rows: Sequence[Facts]) -> Facts:
    """Return decode amplification by look-ahead: by law, planned, and measured."""
    frames, gops = setting.index.num_frames, setting.gop_lengths
    fine = np.unique(np.geomspace(1, frames, 60).round().astype(np.int64))
    coarse = np.unique(np.geomspace(1, min(frames, 2**17), 9).round().astype(np.int64))
    memory = lambda W: W / SLOTS_PER_FRAME * setting.frame_bytes / 2**20  # noqa: E731
    uniform = [row for row in rows if row["family"] == "uniform"]
    return {
        "lookahead": fine,
        "mib": [memory(W) for W in fine],
        "law": [planner_sliding(gops, int(W)).decoded for W in fine],
        "planned_lookahead": coarse,
        "planned_mib": [memory(W) for W in coarse],
        "planned": planned_curve(setting, coarse.tolist()),
        "measured_lookahead": [row["lookahead"] for row in uniform],
        "measured_mib": [memory(row["lookahead"]) for row in uniform],
        "measured": [row["measured"]["decoded_per_image"] for row in uniform],
        "memory_mib": setting.lookahead_bytes / 2**20,
        "reach": uniform_reach(setting),
    }
