"""Is each frame drawn as often as it should be? Orders alone are looked at; nothing is decoded.

Where an epoch has each frame once there is nothing statistical about it: every count is 1, or the sampler is wrong.
Otherwise slots are tested over many seeds (section 12 of docs/bias.md), Holm's correction over all tests. Windows that
slide within their video are tested too, as the example of what a biased sampler looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import stats

from lit_video.index import VideoIndex
from lit_video.report.choices import Contender, different
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


def check_inclusion(setting: Setting, contenders: Sequence[Contender]) -> dict[str, Any]:
    """Count and test all contenders, and the biased example beside them.

    Returns:
        `epochs`: how many were counted; `each_once`: for each contender whose epochs are complete, whether every count
        was 1 (None: too long to count); `tests`: the statistical ones.
    """
    index, seed = setting.index, setting.seed
    complete = [contender for contender in contenders if contender.make(seed).epoch_complete]
    tests = [_slot_test(index, one) for one in different(contenders) if one.make(seed).exact_uniform]
    tests.append(_replacement_test(index, seed))
    examples = [_edge_test(index, seed)] if index.lengths.max() >= EXAMPLE else []
    adjusted = holm(np.array([test["p_value"] for test in (*tests, *examples)]))
    for number, test in enumerate((*tests, *examples)):
        test["adjusted"], test["should_fail"] = float(adjusted[number]), number >= len(tests)
        test["as_it_should"] = (test["adjusted"] < LEVEL) == test["should_fail"]
    each_once = {contender.name: _each_once(index, contender, seed) for contender in complete}
    return {"epochs": EPOCHS, "each_once": each_once, "tests": tests + examples}


def holm(p_values: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Return p-values that stay honest when the smallest of several tests is looked at. Holm's method (1979)."""
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(p_values.size, 0, -1))
    return np.minimum(adjusted, 1)[np.argsort(order)]


def _each_once(index: VideoIndex, contender: Contender, seed: int) -> bool | None:
    """Tell whether each of EPOCHS epochs has each frame once."""
    if EPOCHS * index.num_frames > MOST:
        return None
    orders = map(contender.make(seed).order, range(EPOCHS))
    return all((np.bincount(order[0 : len(order)], minlength=index.num_frames) == 1).all() for order in orders)


def _chi_square(name: str, counts: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """Return Pearson's test of counts of independent draws."""
    found = stats.chisquare(counts, expected)
    statistic = f"chi² {found.statistic:.1f} of {len(counts) - 1}"
    return {"name": name, "statistic": statistic, "p_value": float(found.pvalue)}


def _slot_test(index: VideoIndex, contender: Contender) -> dict[str, Any]:
    """Test the frame in the middle slot over many seeds: independent draws, so the ordinary chi-square applies."""
    seeds = int(np.clip(8 * MOST // index.num_frames, 50, SEEDS))
    slot = len(contender.make(0).order(0)) // 2
    drawn = np.concatenate([np.asarray(contender.make(seed).order(0)[slot : slot + 1]) for seed in range(seeds)])
    edges = np.linspace(0, index.num_frames, min(seeds // EXPECTED, index.num_frames) + 1).astype(np.int64)
    name = f"{contender.sampler_name}: frame in slot {slot} over {seeds} seeds"
    return _chi_square(name, np.histogram(drawn, edges)[0], np.diff(edges) / index.num_frames * seeds)


def _replacement_test(index: VideoIndex, seed: int) -> dict[str, Any]:
    """Test independent draws of frames."""
    n, sampler = index.num_frames, UniformSampler(index, seed, replacement=True)
    epochs = range(int(np.clip(DRAWS // n, 1, 20)))
    counts = np.sum([np.bincount(sampler.order(epoch)[0:DRAWS], minlength=n) for epoch in epochs], axis=0)
    draws = int(counts.sum())
    return _chi_square(f"uniform with replacement: counts of {draws} draws", counts, np.full(n, draws / n))


def _edge_test(index: VideoIndex, seed: int) -> dict[str, Any]:
    """Test the edge frames in each sliding window, which are independent draws: far more power than all counts."""
    sampler = ChunkedSampler(index, seed, chunk_length=EXAMPLE, window="sliding")
    epochs = range(int(np.clip(DRAWS // index.num_frames, 1, 2000)))
    starts = np.concatenate([sampler.order(epoch).chunks.start[: DRAWS // EXAMPLE] for epoch in epochs])
    video_ids, frame_index = index.locate(np.arange(index.num_frames))
    from_edge = np.minimum(frame_index, index.lengths[video_ids] - 1 - frame_index)
    at_edge = (from_edge < EXAMPLE - 1).astype(np.int64)
    per_draw = at_edge[starts[:, None] + np.arange(EXAMPLE)].sum(axis=1)
    expected = EXAMPLE * at_edge.mean()
    name = f"windows of {EXAMPLE} that slide within their video: edge frames in {len(starts)} draws"
    if per_draw.min() == per_draw.max():
        return {"name": name, "statistic": "no variation", "p_value": float(per_draw[0] == expected)}
    z = (per_draw.mean() - expected) / stats.sem(per_draw)
    return {"name": name, "statistic": f"z {z:.1f}", "p_value": float(2 * stats.norm.sf(abs(z)))}
