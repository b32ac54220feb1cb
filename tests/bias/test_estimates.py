"""Estimates of correlation and design effect, on populations where the truth is known."""

import numpy as np
import pytest

from lit_video.bias import CorrelationModel, estimate_deff, estimate_R, fit_R

MODEL = CorrelationModel(0.2, 0.5, 0.8)


def videos_of(rng, num_videos, num_frames, d, model=MODEL):
    """Gradients [videos, frames, d] with the model's correlation: a plateau, an AR(1) and noise of single frames."""
    steps = rng.normal(size=(num_videos, num_frames, d))
    faded = np.empty_like(steps)
    faded[:, 0] = steps[:, 0]
    for t in range(1, num_frames):
        faded[:, t] = model.phi * faded[:, t - 1] + np.sqrt(1 - model.phi**2) * steps[:, t]
    plateau, noise = rng.normal(size=(num_videos, 1, d)), rng.normal(size=(num_videos, num_frames, d))
    shares = model.rho_v, model.rho_s, 1 - model.rho_v - model.rho_s
    return np.sqrt(shares[0]) * plateau + np.sqrt(shares[1]) * faded + np.sqrt(shares[2]) * noise


def pairs_of(rng, videos, num_pairs):
    flat = videos.reshape(-1, videos.shape[2])
    return flat[rng.integers(len(flat), size=(num_pairs, 2))]


def test_every_video_and_every_pair_give_the_definition():
    videos = videos_of(np.random.default_rng(0), 4, 6, 2)
    flat = videos.reshape(-1, 2)
    i, j = np.divmod(np.arange(len(flat) ** 2), len(flat))
    result = estimate_R(list(videos), flat[np.stack([i, j], axis=1)], np.random.default_rng(0))
    variance = np.square(flat - flat.mean(axis=0)).sum(axis=1).mean()
    assert result.variance == pytest.approx(variance)
    for lag in range(6):
        pairs = [(video[t], video[t + lag]) for video in videos for t in range(6 - lag)]
        expected = 1 - np.mean([np.square(a - b).sum() for a, b in pairs]) / 2 / variance  # F56
        assert result.R[lag] == pytest.approx(expected)
        assert result.num_pairs[lag] == len(pairs)


def test_a_pilot_finds_the_correlation_of_the_population():
    rng = np.random.default_rng(1)
    videos = videos_of(rng, 400, 64, 32)
    result = estimate_R(list(videos), pairs_of(rng, videos, 20_000), rng)
    # 400 videos of 32 dimensions: sd 0.01 at the longest lags, and 5 of them at any of 64 fail once in 25,000.
    np.testing.assert_allclose(result.R, MODEL.R(64), atol=0.05)
    assert (result.low <= result.R).all()
    assert (result.high >= result.R).all()
    fitted = fit_R(result.R, result.num_pairs)
    assert (fitted.rho_v, fitted.rho_s, fitted.phi) == pytest.approx((0.2, 0.5, 0.8), abs=0.05)


def test_short_windows_need_no_centring():
    # Eight windows centred by their own mean would put R(7) far below 0.
    rng = np.random.default_rng(2)
    estimates = []
    for _ in range(60):
        videos = videos_of(rng, 40, 8, 4)
        estimates.append(estimate_R(list(videos[:8]), pairs_of(rng, videos, 2000), rng, num_resamples=1).R[7])
    # Sd of one estimate 0.16, of the mean of 60 0.021; 4 of them fail once in 16,000.
    assert np.mean(estimates) == pytest.approx(MODEL.R(8)[7], abs=0.085)


def coverage(population, lag, windows_of, repetitions=200, **options):
    """Share of intervals that hold the R of this population, over pilots that differ in their windows and pairs."""
    flat = population.reshape(-1, population.shape[2])
    steps = population[:, lag:] - population[:, : population.shape[1] - lag]
    truth = 1 - np.square(steps).sum(axis=2).mean() / 2 / np.square(flat - flat.mean(axis=0)).sum(axis=1).mean()
    held = []
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        pairs = pairs_of(rng, population, 2000)
        result = estimate_R(windows_of(rng), pairs, rng, num_resamples=200, **options)
        held.append(result.low[lag] <= truth <= result.high[lag])
    return np.mean(held)


def test_intervals_over_videos_hold_the_truth():
    population = videos_of(np.random.default_rng(0), 400, 40, 8)

    def windows_of(rng):
        starts = rng.integers(40 - 16, size=60).tolist()
        return [population[v, s : s + 16] for v, s in zip(rng.integers(400, size=60).tolist(), starts, strict=True)]

    # Nominal 0.95; sd 0.017 over 200 pilots. Below 0.88 twice in 100,000 seeds.
    assert coverage(population, 8, windows_of) > 0.88


def test_intervals_over_blocks_hold_the_truth_of_one_video():
    population = videos_of(np.random.default_rng(0), 1, 20_000, 4, CorrelationModel(0, 0.9, 0.9))

    def windows_of(rng):
        return [population[0, s : s + 400] for s in rng.integers(19_600, size=5).tolist()]

    # About 0.9 with five windows, sd 0.02 over 200 pilots; below 0.83 once in 2,000 seeds.
    assert coverage(population, 10, windows_of, num_lags=11, block=60) > 0.83


def test_blocks_of_one_frame_are_too_sure():
    rng = np.random.default_rng(3)
    video = videos_of(rng, 1, 2000, 2, CorrelationModel(0, 0.95, 0.95))
    pairs = pairs_of(rng, video, 50_000)
    widths = []
    for block in (1, 100):
        result = estimate_R([video[0][:1000], video[0][1000:]], pairs, rng, num_lags=21, block=block, num_resamples=200)
        widths.append(result.high[20] - result.low[20])
    # The ratio is 2.9 on average, with an sd of 0.5; below 1.4 once in 1,000 seeds.
    assert widths[1] > 1.4 * widths[0]


def test_videos_with_several_runs_are_drawn_whole():
    rng = np.random.default_rng(4)
    videos = videos_of(rng, 10, 8, 2)
    pairs = pairs_of(rng, videos, 500)
    twice = [*videos, *videos]
    once = estimate_R(list(videos), pairs, np.random.default_rng(0))
    again = estimate_R(twice, pairs, np.random.default_rng(0), video_ids=[*range(10), *range(10)])
    np.testing.assert_allclose(again.high - again.low, once.high - once.low)  # repeats are no information
    as_if_new = estimate_R(twice, pairs, np.random.default_rng(0))
    assert (as_if_new.high - as_if_new.low)[4] < (once.high - once.low)[4]


def test_one_number_per_frame_is_a_vector_of_one():
    result = estimate_R([[1.0, 2.0, 4.0], [0.0, 1.0, 3.0]], [[0.0, 2.0], [1.0, 1.0]], np.random.default_rng(0))
    assert result.variance == 1  # the mean of 2 and 0
    np.testing.assert_allclose(result.R, [1, 1 - (0.5 + 2 + 0.5 + 2) / 4, 1 - 4.5])


def test_the_shortest_run_decides_how_many_lags_there_are():
    runs, pairs = [np.arange(9.0), np.arange(5.0) ** 2], [[0.0, 2.0], [1.0, 4.0]]
    rng = np.random.default_rng(0)
    assert estimate_R(runs, pairs, rng).num_pairs.tolist() == [14, 12, 10, 8, 6]
    assert estimate_R(runs, pairs, rng, block=3).R.size == 3  # so that a block of 3 has a partner at every lag
    assert estimate_R(runs, pairs, rng, num_lags=2).R.size == 2


def test_design_effect_by_hand():
    result = estimate_deff([1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0], horizons=[1, 2, 4, 8])
    np.testing.assert_allclose(result.deff, [1, 2, 0, 0])
    assert result.horizons.tolist() == [1, 2, 4, 8]
    np.testing.assert_allclose(result.relative_sd, np.sqrt([2 / 8, 2 / 4, 2 / 2, 2 / 1]))
    shifted = estimate_deff([1.0, 1.0], population=[1.0, -1.0], horizons=[1, 2])
    np.testing.assert_allclose(shifted.deff, [1, 2])


def test_horizons_are_powers_of_two_with_eight_stretches():
    assert estimate_deff(np.arange(100.0)).horizons.tolist() == [1, 2, 4, 8]
    assert estimate_deff(np.arange(64.0)).horizons.tolist() == [1, 2, 4, 8]
    assert estimate_deff(np.arange(3.0)).horizons.tolist() == [1]


def test_independent_frames_have_design_effect_one():
    rng = np.random.default_rng(5)
    population = videos_of(rng, 20, 50, 6).reshape(-1, 6)
    deviations = []
    for _ in range(100):
        result = estimate_deff(population[rng.integers(1000, size=1024)], population, horizons=[16])
        deviations.append((result.deff[0] - 1) / result.relative_sd[0])
    # Standard normal, about: mean within 0.4, sd within 0.3 of 1; either fails once in 10,000 seeds.
    assert np.mean(deviations) == pytest.approx(0, abs=0.4)
    assert np.std(deviations) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda rng: estimate_R([], [[0.0, 1.0]], rng), r"number of runs must be at least 1", id="no run"),
        pytest.param(
            lambda rng: estimate_R([[1.0, 2.0]], [[0.0, 1.0]], rng), r"videos without block .* 2, got 1", id="one video"
        ),
        pytest.param(
            lambda rng: estimate_R([[1.0], [2.0]], [[0.0, 1.0]], rng, video_ids=[1]),
            r"each of 2 runs, got shape \(1,\)",
            id="video ids",
        ),
        pytest.param(
            lambda rng: estimate_R([[1.0], [2.0]], [[1.0, 1.0]], rng), r"must differ, got 1 pairs of equal", id="equal"
        ),
        pytest.param(
            lambda rng: estimate_R([[1.0], [2.0]], [[1.0, 1.0, 1.0]], rng), r"\[pairs, 2, 1\], got", id="triples"
        ),
        pytest.param(
            lambda rng: estimate_R([[np.nan], [2.0]], [[1.0, 0.0]], rng), r"runs\[0\] must be finite", id="nan"
        ),
        pytest.param(
            lambda rng: estimate_R([[1.0], [2.0]], [[1.0, 2.0]], rng, num_lags=2),
            r"num_lags must be in \[1, 1\]",
            id="lags",
        ),
        pytest.param(lambda rng: estimate_deff([1.0, 1.0]), r"population must differ, got 2 equal", id="no variance"),
        pytest.param(
            lambda rng: estimate_deff([1.0, 2.0], horizons=[3]), r"horizons must be in \[1, 2\], got 3", id="horizon"
        ),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))
