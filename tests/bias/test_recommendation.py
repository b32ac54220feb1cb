"""Which sampler is recommended, on data sets where section 10.4 of docs/bias.md has the numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.bias import Conditions, CorrelationModel, eff_rates, h, planner_sliding, recommend

FRAME_BYTES = 224 * 224 * 3
SHORT, LONG = CorrelationModel(0.02, 0.6, 0.90), CorrelationModel(0.1, 0.6, 0.97)


def conditions(L=12, model=SHORT, memory_frames=4312, **changes):
    """One frame a second, seeks of five frames, 200 videos of 600 frames; memory for a look-ahead of 8,192."""
    values = {
        "gop_lengths": [L] * (120_000 // L),
        "R": model.R(600),
        "b": 256,
        "decode_seconds": 1.0,
        "seek_seconds": 5.0,
        "frame_bytes": FRAME_BYTES,
        "memory_bytes": memory_frames * FRAME_BYTES,
    }
    return Conditions(**(values | changes))


def test_memory_for_all_frames_decodes_each_once():
    result = recommend(conditions(memory_frames=120_000))
    assert (result.sampler, result.parameters) == ("uniform", {"lookahead": 120_000})
    assert result.candidates[0].seconds_per_frame == pytest.approx(1 + 5 / 12)  # and a seek for each GOP


@pytest.mark.parametrize("model", [SHORT, LONG])
@pytest.mark.parametrize("L", [12, 60])
def test_the_planner_wins_where_noise_limits_training(L, model):
    result = recommend(conditions(L, model))
    assert result.sampler == "uniform"
    assert result.parameters == {"lookahead": 8192}
    planner, runs, gops = result.candidates
    values = (
        {12: 0.140, 60: 0.093}[L],
        {12: (0.107, 0.095), 60: (0.059, 0.035)}[L],
        {12: (0.127, 0.089), 60: (0.083, 0.033)}[L],
    )
    assert planner.effective_rate == pytest.approx(values[0], abs=6e-4)
    assert runs.effective_rate == pytest.approx(values[1][model is LONG], abs=6e-4)
    assert gops.effective_rate == pytest.approx(values[2][model is LONG], abs=6e-4)
    assert "planner is best" in result.reasons[0]


def test_whole_gops_win_where_noise_does_not_limit_training():
    result = recommend(conditions(noise_scale=256))
    assert result.parameters["whole_gops"] is True
    assert result.parameters["k"] == 12
    planner, _, gops = result.candidates
    assert gops.effective_rate == pytest.approx(0.215, abs=6e-4)
    assert planner.effective_rate == pytest.approx(0.140, abs=6e-4)
    assert gops.deff == pytest.approx(5.56, abs=6e-3)


def test_chunks_are_mixed_by_lanes_or_by_jitter():
    lanes = recommend(conditions(noise_scale=256, max_open=256))
    assert (lanes.sampler, lanes.parameters["lanes"]) == ("chunked", 256)
    jitter = recommend(conditions(noise_scale=256, max_open=255))
    assert (jitter.sampler, jitter.parameters["jitter"]) == ("reservoir", 8624)
    for result in (lanes, jitter):
        assert len(result.reasons) == 2


def test_gops_of_unequal_length_count_by_their_frames():
    result = recommend(conditions(gop_lengths=[10, 2] * 100, noise_scale=0.0))
    gops = result.candidates[2]
    R = SHORT.R(10)
    assert gops.deff == pytest.approx((10 * h(R, 10) + 2 * h(R, 2)) / 12)
    assert gops.seconds_per_frame == pytest.approx(1 + 5 / 6)


@given(
    st.floats(0, 50), st.floats(0.1, 5), st.integers(1, 80), st.integers(0, 3000), st.floats(0, 1e5) | st.just(math.inf)
)
@settings(deadline=None, max_examples=60)
def test_planner_against_runs_is_decided_by_f49(seek, decode, L, memory_frames, noise_scale):
    model = CorrelationModel(0.1, 0.5, 0.9)
    gops, R, b = [L] * 200, model.R(50), 64
    result = recommend(
        conditions(
            gop_lengths=gops, R=R, b=b, seek_seconds=seek, decode_seconds=decode,
            memory_bytes=memory_frames * FRAME_BYTES, noise_scale=noise_scale,
        )
    )  # fmt: skip
    planner, runs = result.candidates[:2]
    cost = planner_sliding(gops, max(1, int(1.9 * memory_frames)))
    C_p = decode * cost.decoded + seek * cost.opens
    a = seek + decode * (L - 1) / 2
    rates = eff_rates(a, decode, R, b, noise_scale)
    k = int(np.argmax(rates >= rates.max() * (1 - 1e-9))) + 1
    if k > 1:  # the best run is one of two frames or more
        assert runs.k == k
        C_k = (a + decode * k) / k
        sides = (
            (C_p, h(R, k) * C_k)
            if math.isinf(noise_scale)
            else ((b + noise_scale) * C_p, (b + noise_scale * h(R, k)) * C_k)
        )
        if abs(sides[0] / sides[1] - 1) > 1e-6:
            assert (planner.effective_rate > runs.effective_rate) == (sides[0] < sides[1])
    best = max(candidate.effective_rate for candidate in result.candidates)
    uniform = result.sampler == "uniform"
    assert uniform == (planner.effective_rate >= best * (1 - 1e-9))


def test_a_slow_consumer_gets_the_least_clustered_order():
    # The planner delivers one frame in seven seconds, whole GOPs one in 1.4. A consumer of one in eight needs no more.
    fast = recommend(conditions(noise_scale=0.0))
    slow = recommend(conditions(noise_scale=0.0, consumer_rate=1 / 8))
    assert fast.sampler != "uniform"
    assert slow.sampler == "uniform"
    assert "least clustered" in slow.reasons[1]


def test_runs_are_no_longer_than_the_consumer_needs():
    # One frame in four seconds: runs of k cost (5 + 5.5 + k) / k seconds a frame, so k = 4 is enough, just.
    few = recommend(conditions(noise_scale=0.0, memory_frames=0, consumer_rate=1 / 4))
    runs = few.candidates[1]
    assert runs.k == 4
    assert runs.frames_per_second == 1 / 4
    assert few.parameters == {"k": 4, "whole_gops": False, "jitter": 1}
    # With two decoders, runs of two are enough.
    assert (
        recommend(conditions(noise_scale=0.0, memory_frames=0, consumer_rate=1 / 4, num_decoders=2)).parameters["k"]
        == 2
    )


def test_runs_longer_than_the_measured_correlation_are_not_considered():
    result = recommend(conditions(R=[1.0], noise_scale=0.0))
    assert [candidate.name for candidate in result.candidates] == ["planner"]
    result = recommend(conditions(R=[1.0, 0.5, 0.4], noise_scale=0.0))
    assert [(candidate.name, candidate.k) for candidate in result.candidates] == [("planner", 1), ("runs", 3)]


def test_all_intra_video_needs_no_runs():
    result = recommend(conditions(gop_lengths=[1] * 1000, seek_seconds=0.0, memory_frames=0))
    assert (result.sampler, result.candidates[0].seconds_per_frame) == ("uniform", 1)
    assert [candidate.name for candidate in result.candidates] == ["planner", "runs"]
    pairs = recommend(conditions(gop_lengths=[2] * 1000, R=[1.0, 0.5]))
    assert [(candidate.name, candidate.k) for candidate in pairs.candidates] == [
        ("planner", 1),
        ("runs", 2),
        ("gops", 2),
    ]
    assert eff_rates(0, 1, [1.0])[0] == result.candidates[0].effective_rate


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"b": 0}, r"b must be at least 1, got 0", id="b"),
        pytest.param({"gop_lengths": []}, r"gop_lengths must be integers, at least one", id="no GOP"),
        pytest.param({"R": [0.5]}, r"R\[0\] must be 1", id="R"),
        pytest.param({"memory_bytes": -1}, r"memory_bytes must be at least 0, got -1", id="memory"),
        pytest.param({"noise_scale": -1.0}, r"noise_scale must be in \[0, inf\], got -1", id="noise"),
        pytest.param({"decode_seconds": 0.0, "seek_seconds": 0.0}, r"must be above 0, got 0 and inf", id="free"),
        pytest.param({"consumer_rate": 0.0}, r"must be above 0, got 6 and 0", id="no consumer"),
    ],
)
def test_says_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        conditions(**changes)
