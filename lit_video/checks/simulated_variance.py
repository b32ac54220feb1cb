"""A sampler's real orders -> the variance that they have, beside the one that its laws state."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.index import Samples
from lit_video.samplers.base import Sampler
from lit_video.samplers.laws import objective_of
from lit_video.support.rng import rng

# What is compared may be off by so much of the law, so many standard errors of the simulation, and so much in all: laws
# are approximate where chunks are few, and a law that is wrong is wrong by more.
RELATIVE, STANDARD_ERRORS, ABSOLUTE = 0.35, 5, 0.05

SIZE = 64  # numbers of a frame
KEPT = 0.8  # correlation of a frame with the next one
DISTANCES = 20
BATCH, BETA = 4, 0.8


def check_variance(sampler: Sampler, index: Samples, orders: Int64[np.ndarray, "epochs positions"]) -> None:
    """Compare what is stated with the sums that many epochs give, of frames whose likeness is known.

    Args:
        sampler: One whose weights exist.
        index: Its samples.
        orders: Its first epochs.

    Raises:
        AssertionError: They are far apart; the message says where.
    """
    features = frame_features(index, objective_of(sampler, index.num_samples))
    R = likeness(features, index)
    weights = sampler.weights()
    weighted = features if weights is None else features * weights[:, None]
    for slots in sorted({BATCH, 16, orders.shape[1] // 4, orders.shape[1] // 2}):
        if 0 < slots <= orders.shape[1]:
            found = sums_of_stretches(weighted, orders, slots)
            _compare(f"the design effect of {slots} slots", sampler.design_effect(R, BATCH, slots), found)
    found = sums_of_averages(weighted, orders)
    _compare("the design effect over horizon 'momentum'", sampler.design_effect(R, BATCH, "momentum", BETA), found)
    if sampler.exact_uniform:
        stated = sampler.slot_correlation(R, DISTANCES)
        for distance in range(1, min(DISTANCES, orders.shape[1] - 1) + 1):
            products = (features[orders[:, distance:]] * features[orders[:, :-distance]]).sum(axis=2).mean(axis=1)
            _compare(f"the correlation of slots {distance} apart", float(stated[distance]), products)


def frame_features(index: Samples, objective: Float64[np.ndarray, " frames"]) -> Float64[np.ndarray, "frames numbers"]:
    """Return numbers for each frame: like those of its neighbours, of mean 0 and mean square 1 by the objective."""
    draw = rng(0, "simulate_variance")
    values = draw.standard_normal((index.num_samples, SIZE))
    for begin, end in zip(index.offset[:-1], index.offset[1:], strict=True):
        for frame in range(begin + 1, end):
            values[frame] = KEPT * values[frame - 1] + np.sqrt(1 - KEPT**2) * values[frame]
    values -= objective @ values
    return values / np.sqrt(objective @ np.square(values).sum(axis=1))


def likeness(features: Float64[np.ndarray, "frames numbers"], index: Samples) -> Float64[np.ndarray, " lags"]:
    """Return R of these frames by lag, 0 beyond the longest video: as long as the longest that laws ask for."""
    R = np.zeros(4 * index.num_samples + 200)
    runs = np.split(features, index.offset[1:-1])
    for lag in range(int(index.lengths.max())):
        pairs = [(run[lag:] * run[: len(run) - lag]).sum(axis=1) for run in runs if len(run) > lag]
        R[lag] = np.concatenate(pairs).mean()
    R[0] = 1
    return R


def sums_of_stretches(
    features: Float64[np.ndarray, "frames numbers"], orders: Int64[np.ndarray, "epochs positions"], slots: int
) -> Float64[np.ndarray, " epochs"]:
    """Return the square of the sum over a stretch of slots of each epoch, relative to that of independent frames."""
    begin = rng(0, "simulate_variance.begin").integers(orders.shape[1] - slots + 1, size=len(orders))
    stretch = np.take_along_axis(orders, begin[:, None] + np.arange(slots), axis=1)
    return np.square(features[stretch].sum(axis=1)).sum(axis=1) / slots


def sums_of_averages(
    features: Float64[np.ndarray, "frames numbers"], orders: Int64[np.ndarray, "epochs positions"]
) -> Float64[np.ndarray, " settled"]:
    """Return the same of a moving average of batches, through all epochs: its mean over each later epoch."""
    per_epoch = orders.shape[1] // BATCH
    batches = features[orders[:, : per_epoch * BATCH]].reshape(len(orders), per_epoch, BATCH, SIZE).mean(axis=2)
    squares, average = np.zeros((len(orders), per_epoch)), np.zeros(SIZE)
    for epoch in range(len(orders)):
        for batch in range(per_epoch):
            average = BETA * average + (1 - BETA) * batches[epoch, batch]
            squares[epoch, batch] = average @ average
    settled = squares[min(len(orders) - 2, 1 + 60 // per_epoch) :]  # begins at 0
    return settled.mean(axis=1) * BATCH * (1 + BETA) / (1 - BETA)


def _compare(what: str, stated: float, found: Float64[np.ndarray, " samples"]) -> None:
    mean, error = float(found.mean()), float(found.std() / np.sqrt(len(found)))
    room = RELATIVE * abs(stated) + STANDARD_ERRORS * error + ABSOLUTE
    assert abs(mean - stated) <= room, (
        f"{what} is stated as {stated:.3f}, but {len(found)} epochs give {mean:.3f}, standard error {error:.3f}"
    )
