"""Jobs of Slurm by submitit; or submitit's own processes on this machine, to try the same without Slurm."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from lit_video.engines.base import PATIENCE_SECONDS, Ended, Shard, check_arguments, library
from lit_video.support.errors import MachineError
from lit_video.support.machine import num_cores

POLL_SECONDS = 0.05
ON_SLURM = 64  # shards at a time where nobody says how many


@dataclass
class SubmititEngine:
    """Slurm's nodes. Jobs that wait for nodes are an array; jobs whose driver was killed go on.

    Args:
        num_cpus: Jobs at a time, of one core each; by default 64 on Slurm, else as many as cores that may be used.
        cluster: `slurm`, or `local`; None: Slurm where it is there.
        folder: Where submitit keeps its jobs and their output; all machines must see it. By default in the user's
            cache folder.
        patience_seconds: After which a file is given up.
        parameters: As submitit takes them, such as `slurm_partition` and `timeout_min`.

    Raises:
        MachineError: submitit is not installed.
    """

    num_cpus: int | None = None
    cluster: str | None = None
    folder: str | None = None
    patience_seconds: float = PATIENCE_SECONDS
    parameters: Mapping[str, Any] = field(default_factory=dict)
    least_share: float = 1 / 4  # a job imports all anew

    def __post_init__(self) -> None:
        check_arguments(self.num_cpus, self.patience_seconds)
        submitit = library("submitit")
        self.folder = self.folder or str(platformdirs.user_cache_path("lit_video") / "jobs")
        folder = Path(self.folder).expanduser()
        try:
            self._executor = submitit.AutoExecutor(folder=folder / "%j", cluster=self.cluster)
            self._is_local = self._executor.cluster != "slurm"
            self.num_shards = self.num_cpus or (num_cores() if self._is_local else ON_SLURM)
            of_slurm = {} if self._is_local else {"slurm_array_parallelism": self.num_shards}
            defaults = {"name": "lit_video", "cpus_per_task": 1, "timeout_min": 24 * 60}
            self._executor.update_parameters(**defaults | of_slurm | dict(self.parameters))
        except (RuntimeError, ValueError, NameError, AssertionError) as error:
            raise MachineError(
                f"submitit refuses: {error}\nChoose engine.cluster=slurm or local, and name parameters as submitit does"
            ) from error
        self.room = self.num_shards if self._is_local else 2**30  # the queue is Slurm's

    def start(self, shards: Sequence[Shard]) -> list[Any]:
        """Submit a job for each."""
        with self._executor.batch():
            return [self._executor.submit(shard) for shard in shards]

    def wait(self, handles: Sequence[Any], seconds: float) -> list[Ended]:
        """Return which jobs have ended."""
        until = time.monotonic() + seconds
        while not (done := [job for job in handles if job.done()]) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        return [self._ended(job) for job in done]

    def stop(self, handles: Sequence[Any]) -> None:
        """Cancel jobs."""
        for job in handles:
            with contextlib.suppress(Exception):  # it may just have ended
                job.cancel(check=False)

    def close(self) -> None:
        """Hold nothing."""

    def _ended(self, job: Any) -> Ended:
        # Asked for how it ended, submitit waits for long for a result that a file system may show late.
        died = f"its job {job.job_id} died; what it wrote is in {job.paths.folder}"
        if self._is_local and not job.paths.result_pickle.exists():
            return Ended(job, died, died=True)
        error = job.exception()
        if error is None:
            return Ended.of(job, job.result())
        if isinstance(error, library("submitit").core.utils.UncompletedJobError):
            return Ended(job, died, died=True)
        return Ended(job, str(error), died=False)
