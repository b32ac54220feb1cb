"""Is each frame drawn as often as it should be? Orders alone are looked at; nothing is decoded.

Where an epoch has each frame once there is nothing statistical about it: every count is 1, or the sampler is wrong.
Otherwise the tests are those of `lit_video.bias.counts`, Holm's correction over all of them. Windows that slide within
their video are tested too, as the example of what a biased sampler looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import DrawnWindows, count_test, directed_test, holm, q_sliding
from lit_video.bias.chi_square import chi_square_tail
from lit_video.index import VideoIndex
from lit_video.report.contenders import Contender, different
from lit_video.report.setting import Setting
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.uniform import UniformSampler

EPOCHS = 3  # whose counts must be 1
SEEDS = 400  # of which a slot is looked at
MOST = 2**24  # frames of all epochs, or of all seeds together times eight, that are looked at
DRAWS = 2**20  # slots of orders with replacement
EXAMPLE = 5  # frames in a window of the biased example
EXPECTED = 10  # draws in a bin of the slot test
LEVEL = 0.01  # of all tests together


@dataclass(frozen=True)
class Finding:
    """The outcome of one statistical test.

    Attributes:
        name: Of what, and how.
        statistic: Its value, and against what it is held.
        p_value: By itself.
        adjusted: By Holm's method, over the family.
        should_fail: It is held to a sampler that is biased on purpose.
    """

    name: str
    statistic: str
    p_value: float
    adjusted: float = 1.0
    should_fail: bool = False

    @property
    def as_it_should(self) -> bool:
        """Whether the sampler did what is expected of it."""
        return (self.adjusted < LEVEL) == self.should_fail


@dataclass(frozen=True, eq=False)
class Profile:
    """How often frames come, relative to an even share, by where they are.

    Attributes:
        places: Frames from the nearer end of the video; or place within the GOP.
        sliding: Counted, of sliding windows, [places].
        error: Two standard errors of it, [places].
        exact: By the law of sliding windows, [places].
        circular: Counted, of the chunks of this package, [places]: 1 everywhere.
    """

    places: Int64[np.ndarray, " places"]
    sliding: Float64[np.ndarray, " places"]
    error: Float64[np.ndarray, " places"]
    exact: Float64[np.ndarray, " places"]
    circular: Float64[np.ndarray, " places"]


@dataclass(frozen=True, eq=False)
class Inclusion:
    """What the counts say.

    Attributes:
        epochs: How many were counted.
        each_once: For each contender whose epochs are complete, whether every count was 1; None: too long to count.
        tests: The statistical ones.
        by_edge: By distance from the nearer end of the video; None where no video holds a window.
        by_gop: By place within the GOP; None likewise.
    """

    epochs: int
    each_once: dict[str, bool | None]
    tests: tuple[Finding, ...]
    by_edge: Profile | None
    by_gop: Profile | None


def check_inclusion(setting: Setting, contenders: Sequence[Contender]) -> Inclusion:
    """Count and test all contenders, and the biased example beside them."""
    index, seed = setting.index, setting.seed
    complete = [contender for contender in contenders if contender.make(seed).epoch_complete]
    tests = [_slot_test(index, one) for one in different(contenders) if one.make(seed).exact_uniform]
    tests.append(_replacement_test(index, seed))
    by_edge = by_gop = None
    if index.lengths.max() >= EXAMPLE:
        starts = _sliding_starts(index, seed)
        tests.append(_edge_test(index, starts))
        by_edge, by_gop = _profiles(index, starts, seed)
    adjusted = holm([test.p_value for test in tests])
    return Inclusion(
        EPOCHS,
        {contender.name: _each_once(index, contender, seed) for contender in complete},
        tuple(replace(test, adjusted=float(p)) for test, p in zip(tests, adjusted, strict=True)),
        by_edge,
        by_gop,
    )


def _each_once(index: VideoIndex, contender: Contender, seed: int) -> bool | None:
    """Tell whether each of EPOCHS epochs has each frame once."""
    if EPOCHS * index.num_frames > MOST:
        return None
    sampler = contender.make(seed)
    orders = (sampler.order(epoch) for epoch in range(EPOCHS))
    return all(bool((_counts(index, order[0 : len(order)]) == 1).all()) for order in orders)


def _counts(index: VideoIndex, frame_ids: Int64[np.ndarray, " slots"]) -> Int64[np.ndarray, " frames"]:
    return np.bincount(frame_ids, minlength=index.num_frames)


def _slot_test(index: VideoIndex, contender: Contender) -> Finding:
    """Finding the frame in the middle slot over many seeds: independent draws, so the ordinary chi-square applies."""
    seeds = int(np.clip(8 * MOST // index.num_frames, 50, SEEDS))
    slot = len(contender.make(0).order(0)) // 2
    drawn = np.concatenate([np.asarray(contender.make(seed).order(0)[slot : slot + 1]) for seed in range(seeds)])
    edges = np.linspace(0, index.num_frames, min(seeds // EXPECTED, index.num_frames) + 1).astype(np.int64)
    expected = np.diff(edges) / index.num_frames * seeds
    statistic = float((np.square(np.histogram(drawn, edges)[0] - expected) / expected).sum())
    degrees = len(expected) - 1
    p_value = chi_square_tail(statistic, degrees) if degrees else 1.0
    return Finding(
        f"{contender.sampler_name}: frame in slot {slot} over {seeds} seeds",
        f"chi² {statistic:.1f} of {degrees}",
        p_value,
    )


def _replacement_test(index: VideoIndex, seed: int) -> Finding:
    """Finding independent draws: F57 with k = 1."""
    sampler = UniformSampler(index, seed, replacement=True)
    epochs = max(1, min(20, DRAWS // index.num_frames))
    drawn = np.concatenate([np.asarray(sampler.order(epoch)[0:DRAWS]) for epoch in range(epochs)])
    name = f"uniform with replacement: counts of {len(drawn)} draws"
    if index.num_frames == 1:
        return Finding(name, "one frame", 1.0)
    found = count_test(_counts(index, drawn), DrawnWindows(index.lengths, 1))
    return Finding(name, f"chi² {found.statistic:.1f} of {found.degrees_of_freedom:.0f}", found.p_value)


def _sliding_starts(index: VideoIndex, seed: int) -> Int64[np.ndarray, " draws"]:
    """Return the first frames of windows that slide within their video."""
    sampler = ChunkedSampler(index, seed, chunk_length=EXAMPLE, window="sliding")
    epochs = max(1, min(2000, DRAWS // index.num_frames))
    return np.concatenate([sampler.order(epoch).chunks.start[: DRAWS // EXAMPLE] for epoch in range(epochs)])


def _from_edge(index: VideoIndex) -> Int64[np.ndarray, " frames"]:
    """Return for each frame how far it is from the nearer end of its video."""
    frame_index = np.arange(index.num_frames) - np.repeat(index.offset[:-1], index.lengths)
    return np.minimum(frame_index, np.repeat(index.lengths, index.lengths) - 1 - frame_index)


def _edge_test(index: VideoIndex, starts: Int64[np.ndarray, " draws"]) -> Finding:
    """Finding the edge frames in each window, which are independent draws; far more power than all counts together."""
    at_edge = (_from_edge(index) < EXAMPLE - 1).astype(np.int64)
    per_draw = at_edge[starts[:, None] + np.arange(EXAMPLE)].sum(axis=1)
    expected = EXAMPLE * at_edge.mean()
    name = f"windows of {EXAMPLE} that slide within their video: edge frames in {len(starts)} draws"
    if per_draw.min() == per_draw.max():
        return Finding(name, "no variation", float(per_draw[0] == expected), should_fail=True)
    found = directed_test(per_draw, expected)
    return Finding(name, f"z {found.z:.1f}", found.p_value, should_fail=True)


def _profiles(index: VideoIndex, starts: Int64[np.ndarray, " draws"], seed: int) -> tuple[Profile, Profile]:
    """Return what sliding windows and circular chunks include, by distance from a video's end and by place in a GOP."""
    gops = np.diff(index.keyframes)
    within_gop = np.arange(index.num_frames) - np.repeat(index.keyframes[:-1], gops)
    sliding = _counts(index, (starts[:, None] + np.arange(EXAMPLE)).ravel())
    order = ChunkedSampler(index, seed, chunk_length=EXAMPLE).order(0)
    circular = _counts(index, order[0 : min(len(order), MOST)])
    places = _from_edge(index), within_gop
    reach = 3 * EXAMPLE, int(np.quantile(np.repeat(gops, gops), 0.5))
    by_edge, by_gop = (
        _profile(place, limit, sliding, circular, q_sliding(index.lengths, EXAMPLE), len(starts))
        for place, limit in zip(places, reach, strict=True)
    )
    return by_edge, by_gop


def _profile(
    place: np.ndarray, limit: int, sliding: np.ndarray, circular: np.ndarray, exact: np.ndarray, draws: int
) -> Profile:
    rows = np.flatnonzero(place < limit)
    frames = np.bincount(place[rows])
    share = frames / len(place)  # of an even sampler
    mean = lambda values: np.bincount(place[rows], values[rows]) / values.sum() / share  # noqa: E731
    expected = np.bincount(place[rows], exact[rows])
    # A window holds at most a few frames at one place, so its draws are nearly independent of each other.
    error = 2 * np.sqrt(expected * (1 - expected) / (draws * EXAMPLE)) / share
    return Profile(np.arange(len(frames)), mean(sliding), error, mean(exact), mean(circular))
