"""Everything found -> facts, and the recommendation in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from lit_video import __version__
from lit_video.bias import Recommendation, momentum_reach
from lit_video.measuring.throughput import machine
from lit_video.report.advice import Standing, command, pick
from lit_video.report.contenders import Contender
from lit_video.report.contest import Measured
from lit_video.report.costs import Costs, Epoch, plan_epoch
from lit_video.report.curves import lookahead_facts, run_lengths, variance_time
from lit_video.report.facts import (
    Entrant,
    Facts,
    data_facts,
    entrant_facts,
    inclusion_facts,
    law_facts,
    likeness_facts,
    pareto,
    plain,
)
from lit_video.report.features import Features
from lit_video.report.inclusion import Inclusion
from lit_video.report.likeness import Likeness
from lit_video.report.pilot import Pilot
from lit_video.report.setting import Options, Setting
from lit_video.report.worth import weigh
from lit_video.samplers.laws import HORIZONS


@dataclass(frozen=True, eq=False)
class Findings:
    """What was measured.

    Attributes:
        features: What stands for gradients.
        pilot: Theirs.
        likeness: R.
        measured: What each contender did.
        costs: Of reads.
        law: What the cost model recommends.
        proposed: The contender that this means.
        inclusion: What counts say.
    """

    features: Features
    pilot: Pilot
    likeness: Likeness
    measured: Mapping[Contender, Measured]
    costs: Costs
    law: Recommendation
    proposed: Contender
    inclusion: Inclusion


def summarise(
    setting: Setting, options: Options, found: Findings, names: Mapping[str, str], given: Sequence[str]
) -> Facts:
    """Return all facts.

    Args:
        setting: The data.
        options: How thoroughly it was looked at.
        found: What was measured.
        names: What the run calls its `decoder` and `transform`.
        given: Overrides of the command line.
    """
    entrants = [_entrant(setting, found, contender) for contender in found.measured]
    curves = variance_time(setting, found.pilot, found.likeness, list(found.measured))
    rows = [plain(entrant_facts(entrant, setting, options, curves)) for entrant in entrants]
    uniform = [entrant.epoch for entrant in entrants if entrant.contender.family == "uniform"]
    return plain(
        {
            "lit_video": __version__,
            "horizons": HORIZONS,
            "recommendation": _recommendation(entrants, rows, found, given),
            "contenders": rows,
            "pareto": {horizon: pareto(rows, horizon) for horizon in HORIZONS},
            "data": data_facts(setting, found.pilot),
            "settings": _settings(setting, found, names),
            "options": asdict(options),
            "machine": machine(),
            "correlation": likeness_facts(found.likeness, found.pilot, found.features),
            "costs": asdict(found.costs),
            "deff_by_horizon": curves,
            "run_length": run_lengths(setting, options, found.likeness, found.costs, _cheapest(uniform)),
            "lookahead": lookahead_facts(setting, rows),
            "inclusion": inclusion_facts(found.inclusion),
        }
    )


def _entrant(setting: Setting, found: Findings, contender: Contender) -> Entrant:
    measured = found.measured[contender]
    return Entrant(
        contender,
        measured,
        plan_epoch(setting, contender, measured, found.costs),
        weigh(contender.make(setting.seed), found.likeness, setting.batch_size),
    )


def _cheapest(epochs: Sequence[Epoch]) -> Epoch | None:
    return min(epochs, key=lambda epoch: epoch.decoded_per_image, default=None)


def _recommendation(entrants: Sequence[Entrant], rows: Sequence[Facts], found: Findings, given: Sequence[str]) -> Facts:
    """Return what to take, and the best of what not to take."""
    standings = [
        Standing(entrant.contender, _rate(row), row["deff"]["long"], row["exact_uniform"])
        for entrant, row in zip(entrants, rows, strict=True)
    ]
    best = pick(standings)
    ahead = [one.contender.name for one in standings if one.fair and one.rate > best.rate]
    return {
        "name": best.contender.name,
        "command": command(best.contender, given),
        "tied_with": ahead,
        "best_of_others": _others(standings, best),
        "law": law_facts(found.law) | {"name": found.proposed.name},
    }


def _rate(row: Facts) -> float:
    rate = row["effective_images_per_s"]["long"]
    return math.inf if rate is None else rate


def _others(standings: Sequence[Standing], best: Standing) -> list[str]:
    """Return the best contender of each family but the recommended one, and frames each on its own, best first."""
    found: dict[str, Standing] = {}
    for one in sorted(standings, key=lambda standing: -standing.rate):
        family = "single" if one.contender.name == "uniform W=1" else one.contender.family
        if one is not best:
            found.setdefault(family, one)
    return [one.contender.name for one in found.values()]


def _settings(setting: Setting, found: Findings, names: Mapping[str, str]) -> Facts:
    return {
        "batch_size": setting.batch_size,
        "height": setting.shape[0],
        "width": setting.shape[1],
        "frame_bytes": setting.frame_bytes,
        "lookahead_bytes": setting.lookahead_bytes,
        "threads": next(iter(found.measured.values())).threads,
        "seed": setting.seed,
        "momentum_slots": momentum_reach(min(setting.batch_size, setting.index.num_frames)),
        "sampler": names["sampler"],
        "decoder": names["decoder"],
        "transform": names["transform"],
    }
