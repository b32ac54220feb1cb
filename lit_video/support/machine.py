"""What this process may use of the machine: one count of cores, memory and file handles for all that ask."""

from __future__ import annotations

import os
import platform
from contextlib import suppress

import psutil

from lit_video.support.cgroups import limit_of_bytes, quota_of_cores

# How launchers tell a process of a job how many of them are on its machine, and that it is one of them at all: a shell
# in a Slurm job has the first and not the second.
LAUNCHERS = (
    ("LOCAL_WORLD_SIZE", "LOCAL_RANK"),  # torchrun
    ("SLURM_NTASKS_PER_NODE", "SLURM_LOCALID"),
    ("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MPI_LOCALNRANKS", "MPI_LOCALRANKID"),  # MPICH, Intel MPI
    ("WORLD_SIZE", "NODE_RANK"),  # Lightning's own, who does not say how many nodes there are: one, as a rule
)
# How they tell it the number of its machine.
NODES = (("GROUP_RANK", "LOCAL_RANK"), ("SLURM_NODEID", "SLURM_LOCALID"), ("NODE_RANK", "LOCAL_RANK"))
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
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = max(1, min(allowed, quota_of_cores() or allowed) // (ranks or ranks_here()))
    return min(cores, _most_cores or cores)


def cores_in_words(ranks: int | None = None) -> str:
    """Return the number of cores for this process, and why: `2 cores (of 128: 4 by affinity, 2 ranks)`."""
    host, allowed, quota = os.cpu_count() or 1, num_cores(1), quota_of_cores()
    ranks, cores = ranks or ranks_here(), num_cores(ranks)
    by = "quota" if quota is not None and quota <= allowed else "affinity"
    reasons = [*[f"{allowed} by {by}"] * (allowed < host), *[f"{ranks} ranks"] * (ranks > 1)]
    return f"{cores} core{'s' * (cores > 1)}" + (f" (of {host}: {', '.join(reasons)})" if reasons else "")


def ranks_here() -> int:
    """Return how many processes of this job are on this machine, as far as its launcher says; 1 where there is none."""
    for size, rank in LAUNCHERS:
        if rank in os.environ and os.environ.get(size, "").isdecimal():
            return max(1, int(os.environ[size]))
    return 1


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
