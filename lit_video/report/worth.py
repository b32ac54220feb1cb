"""A sampler and R -> what its images are worth: bias, design effects, effective rates. Of several: which is best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from lit_video.bias import EstimatedDeff, chi2, estimate_deff, price, tv
from lit_video.report.choices import Contender
from lit_video.report.contest import Measured
from lit_video.report.costs import Costs, carry_over
from lit_video.report.likeness import Likeness
from lit_video.report.pilot import Pilot
from lit_video.report.setting import Options, Setting
from lit_video.samplers.base import Sampler
from lit_video.samplers.laws import HORIZONS

SLOTS = 2**15  # of an order whose design effect is measured, all epochs together
LONGEST_HORIZON = 2**14  # slots whose design effect is shown
LEAST = 1e-6  # a design effect below it is 0: the whole epoch in one batch
# Rates closer than this are the same, on a machine that others use as well; then the less clustered order is better.
EQUAL = 0.05

MEASURED = (
    "images_per_s", "seconds", "first_batch_seconds", "wait_seconds", "decoded_per_image",
    "reads_per_image", "peak_held_frames", "warnings",
)  # fmt: skip

Row = Mapping[str, Any]  # of the table of contenders


@dataclass(frozen=True)
class Worth:
    """The statistical side of a sampler."""

    tv: float  # total variation of the law of a slot from the uniform one (F4)
    chi: float  # root of its chi-square (F6): times sigma, the largest bias
    largest_weight: float | None  # of a frame's loss, to undo the bias (F39); None where a frame is never drawn
    inclusion: tuple[float, float]  # least and most that a frame comes in an epoch, on average
    exact_uniform: bool  # every slot is uniform over all frames
    epoch_complete: bool  # every epoch has each frame once
    deff: dict[str, float]  # design effect by horizon
    deff_low: dict[str, float]  # its lower end, from that of R
    deff_high: dict[str, float]  # its upper end


def weigh(sampler: Sampler, likeness: Likeness, batch_size: int) -> Worth:
    """Return what the laws of a sampler say, with the measured R."""
    q, inclusion = sampler.inclusion_probability(), sampler.epoch_inclusion()
    # Frames more alike cost more in chunks, and less where an epoch ends: either end of R may give the lower one.
    of_R = [design_effects(sampler, R, batch_size) for R in (likeness.R, likeness.low, likeness.high)]
    return Worth(
        tv=tv(q),
        chi=math.sqrt(chi2(q)),
        largest_weight=float(1 / (q.size * q.min())) if q.min() > 0 else None,
        inclusion=(float(inclusion.min()), float(inclusion.max())),
        exact_uniform=sampler.exact_uniform,
        epoch_complete=sampler.epoch_complete,
        deff=of_R[0],
        deff_low={horizon: min(found[horizon] for found in of_R) for horizon in HORIZONS},
        deff_high={horizon: max(found[horizon] for found in of_R) for horizon in HORIZONS},
    )


def design_effects(sampler: Sampler, R: Float64[np.ndarray, " lags"], batch_size: int) -> dict[str, float]:
    """Return the design effect at every horizon, 0 at least."""
    batch = min(batch_size, len(sampler.order(0)))
    found = {horizon: sampler.design_effect(R, batch, horizon) for horizon in HORIZONS}
    return {horizon: value if value > LEAST else 0.0 for horizon, value in found.items()}


def row_of(
    setting: Setting,
    options: Options,
    likeness: Likeness,
    costs: Costs,
    curves: Mapping[Contender, Row],
    contender: Contender,
    measured: Measured,
) -> Row:
    """Return a contender's row of the table, as report.json has it; `curves` has the design effects of real orders."""
    batch_size, worth = setting.batch_size, weigh(contender.make(setting.seed), likeness, setting.batch_size)
    epoch = carry_over(setting, contender, measured, costs)
    curve = next(curve for other, curve in curves.items() if contender.same_order_as(other))
    real = dict(zip(curve["slots"], curve["measured"] or (), strict=False))

    def effective(deffs: Mapping[str, float], errors: int) -> dict[str, float | None]:
        """Return independent images per second, of those that the model consumes (F42); None for no end."""
        speed = min(max(0.0, epoch["images_per_s"] + errors * epoch["interval"]), options.images_per_s or math.inf)
        prices = {h: float(price(deff, batch_size, options.noise_scale or math.inf)) for h, deff in deffs.items()}
        return {horizon: speed / cost if cost > 0 else None for horizon, cost in prices.items()}

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


def deff_by_horizon(setting: Setting, likeness: Likeness, contender: Contender) -> Row:
    """Return the design effect of so many slots in a row: by law and, where all frames are known, of the real order."""
    sampler = contender.make(setting.seed)
    doubled = (2**i for i in range(LONGEST_HORIZON.bit_length()))
    slots = [many for many in sorted({*doubled, setting.batch_size}) if many <= len(sampler.order(0))]
    measured = measured_deff(likeness.pilot, sampler, slots) if likeness.pilot.whole else None
    return {
        "name": contender.sampler_name,
        "family": contender.family,
        "slots": slots,
        "law": [sampler.design_effect(likeness.R, setting.batch_size, many) for many in slots],
        "measured": None if measured is None else measured.deff.tolist(),
        "relative_sd": None if measured is None else measured.relative_sd,
    }


def measured_deff(pilot: Pilot, sampler: Sampler, horizons: Sequence[int]) -> EstimatedDeff:
    """Return the design effect of a sampler's real orders, by horizon. All frames must be known.

    Several epochs are measured each for itself, and averaged.
    """
    slots, population = min(len(sampler.order(0)), SLOTS), pilot.vectors_of(np.arange(pilot.footage.index.num_frames))
    orders = (np.asarray(sampler.order(epoch)[0:slots]) for epoch in range(max(1, SLOTS // slots)))
    found = [estimate_deff(pilot.vectors_of(order), population, horizons) for order in orders]
    deff = np.mean([one.deff for one in found], axis=0)
    return EstimatedDeff(found[0].horizons, deff, found[0].relative_sd / len(found) ** 0.5)


def rate(row: Row) -> float:
    """Return independent images per second in the long run."""
    found = row["effective_images_per_s"]["long"]
    return math.inf if found is None else found


def pick(rows: Sequence[Row]) -> Row:
    """Return the best by what was measured; of those that are equal, the least clustered, and then the fastest.

    Only samplers whose every slot is uniform over all frames; where there is none, the fastest of all.
    """
    fair = [row for row in rows if row["exact_uniform"]] or list(rows)
    best = max(map(rate, fair))
    equals = [row for row in fair if rate(row) >= best * (1 - EQUAL)]
    return min(equals, key=lambda row: (round(row["deff"]["long"], 3), -rate(row)))


def tied(rows: Sequence[Row], best: Row) -> list[Row]:
    """Return the unbiased others that are ahead of the best, or behind it by less than the error of both rates."""
    others = [row for row in rows if row is not best and row["exact_uniform"]]
    return [row for row in others if rate(best) - rate(row) < math.hypot(_error(row), _error(best))]


def _error(row: Row) -> float:
    """Return half of the 95 % interval of the effective rate, from that of the images per second."""
    return rate(row) * row["interval"] / row["images_per_s"]


def best_of_others(rows: Sequence[Row], best: Row) -> list[Row]:
    """Return the best of each family but the recommended one, and frames each on its own, best first."""
    found: dict[str, Row] = {}
    for row in sorted(rows, key=rate, reverse=True):
        single = row["family"] == "uniform" and row["lookahead"] == 1
        if row is not best:
            found.setdefault("single" if single else row["family"], row)
    return list(found.values())
