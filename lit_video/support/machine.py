"""What this process may use of the machine: one count of cores, memory and file handles for all that ask."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from contextlib import suppress

import psutil

from lit_video.support.cgroups import limit_of_bytes, quota_of_cores

# How launchers tell a process of a job how many of them are on its machine, and that it is one of them at all: a shell
# in a Slurm job has the first and not the second. Those that start processes within a task of Slurm come before it.
SLURM = (
    ("SLURM_STEP_TASKS_PER_NODE", "SLURM_LOCALID"),  # of each machine: 4(x2),3
    ("SLURM_NTASKS_PER_NODE", "SLURM_LOCALID"),  # where the user asked for so many
)
LAUNCHERS = (
    ("LOCAL_WORLD_SIZE", "LOCAL_RANK"),  # torchrun
    ("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MPI_LOCALNRANKS", "MPI_LOCALRANKID"),  # MPICH, Intel MPI
    *SLURM,
    ("WORLD_SIZE", "NODE_RANK"),  # Lightning's own, who does not say how many nodes there are: one, as a rule
)
# How they tell it the number of its machine.
NODES = (("GROUP_RANK", "LOCAL_RANK"), ("SLURM_NODEID", "SLURM_LOCALID"), ("NODE_RANK", "LOCAL_RANK"))
RUN = re.compile(r"([0-9]+)(?:\(x([1-9][0-9]*)\))?")  # of machines with as many processes each
MANY_FILES = 2**16  # no loader keeps more open

_most_cores: int | None = None  # that this process takes of those it may use


def take_cores(most: int) -> None:
    """Have `num_cores` say at most so many from now on: the others are for other workers of the same work."""
    global _most_cores
    _most_cores = most


def num_cores(ranks: int | None = None) -> int:
    """Return the number of cores for this process: those it may run on, or has the time of, shared with other ranks.

    Args:
        ranks: On this machine, this process being one; by default what the launcher says.
    """
    cores = cores_of_all_workers(ranks)
    return min(cores, _most_cores or cores)


def cores_of_all_workers(ranks: int | None = None) -> int:
    """Return `num_cores` of this process and the other workers of its work together: `take_cores` takes none away."""
    ranks = ranks or ranks_here()
    by_slurm, quota = _cores_by_slurm(ranks), quota_of_cores()
    cores = by_slurm or _affinity() // ranks
    return max(1, min(cores, quota // ranks) if quota else cores)


def cores_in_words(ranks: int | None = None) -> str:
    """Return the number of cores for this process, and why: `2 cores (of 128: 4 by affinity, 2 ranks)`."""
    host, affinity, quota = os.cpu_count() or 1, _affinity(), quota_of_cores()
    ranks, cores = ranks or ranks_here(), num_cores(ranks)
    allowed, by = (quota, "quota") if quota and quota <= affinity else (affinity, "affinity")
    reasons = [*[f"{allowed} by {by}"] * (allowed < host), *[f"{ranks} ranks"] * (ranks > 1)]
    if (by_slurm := _cores_by_slurm(ranks)) and (ranks > 1 or by_slurm < affinity):
        reasons.append(f"{by_slurm} for each by Slurm")
    return f"{cores} core{'s' * (cores > 1)}" + (f" (of {host}: {', '.join(reasons)})" if reasons else "")


def ranks_here() -> int:
    """Return how many processes of this job are on this machine, as far as its launcher says; 1 where there is none."""
    return _first_told(LAUNCHERS) or 1


def _first_told(launchers: Sequence[tuple[str, str]]) -> int:
    """Return the first number that a launcher says for this machine; 0 where none does."""
    return next((number for size, rank in launchers if rank in os.environ and (number := _number(size))), 0)


def _number(variable: str) -> int:
    """Return the number in a variable, of Slurm's `4(x2),3` that of this machine; 0 where there is none."""
    runs = [RUN.fullmatch(run) for run in os.environ.get(variable, "").split(",")]
    numbers = [int(run[1]) for run in runs if run for _ in range(int(run[2] or 1))]
    machine = os.environ.get("SLURM_NODEID", "")
    place = int(machine) if len(numbers) > 1 and machine.isdecimal() else 0
    return numbers[place] if all(runs) and place < len(numbers) else 0


def _cores_by_slurm(ranks: int) -> int | None:
    """Return the cores of a rank where Slurm gives each task its own; None where tasks share all that there are.

    It says how many (and without control groups lets a task run on all), or binds each task to them, or both. Ranks
    that torchrun starts within one task share that task's.
    """
    if "SLURM_LOCALID" not in os.environ:
        return None
    affinity, tasks = _affinity(), min(_first_told(SLURM) or 1, ranks)
    told = _number("SLURM_CPUS_PER_TASK")
    of_all = _number("SLURM_CPUS_ON_NODE") or tasks * told
    if tasks * told > of_all:  # the job's, which a step of more tasks inherits
        told = 0
    if not told and affinity >= of_all:
        return None
    return max(1, min(told or affinity, affinity) // (ranks // tasks))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def name_of_machine() -> str:
    """Return what tells this machine from the others of a job: its number, if a launcher says it, or its name."""
    for number, rank in NODES:
        if rank in os.environ and os.environ.get(number, "").isdecimal():
            return f"{number}={os.environ[number]}"
    return platform.node()


def memory_bytes(ranks: int | None = None) -> int:
    """Return the memory for this process, in bytes: what is free, or its group may use, shared with other ranks."""
    free = psutil.virtual_memory().available
    return min(free, limit_of_bytes() or free) // (ranks or ranks_here())


def num_file_handles() -> int:
    """Return how many files this process may have open. The soft limit is raised to the hard one, which is for this."""
    with suppress(ImportError):  # not on Windows
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit

        soft, hard = getrlimit(RLIMIT_NOFILE)
        if soft != hard:
            with suppress(ValueError, OSError):  # macOS has a hard limit that it does not grant
                setrlimit(RLIMIT_NOFILE, (hard, hard))
            soft, _ = getrlimit(RLIMIT_NOFILE)
        return MANY_FILES if soft == RLIM_INFINITY else min(soft, MANY_FILES)
    return 512


def free_file_handles() -> int:
    """Return how many files this process may open beside those that are open now; on Windows beside none."""
    limit = num_file_handles()
    try:
        return max(0, limit - psutil.Process().num_fds())
    except AttributeError:
        return limit
    except OSError:  # for want of a handle
        return 0
