"""Worker processes: reads go out and "done" comes back through a pipe each, frames go into shared memory.

For more cores than one interpreter can feed, and for CUDA decoding outside the training process. The pool of slots is
handed over once, when a process starts. A pipe for each worker, and no lock that a worker which is killed could keep.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from lit_video.decoders.base import Decoder
from lit_video.index import VideoIndex
from lit_video.loading.tiers import Done, FetchJob, Job, Tiers
from lit_video.loading.workers import ThreadWorkers
from lit_video.media.ranges import MOST_REQUESTS
from lit_video.planning.reads import GopRead
from lit_video.support.errors import WorkerError

MakeDecoder = Callable[[VideoIndex, tuple[int, int]], Decoder]

# How often a worker looks whether its parent still lives, in seconds.
HEARTBEAT_SECONDS = 1.0

NOT_STARTED = -1  # in the place of a job's number: the worker has no decoders


class Processes:
    """Worker processes that live as long as their loader, from epoch to epoch.

    Args:
        count: Number of processes.
        start_method: `fork`, `forkserver` or `spawn`.
        threads: Decoding threads of each.
        make_decoder: Factory, picklable unless processes are forked.
        index: The videos.
        size: Of the frames.
        tiers: Where the frames go, in shared memory or on a GPU.

    Raises:
        WorkerError: A process could not be started.
    """

    def __init__(
        self,
        count: int,
        start_method: str,
        threads: int,
        make_decoder: MakeDecoder,
        index: VideoIndex,
        size: tuple[int, int],
        tiers: Tiers,
    ) -> None:
        context: Any = multiprocessing.get_context(start_method)
        self.threads, self.start_method, self.reads_far = threads, start_method, index.far is not None
        self.death_was_raised = False
        self.connections: list[Connection] = []
        self.processes: list[BaseProcess] = []
        for number in range(count):
            ours, theirs = context.Pipe()
            arguments = (theirs, threads, make_decoder, index, size, [tiers])
            process = context.Process(target=_serve, args=arguments, name=f"lit_video-{number}", daemon=True)
            try:
                with _fork_quietly(), _ctrl_c_held_back():
                    process.start()
            except (OSError, pickle.PicklingError, AttributeError, TypeError) as error:
                self.close(0)
                raise WorkerError(
                    f"A worker process could not be started with {start_method} ({error}).\n"
                    "Use data.num_workers=0, which decodes on threads of this process"
                ) from error
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)

    def death(self) -> WorkerError | None:
        """Return what to say of a process that has ended, or None if none has."""
        if not wait([process.sentinel for process in self.processes], 0):
            return None
        for process in self.processes:
            process.join(0.2)
            if process.exitcode is not None:
                return WorkerError(
                    f"Worker process {process.pid} ended unexpectedly: {_reason(process.exitcode)}.\n"
                    f"{_advice(process.exitcode)}, or run with data.num_workers=0"
                )
        return None

    def close(self, timeout_seconds: float) -> None:
        """End all processes; those that take longer are killed."""
        for connection in self.connections:
            with contextlib.suppress(OSError):  # it is dead already
                connection.send(None)
            connection.close()
        deadline = time.monotonic() + timeout_seconds
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        for process in self.processes:
            if process.is_alive():
                process.kill()
                process.join()
        self.connections, self.processes = [], []
        if torch.cuda.is_initialized():
            torch.cuda.ipc_collect()  # memory that was shared with those that had to be killed


class ProcessWorkers:
    """One run's use of the processes: who is given which job, and what came of it."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._waiting: deque[Job | FetchJob] = deque()
        self._in_hand = [0] * len(processes.connections)
        # One job more than there are threads: the next is there when one ends. And where bytes come from far away, as
        # many as may be asked for.
        self._most = processes.threads + (MOST_REQUESTS if processes.reads_far else 1)
        self._wake, self._waker = multiprocessing.Pipe(duplex=False)
        self._stopped = threading.Event()

    def submit(self, job: Job | FetchJob) -> None:
        """Have a job done by the worker that has the fewest in hand."""
        self._waiting.append(job)
        self._hand_out()

    def expect(self, read: GopRead) -> None:
        """Do nothing: which process will be given a read is not known before."""

    @property
    def has_room(self) -> bool:
        """Whether reads are to be expected here: they are not."""
        return False

    def wait(self) -> Done | None:
        """Return the next job that ended; None once `interrupt` was called.

        Raises:
            WorkerError: A worker died.
        """
        connections = self._processes.connections
        sentinels = [process.sentinel for process in self._processes.processes]
        while not self._stopped.is_set():
            ready = wait([*connections, *sentinels, self._wake])
            for number, connection in enumerate(connections):
                if connection in ready and (done := self._receive(number)) is not None:
                    return done
            if any(sentinel in ready for sentinel in sentinels):
                self.check()
        return None

    def check(self) -> None:
        """Find out whether a worker died, even if nothing is asked of it now.

        Raises:
            WorkerError: One did.
        """
        if (death := self._processes.death()) is not None:
            self._processes.death_was_raised = True
            raise death

    def interrupt(self) -> None:
        """Give out no further job, and let whoever waits go."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._waker.send(None)

    def stop(self, timeout_seconds: float) -> bool:
        """Tell whether all jobs that were given out have ended within the time."""
        if not self._processes.connections:
            return True  # they were closed, and nobody writes any more
        deadline = time.monotonic() + timeout_seconds
        while any(self._in_hand):
            busy = [c for c, count in zip(self._processes.connections, self._in_hand, strict=True) if count]
            ready = wait(busy, max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            for connection in ready:
                number = self._processes.connections.index(connection)  # type: ignore[arg-type]
                if self._receive(number) is None:
                    return False
        return True

    def _receive(self, number: int) -> Done | None:
        """Return what a worker has to say, or None if it is dead.

        Raises:
            BaseException: It could not make its decoders.
        """
        try:
            done: Done = self._processes.connections[number].recv()
        except (EOFError, OSError):
            self._in_hand[number] = 0
            return None
        if done.number == NOT_STARTED and done.error is not None:
            raise done.error
        self._in_hand[number] -= 1
        self._hand_out()
        return done

    def _hand_out(self) -> None:
        while self._waiting and not self._stopped.is_set():
            number = min(range(len(self._in_hand)), key=self._in_hand.__getitem__)
            if self._in_hand[number] >= self._most:
                return
            try:
                self._processes.connections[number].send(self._waiting[0])
            except OSError:
                self.check()
            self._waiting.popleft()
            self._in_hand[number] += 1


def _reason(exitcode: int) -> str:
    if exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    return f"exit code {exitcode}"


def _advice(exitcode: int) -> str:
    if exitcode == -signal.SIGKILL:
        return "Look for the kernel's out-of-memory killer in dmesg"
    return "Look above for what the process itself printed"


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Start a process deaf to Ctrl-C, which reaches all processes of a terminal: it would end in a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _fork_quietly() -> Iterator[None]:
    """Leave out the warning of Python 3.12 and later against forking beside threads: the user chose to fork."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        yield


def _serve(
    connection: Connection,
    threads: int,
    make_decoder: MakeDecoder,
    index: VideoIndex,
    size: tuple[int, int],
    handed: list[Tiers],
) -> None:
    """Do jobs until there are no more, or no parent; then let go of the slots, which are handed over in a list.

    A GPU's memory is given back only if each process that shares it let go of it, and what starts a process keeps its
    arguments to the end.
    """
    tiers = handed.pop()
    for number in (signal.SIGINT, signal.SIGTERM):  # which reach all processes of a job; the parent decides
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    jobs = _jobs(connection, os.getppid())
    try:
        if tiers.slots.is_cuda:
            torch.cuda.set_device(tiers.slots.device)  # a new process is on cuda:0, whatever its parent is on
        decoders = [make_decoder(index, size) for _ in range(threads)]
    except Exception as error:
        connection.send(_picklable(Done(NOT_STARTED, error)))
        deque(jobs, maxlen=0)  # to end now would look like an accident
        return
    vars(index).pop("far", None)  # which a fork copied without its threads
    if index.far is not None:
        index.far.limit(tiers.remote_bytes)
    workers = ThreadWorkers(decoders, tiers, index.far)
    sender = threading.Thread(target=_send, args=(workers, connection), daemon=True)
    sender.start()
    for job in jobs:
        workers.submit(job)
    workers.interrupt()
    if workers.stop(HEARTBEAT_SECONDS):
        for decoder in decoders:
            decoder.close()
    sender.join(HEARTBEAT_SECONDS / 2)
    del tiers, workers, sender
    gc.collect()


def _jobs(connection: Connection, parent: int) -> Iterator[Job | FetchJob]:
    """Yield jobs until there are no more, or no parent."""
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while os.getppid() == parent:
            # A parent that was killed closes no pipe that a forked sister of this process also holds: hence the watch.
            if connection.poll(HEARTBEAT_SECONDS):
                job = connection.recv()
                if job is None:
                    return
                yield job


def _send(workers: ThreadWorkers, connection: Connection) -> None:
    while (done := workers.wait()) is not None:
        try:
            connection.send(_picklable(done))
        except OSError:
            return


def _picklable(done: Done) -> Done:
    """Return `done` with an error that survives the way to the parent."""
    try:
        pickle.loads(pickle.dumps(done))
    except Exception:
        return done._replace(error=WorkerError(f"{type(done.error).__name__}: {done.error}"))
    return done
