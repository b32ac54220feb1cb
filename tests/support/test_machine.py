"""What the process may use: affinity, quotas, ranks, memory, file handles."""

import contextlib
import itertools
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lit_video.support import machine
from lit_video.support.cgroups import limit_of_bytes, quota_of_cores
from lit_video.support.machine import (
    cores_in_words,
    free_file_handles,
    memory_bytes,
    num_cores,
    num_file_handles,
    ranks_here,
)


@pytest.fixture
def proc(tmp_path):
    """/proc/self and a mounted tree of groups."""

    def make(groups, mounts, files):
        (tmp_path / "cgroup").write_text(groups)
        (tmp_path / "mountinfo").write_text(mounts.format(at=tmp_path))
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


V2 = "30 20 0:27 / {at}/fs rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 20 0:28 / {at}/fs/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 20 0:29 / {at}/fs/memory rw shared:9 - cgroup cgroup rw,memory\n"
)


class TestGroups:
    @pytest.mark.parametrize(
        ("quota", "cores"), [("max 100000", None), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1)]
    )
    def test_version_2(self, proc, quota, cores):
        here = proc("0::/job/step\n", V2, {"fs/job/step/cpu.max": quota, "fs/job/step/memory.max": "max\n"})
        assert quota_of_cores(here) == cores
        assert limit_of_bytes(here) is None

    def test_the_tightest_group_around_counts(self, proc):
        files = {
            "fs/job/step/cpu.max": "400000 100000",
            "fs/job/cpu.max": "300000 100000",
            "fs/job/step/memory.max": "max",
            "fs/job/memory.max": str(2**31),
        }
        here = proc("0::/job/step\n", V2, files)
        assert (quota_of_cores(here), limit_of_bytes(here)) == (3, 2**31)

    def test_a_container_sees_its_own_group_as_the_root(self, proc):
        """Its path names folders of the host that are not there."""
        mounts = V2.replace(" / ", " /docker/abc ", 1)
        here = proc("0::/docker/abc\n", mounts, {"fs/cpu.max": "100000 100000", "fs/memory.max": str(2**30)})
        assert (quota_of_cores(here), limit_of_bytes(here)) == (1, 2**30)

    def test_version_1(self, proc):
        files = {
            "fs/cpu/job/cpu.cfs_quota_us": "250000\n",
            "fs/cpu/job/cpu.cfs_period_us": "100000\n",
            "fs/cpu/cpu.cfs_quota_us": "-1\n",
            "fs/cpu/cpu.cfs_period_us": "100000\n",
            "fs/memory/job/memory.limit_in_bytes": str(2**32),
            "fs/memory/memory.limit_in_bytes": "9223372036854771712\n",
        }
        here = proc("4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n", V1, files)
        assert (quota_of_cores(here), limit_of_bytes(here)) == (3, 2**32)

    def test_no_groups(self, tmp_path):
        assert quota_of_cores(tmp_path) is None
        assert limit_of_bytes(tmp_path) is None

    def test_a_real_quota(self):
        """A group of one core's time, where this process may make one."""
        group = Path("/sys/fs/cgroup/cpu/lit_video_test")
        try:
            group.mkdir()
        except OSError:
            pytest.skip("no group of version 1 can be made here")
        try:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text("100000")
            code = (
                f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n"
                "from lit_video.support.machine import num_cores\nprint(num_cores())"
            )
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
            assert done.stdout.strip() == "1", done.stderr
        finally:
            group.rmdir()


TORCHRUN = {"LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1"}
TASKS = {"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "4"}


class TestCores:
    @pytest.fixture(autouse=True)
    def sixteen(self, monkeypatch):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
        monkeypatch.setattr(os, "cpu_count", lambda: 128)
        monkeypatch.setattr(machine, "quota_of_cores", lambda: None)
        others = ("SLURM_NODEID", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
        for name in (*others, *itertools.chain.from_iterable(machine.LAUNCHERS)):
            monkeypatch.delenv(name, raising=False)

    def test_affinity(self):
        assert num_cores() == 16
        assert cores_in_words() == "16 cores (of 128: 16 by affinity)"

    def test_quota(self, monkeypatch):
        monkeypatch.setattr(machine, "quota_of_cores", lambda: 3)
        assert num_cores() == 3
        assert cores_in_words() == "3 cores (of 128: 3 by quota)"

    @pytest.mark.parametrize(
        ("names", "ranks"),
        [
            (TORCHRUN, 4),
            ({"SLURM_NTASKS_PER_NODE": "8", "SLURM_LOCALID": "0"}, 8),
            ({"SLURM_NTASKS_PER_NODE": "8"}, 1),  # a shell in a job
            ({"SLURM_NTASKS_PER_NODE": "some", "SLURM_LOCALID": "0"}, 1),
            ({"SLURM_STEP_TASKS_PER_NODE": "4", "SLURM_LOCALID": "0"}, 4),  # srun --ntasks=4
            ({"SLURM_STEP_TASKS_PER_NODE": "4(x2),3", "SLURM_NODEID": "1", "SLURM_LOCALID": "0"}, 4),
            ({"SLURM_STEP_TASKS_PER_NODE": "4(x2),3", "SLURM_NODEID": "2", "SLURM_LOCALID": "0"}, 3),
            ({"SLURM_STEP_TASKS_PER_NODE": "4(x2),3", "SLURM_NODEID": "3", "SLURM_LOCALID": "0"}, 1),
            ({"SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_NTASKS_PER_NODE": "8", "SLURM_LOCALID": "0"}, 2),
            ({"SLURM_STEP_TASKS_PER_NODE": "1", "SLURM_LOCALID": "0"} | TORCHRUN, 4),
            ({"OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}, 2),
            ({"WORLD_SIZE": "2", "NODE_RANK": "0", "LOCAL_RANK": "1"}, 2),
            ({"LOCAL_WORLD_SIZE": "40", "LOCAL_RANK": "1"}, 40),
        ],
        ids=str,
    )
    def test_ranks_share_them(self, monkeypatch, names, ranks):
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        assert ranks_here() == ranks
        assert num_cores() == max(1, 16 // ranks)
        assert num_cores(1) == 16

    @pytest.mark.parametrize(
        ("names", "ranks", "cores", "words"),
        [
            pytest.param(
                TASKS | {"SLURM_CPUS_PER_TASK": "2", "SLURM_CPUS_ON_NODE": "8"},
                None, 2, "2 cores (of 128: 16 by affinity, 4 ranks, 2 for each by Slurm)", id="more are allowed",
            ),
            pytest.param(
                {"SLURM_LOCALID": "0", "SLURM_CPUS_PER_TASK": "2"},
                None, 2, "2 cores (of 128: 16 by affinity, 2 for each by Slurm)", id="one task",
            ),
            pytest.param(
                TASKS | {"SLURM_CPUS_PER_TASK": "16", "SLURM_CPUS_ON_NODE": "64"},
                None, 16, "16 cores (of 128: 16 by affinity, 4 ranks, 16 for each by Slurm)", id="bound to its own",
            ),
            pytest.param(
                TASKS | {"SLURM_CPUS_ON_NODE": "64"},
                4, 16, "16 cores (of 128: 16 by affinity, 4 ranks, 16 for each by Slurm)", id="bound, by Lightning",
            ),
            pytest.param(
                TASKS | {"SLURM_CPUS_PER_TASK": "16", "SLURM_CPUS_ON_NODE": "16"},
                None, 4, "4 cores (of 128: 16 by affinity, 4 ranks)", id="the number of a job of one task",
            ),
            pytest.param(
                {"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1", "SLURM_CPUS_PER_TASK": "8"} | TORCHRUN,
                None, 2, "2 cores (of 128: 16 by affinity, 4 ranks, 2 for each by Slurm)", id="torchrun in one task",
            ),
            pytest.param({"SLURM_CPUS_PER_TASK": "2"}, None, 16, "16 cores (of 128: 16 by affinity)", id="a shell"),
        ],
    )  # fmt: skip
    def test_slurm_gives_a_task_its_own(self, monkeypatch, names, ranks, cores, words):
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        assert num_cores(ranks) == cores
        assert cores_in_words(ranks) == words

    def test_ranks_share_the_memory(self, monkeypatch):
        monkeypatch.setattr(machine, "limit_of_bytes", lambda: 2**20)
        assert memory_bytes(4) == 2**18


def test_the_soft_limit_of_file_handles_is_raised():
    code = (
        "import resource as r; from lit_video.support.machine import num_file_handles\n"
        "hard = min(4096, r.getrlimit(r.RLIMIT_NOFILE)[1]); r.setrlimit(r.RLIMIT_NOFILE, (256, hard))\n"
        "assert num_file_handles() == hard == r.getrlimit(r.RLIMIT_NOFILE)[0]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert num_file_handles() <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_handles_in_use_are_not_free():
    before = free_file_handles()
    assert 0 < before < num_file_handles()
    with contextlib.ExitStack() as opened:
        for _ in range(50):
            opened.enter_context(open(os.devnull))
        assert before - 60 < free_file_handles() < before - 40
    # Where there is none left, counting them fails too.
    code = (
        "import resource as r; from lit_video.support.machine import free_file_handles\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (3, 3)); assert free_file_handles() == 0"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GROUP_RANK": "1", "LOCAL_RANK": "0"}, "GROUP_RANK=1"),
        ({"SLURM_NODEID": "3", "SLURM_LOCALID": "0"}, "SLURM_NODEID=3"),
        ({"NODE_RANK": "2", "LOCAL_RANK": "1"}, "NODE_RANK=2"),
        ({"SLURM_NODEID": "3"}, platform.node()),  # a shell in a job
    ],
)
def test_launchers_number_machines(environment, expected, monkeypatch):
    for name in ("GROUP_RANK", "LOCAL_RANK", "SLURM_NODEID", "SLURM_LOCALID", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert machine.name_of_machine() == expected


def test_a_worker_takes_no_more_cores_than_its_own(monkeypatch):
    monkeypatch.setattr(machine, "_most_cores", None)
    before = machine.num_cores(1)
    machine.take_cores(1)
    assert machine.num_cores(1) == 1
    machine.take_cores(before + 5)
    assert machine.num_cores(1) == before
