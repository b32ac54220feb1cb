"""Every engine does all that can be done, however workers end; what is done is not done again."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_video.engines import driver
from lit_video.engines.driver import work_off
from lit_video.engines.local import LocalEngine
from lit_video.engines.ray import RayEngine
from lit_video.engines.shards import in_shards
from lit_video.engines.submitit import SubmititEngine
from lit_video.support.errors import MachineError, WorkerError
from tests.engines.jobs import Numbers
from tests.programs import REPOSITORY

NUMBERS = list(range(40))


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(driver, "LOOK_SECONDS", 0.1)


@pytest.fixture
def importable(monkeypatch):
    """Workers that begin as new programs find what the tests are made of."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


def by_local(tmp_path):
    return LocalEngine(num_cpus=2)


def by_submitit(tmp_path):
    pytest.importorskip("submitit")
    return SubmititEngine(num_cpus=2, cluster="local", folder=str(tmp_path / "jobs"))


def by_ray(tmp_path):
    pytest.importorskip("ray")
    return RayEngine(num_cpus=2)


@pytest.mark.parametrize("make_engine", [by_local, by_submitit, by_ray])
@pytest.mark.usefixtures("importable")
@pytest.mark.filterwarnings("ignore")  # libraries' own
def test_all_is_done_but_what_workers_die_of(make_engine, tmp_path):
    job = Numbers(tmp_path / "done", deadly=13, once=7)
    work_off(make_engine(tmp_path), job, NUMBERS)
    assert job.left(NUMBERS) == list(job.given_up) == [13]
    assert job.attempts() == dict.fromkeys(NUMBERS, 1) | {13: 3, 7: 2}


@pytest.mark.parametrize("make_engine", [by_local, by_submitit, by_ray])
@pytest.mark.usefixtures("importable")
@pytest.mark.filterwarnings("ignore")  # libraries' own
def test_what_a_user_is_to_be_told_is_told_as_it_is(make_engine, tmp_path):
    job = Numbers(tmp_path / "done", refused=3)
    with pytest.raises(WorkerError) as caught:
        work_off(make_engine(tmp_path), job, NUMBERS)
    assert str(caught.value) == "http://host/a.mp4: access is denied.\nGive those of somebody who may read it"
    assert 3 in job.left(NUMBERS)


class TestLocal:
    def test_what_is_done_is_not_done_again(self, tmp_path):
        job = Numbers(tmp_path / "done")
        work_off(LocalEngine(2), job, NUMBERS[:10])
        work_off(LocalEngine(2), job, NUMBERS)
        assert job.attempts() == dict.fromkeys(NUMBERS, 1)

    def test_how_a_worker_ended_is_told(self, tmp_path):
        job = Numbers(tmp_path / "done", deadly=1)
        work_off(LocalEngine(1), job, [1])
        assert job.given_up == {1: "its process ended by SIGSEGV"}

    def test_what_takes_too_long_is_given_up(self, tmp_path):
        job = Numbers(tmp_path / "done", hangs=1)
        work_off(LocalEngine(2, patience_seconds=0.5), job, [0, 1, 2])
        assert job.left([0, 1, 2]) == [1]
        assert "as it does after 0 seconds at one file" in job.given_up[1]

    def test_an_error_of_the_work_ends_the_run_and_is_told(self, tmp_path):
        with pytest.raises(WorkerError, match="no space left"):
            work_off(LocalEngine(2), Numbers(tmp_path / "done", wrong=3), NUMBERS)

    def test_where_no_worker_lives_nothing_is_blamed(self, tmp_path):
        job = Numbers(tmp_path / "done", none_lives=True)
        with pytest.raises(WorkerError, match=r"do not live long enough to begin: its process ended by SIGKILL"):
            work_off(LocalEngine(2), job, NUMBERS)
        assert not job.given_up

    def test_who_has_nothing_to_do_helps_a_straggler(self, tmp_path, monkeypatch):
        # Of one shard, the first waits for the others: alone its worker would wait for ever.
        monkeypatch.setattr(driver, "STRAGGLING_SECONDS", 0.2)
        job = Numbers(tmp_path / "done", waits_for_all=0, others=9)
        work_off(LocalEngine(2, least_share=9.0), job, NUMBERS[:10])
        assert job.left(NUMBERS[:10]) == []

    def test_progress_is_told(self, tmp_path):
        job = Numbers(tmp_path / "done", seconds=0.05)
        work_off(LocalEngine(2), job, NUMBERS[:10])
        assert job.told == sorted(job.told, reverse=True)
        assert set(job.told) - {0, 10}

    def test_a_killed_driver_takes_its_workers_with_it_and_another_goes_on(self, tmp_path):
        code = (
            "from pathlib import Path\n"
            "from lit_video.engines.driver import work_off\n"
            "from lit_video.engines.local import LocalEngine\n"
            "from tests.engines.jobs import Numbers\n"
            "if __name__ == '__main__':\n"
            f"    work_off(LocalEngine(2), Numbers(Path({str(tmp_path / 'done')!r}), seconds=0.1), range(40))\n"
        )
        (tmp_path / "program.py").write_text(code)
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        with (
            (tmp_path / "told").open("w") as told,
            subprocess.Popen(
                [sys.executable, tmp_path / "program.py"], env=environment, cwd=REPOSITORY, stderr=told
            ) as program,
        ):
            done = tmp_path / "done"
            wait_for(lambda: len(list(done.glob("*.done"))) >= 4)
            workers = psutil.Process(program.pid).children(recursive=True)
            program.send_signal(signal.SIGKILL)
        wait_for(lambda: not any(worker.is_running() for worker in workers))
        assert (tmp_path / "told").read_text() == "", "they end without a word"
        job = Numbers(done)
        assert 4 <= len(NUMBERS) - len(job.left(NUMBERS)) < 40
        work_off(LocalEngine(2), job, NUMBERS)
        assert job.left(NUMBERS) == []
        assert max(job.attempts().values()) <= 2


def wait_for(happened, seconds=30):
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


class TestShards:
    @given(
        weights=st.lists(st.floats(0, 1e12), max_size=60),
        num_workers=st.integers(1, 9),
        least_share=st.floats(0.001, 1),
    )
    def test_hold_all_the_heavy_first(self, weights, num_workers, least_share):
        shards = list(in_shards(range(len(weights)), weights.__getitem__, num_workers, least_share))
        assert all(shards)
        order = [weights[item] for shard in shards for item in shard]
        assert order == sorted(weights, reverse=True)
        assert sorted(item for shard in shards for item in shard) == list(range(len(weights)))

    def test_are_as_many_as_workers_and_a_few(self):
        assert len(list(in_shards(range(10_000), lambda item: 1, 64, 1 / 16))) < 64 * 8

    def test_items_without_weight_are_many_shards(self):
        assert len(list(in_shards(range(100), lambda item: 0, 2, 0.1))) > 4


class TestArguments:
    @pytest.mark.parametrize("make", [LocalEngine, SubmititEngine, RayEngine])
    @pytest.mark.parametrize("wrong", [{"num_cpus": 0}, {"patience_seconds": 0}])
    def test_are_checked(self, make, wrong):
        with pytest.raises(ValueError, match=f"engine.{next(iter(wrong))} must be"):
            make(**wrong)

    @pytest.mark.parametrize(("make", "name"), [(SubmititEngine, "submitit"), (RayEngine, "ray")])
    def test_what_is_not_installed_is_told(self, make, name, monkeypatch):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MachineError, match=rf"pip install 'lit-video\[{name}\]'"):
            make()

    def test_a_cluster_that_is_not_there_is_told_at_once(self):
        pytest.importorskip("ray")
        with pytest.raises(MachineError, match=r"finds no cluster at 127\.0\.0\.1:1"):
            RayEngine(address="127.0.0.1:1")

    @pytest.mark.parametrize("options", [{"cluster": "slurm"}, {"cluster": "local", "parameters": {"nonsense": 1}}])
    def test_what_submitit_refuses_is_told(self, options, tmp_path):
        pytest.importorskip("submitit")
        with pytest.raises(MachineError, match="submitit refuses"):
            SubmititEngine(folder=str(tmp_path), **options)
