"""A process that has imported what tests need and has not touched the driver: each call is a fork of it.

A driver, once loaded, stays as it was told to be, and a new Python process imports torch for many seconds. A fork of
one that has done so takes none, and is to the driver a process of its own, for this one never calls it.
"""

import contextlib
import importlib
import os
import pickle
import select
import signal
import struct
import sys
import tempfile
import traceback
from typing import Any, BinaryIO


def write(stream: BinaryIO, message: Any) -> None:
    """Write a message."""
    data = pickle.dumps(message)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def read(stream: BinaryIO) -> Any:
    """Return the next message.

    Raises:
        EOFError: There is none any more.
    """
    header = stream.read(8)
    if len(header) < 8:
        raise EOFError
    (size,) = struct.unpack("<Q", header)
    return pickle.loads(stream.read(size))


def serve() -> None:
    """Answer calls: (module, function, pickled arguments, environment, seconds) with (exit code, log, answer)."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(EOFError):
        while True:
            module, name, arguments, environment, seconds = read(calls)
            importlib.import_module(module)  # here, so that the next call finds it
            write(answers, _call(module, name, arguments, environment, seconds))


def _call(module: str, name: str, arguments: bytes, environment: dict[str, str], seconds: float) -> tuple:
    with tempfile.TemporaryFile() as log:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            _run(module, name, arguments, environment, writer)
        os.close(writer)
        answer = _all_of(reader, seconds)
        if answer is None:
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        log.seek(0)
        return code, log.read().decode(errors="replace"), answer


def _all_of(reader: int, seconds: float) -> bytes | None:
    """Return what is written until the other end is closed, or None after so many seconds of silence."""
    parts = []
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while select.select([stream], [], [], seconds)[0]:
            part = stream.read(1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)
    return None


def _run(module: str, name: str, arguments: bytes, environment: dict[str, str], writer: int) -> None:
    """Be the process of one call, to its end."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        try:
            answer = None, getattr(sys.modules[module], name)(*pickle.loads(arguments))
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = error, None
        data = pickle.dumps(answer)
        while data:
            data = data[os.write(writer, data) :]
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
