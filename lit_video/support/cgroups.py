"""What control groups allow this process: a container's share of its host, a job's share of its node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

UNLIMITED_BYTES = 2**60  # version 1 writes a number of this order where there is no limit
PROC = Path("/proc/self")


def quota_of_cores(proc: Path = PROC) -> int | None:
    """Return the cores whose time this process may use, rounded up, or None where there is no quota.

    Args:
        proc: What Linux tells of this process: cgroups(7), proc_pid_cgroup(5), proc_pid_mountinfo(5).
    """
    quotas: list[float] = []
    for folder in _folders("cpu", proc):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (limit := folder / "cpu.max").exists():  # version 2: quota and period in microseconds
                quota, period = limit.read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            quotas.append(int(quota) / int(period))  # `max` is no number
    allowed = [quota for quota in quotas if quota > 0]  # -1: none
    return math.ceil(min(allowed)) if allowed else None


def limit_of_bytes(proc: Path = PROC) -> int | None:
    """Return the memory that this process and those of its group may use, in bytes, or None where there is no limit."""
    limits: list[int] = []
    for folder in _folders("memory", proc):
        for name in ("memory.max", "memory.limit_in_bytes"):  # versions 2 and 1
            with suppress(OSError, ValueError):
                limits.append(int((folder / name).read_text()))
    return min((limit for limit in limits if limit < UNLIMITED_BYTES), default=None)


def _folders(controller: str, proc: Path) -> Iterator[Path]:
    """Yield the folders of this process's group and of those around it, as far as they can be seen from here."""
    with suppress(OSError):
        groups = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
        for _, names, group in groups:
            for mount, root in _mounts(proc, controller):
                if names and controller not in names.split(","):
                    continue
                inside = PurePosixPath(group)
                inside = inside.relative_to(root) if inside.is_relative_to(root) else PurePosixPath()
                for part in (inside, *inside.parents):
                    yield mount / part


def _mounts(proc: Path, controller: str) -> Iterator[tuple[Path, str]]:
    """Yield where the trees that may limit `controller` are mounted, and which part of the tree is."""
    for line in (proc / "mountinfo").read_text().splitlines():
        fields, _, of_system = line.partition(" - ")
        kind, _, options = of_system.partition(" ")
        if kind == "cgroup2" or (kind == "cgroup" and controller in options.split()[-1].split(",")):
            root, mount = fields.split()[3:5]
            yield Path(mount), root
