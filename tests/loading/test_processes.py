"""Worker processes behind the loader's contract: the same batches, and an end in every case."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import weakref
from functools import partial

import psutil
import pytest
import torch

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.loading import slots
from lit_video.loading.processes import _serve
from lit_video.loading.tiers import Tiers
from lit_video.loading.workers import Job
from lit_video.planning.planner import GopRead
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError, DeviceError, WorkerError
from tests.fakes import index_of
from tests.loading.test_loader import SlowDecoder, ids, loader_of
from tests.programs import running

METHODS = ("fork", "forkserver", "spawn")


def children():
    return [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(autouse=True)
def no_process_is_left():
    before = {child.pid for child in children()}
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (left := [c for c in children() if c.pid not in before and is_ours(c)]):
        time.sleep(0.05)
    assert not left


def is_ours(process):
    """Not the fork server and the resource tracker, which multiprocessing keeps, nor what programs are forked from."""
    try:
        text, parent = " ".join(process.cmdline()), process.ppid()
    except psutil.Error:
        return False
    if "tests.forked" in text and parent == os.getpid():
        return False
    return "resource_tracker" not in text and "forkserver" not in text


class Deadly(SlowDecoder):
    """Kills its process at one frame."""

    def decode(self, read, out):
        if 10 in read.frame_indices:
            os.kill(os.getpid(), signal.SIGKILL)
        super().decode(read, out)


class Strange(SlowDecoder):
    """Raises what cannot be pickled."""

    def decode(self, read, out):
        error = RuntimeError("a strange one")
        error.lock = threading.Lock()
        raise error


class Slow(SlowDecoder):
    """Takes its time."""

    def decode(self, read, out):
        time.sleep(0.05)
        super().decode(read, out)


class Forever(SlowDecoder):
    """Never ends."""

    def decode(self, read, out):
        time.sleep(3600)


class Damaged(SlowDecoder):
    """Raises for one frame."""

    def decode(self, read, out):
        if 33 in read.frame_indices:
            raise DecodeError("/nowhere/0.mp4", [33], 60, "damaged")
        super().decode(read, out)


@pytest.mark.parametrize("start_method", METHODS)
def test_batches_are_the_same_for_every_way_to_start(index, start_method):
    expected = list(loader_of(index, threads=1))
    loader = loader_of(index, num_workers=2, start_method=start_method, threads=2)
    for epoch in range(2):
        found = list(loader)
        if epoch == 0:
            assert all(torch.equal(a["image"], b["image"]) for a, b in zip(found, expected, strict=True))
            assert ids(found, index) == ids(expected, index)
        assert ids(found, index) == UniformSampler(index, 0).order(epoch).tolist()
    loader.close()


@pytest.mark.parametrize("num_workers", [1, 3])
def test_any_number_of_workers(index, num_workers):
    loader = loader_of(index, num_workers=num_workers, threads=1, lookahead_bytes=20 * 3 * 96 * 96)
    for batch in loader:
        said = [read_stamp(image) for image in batch["image"]]
        assert said == list(zip(batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True))
    assert loader.counts.peak_held_frames <= loader.budget.slots
    loader.close()


def test_processes_live_from_epoch_to_epoch(index):
    loader = loader_of(index, num_workers=2)
    list(loader)
    first = {process.pid for process in loader._processes.processes}
    list(loader)
    assert {process.pid for process in loader._processes.processes} == first
    loader.close()


def test_frames_go_through_shared_memory_and_not_through_the_pipe(index, monkeypatch):
    """What comes back is a number and no error."""
    from lit_video.loading.processes import ProcessWorkers

    said, receive = [], ProcessWorkers._receive

    def spy(self, number):
        said.append(receive(self, number))
        return said[-1]

    monkeypatch.setattr(ProcessWorkers, "_receive", spy)
    loader = loader_of(index, num_workers=1)
    list(loader)
    loader.close()
    assert sorted(done.number for done in said) == list(range(len(said)))
    assert all(done.error is None for done in said)


def test_nothing_of_cuda_is_touched_in_forked_cpu_workers(index, monkeypatch):
    """A forked worker in which CUDA was initialised in the parent would fail at the first touch."""
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: (_ for _ in ()).throw(AssertionError("CUDA was touched")))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: (_ for _ in ()).throw(AssertionError("CUDA was asked for")))
    loader = loader_of(index, num_workers=1, start_method="fork")
    assert len(ids(loader, index)) == 93
    loader.close()


class Unmakeable(SlowDecoder):
    """Cannot be made in a worker, though it can in the parent."""

    def __init__(self, index, size, parent):
        if os.getpid() != parent:
            raise DeviceError("the GPU is taken\nUse another")
        super().__init__(index, size)


class TestFaults:
    @pytest.mark.parametrize("start_method", ["fork", "spawn"])
    def test_what_a_worker_cannot_begin_with_is_told(self, index, start_method):
        decoder = partial(Unmakeable, parent=os.getpid())
        loader = loader_of(index, decoder=decoder, num_workers=2, start_method=start_method)
        with pytest.raises(DeviceError, match="the GPU is taken\nUse another"):
            list(loader)
        loader.close()

    def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_noticed_at_the_next_batch(self):
        loader = loader_of(index_of([60], 6), decoder=SlowDecoder, num_workers=2)
        batches = iter(loader)
        next(batches)
        deadline = time.monotonic() + 20
        while loader._run._workers._waiting or any(loader._run._workers._in_hand):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        victim = loader._processes.processes[0]
        victim.kill()
        victim.join()
        with pytest.raises(WorkerError, match=rf"Worker process {victim.pid} ended unexpectedly: killed by SIGKILL"):
            next(batches)
        loader.close()

    def test_one_that_died_between_epochs_is_named_and_replaced(self, index):
        loader = loader_of(index, num_workers=1)
        list(loader)
        victim = loader._processes.processes[0]
        victim.kill()
        victim.join()
        with pytest.warns(UserWarning, match=rf"Worker process {victim.pid} ended unexpectedly(?s:.*)New worker"):
            assert len(ids(loader, index)) == 93
        loader.close()

    def test_a_worker_does_not_heed_signals_that_reach_all_processes(self, index):
        loader = loader_of(index, decoder=Slow, num_workers=1)
        batches = iter(loader)
        next(batches)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(loader._processes.processes[0].pid, number)
        assert sum(len(batch["image"]) for batch in batches) == 93 - 16
        loader.close()

    @pytest.mark.parametrize("start_method", ["fork", "spawn"])
    def test_a_killed_worker_is_noticed_and_named(self, start_method):
        loader = loader_of(index_of([60], 6), decoder=Deadly, num_workers=2, start_method=start_method, lookahead=1)
        began = time.monotonic()
        with pytest.raises(WorkerError, match=r"Worker process \d+ ended unexpectedly: killed by SIGKILL") as caught:
            list(loader)
        assert time.monotonic() - began < 20
        assert "data.num_workers=0" in str(caught.value)
        loader.close()

    def test_after_a_death_the_loader_can_be_iterated_again(self, index):
        loader = loader_of(index, decoder=Slow, num_workers=2, lookahead=1)
        iterator = iter(loader)
        next(iterator)
        victim = loader._processes.processes[0].pid
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(WorkerError, match=str(victim)):
            list(iterator)
        assert ids(loader, index) == UniformSampler(index, 0).order(1).tolist()
        assert victim not in {process.pid for process in loader._processes.processes}
        loader.close()

    def test_a_decoders_error_surfaces_as_it_is(self):
        loader = loader_of(index_of([60], 6), decoder=Damaged, num_workers=1)
        with pytest.raises(
            DecodeError, match=r"/nowhere/0\.mp4: could not decode frames \[33\] of 60 \(damaged\)"
        ) as told:
            list(loader)
        assert told.value.missing == [33]
        loader.close()

    def test_an_error_that_cannot_be_pickled_is_told_all_the_same(self):
        loader = loader_of(index_of([60], 6), decoder=Strange, num_workers=1)
        with pytest.raises(WorkerError, match="RuntimeError: a strange one"):
            list(loader)
        loader.close()

    def test_a_worker_that_hangs_does_not_hold_up_close(self):
        loader = loader_of(index_of([60], 6), decoder=Forever, num_workers=1)
        thread = threading.Thread(target=lambda: swallow(loader), daemon=True)
        thread.start()
        time.sleep(1)
        began = time.monotonic()
        loader.close()
        assert time.monotonic() - began < 8
        thread.join(5)
        assert not thread.is_alive()

    def test_too_little_shared_memory(self, index, monkeypatch):
        class Small:
            f_bavail, f_frsize = 10, 4096

        monkeypatch.setattr(slots.os, "statvfs", lambda path: Small)
        with pytest.raises(
            WorkerError, match=r"(?s)need \d+ MiB of shared memory, and /dev/shm has 0 MiB free.*shm-size"
        ):
            next(iter(loader_of(index, num_workers=1)))

    def test_a_factory_that_cannot_be_pickled(self, index):
        loader = loader_of(
            index, decoder=lambda index, size: SlowDecoder(index, size), num_workers=1, start_method="spawn"
        )
        with pytest.raises(WorkerError, match=r"could not be started with spawn.*pickle"):
            next(iter(loader))


def swallow(loader):
    with contextlib.suppress(RuntimeError):
        list(loader)


PROGRAM = """
import sys, time
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.uniform import UniformSampler
from lit_video.decoders.pyav import PyAVDecoder

if __name__ == "__main__":
    index = VideoIndex.scan(sys.argv[1], sys.argv[2], progress=False)
    loader = VideoLoader(index, UniformSampler(index, 0), PyAVDecoder, size=64, batch_size=4, num_workers=2,
                         start_method=sys.argv[3])
    for batch in loader:
        print(*[process.pid for process in loader._processes.processes], flush=True)
        time.sleep(0.2)
"""


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_no_worker_outlives_its_parent(videos, tmp_path, start_method, number):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [tmp_path / "program.py", videos, tmp_path / "index", start_method]
    with running(*command, pipe=tmp_path / "pipe") as process:
        workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        process.send_signal(number)
        process.wait(10)
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]


def test_through_the_command_line(tmp_path):
    from tests.test_train import report_of, train

    write_stamped(tmp_path / "a.mp4", 40)
    done = train(tmp_path / "run", f"data.root={tmp_path / 'a.mp4'}", "data.num_workers=1", "data.start_method=spawn")
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "run")
    assert (report["images"], report["num_workers"]) == (40, 1)


def test_a_worker_lets_go_of_the_slots_before_it_ends(index):
    """What is shared of a GPU's memory stays taken until each process has, and to be killed is not to let go."""
    ours, theirs = multiprocessing.Pipe()
    slots = torch.zeros((4, 3, 96, 96), dtype=torch.uint8)
    held, handed = weakref.ref(slots), [Tiers(slots)]
    del slots
    read = GopRead(0, 0, (3,), ((0,),))
    ours.send(Job(0, read, [0]))
    handlers, threads = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}, torch.get_num_threads()
    threading.Timer(1, ours.send, [None]).start()
    try:
        _serve(theirs, 2, PyAVDecoder, index, (96, 96), handed)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        torch.set_num_threads(threads)
    assert ours.recv()[:2] == (0, None)
    assert handed == []
    assert held() is None


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_memory_that_cannot_be_shared_is_refused(name):
    slots.refuse_expandable_segments({name: "max_split_size_mb:64", "PYTORCH_OTHER": "expandable_segments:True"})
    with pytest.raises(WorkerError, match=rf"^{name} has expandable_segments:True, .*\n.*data.num_workers=0"):
        slots.refuse_expandable_segments({name: "max_split_size_mb:64, expandable_segments: True"})
