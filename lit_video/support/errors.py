"""Errors about the user's data: what is wrong, where, and what to do next.

Wrong arguments raise `ValueError` or `TypeError` as everywhere in Python; a `LitVideoError` means that the arguments
were fine and the files, the disk or the machine were not. `told_in_a_sentence` is how a program ends on either.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path


class LitVideoError(Exception):
    """Anything that lit_video refuses to work with. The message ends with what to do next."""


class DataError(LitVideoError):
    """There is no usable video where the user said there is."""


class DecodeError(LitVideoError):
    """Frames that the index promises could not be decoded."""

    def __init__(self, path: Path | str, missing: Sequence[int], num_frames: int, cause: str = "") -> None:
        self.path, self.missing, self.num_frames, self.cause = str(path), list(missing), num_frames, cause
        is_gone = cause == os.strerror(errno.ENOENT)
        super().__init__(
            f"{path}: could not decode frames {self.missing} of {num_frames}{f' ({cause})' if cause else ''}.\n"
            + ("Put it back, or index the videos anew" if is_gone else _look_for_damage(path))
        )

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.missing, self.num_frames, self.cause)

    def of(self, missing: Sequence[int]) -> DecodeError:
        """Return the same error about some of its frames."""
        return DecodeError(self.path, missing, self.num_frames, self.cause)


def _look_for_damage(path: Path | str) -> str:
    return f"Look for damage: ffmpeg -v error -i {path} -f null -"


class IndexStoreError(LitVideoError):
    """An index folder that cannot be read or written."""


class StoreError(LitVideoError):
    """A store of decoded frames that cannot be used."""


class ResumeError(LitVideoError):
    """A saved position that does not belong to this data, seed or sampler."""


class WorkerError(LitVideoError):
    """A worker process died or could not be started."""


class MachineError(LitVideoError):
    """The system gives no more of what decoding needs: file handles or memory."""


class DeviceError(LitVideoError):
    """A GPU, a driver or a library that a decoder needs is not there."""


class RemoteError(LitVideoError):
    """A store of files far away that cannot be reached, or lets nobody in."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, and in words what was kept, which the user was told already."""


INTERRUPTED = 130  # what shells make of Ctrl-C


class Told(SystemExit):
    """The end of a program whose user was told what is wrong."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(code)
        self.sentence = sentence


@contextlib.contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """End the program with the message of a user's mistake, and without a traceback.

    A mistake is a `LitVideoError`, a file that is not there, or an argument that lit_video itself refused. Anything
    else is a bug, and is raised as it came. HYDRA_FULL_ERROR=1 in the environment shows where a mistake was noticed.
    """
    try:
        yield
    except (Interrupted, SystemExit) as end:
        # Lightning takes Ctrl-C for the end of a program, with another status.
        told = end if isinstance(end, Interrupted) else end.__context__
        if not isinstance(told, Interrupted):
            raise
        raise Told(str(told), INTERRUPTED) from None
    except Exception as error:
        cause = _cause(error)
        if os.environ.get("HYDRA_FULL_ERROR") == "1" or not _is_mistake(cause):
            raise
        print(f"\n{cause}", file=sys.stderr)
        raise Told(str(cause)) from None


@contextlib.contextmanager
def ended_by_ctrl_c(what_is_kept: str) -> Iterator[None]:
    """End the program after Ctrl-C with a sentence, and the status that shells make of it, and without a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nInterrupted: {what_is_kept}.", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _cause(error: BaseException) -> BaseException:
    """Return what is behind `error`, without the layers that passed it on."""
    while error.__cause__ is not None and not isinstance(error, LitVideoError):
        error = error.__cause__
    return error


def _is_mistake(error: BaseException) -> bool:
    if isinstance(error, LitVideoError | FileNotFoundError):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1:]
    ours = bool(last) and Path(last[0].filename).is_relative_to(Path(__file__).parents[1])
    return isinstance(error, ValueError | TypeError) and ours


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
