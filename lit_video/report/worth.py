"""A sampler and R -> what its images are worth: bias, design effects, effective images per second."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from lit_video.bias import EstimatedDeff, chi2, estimate_deff, price, tv
from lit_video.report.choices import Contender, different
from lit_video.report.likeness import Likeness
from lit_video.report.pilot import Pilot
from lit_video.report.setting import Setting
from lit_video.samplers.base import Sampler
from lit_video.samplers.laws import HORIZONS

SLOTS = 2**15  # of an order whose design effect is measured, all epochs together
LONGEST_HORIZON = 2**14  # slots whose design effect is shown
LEAST = 1e-6  # a design effect below it is 0: the whole epoch in one batch


@dataclass(frozen=True)
class Worth:
    """The statistical side of a sampler.

    Attributes:
        tv: Total variation of the law of a slot from the uniform one (F4).
        chi: Root of its chi-square (F6): times sigma, the largest bias.
        largest_weight: Of a frame's loss, to undo the bias (F39); None where a frame is never drawn.
        inclusion: Least and most that a frame comes in an epoch, on average.
        exact_uniform: Every slot is uniform over all frames.
        epoch_complete: Every epoch has each frame once.
        deff: Design effect by horizon.
        deff_low: Its lower end, from that of R.
        deff_high: Its upper end.
    """

    tv: float
    chi: float
    largest_weight: float | None
    inclusion: tuple[float, float]
    exact_uniform: bool
    epoch_complete: bool
    deff: dict[str, float]
    deff_low: dict[str, float]
    deff_high: dict[str, float]


def weigh(sampler: Sampler, likeness: Likeness, batch_size: int) -> Worth:
    """Return what the laws of a sampler say, with the measured R."""
    q = sampler.inclusion_probability()
    inclusion = sampler.epoch_inclusion()
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


def effective_rate(images_per_s: float, deff: float, batch_size: int, noise: float, consumer: float) -> float | None:
    """Return independent images per second, at most as many images as the model consumes (F42); None for no end."""
    cost = float(price(deff, batch_size, noise))
    return min(images_per_s, consumer) / cost if cost > 0 else None


def deff_by_horizon(
    setting: Setting, pilot: Pilot, likeness: Likeness, contenders: Iterable[Contender]
) -> list[dict[str, Any]]:
    """Return the design effect of so many slots in a row, of each order once.

    By law and, where all frames are known, of the real orders.
    """
    curves: list[dict[str, Any]] = []
    for contender in different(contenders):
        sampler = contender.make(setting.seed)
        doubled = [2**i for i in range(LONGEST_HORIZON.bit_length())]
        slots = [slots for slots in sorted({*doubled, setting.batch_size}) if slots <= len(sampler.order(0))]
        measured = measured_deff(pilot, sampler, slots) if pilot.whole else None
        curves.append(
            {
                "name": contender.sampler_name,
                "family": contender.family,
                "slots": slots,
                "law": [sampler.design_effect(likeness.R, setting.batch_size, many) for many in slots],
                "measured": None if measured is None else measured.deff,
                "relative_sd": None if measured is None else measured.relative_sd,
            }
        )
    return curves


def measured_deff(pilot: Pilot, sampler: Sampler, horizons: Sequence[int]) -> EstimatedDeff:
    """Return the design effect of a sampler's real orders, by horizon. All frames must be known.

    Several epochs are measured each for itself, and averaged.
    """
    slots, population = min(len(sampler.order(0)), SLOTS), pilot.vectors_of(np.arange(pilot.footage.index.num_frames))
    orders = (np.asarray(sampler.order(epoch)[0:slots]) for epoch in range(max(1, SLOTS // slots)))
    found = [estimate_deff(pilot.vectors_of(order), population, horizons) for order in orders]
    deff = np.mean([one.deff for one in found], axis=0)
    return EstimatedDeff(found[0].horizons, deff, found[0].relative_sd / len(found) ** 0.5)
