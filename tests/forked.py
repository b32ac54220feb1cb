"""A process that has imported what programs import of other packages, and nothing of ours: each start is a fork of it.

A new Python process imports torch and Lightning for many seconds before a program begins. A fork of one that has done
so begins at once, and is a process of its own in all else: its output, its signals, how it ends.
"""

import atexit
import contextlib
import gc
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tests.driver.zygote import read, write

IMPORTED = ("av", "hydra", "lightning", "matplotlib.pyplot", "pyarrow.parquet", "rich.table", "scipy.stats")
REPOSITORY = Path(__file__).parents[1]
TOO_LATE = ("PYTHON", "LD_")  # Python and the loader of libraries read these when a process starts


class Start(NamedTuple):
    """A program, as in `python PROGRAM ARGUMENTS`, where it starts, its variables, and the seconds it may take.

    One with a named pipe writes to that while others look on, and is not waited for.
    """

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    timeout: float
    pipe: Path | None = None


def can_be_forked(variables: Mapping[str, str]) -> bool:
    """Return whether a program that is started with these variables besides can be a fork."""
    return not any(name.startswith(TOO_LATE) for name in variables)


def start(program: Start, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Do what `subprocess.run` does, with text captured; `python` may be another environment's."""
    process = _parent(python)
    write(process.stdin, program)
    code, out, err = read(process.stdout)
    if code is None:
        raise subprocess.TimeoutExpired(program.arguments, program.timeout, out, err)
    return subprocess.CompletedProcess(program.arguments, code, out, err)


class Running:
    """What `subprocess.Popen` is for a program whose output is read while it runs; how it ended is not known."""

    def __init__(self, program: Start) -> None:
        assert program.pipe is not None
        os.mkfifo(program.pipe)
        parent = _parent(sys.executable)
        write(parent.stdin, program)
        self.pid = read(parent.stdout)
        self._handle = os.pidfd_open(self.pid)
        self.stdout = program.pipe.open()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def wait(self, timeout: float) -> None:
        """Wait for its end."""
        if not _ends(self._handle, timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout)

    def close(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)
        self.stdout.close()
        os.close(self._handle)


@cache
def _parent(python: str) -> subprocess.Popen[bytes]:
    """Start the process that is forked. Another environment finds the packages that are its own."""
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    command = [python, "-c", "from tests.forked import serve; serve()"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        stream.close()
    process.wait(60)


def serve() -> None:
    """Answer each `Start` with its exit code, None if it took too long, and what it wrote to stdout and stderr.

    With a pipe, the answer is its number, at once.
    A fork leaves the loop, is the program, and ends as any program does.
    """
    starts, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    while (asked := _next(starts)) is not None:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno() if asked.pipe is None else os.open(asked.pipe, os.O_WRONLY), 1)
                os.dup2(err.fileno(), 2)
                break
            write(answers, child if asked.pipe else (_exit_code(child, asked.timeout), _text(out), _text(err)))
    if asked is not None:
        _become(asked)


def _next(starts: BinaryIO) -> Start | None:
    with contextlib.suppress(EOFError):
        return read(starts)
    return None


def _exit_code(child: int, timeout: float) -> int | None:
    """Wait for the end of a process, and bring it about when the time is up."""
    handle = os.pidfd_open(child)
    in_time = _ends(handle, timeout)
    os.close(handle)
    if not in_time:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if in_time else None


def _ends(handle: int, timeout: float) -> bool:
    return bool(select.select([handle], [], [], timeout)[0])


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode()


def _become(asked: Start) -> None:
    """Run the program in this process, as Python does."""
    os.environ.clear()
    os.environ.update(asked.environment)
    os.chdir(asked.folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background begin without it
    sys.argv = [*asked.arguments]
    sys.path[0] = str(Path(asked.arguments[0]).absolute().parent)
    runpy.run_path(asked.arguments[0], run_name="__main__")
