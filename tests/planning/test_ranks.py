"""One order for all ranks: dealt out whole, evenly, the same for every number of them."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.bias import planner_lookahead
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.loading.loader import VideoLoader
from lit_video.loading.resume import Place
from lit_video.planning.planner import plan
from lit_video.planning.sharding import RankOrder
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.uniform import UniformSampler
from tests.fakes import index_of
from tests.loading.test_loader import SlowDecoder, ids, loader_of

REPOSITORY = Path(__file__).parents[2]


def deal(order, index, batch_size, world_size, **arguments):
    return [RankOrder(order, index, batch_size, rank, world_size, **arguments) for rank in range(world_size)]


def batches(rank_order):
    """Global positions of each of a rank's batches."""
    ends = np.cumsum([0, *rank_order.batch_sizes])
    return [rank_order.positions(slice(a, b)).tolist() for a, b in itertools.pairwise(ends)]


sizes = st.tuples(st.integers(1, 120), st.integers(1, 9), st.integers(1, 5))


@given(sizes, st.sampled_from(["gop", "slot"]), st.booleans(), st.integers(0, 3))
def test_every_global_batch_is_dealt_out_whole_and_evenly(sizes, shard, drop_last, epoch):
    n, batch_size, world_size = sizes
    index = index_of([n], 6)
    order = UniformSampler(index, 0).order(epoch)
    ranks = deal(order, index, batch_size, world_size, shard=shard, drop_last=drop_last, key=(0, epoch))
    dealt = [batches(rank) for rank in ranks]
    assert len({len(b) for b in dealt}) == 1, "as many batches on every rank"
    done = 0
    for parts in zip(*dealt, strict=True):
        assert len({len(part) for part in parts}) == 1, "of the same size"
        together = sorted(itertools.chain(*parts))
        assert together == list(range(done, done + len(together))), "none twice, none left out"
        done += len(together)
    assert ranks[0].left_out.tolist() == list(range(done, n))
    assert n - done < (batch_size * world_size if drop_last else world_size)


@given(sizes, st.sampled_from(["gop", "slot"]))
def test_frames_are_the_orders_own(sizes, shard):
    n, batch_size, world_size = sizes
    index = index_of([n], 6)
    order = UniformSampler(index, 0).order(0)
    for rank in deal(order, index, batch_size, world_size, shard=shard):
        places = slice(0, len(rank))
        assert np.array_equal(rank[places], order[rank.positions(places)])
        middle = slice(len(rank) // 3, 2 * len(rank) // 3)
        assert np.array_equal(rank[middle], order[rank.positions(middle)])


def test_slices_of_slots_are_runs():
    ranks = deal(np.arange(24), index_of([24], 6), 4, 2, shard="slot")
    assert [batches(rank) for rank in ranks] == [
        [[0, 1, 2, 3], [8, 9, 10, 11], [16, 17, 18, 19]],
        [[4, 5, 6, 7], [12, 13, 14, 15], [20, 21, 22, 23]],
    ]


def test_the_sequence_of_positions_is_the_same_for_every_world_size():
    index = index_of([240], 6)
    for world_size in (1, 2, 4):
        ranks = deal(UniformSampler(index, 0).order(0), index, 24 // world_size, world_size)
        together = [sorted(itertools.chain(*parts)) for parts in zip(*map(batches, ranks), strict=True)]
        assert together == [list(range(begin, begin + 24)) for begin in range(0, 240, 24)]


def test_gops_have_owners_and_owners_change_with_the_epoch():
    index = index_of([6000], 30)
    order = UniformSampler(index, 0).order(0)
    owners = []
    for epoch in range(2):
        ranks = deal(order, index, 64, 4, key=(0, epoch))
        share = [len(set((rank[0 : len(rank)] // 30).tolist())) for rank in ranks]
        assert max(share) < 200, "no rank sees all 200 GOPs"
        owners.append([rank.positions(slice(0, 64)).tolist() for rank in ranks])
    assert owners[0] != owners[1]


@given(sizes, st.integers(0, 3), st.randoms())
def test_dealt_out_whole_and_evenly_over_machines(sizes, epoch, draw):
    n, batch_size, world_size = sizes
    index = index_of([n], 6)
    machines = tuple(draw.randrange(2) for _ in range(world_size))
    ranks = deal(
        UniformSampler(index, 0).order(epoch), index, batch_size, world_size, key=(0, epoch), machines=machines
    )
    for parts in zip(*map(batches, ranks), strict=True):
        together = sorted(itertools.chain(*parts))
        assert together == list(range(together[0], together[0] + len(together)))
        assert len({len(part) for part in parts}) == 1


def owners_over_epochs(machines):
    """Which ranks have frames of each of 200 GOPs, epoch by epoch."""
    index = index_of([6000], 30)
    found = []
    for epoch in range(3):
        order = UniformSampler(index, 0).order(epoch)
        owners = [set() for _ in range(200)]
        for number, rank in enumerate(deal(order, index, 64, 4, key=(0, epoch), machines=machines)):
            for gop in (rank[0 : len(rank)] // 30).tolist():
                owners[gop].add(number)
        found.append(owners)
    return found


def test_gops_stay_with_their_machine_and_not_with_its_ranks():
    def share_on_one(owners):
        """Of GOPs, in all epochs together."""
        machines = [{rank // 2 for epoch in owners for rank in epoch[gop]} for gop in range(200)]
        return np.mean([len(on) == 1 for on in machines])

    still, anew = owners_over_epochs((0, 0, 1, 1)), owners_over_epochs(None)
    # Where a batch is full it is the same few GOPs that go elsewhere.
    assert share_on_one(still) > 0.5
    assert share_on_one(anew) < 0.1
    assert still[0] != still[1], "ranks of a machine take turns"


def test_each_machine_stores_about_its_half():
    """Two machines of two ranks, each with a store of the GOPs that it had frames of, after three epochs."""
    found = []
    for machines in ((0, 0, 1, 1), None):
        stored = [{gop for epoch in owners_over_epochs(machines) for gop, ranks in enumerate(epoch) if ranks & on}
                  for on in ({0, 1}, {2, 3})]  # fmt: skip
        found.append(sum(map(len, stored)))
    assert found[1] > 390, "nearly all of them on both machines"
    assert 200 <= found[0] < 300


def test_a_store_makes_them_stay_and_nothing_else(index, tmp_path):
    machines = (0, 0, 1, 1)
    arguments = {"rank": 0, "world_size": 4, "batch_size": 4, "size": 32, "machines": machines}
    for store, expected in ((None, None), (tmp_path / "store", machines)):
        loader = VideoLoader(index, UniformSampler(index, 0), PyAVDecoder, store=store, **arguments)
        assert loader._order(Place(0, 0)).machines == expected
        loader.close()
    with pytest.raises(ValueError, match="machines must be one of each of 4 ranks, got 2"):
        VideoLoader(index, UniformSampler(index, 0), PyAVDecoder, **arguments | {"machines": (0, 1)})


@pytest.mark.parametrize(("shard", "expected"), [("gop", 2.6), ("slot", 6.3)])
def test_decode_amplification_of_a_rank(shard, expected):
    """Eight ranks, 120,000 frames in GOPs of 30, 1 GiB of 224x224 frames each."""
    index = index_of([600] * 200, 30)
    order = UniformSampler(index, 0).order(0)
    found = []
    lookahead = 13_553 if shard == "gop" else planner_lookahead(6621, 4000)
    for rank in deal(order, index, 128, 8, shard=shard)[:2]:
        planned = plan(rank, index, min(lookahead, len(rank)), 6621)
        list(planned)
        found.append(planned.decode_amplification)
    assert np.mean(found) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_loaders_of_all_ranks_together_load_the_epoch(index, world_size):
    seen, lengths = [], set()
    for rank in range(world_size):
        loader = loader_of(index, batch_size=8, rank=rank, world_size=world_size, lookahead=20)
        lengths.add(len(loader))
        for batch in loader:
            seen += zip(batch["position"].tolist(), ids([batch], index), strict=True)
        assert loader.counts.skipped_frames == (93 % world_size if rank == 0 else 0), "told once, by rank 0"
        assert len(loader.ledger) == loader.counts.skipped_frames
    assert len(lengths) == 1
    order = UniformSampler(index, 0).order(0)
    assert sorted(seen) == [(position, int(order[position])) for position in range(93 - 93 % world_size)]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (4, 2), (2, 4)])
def test_resumes_on_another_world_size(index, before, after):
    order = UniformSampler(index, 0).order(0).tolist()
    loaders = [loader_of(index, batch_size=6, rank=rank, world_size=before) for rank in range(before)]
    seen = []
    for loader in loaders:
        seen += ids(itertools.islice(iter(loader), 2), index)
    states = [loader.state_dict() for loader in loaders]
    assert all(state == states[0] for state in states)
    assert states[0]["position"] == 12 * before
    assert sorted(seen) == sorted(order[: 12 * before])
    rest = []
    for rank in range(after):
        loader = loader_of(index, batch_size=5, rank=rank, world_size=after)
        loader.load_state_dict(states[0])
        rest += ids(loader, index)
    covered = 12 * before + (93 - 12 * before) // after * after
    assert sorted(rest) == sorted(order[12 * before : covered])


def test_chunks_stay_whole_on_a_rank():
    index = index_of([600] * 20, 30)
    sampler = ChunkedSampler(index, 0, lanes=128)  # as many as a global batch has frames
    for rank in deal(sampler.order(0), index, 32, 4):
        planned = plan(rank, index, sampler.needed_lookahead, 10**6)
        list(planned)
        assert planned.decode_amplification < 1.25
    loader = VideoLoader(index, sampler, SlowDecoder, size=8, batch_size=32, rank=1, world_size=4)
    assert len(loader) == 94
    loader.close()


PROGRAM = """
import json, sys
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lit_video.datamodule import VideoDataModule
from tests.test_datamodule import QUIET
from tests.loading.test_resume import Small

class Log(Callback):
    def __init__(self):
        self.rows = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.rows.append([trainer.current_epoch, batch["position"].tolist(), batch["frame_index"].tolist()])
        if trainer.current_epoch == 0 and batch_idx == 2:
            trainer.save_checkpoint(sys.argv[3] + "/mid.ckpt")

if __name__ == "__main__":
    log = Log()
    options = QUIET | dict(devices=2, strategy="ddp", max_epochs=2, callbacks=[log])
    trainer = Trainer(**options)
    module = VideoDataModule(sys.argv[1], index_dir=sys.argv[2], size=32, batch_size=8, threads=1, progress=False)
    trainer.fit(Small(), module)
    with open(f"{sys.argv[3]}/rank{trainer.global_rank}.json", "w") as file:
        json.dump({"rows": log.rows, "cached": module.index.num_cached, "batches": len(log.rows)}, file)
"""


def torchrun(*arguments, timeout=120):
    """Run a program on two ranks; once more if it aborted on leaving, as 2 of 70 did, all written: not understood."""
    code, out = run_on_two_ranks(*arguments, timeout=timeout)
    if code != 0 and "terminate called without an active exception" in out:
        code, out = run_on_two_ranks(*arguments, timeout=timeout)
    assert code == 0, out[-3000:]


def run_on_two_ranks(*arguments, timeout):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONWARNINGS": "ignore",
    }
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out


def test_two_real_ranks(videos, index, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    torchrun(str(tmp_path / "program.py"), str(videos), str(tmp_path / "index"), str(tmp_path))
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert ranks[0]["batches"] == ranks[1]["batches"] == 12
    for epoch in range(2):
        order = UniformSampler(index, 0).order(epoch)
        pairs = [
            (p, f)
            for r in ranks
            for e, positions, frames in r["rows"]
            if e == epoch
            for p, f in zip(positions, frames, strict=True)
        ]
        assert sorted(p for p, _ in pairs) == list(range(92)), "none twice, none left out but the last of 93"
        assert all(index.locate(order[p : p + 1])[1][0] == f for p, f in pairs)
    from tests.loading.test_resume import fit, module_of

    rest = fit(module_of(videos, batch_size=16), ckpt_path=tmp_path / "mid.ckpt", max_epochs=1)
    positions = [p for _, *numbers in rest for p in numbers[: len(numbers) // 2]]
    assert positions == list(range(3 * 16, 93)), "resumed on one rank at the very next position"


test_two_real_ranks = pytest.mark.filterwarnings("ignore")(test_two_real_ranks)


def test_train_py_on_two_ranks_writes_one_report(videos, tmp_path):
    torchrun(
        "train.py", f"data.root={videos}", f"hydra.run.dir={tmp_path}", "data.size=32", "data.batch_size=8",
        "trainer.devices=2", "trainer.accelerator=cpu", "+trainer.strategy=ddp", "run_model=true",
    )  # fmt: skip
    report = json.loads((tmp_path / "throughput.json").read_text())
    assert report["images"] == 92
    assert report["skipped_frames"] == 1
    assert report["batches"] == 12
