"""Chunked and reservoir: exact laws by enumeration, and what the planner makes of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.bias import chi2, kish_factor, tv
from lit_video.loading.loader import VideoLoader
from lit_video.planning.planner import plan
from lit_video.samplers.chunked import ChunkedSampler, Lanes
from lit_video.samplers.chunks import Chunks, Line, cut
from lit_video.samplers.reservoir import Jittered, ReservoirSampler
from tests.fakes import index_of
from tests.loading.test_loader import SlowDecoder

lengths_of_videos = st.lists(st.integers(1, 14), min_size=1, max_size=5)
chunk_lengths = st.one_of(st.none(), st.integers(1, 12))


def whole(order):
    return np.asarray(order[0 : len(order)])


def mean_correlation(sampler, gradients, batch_size, epochs):
    """Variance of batch means over that of as many independent frames, over all batches of many epochs."""
    means = []
    for epoch in range(epochs):
        order = whole(sampler.order(epoch))
        full = len(order) // batch_size * batch_size
        means.append(gradients[order[:full]].reshape(-1, batch_size, gradients.shape[1]).mean(axis=1))
    spread = np.square(np.concatenate(means) - gradients.mean(axis=0)).sum(axis=1).mean()
    return spread * batch_size / np.square(gradients - gradients.mean(axis=0)).sum(axis=1).mean()


def walk(num_videos, length, phi, seed=0):
    """Gradients whose correlation is phi**lag inside a video and 0 between videos, 16 numbers a frame."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(num_videos, length, 16))
    for frame in range(1, length):
        steps[:, frame] = phi * steps[:, frame - 1] + np.sqrt(1 - phi**2) * steps[:, frame]
    return steps.reshape(-1, 16)


class TestEveryFrameOnce:
    @given(lengths_of_videos, chunk_lengths, st.integers(1, 9), st.integers(0, 3))
    def test_chunked(self, lengths, chunk_length, lanes, epoch):
        index = index_of(lengths, gop=4)
        order = whole(ChunkedSampler(index, 0, chunk_length=chunk_length, lanes=lanes).order(epoch))
        assert sorted(order) == list(range(index.num_frames))

    @given(lengths_of_videos, chunk_lengths, st.integers(1, 40), st.integers(0, 3))
    def test_reservoir(self, lengths, chunk_length, buffer, epoch):
        index = index_of(lengths, gop=4)
        order = whole(ReservoirSampler(index, 0, buffer=buffer, chunk_length=chunk_length).order(epoch))
        assert sorted(order) == list(range(index.num_frames))


class TestEverySlotIsExactlyUniform:
    """Over all offsets, one after another, each slot shows each frame exactly once."""

    @given(lengths_of_videos, chunk_lengths, st.integers(1, 9), st.integers(0, 9))
    def test_lanes(self, lengths, chunk_length, lanes, stagger):
        index = index_of(lengths, gop=4)
        chunks = cut(index, chunk_length, 0, "test", 0)
        n = index.num_frames
        orders = [whole(Lanes(chunks, min(lanes, chunks.num_chunks), stagger, rotation)) for rotation in range(n)]
        assert all(sorted(slot) == list(range(n)) for slot in np.array(orders).T)

    @given(lengths_of_videos, chunk_lengths, st.integers(1, 30))
    def test_jitter_rotated(self, lengths, chunk_length, width):
        index = index_of(lengths, gop=4)
        chunks = cut(index, chunk_length, 0, "test", 0)
        orders = [whole(Jittered(chunks, width, rotation, 0, 0)) for rotation in range(index.num_frames)]
        assert all(sorted(slot) == list(range(index.num_frames)) for slot in np.array(orders).T)

    @given(lengths_of_videos, st.integers(1, 12), st.integers(1, 30), st.integers(0, 5))
    def test_jitter_of_chunks_cut_from_every_offset(self, lengths, chunk_length, width, epoch):
        """What the reservoir does with chunks of one length: the offset of the cut is all the rotation it needs."""
        index = index_of(lengths, gop=4)
        chunks, n = cut(index, chunk_length, 0, "test", epoch), index.num_frames
        orders = [
            whole(Jittered(Chunks(chunks.line, chunks.start + offset, chunks.begin), width, 0, 0, epoch))
            for offset in range(n)
        ]
        assert all(sorted(slot) == list(range(n)) for slot in np.array(orders).T)


class TestLanes:
    def test_a_batch_of_as_many_slots_as_lanes_has_no_chunk_twice(self):
        index = index_of([600] * 20, 30)
        order = whole(ChunkedSampler(index, 0, lanes=32).order(0))
        for begin in range(0, len(order) - 32, 32):
            gops = order[begin : begin + 32] // 30
            assert len(set(gops)) >= 31  # where the order closes its circle one lane may meet its chunk again

    def test_lanes_change_chunk_at_different_times(self):
        index = index_of([600] * 20, 30)
        gops = whole(ChunkedSampler(index, 0, lanes=30).order(0)).reshape(-1, 30) // 30
        changes = (np.diff(gops, axis=0) != 0).sum(axis=1)
        assert changes.max() <= 6
        assert changes.mean() == pytest.approx(1, rel=0.1)

    def test_chunks_lie_on_the_circle_of_all_frames(self):
        line = Line(np.array([0, 3, 5]), np.array([10, 20]))
        assert line.frames(np.array([0, 2, 3, 4, 5, 9])).tolist() == [10, 12, 20, 21, 10, 21]

    def test_an_epoch_of_any_length_holds_chunks_only(self):
        """100 million frames: what is held is as long as the chunks, and any part is computed alone."""
        index = index_of([10_000] * 4, 250)
        order = ChunkedSampler(index, 0).order(0)
        held = order.chunks.start, order.chunks.begin, order.chunks.line.begins
        assert max(map(len, held)) <= index.num_frames // 250 + 1
        assert len(order[39_000:39_010]) == 10


@pytest.mark.usefixtures("unchecked")
class TestThroughThePlanner:
    index = index_of([600] * 100, 30)

    def amplification(self, sampler, lookahead, budget=10**9):
        planned = plan(sampler.order(0), self.index, lookahead, budget)
        list(planned)
        return planned.decode_amplification

    @pytest.mark.parametrize("lanes", [1, 16, 64])
    def test_gops_decode_once(self, lanes):
        sampler = ChunkedSampler(self.index, 0, lanes=lanes)
        # The rotation cuts one GOP a lane, whose tail is decoded from its keyframe again.
        assert 1 <= self.amplification(sampler, sampler.needed_lookahead) <= 1 + 1.5 * lanes * 30 / 60_000

    def test_an_epoch_begins_without_waste(self):
        sampler = ChunkedSampler(self.index, 0, lanes=64)
        reads = plan(sampler.order(0), self.index, sampler.needed_lookahead, 10**9)
        first = [read for read in reads if read.first_position < 6000]
        decoded = sum(read.num_decoded for read in first)
        assert decoded / sum(len(read.frame_indices) for read in first) < 1.02

    @pytest.mark.parametrize("length", [4, 8, 16])
    def test_unaligned_chunks_cost_what_section_9_says(self, length):
        """Chunks decoded one by one: half a GOP of lead-in each, 1 + (L − 1) / (2k) frames decoded a frame."""
        sampler = ChunkedSampler(self.index, 0, chunk_length=length, lanes=8)
        assert self.amplification(sampler, 8 * length) == pytest.approx(1 + 29 / (2 * length), rel=0.05)

    def test_reservoir_decodes_gops_once(self):
        sampler = ReservoirSampler(self.index, 0, buffer=500)
        assert self.amplification(sampler, sampler.needed_lookahead) < 1.03

    def test_the_loader_says_when_it_cannot_look_far_enough(self):
        arguments = {"size": 16, "batch_size": 16, "lookahead": 100}
        with pytest.warns(UserWarning, match="spreads each chunk over 480 positions and the look-ahead reaches 100"):
            VideoLoader(self.index, ChunkedSampler(self.index, 0, lanes=16), SlowDecoder, **arguments).budget  # noqa: B018


class TestVariance:
    """Design effects of real orders against the laws that the samplers state."""

    index = index_of([60] * 60, 12)
    phi = 0.9
    R = 0.9 ** np.arange(4000.0)

    @pytest.mark.parametrize(
        "make",
        [
            lambda index: ChunkedSampler(index, 0, lanes=4),
            lambda index: ChunkedSampler(index, 0, lanes=48),
            lambda index: ChunkedSampler(index, 0, chunk_length=12, lanes=8),
            lambda index: ReservoirSampler(index, 0, buffer=60),
            lambda index: ReservoirSampler(index, 0, buffer=200, chunk_length=6),
        ],
        ids=["4 lanes", "48 lanes", "unaligned", "reservoir", "reservoir, short chunks"],
    )
    def test_of_a_batch(self, make):
        sampler, gradients = make(self.index), walk(60, 60, self.phi)
        found = mean_correlation(sampler, gradients, 48, epochs=12)
        # 900 batches of 16 nearly independent numbers: a standard error of 1.2 %. With 3,600 frames the finite
        # population takes up to another 48 / 3600.
        assert found == pytest.approx(sampler.design_effect(self.R, 48, "batch"), rel=0.08)

    def test_long_runs_cost_h_of_the_chunk(self):
        sampler = ChunkedSampler(self.index, 0, lanes=48)
        k = 12
        expected = 1 + 2 * sum((1 - lag / k) * self.phi**lag for lag in range(1, k))
        assert sampler.design_effect(self.R, 48, "long") == pytest.approx(expected)

    def test_mixing_only_postpones_the_cost_and_the_end_of_the_epoch_settles_it(self):
        sampler = ChunkedSampler(self.index, 0, lanes=48)
        batch, more, many, long = (sampler.design_effect(self.R, 48, horizon) for horizon in ("batch", 96, 480, "long"))
        assert batch < 1 < more < many < long
        assert sampler.design_effect(self.R, 48, 3600) < 0.1  # all frames, each once: no variance is left


class TestSliding:
    """The usual way, with its bias: windows of 5 frames in one video of 600."""

    sampler = ChunkedSampler(index_of([600], 30), 0, chunk_length=5, window="sliding")

    def test_worked_example(self):
        q = self.sampler.inclusion_probability()
        assert tv(q) == pytest.approx(0.00662, abs=5e-6)
        assert np.sqrt(chi2(q)) == pytest.approx(0.0633, abs=5e-5)
        assert self.sampler.weights().max() == pytest.approx(4.97, abs=5e-3)
        assert kish_factor(q) == pytest.approx(1.0146, abs=5e-5)
        assert not self.sampler.exact_uniform
        assert not self.sampler.epoch_complete

    def test_weights_make_the_expected_gradient_unbiased(self):
        gradients = np.random.default_rng(0).normal(size=(600, 3))
        q, w = self.sampler.inclusion_probability(), self.sampler.weights()
        assert np.allclose((q * w) @ gradients, gradients.mean(axis=0))
        assert self.sampler.weights(np.array([0, 300])).tolist() == [w[0], w[300]]

    def test_windows_lie_within_a_video(self):
        index = index_of([7, 30, 12], 4)
        chunks = ChunkedSampler(index, 0, chunk_length=6, window="sliding").order(0).chunks
        for start in chunks.start:
            (first, last), _ = index.locate(np.array([start, start + 5]))
            assert first == last

    def test_frames_of_videos_shorter_than_a_window_cannot_be_weighted(self):
        sampler = ChunkedSampler(index_of([3, 30], 4), 0, chunk_length=5, window="sliding")
        assert (sampler.inclusion_probability()[:3] == 0).all()
        with pytest.raises(ValueError, match="3"):
            sampler.weights(np.array([10]))

    def test_reaches_the_batch(self):
        index = index_of([40, 40], 10)
        sampler = ChunkedSampler(index, 0, chunk_length=5, window="sliding", lanes=4)
        loader = VideoLoader(index, sampler, SlowDecoder, size=16, batch_size=20)
        batch = next(iter(loader))
        frames = index.offset[batch["video_id"]] + batch["frame_index"].numpy()
        assert batch["weight"].numpy() == pytest.approx(sampler.weights(frames), rel=1e-6)
        assert batch["weight"].max() > 1
        loader.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"chunk": "video"}, "chunk must be 'gop', or give chunk_length, a number of frames; got 'video'"),
        ({"chunk_length": 0}, "chunk_length must be at least 1, got 0"),
        ({"lanes": 0}, "lanes must be at least 1, got 0"),
        ({"window": "open"}, "window must be one of circular, sliding, got 'open'"),
        ({"window": "sliding"}, "window='sliding' needs chunk_length"),
    ],
)
def test_chunked_refuses(arguments, told):
    with pytest.raises(ValueError, match=told):
        ChunkedSampler(index_of([40], 10), 0, **arguments)


def test_sliding_windows_longer_than_any_video_are_refused():
    with pytest.raises(ValueError, match="chunk_length must be at most 40, the longest video, got 41"):
        ChunkedSampler(index_of([40], 10), 0, chunk_length=41, window="sliding").order(0)


@pytest.mark.parametrize("arguments", [{"buffer": 0}, {"chunk_length": 0}])
def test_reservoir_refuses(arguments):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        ReservoirSampler(index_of([40], 10), 0, **arguments)
