"""Plans that keep frames packed and use a store, replayed: each position has its frame, and no fetch is too early."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.index import Population
from lit_video.planning.budget import divide_in_tiers, least_slots
from lit_video.planning.planner import FETCH, Stored, plan
from lit_video.planning.reads import Fetch, GopRead, Hold
from tests.fakes import index_of

INDEX = index_of([25, 7, 28], gop=6)
GOPS = {(video_id, start) for video_id, length in enumerate((25, 7, 28)) for start in range(0, length, 6)}

orders = st.lists(st.integers(0, 59), min_size=1, max_size=180)
nears = st.integers(FETCH, FETCH + 20)


def stored_of(index, frames=(), takes=lambda video_id, start: True):
    mask = np.zeros(index.num_frames, np.uint8)
    mask[list(frames)] = 1
    return Stored(mask, takes)


def replay(order, tasks, index, near, stored=()):
    """Return what fills each position; a fetch finds what reads at least `near` positions before put there."""
    filled, ready, uses = {}, dict.fromkeys(stored, -(10**9)), {}
    firsts = [task.first_position for task in tasks]
    assert firsts == sorted(firsts)
    for task in tasks:
        if isinstance(task, Hold):
            assert filled.get(task.position, task.frame_id) == task.frame_id
            if task.frame_id in uses:
                uses[task.frame_id] += 1
            else:
                filled[task.again] = task.frame_id
        elif isinstance(task, Fetch):
            for position, frame in zip(task.positions, task.frame_ids, strict=True):
                assert ready[frame] + near <= position
                assert ready[frame] < task.first_position + FETCH - near  # delivered when the fetch may begin
                assert filled.setdefault(position, frame) is frame
                if frame in uses:
                    uses[frame] -= 1
        else:
            origin = int(index.offset[task.video_id])
            for frame, positions in zip(task.frame_indices, task.positions, strict=True):
                for position in positions:
                    assert position not in filled
                    filled[position] = origin + frame
            for frame, count in zip(task.packed, task.packed_uses, strict=True):
                uses[origin + frame] = uses.get(origin + frame, 0) + count
                ready[origin + frame] = task.first_position
            for frame in task.stored:
                ready.setdefault(origin + frame, task.first_position)
    assert [filled[position] for position in range(len(order))] == list(order)
    assert len(filled) == len(order)
    return uses


@given(orders, st.integers(1, 130), st.integers(0, 40), nears)
def test_packed_frames_are_fetched_as_often_as_they_were_kept_for(order, lookahead, budget, near):
    tasks = list(plan(np.array(order), INDEX, lookahead, budget, near, packs=True))
    uses = replay(order, tasks, INDEX, near)
    assert not any(uses.values())
    assert most_packed(tasks) <= budget


def most_packed(tasks):
    """Return the most frames that wait packed at any position."""
    last, begun = {}, []
    for task in tasks:
        if isinstance(task, Fetch):
            last |= dict.fromkeys(task.frame_ids, 0)
    ends = {}
    for task in tasks:
        if isinstance(task, Fetch):
            for position, frame in zip(task.positions, task.frame_ids, strict=True):
                ends.setdefault(frame, []).append(position)
    for task in tasks:
        if isinstance(task, GopRead):
            origin = int(INDEX.offset[task.video_id])
            for frame, count in zip(task.packed, task.packed_uses, strict=True):
                mine = [end for end in ends[origin + frame] if end > task.first_position][:count]
                begun.append((task.first_position, mine[-1]))
    return max((sum(b <= position < e for b, e in begun) for position in range(181)), default=0)


@given(
    orders,
    st.integers(1, 60),
    st.integers(0, 40),
    nears,
    st.sets(st.integers(0, 59)),
    st.sets(st.sampled_from(sorted(GOPS))),
    st.integers(0, 40),
    st.booleans(),
)
def test_a_store_changes_no_position(order, lookahead, budget, near, there, taken, hurry, packs):
    stored = stored_of(INDEX, there, lambda video_id, start: (video_id, start) in taken)
    tasks = list(plan(np.array(order), INDEX, lookahead, budget, near, packs, stored, hurry))
    replay(order, tasks, INDEX, near, there)
    put = [
        (int(INDEX.offset[task.video_id]) + frame)
        for task in tasks
        if isinstance(task, GopRead)
        for frame in task.stored
    ]
    assert len(put) == len(set(put))  # none twice
    assert not there.intersection(put)
    for task in tasks:
        if isinstance(task, GopRead) and task.stored:
            assert task.first_position >= hurry
            assert (task.video_id, task.start) in taken


def test_each_gop_is_decoded_once_and_never_again():
    order = np.random.default_rng(0).permutation(60)
    stored = stored_of(INDEX)
    first = plan(order, INDEX, 1, 0, FETCH, stored=stored)
    assert sum(1 for task in first if isinstance(task, GopRead)) == len(GOPS)
    assert first.decoded_frames == first.delivered_frames == 60
    assert stored.mask.all()
    again = plan(np.tile(order[::-1], 2), INDEX, 1, 0, FETCH, stored=stored)
    assert [len(task.positions) for task in again] == [FETCH, 120 - FETCH]
    assert (again.num_reads, again.decoded_frames, again.delivered_frames) == (0, 0, 120)


def test_the_first_batch_waits_for_no_whole_gop():
    index = index_of([3000], gop=30)
    order = np.random.default_rng(0).permutation(3000)
    tasks = list(plan(order, index, 1, 0, FETCH, stored=stored_of(index), hurry=16))
    heads = [task for task in tasks if isinstance(task, GopRead) and task.first_position < 16]
    assert not any(task.stored for task in heads)
    assert all(task.stored for task in tasks if isinstance(task, GopRead) and task.first_position >= 16)
    decoded = sum(task.num_decoded for task in tasks if isinstance(task, GopRead))
    assert decoded == 3000 + sum(task.num_decoded for task in heads)


def test_only_what_the_samples_want_is_stored():
    population = Population(INDEX, stride=5)
    stored = stored_of(INDEX)
    list(plan(np.arange(population.num_samples), population, 1, 0, FETCH, stored=stored))
    wanted = population.frames_of(np.arange(population.num_samples))[0][:, 0]
    assert np.flatnonzero(stored.mask).tolist() == wanted.tolist()


@given(orders, orders, st.integers(1, 250), st.integers(0, 80), st.booleans())
def test_the_look_ahead_goes_on_into_the_next_order(one, other, lookahead, budget, packs):
    near = FETCH if packs else 0
    planned = plan(np.array(one), INDEX, lookahead, budget, near, packs)
    planned.go_on(np.array(other))
    tasks = list(planned)
    replay([*one, *other], tasks, INDEX, near)
    for task in tasks:
        if isinstance(task, Fetch):  # of one epoch
            assert (task.positions[0] < len(one)) == (task.positions[-1] < len(one))


@pytest.mark.parametrize("packs", [False, True])
def test_what_fits_is_decoded_once_in_all_epochs(packs):
    index = index_of([75, 27, 48], gop=6)  # more than FETCH: of fewer all is near
    orders = [np.random.default_rng(epoch).permutation(150) for epoch in range(4)]
    planned = plan(orders[0], index, 300, 150, FETCH if packs else 0, packs)
    for order in orders[1:]:
        planned.go_on(order)
    replay(np.concatenate(orders), list(planned), index, FETCH)
    assert planned.decoded_frames == 150


@given(st.lists(st.permutations(range(30)), min_size=2, max_size=4), st.integers(1, 60), st.booleans())
def test_what_is_held_on_fills_each_position_once(orders, lookahead, packs):
    """Where all fits and the look-ahead does not reach all, frames are held on between others that are read again."""
    index = index_of([25, 5], gop=6)
    planned = plan(np.array(orders[0]), index, lookahead, 30, FETCH if packs else 0, packs)
    for order in orders[1:]:
        planned.go_on(np.array(order))
    replay([frame for order in orders for frame in order], list(planned), index, FETCH if packs else 0)


def test_the_end_of_an_epoch_costs_what_its_middle_does():
    """F48 holds to the end: without the next order, its last look-ahead finds ever fewer frames of a GOP."""
    index, lookahead = index_of([600] * 20, 30), 1500
    order = [np.random.default_rng(epoch).permutation(12_000) for epoch in range(2)]

    def cost_of_the_end(planned):
        return (
            sum(
                task.num_decoded
                for task in planned
                if isinstance(task, GopRead) and 10_500 <= task.first_position < 12_000
            )
            / 1500
        )

    alone, going_on = plan(order[0], index, lookahead, 10**9), plan(order[0], index, lookahead, 10**9)
    going_on.go_on(order[1])
    middle = (
        sum(task.num_decoded for task in plan(order[0], index, lookahead, 10**9) if 4500 <= task.first_position < 9000)
        / 4500
    )
    assert cost_of_the_end(going_on) == pytest.approx(middle, rel=0.05)
    assert cost_of_the_end(alone) < middle  # it decodes less, but leaves the next epoch nothing


class TestSlots:
    """What is in slots and under way fits them, whatever is planned."""

    @given(orders, st.integers(1, 12), st.integers(1, 130), st.booleans(), st.booleans(), st.integers(0, 200))
    def test_are_enough(self, order, batch_size, lookahead, packs, has_store, more):
        slots = least_slots(batch_size) + more
        budget = divide_in_tiers(
            100 * slots, 100, 40 if packs else None, batch_size, len(order), 60, len(GOPS), lookahead, 60
        )
        stored = stored_of(INDEX, range(10, 20), lambda video_id, start: video_id != 1) if has_store else None
        tasks = list(plan(np.array(order), INDEX, budget.lookahead, budget.held, budget.near, packs, stored))
        for cursor in range(0, len(order), batch_size):
            submitted = [task for task in tasks if task.first_position < cursor + budget.admission]
            held = sum(self.slots_of(task, cursor) for task in submitted)
            assert held <= budget.slots <= slots

    @staticmethod
    def slots_of(task, cursor):
        if isinstance(task, Fetch):
            return sum(position >= cursor for position in task.positions)
        if isinstance(task, Hold):  # in the slot that it was in
            return 0
        return sum(positions[-1] >= cursor for positions in task.positions)

    def test_refuses_less_than_two_batches(self):
        with pytest.raises(ValueError, match=r"memory_bytes must hold 320 frames, got room for 319"):
            divide_in_tiers(31_999, 100, None, 128, 1000, 1000, 10, None, 0)

    def test_gives_the_rest_to_what_is_packed(self):
        budget = divide_in_tiers(2**30, 150_528, 40_960, 128, 120_000, 120_000, 4000, None, 120_000)
        assert (budget.slots, budget.admission, budget.near) == (1088, 512, 576)
        assert budget.slots * 150_528 + budget.packed_bytes == 2**30
        assert budget.held == budget.packed_bytes // 40_960 - 512  # let go by the plan, and not fetched yet
        most = divide_in_tiers(2**30, 150_528, 40_960, 128, 120_000, 120_000, 4000, None, 120_000, 81_920)
        assert most.held == budget.held - 2 * 512  # and as many are being packed

    def test_needs_none_for_frames_that_a_store_takes(self):
        budget = divide_in_tiers(2**30, 150_528, None, 128, 120_000, 120_000, 4000, None, 0)
        assert (budget.slots, budget.held, budget.packed_bytes) == (1088, 0, 0)


@pytest.mark.parametrize("arguments", [{"packs": True}, {"stored": stored_of(INDEX)}], ids=("packed", "stored"))
def test_refuses_to_fetch_where_nothing_is_near(arguments):
    with pytest.raises(ValueError, match="near must be at least 64"):
        plan(np.arange(3), INDEX, 1, 0, **arguments)
