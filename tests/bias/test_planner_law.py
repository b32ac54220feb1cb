"""What shared decoding costs, against the enumeration of windows and the simulation of a look-ahead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import PlannerCost, planner_lookahead, planner_sliding

GOPS = st.lists(st.integers(1, 6), min_size=1, max_size=8)
# 200 videos of 600 frames; GOPs of 250 leave one of 100 in every video.
TABLE = {12: [12] * 10_000, 30: [30] * 4000, 60: [60] * 2000, 250: [250, 250, 100] * 200}


def slide(gops, W, epochs, rng):
    """Mean decoded frames, opens and frames held per delivered frame of a sliding look-ahead, epoch after epoch."""
    N = sum(gops)
    gop_of = np.repeat(np.arange(len(gops)), gops).tolist()
    place = (np.arange(N) - np.repeat(np.cumsum(gops) - gops, gops)).tolist()
    order = np.concatenate([rng.permutation(N) for _ in range(epochs)]).tolist()
    wanted = [[] for _ in gops]
    for position, frame in enumerate(order):
        wanted[gop_of[frame]].append(position)
    next_wanted, kept, held = [0] * len(gops), set(), 0
    decoded = opens = total_held = 0
    for position, frame in enumerate(order):
        gop = gop_of[frame]
        if position not in kept:
            soon = [p for p in wanted[gop][next_wanted[gop] :] if p < position + W]
            decoded += max(place[order[p]] for p in soon) + 1
            opens += 1
            kept.update(soon)
            held += len(soon)
        next_wanted[gop] += 1
        held -= 1
        total_held += held
    return PlannerCost(decoded / len(order), opens / len(order), total_held / len(order))


@pytest.mark.parametrize(("gops", "W"), [([12] * 500, 300), ([30] * 200, 600), ([60] * 100, 60), ([40, 10] * 100, 500)])
def test_sliding_look_ahead_simulated(gops, W):
    measured, cost = slide(gops, W, 6, np.random.default_rng(0)), planner_sliding(gops, W)
    # The formula is off by up to 1.8 % (decoded), 2.4 % (opens) and 4.3 % (held) here; the simulation's sd is 0.3 %,
    # 0.3 % and 0.7 %. More than 2 sd are left everywhere, which one seed in 100 exceeds.
    assert cost.decoded == pytest.approx(measured.decoded, rel=0.04)
    assert cost.opens == pytest.approx(measured.opens, rel=0.04)
    assert cost.held == pytest.approx(measured.held, rel=0.06)


def test_looking_ahead_over_a_whole_epoch_simulated():
    gops = [10] * 40 + [5] * 40
    measured = [slide(gops, 600, 1, np.random.default_rng(seed)) for seed in range(20)]
    cost = planner_sliding(gops, 600)
    assert cost.decoded == 1
    assert cost.opens == 80 / 600
    assert {(m.decoded, m.opens) for m in measured} == {(1.0, 80 / 600)}
    # The sd of the mean over 20 epochs is 0.5 %, and 4 of them fail once in 16,000.
    assert cost.held == pytest.approx(np.mean([m.held for m in measured]), rel=0.02)


@given(GOPS, st.integers(1, 60))
@settings(deadline=None, max_examples=100)
def test_sliding_look_ahead_stays_in_its_bounds(gops, W):
    cost = planner_sliding(gops, W)
    L = np.array(gops)
    assert 1 <= cost.decoded <= max(1, (L * (L + 1)).sum() / (2 * L.sum())) + 1e-9
    assert 0 < cost.opens <= 1
    assert 0 <= cost.held <= W / 2


def test_no_look_ahead_is_random_access():
    cost = planner_sliding([60] * 10_000_000, 1)
    assert cost.decoded == pytest.approx(30.5, rel=1e-6)
    assert cost.opens == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(
    ("L", "sliding"),
    [
        (12, [6.44, 6.09, 4.38, 2.38]),
        (30, [15.2, 13.3, 7.32, 3.01]),
        (60, [29.3, 23.2, 9.75, 3.31]),
        (250, [97.3, 54.0, 12.8, 3.55]),
    ],
)
def test_decoded_frames_of_section_10_3(L, sliding):
    windows = (128, 1024, 8192, 32_768)
    # Three digits: half a unit of the last is at most half a percent.
    np.testing.assert_allclose([planner_sliding(TABLE[L], W).decoded for W in windows], sliding, rtol=5e-3)
    assert planner_sliding(TABLE[L], 120_000).decoded == 1


@pytest.mark.parametrize(
    ("L", "opens", "held"),
    [
        (12, [0.99, 0.91, 0.55, 0.23], [1, 48, 1844, 12_553]),
        (30, [0.97, 0.80, 0.33, 0.11], [2, 104, 2752, 14_602]),
        (60, [0.94, 0.66, 0.20, 0.06], [4, 173, 3292, 15_442]),
        (250, [0.81, 0.36, 0.07, 0.02], [12, 330, 3820, 16_090]),
    ],
)
def test_opens_and_frames_held_of_section_10_3(L, opens, held):
    costs = [planner_sliding(TABLE[L], W) for W in (128, 1024, 8192, 32_768)]
    np.testing.assert_allclose([cost.opens for cost in costs], opens, atol=5.1e-3)
    np.testing.assert_allclose([cost.held for cost in costs], held, atol=0.51)


def test_memory_and_look_ahead_belong_together():
    assert [planner_lookahead(frames) for frames in (0, 1, 7133)] == [1, 1, 13_552]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: planner_sliding([], 2), r"gop_lengths must be integers, at least one", id="no GOP"),
        pytest.param(lambda: planner_sliding([3, 0], 2), r"gop_lengths must be at least 1, got 0", id="empty GOP"),
        pytest.param(lambda: planner_sliding([3], 0), r"W must be at least 1, got 0", id="no look-ahead"),
        pytest.param(lambda: planner_lookahead(-1), r"memory_frames must be at least 0, got -1", id="memory"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
