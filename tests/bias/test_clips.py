"""Laws of clips against enumeration: of anchors, of pairs of frames, of places in a GOP."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.bias import clip_correlation, clip_decodes, clip_factor, clip_gops, clips_holding, q_clips
from lit_video.bias.design_effect import deff_from_slots
from lit_video.index.population import Population
from tests.fakes import index_of

short, stride = st.integers(1, 7), st.integers(1, 5)


class TestWhichFrames:
    @given(st.integers(1, 40), short, stride, st.sampled_from(["inside", "pad", "circular"]))
    def test_counts_are_those_of_all_anchors(self, length, T, s, ends):
        anchors = {"inside": range(length - (T - 1) * s), "pad": range(-(T - 1) * s, length), "circular": range(length)}
        counts = np.zeros(length, int)
        for anchor in anchors[ends]:
            frames = anchor + s * np.arange(T)
            frames = frames % length if ends == "circular" else frames[(frames >= 0) & (frames < length)]
            np.add.at(counts, frames, 1)
        assert clips_holding(length, T, s, ends).tolist() == counts.tolist()

    @pytest.mark.parametrize("ends", ["inside", "pad", "circular"])
    def test_a_population_of_clips_has_this_law(self, ends):
        lengths = [23, 9, 40]
        population = Population(index_of(lengths, 10), clip_length=4, clip_stride=3, ends=ends)
        frames, padding = population.frames_of(np.arange(population.num_samples))
        counts = np.bincount(frames[~padding], minlength=sum(lengths))
        assert q_clips(lengths, 4, 3, ends) == pytest.approx(counts / counts.sum())

    def test_stretches_that_hold_no_clip(self):
        assert q_clips([5, 2], 3)[5:].tolist() == [0, 0]
        with pytest.raises(ValueError, match="no stretch has 5 frames"):
            q_clips([4, 4], 3, 2)


def fading_R(num_lags):
    """The correlation of a moving average of ten terms: one that a run may have, without a formula to agree by."""
    taps = np.random.default_rng(0).random(10)
    R = np.correlate(taps, taps, "full")[9:]
    return np.r_[R / R[0], np.zeros(num_lags)][:num_lags]


class TestVariance:
    R = fading_R(80)

    @pytest.mark.parametrize(("T", "s"), [(1, 1), (4, 1), (3, 5), (8, 2)])
    def test_correlation_is_that_of_all_pairs_of_frames(self, T, s):
        def pairs(distance):
            return sum(self.R[abs(distance + s * (i - j))] for i in range(T) for j in range(T))

        found = clip_correlation(self.R, T, s, 30)
        assert found == pytest.approx([pairs(distance) / pairs(0) for distance in range(31)])

    @pytest.mark.parametrize(("T", "s"), [(1, 1), (4, 1), (3, 5), (8, 2)])
    def test_the_factor_is_that_of_all_pairs_of_one_clip(self, T, s):
        expected = sum(self.R[s * abs(i - j)] for i in range(T) for j in range(T)) / T
        assert clip_factor(self.R, T, s) == pytest.approx(expected)

    def test_a_batch_costs_the_factor_times_the_design_effect_of_its_clips(self):
        """Three clips of four frames, five frames from anchor to anchor: the variance of all twelve, by all pairs."""
        frames = (5 * np.arange(3)[:, None] + 2 * np.arange(4)).ravel()
        expected = self.R[np.abs(frames[:, None] - frames)].sum() / len(frames)
        r = clip_correlation(self.R, 4, 2, 10)[::5]
        assert clip_factor(self.R, 4, 2) * deff_from_slots(r, 3) == pytest.approx(expected)

    def test_asks_for_as_much_of_R_as_it_needs(self):
        with pytest.raises(ValueError, match="R must hold at least 12 lags"):
            clip_correlation(self.R[:11], 3, 3, 5)


class TestDecoding:
    @given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 12))
    def test_is_the_mean_over_all_places_in_a_gop(self, T, s, gop):
        decoded, sought = 0, 0
        for begin in range(gop):
            frames = begin + s * np.arange(T)
            for number in set(frames // gop):
                decoded += frames[frames // gop == number].max() % gop + 1
                sought += 1
        assert clip_decodes(T, s, gop) == pytest.approx(decoded / (gop * T))
        assert clip_gops(T, s, gop) == pytest.approx(sought / gop)

    def test_runs_cost_what_section_9_says(self):
        assert clip_decodes(16, 1, 30) == pytest.approx(1 + 29 / 32)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: clips_holding(0, 1), "length must be at least 1"),
        (lambda: clips_holding(4, 1, ends="open"), "ends must be one of inside, pad, circular, got 'open'"),
        (lambda: clip_decodes(1, 1, 0), "gop must be at least 1"),
        (lambda: clip_factor([1.0], 2), "R must hold at least 2 lags"),
    ],
)
def test_refuses(call, told):
    with pytest.raises(ValueError, match=told):
        call()
