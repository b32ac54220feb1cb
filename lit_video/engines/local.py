"""Processes of this machine, one for each shard, forked from a server that has imported what they need."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from lit_video.engines.base import PATIENCE_SECONDS, Ended, Shard, check_arguments
from lit_video.support.machine import num_cores


class _Handle(NamedTuple):
    process: Any
    told: Connection


@dataclass
class LocalEngine:
    """The cores of this machine. Where one process dies the others go on.

    Args:
        num_cpus: Processes at a time; by default as many as cores that may be used.
        patience_seconds: After which a file is given up.
        folder: For frames on their way to a store; by default in the store.
    """

    num_cpus: int | None = None
    patience_seconds: float = PATIENCE_SECONDS
    folder: str | None = None
    least_share: float = 1 / 32

    def __post_init__(self) -> None:
        check_arguments(self.num_cpus, self.patience_seconds)
        self.num_shards = self.room = self.num_cpus or num_cores()
        self._context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")

    def start(self, shards: Sequence[Shard]) -> list[_Handle]:
        """Start a process for each."""
        if self._context.get_start_method() == "forkserver":
            self._context.set_forkserver_preload([shard.module for shard in shards])
        handles = []
        for shard in shards:
            told, tells = self._context.Pipe(duplex=False)
            process = self._context.Process(target=_call, args=(shard, tells), daemon=True)
            process.start()
            tells.close()
            handles.append(_Handle(process, told))
        return handles

    def wait(self, handles: Sequence[_Handle], seconds: float) -> list[Ended]:
        """Return which processes have ended."""
        connection.wait([handle.process.sentinel for handle in handles], seconds)
        return [self._ended(handle) for handle in handles if not handle.process.is_alive()]

    def stop(self, handles: Sequence[_Handle]) -> None:
        """Kill processes."""
        for handle in handles:
            handle.process.kill()

    def close(self) -> None:
        """Hold nothing."""

    def _ended(self, handle: _Handle) -> Ended:
        handle.process.join()
        code = handle.process.exitcode
        try:
            told, trace = handle.told.recv() if handle.told.poll() else (None, None)
        except EOFError:
            told = trace = None
        if code == 0 and trace is None:
            return Ended.of(handle, told)
        return Ended(handle, trace or self._in_words(code), died=trace is None)

    def _in_words(self, code: int) -> str:
        if code < 0:
            return f"its process ended by {signal.Signals(-code).name}"
        return f"its process ended with {code}, as it does after {self.patience_seconds:.0f} seconds at one file"


def _call(shard: Shard, tells: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, who ends its workers
    try:
        said = shard(), None
    except BaseException:
        said = None, traceback.format_exc(limit=-2).strip()
    with contextlib.suppress(ConnectionError):  # the driver is gone, and nobody listens
        tells.send(said)
