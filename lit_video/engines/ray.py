"""Tasks of Ray."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lit_video.engines.base import PATIENCE_SECONDS, Ended, Shard, check_arguments, library
from lit_video.support.errors import MachineError

CONNECT_SECONDS = 10.0


@dataclass
class RayEngine:
    """The cores of a Ray cluster; without one, those of this machine.

    Args:
        num_cpus: Tasks at a time, of one core each; by default as many as the cluster has.
        address: Of the cluster, as `ray.init` takes it; by default RAY_ADDRESS says, or a Ray of this program's own.
        folder: That all machines see, for frames on their way to a store; by default in the store.
        patience_seconds: After which a file is given up.

    Raises:
        MachineError: Ray is not installed, or the cluster is not there.
    """

    num_cpus: int | None = None
    address: str | None = None
    folder: str | None = None
    patience_seconds: float = PATIENCE_SECONDS
    least_share: float = 1 / 16

    def __post_init__(self) -> None:
        check_arguments(self.num_cpus, self.patience_seconds)
        self._ray = ray = library("ray")
        address = self.address or os.environ.get("RAY_ADDRESS")
        if address:
            _check_that_it_is_there(address)
        own = {} if address else {"num_cpus": self.num_cpus, "include_dashboard": False}
        try:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
        except ConnectionError as error:
            raise _not_there(address, error) from error
        self.num_shards = self.room = self.num_cpus or int(ray.cluster_resources().get("CPU", 1))
        # A worker is used again: what a shard left behind would be there for the next. A dead one is our driver's.
        self._remote = ray.remote(num_cpus=1, max_retries=0)(_call)

    def start(self, shards: Sequence[Shard]) -> list[Any]:
        """Submit a task for each."""
        return [self._remote.remote(shard) for shard in shards]

    def wait(self, handles: Sequence[Any], seconds: float) -> list[Ended]:
        """Return which tasks have ended."""
        done, _ = self._ray.wait(list(handles), num_returns=1, timeout=seconds)
        return [self._ended(task) for task in done]

    def stop(self, handles: Sequence[Any]) -> None:
        """Kill tasks."""
        for task in handles:
            self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Let go of the cluster."""
        self._ray.shutdown()

    def _ended(self, task: Any) -> Ended:
        errors = self._ray.exceptions
        try:
            return Ended.of(task, self._ray.get(task))
        except errors.RayTaskError as error:
            return Ended(task, str(error.cause), died=False)
        except errors.RayError as error:
            return Ended(task, f"its task died ({type(error).__name__})", died=True)


def _call(shard: Shard) -> str | None:
    return shard()


def _check_that_it_is_there(address: str) -> None:
    """Raise MachineError where nobody listens, of which Ray itself makes sure for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            raise _not_there(address, error) from error


def _not_there(address: str | None, error: Exception) -> MachineError:
    return MachineError(
        f"engine=ray finds no cluster at {address} ({error}).\nStart one there: ray start --head; or name another:"
        " engine.address=HOST:PORT"
    )
