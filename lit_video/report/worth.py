"""A sampler and R -> what its images are worth: bias, design effects, effective images per second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from lit_video.bias import EstimatedDeff, chi2, estimate_deff, tv
from lit_video.bias.choice import price
from lit_video.report.contenders import Contender
from lit_video.report.likeness import Likeness
from lit_video.report.pilot import Pilot
from lit_video.report.setting import Setting
from lit_video.samplers.base import Sampler
from lit_video.samplers.laws import HORIZONS
from lit_video.support.rng import rng

SLOTS = 2**15  # of an order whose design effect is measured, all epochs together
POPULATION = 2**16  # frames that its mean and variance are taken from
LEAST = 1e-6  # a design effect below it is 0: the whole epoch in one batch


@dataclass(frozen=True)
class Worth:
    """The statistical side of a contender.

    Attributes:
        tv: Total variation of the law of a slot from the uniform one (F4).
        chi: Root of its chi-square (F6): times sigma, the largest bias.
        largest_weight: Of a frame's loss, to undo the bias (F39); None where a frame is never drawn.
        inclusion: Least and most that a frame comes in an epoch, on average.
        exact_uniform: Every slot is uniform over all frames.
        epoch_complete: Every epoch has each frame once.
        deff: Design effect by horizon.
        low: Its lower end, from that of R.
        high: Its upper end.
    """

    tv: float
    chi: float
    largest_weight: float | None
    inclusion: tuple[float, float]
    exact_uniform: bool
    epoch_complete: bool
    deff: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]


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
        low={horizon: min(found[horizon] for found in of_R) for horizon in HORIZONS},
        high={horizon: max(found[horizon] for found in of_R) for horizon in HORIZONS},
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


def measured_deff(setting: Setting, pilot: Pilot, contender: Contender, horizons: Sequence[int]) -> EstimatedDeff:
    """Return the design effect of a sampler's real orders, by horizon. All frames must be known.

    Several epochs are measured each for itself, and averaged.
    """
    sampler = contender.make(setting.seed)
    num_frames, slots = setting.index.num_frames, min(len(sampler.order(0)), SLOTS)
    chosen = np.arange(num_frames)
    if num_frames > POPULATION:
        chosen = rng(setting.seed, "report.population").integers(num_frames, size=POPULATION)
    population = pilot.vectors_of(chosen)
    found = []
    for epoch in range(max(1, SLOTS // slots)):
        order = np.asarray(sampler.order(epoch)[0:slots])
        found.append(estimate_deff(pilot.vectors_of(order), population, horizons))
    deff = np.mean([one.deff for one in found], axis=0)
    return EstimatedDeff(found[0].horizons, deff, found[0].relative_sd / len(found) ** 0.5)
