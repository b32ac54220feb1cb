"""The planner against a brute-force count of its own definition, and against the formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.bias import planner_lookahead
from lit_video.index import Population
from lit_video.planning.budget import divide
from lit_video.planning.planner import plan
from tests.fakes import index_of


def read_all(order, index, lookahead, budget=10**9):
    planned = plan(np.asarray(order, np.int64), index, lookahead, budget)
    return list(planned), planned


def brute_force(order, reads):
    """Replay reads against the order; return the most frames held over any position's end."""
    filled, held, last_of = {}, [], []
    for read in reads:
        for frame, positions in zip(read.frame_indices, read.positions, strict=True):
            filled.update(dict.fromkeys(positions, (read.video_id, frame)))
            last_of.append((read.first_position, positions[-1]))
    for position in range(len(order)):
        held.append(sum(begin <= position < end for begin, end in last_of))
    return filled, max(held)


orders = st.lists(st.integers(0, 59), min_size=1, max_size=120)


@given(orders, st.integers(1, 130), st.integers(0, 40))
def test_every_position_is_filled_once_by_its_own_frame(order, lookahead, budget):
    index = index_of([25, 7, 28], gop=6)
    reads, planned = read_all(order, index, lookahead, budget)
    filled, most_held = brute_force(order, reads)
    assert [index.offset[filled[p][0]] + filled[p][1] for p in range(len(order))] == order
    assert sum(len(p) for read in reads for p in read.positions) == len(order) == planned.delivered_frames
    assert most_held <= budget


@given(orders, st.integers(1, 130), st.integers(0, 40))
def test_reads_are_ascending_in_first_need_and_never_look_further_than_asked(order, lookahead, budget):
    reads, _ = read_all(order, index_of([25, 7, 28], gop=6), lookahead, budget)
    first = [read.first_position for read in reads]
    assert first == sorted(set(first))
    for read in reads:
        assert list(read.frame_indices) == sorted(set(read.frame_indices))
        assert read.start <= read.frame_indices[0]
        assert max(p for positions in read.positions for p in positions) < read.first_position + lookahead


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 20))
def test_a_population_costs_what_its_frames_cost(order, lookahead, budget):
    """Of every fifth frame no more is decoded than if these frames had been asked of the index itself."""
    index = index_of([25, 7, 28], gop=6)
    population = Population(index, stride=5)
    asked = population.frames_of(np.array(order))[0][:, 0]
    planned, whole = plan(np.array(order), population, lookahead, budget), plan(asked, index, lookahead, budget)
    planned._staggers = whole._staggers = False  # at random, and for each number of GOPs another
    reads = [(read.video_id, read.start, read.frame_indices, read.positions) for read in planned]
    assert reads == [(read.video_id, read.start, read.frame_indices, read.positions) for read in whole]
    assert planned.decoded_frames == sum(frames[-1] - start + 1 for _, start, frames, _ in reads)


@given(orders, st.integers(1, 130), st.integers(0, 40))
def test_counts_what_the_reads_decode(order, lookahead, budget):
    reads, planned = read_all(order, index_of([25, 7, 28], gop=6), lookahead, budget)
    decoded = sum(len(range(read.start, read.frame_indices[-1] + 1)) for read in reads)
    assert planned.decoded_frames == decoded
    assert planned.num_reads == len(reads)


def test_a_frame_wanted_twice_within_reach_is_decoded_once():
    reads, _ = read_all([3, 4, 3, 5], index_of([10], gop=10), lookahead=4)
    assert [(read.frame_indices, read.positions) for read in reads] == [((3, 4, 5), ((0, 2), (1,), (3,)))]


def test_lookahead_of_one_decodes_for_every_position_anew():
    index = index_of([600], gop=30)
    _, planned = read_all(np.random.default_rng(0).permutation(600), index, lookahead=1)
    assert planned.decode_amplification == 15.5  # (L + 1) / 2, exactly, since every frame comes once


def test_everything_in_reach_is_decoded_once():
    index = index_of([600], gop=30)
    _, planned = read_all(np.random.default_rng(0).permutation(600), index, lookahead=600, budget=600)
    assert planned.decode_amplification == 1.0
    assert planned.num_reads == 20


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("lookahead", [128, 1024, 8192, 13333])
def test_steady_state_follows_the_formula(lookahead):
    num_frames, gop = 120_000, 30
    index = index_of([600] * 200, gop)
    order = np.random.default_rng(0).permutation(num_frames)
    decoded = np.zeros(num_frames)
    for read in plan(order, index, lookahead, 10**9):
        decoded[read.first_position] = read.num_decoded
    x = lookahead * gop / num_frames
    expected = (gop + 1) * (1 - (x - 1 + np.exp(-x)) / x**2) / (1 + x)  # F48
    steady = decoded[2 * lookahead : num_frames - lookahead].mean()
    assert steady == pytest.approx(expected, rel=0.03)


@pytest.mark.usefixtures("unchecked")
def test_default_lookahead_fills_the_memory_on_average():
    held, gops, num_frames = 6621, 4000, 120_000
    w = planner_lookahead(held, gops)
    x = w / gops
    assert w * x / (2 * (1 + x)) == pytest.approx(held, rel=1e-3)  # F48's mean frames held
    index = index_of([600] * 200, 30)
    order = np.random.default_rng(0).permutation(num_frames)
    peak = 0
    for budget in (held, 10**9):
        reads, _ = read_all(order, index, w, budget)
        begins = np.zeros(num_frames + 1)
        for read in reads:
            for positions in read.positions:
                begins[read.first_position] += 1
                begins[positions[-1]] -= 1
        peak = np.cumsum(begins).max()
        if budget == held:
            assert peak <= held
    assert peak < 1.2 * held  # staggered: without that, all GOPs fill the memory in step


def test_files_in_order_cost_one_frame_each():
    index = index_of([600] * 5, 30)
    _, planned = read_all(np.arange(3000), index, lookahead=500, budget=400)
    assert planned.decode_amplification == 1.0


def test_the_missed_frame_passes_without_any_room():
    reads, planned = read_all([2, 5, 1], index_of([10], gop=10), lookahead=3, budget=0)
    assert [read.frame_indices for read in reads] == [(2,), (5,), (1,)]
    assert planned.decoded_frames == 3 + 6 + 2


def test_the_soonest_wanted_are_kept_when_room_is_short():
    reads, _ = read_all([9, 0, 8, 1, 7, 2], index_of([10], gop=10), lookahead=6, budget=2)
    assert reads[0].frame_indices == (0, 8, 9)
    assert reads[1].frame_indices == (1, 2, 7)


def test_needs_only_what_is_within_reach_of_the_order():
    """An epoch of any length is planned in memory of the look-ahead."""

    class Endless:
        most = 0

        def __len__(self):
            return 10**12

        def __getitem__(self, positions):
            self.most = max(self.most, positions.stop)
            return np.arange(positions.start, positions.stop, dtype=np.int64) % 60

    order = Endless()
    next(plan(order, index_of([60], gop=6), 100, 100))
    assert order.most <= 2048


@pytest.mark.parametrize(("lookahead", "budget"), [(0, 1), (-1, 1), (1, -1)])
def test_refuses(lookahead, budget):
    with pytest.raises(ValueError, match="must be at least"):
        plan(np.arange(3), index_of([3], 3), lookahead, budget)


class TestDivide:
    def test_whole_epoch_where_everything_fits(self):
        b = divide(7133, 128, 600, 600, 20, None)
        assert (b.lookahead, b.slots) == (600, 600)

    def test_as_far_as_the_memory_lasts_where_not(self):
        b = divide(7133, 128, 120_000, 120_000, 4000, None)
        assert (b.slots, b.admission, b.held) == (7133, 512, 6621)
        assert b.lookahead == planner_lookahead(6621, 4000)

    @given(st.integers(1, 300), st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 400))
    def test_held_and_in_flight_fit(self, batch_size, extra, num_positions, lookahead):
        b = divide(batch_size + extra, batch_size, num_positions, num_positions, 10, lookahead)
        assert batch_size <= b.admission
        assert b.admission + b.held == batch_size + extra
        assert 1 <= b.slots <= batch_size + extra
        assert b.slots >= min(b.admission + min(b.held, b.lookahead), num_positions)

    def test_refuses_less_than_a_batch(self):
        with pytest.raises(ValueError, match="num_slots must be above the batch size, 128, got 128"):
            divide(128, 128, 1000, 1000, 10, None)
