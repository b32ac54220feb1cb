"""Errors about the user's data: what is wrong, where, and what to do next.

Wrong arguments raise `ValueError` or `TypeError` as everywhere in Python; a `LitVideoError` means that the arguments
were fine and the files, the disk or the machine were not. `one_sentence` is what a program prints of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class LitVideoError(Exception):
    """Anything that lit_video refuses to work with. The message ends with what to do next."""


class DataError(LitVideoError):
    """There is no usable video where the user said there is."""


class DecodeError(LitVideoError):
    """Frames that the index promises could not be decoded."""

    def __init__(self, path: Path | str, missing: Sequence[int], num_frames: int, cause: str = "") -> None:
        self.path, self.missing, self.num_frames, self.cause = str(path), list(missing), num_frames, cause
        super().__init__(
            f"{path}: could not decode frames {self.missing} of {num_frames}{f' ({cause})' if cause else ''}.\n"
            f"Look for damage: ffmpeg -v error -i {path} -f null -"
        )

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.missing, self.num_frames, self.cause)


class IndexStoreError(LitVideoError):
    """An index folder that cannot be read or written."""


class ResumeError(LitVideoError):
    """A saved position that does not belong to this data, seed or sampler."""


class WorkerError(LitVideoError):
    """A worker process died or could not be started."""


class DeviceError(LitVideoError):
    """A GPU, a driver or a library that a decoder needs is not there."""


def one_sentence(error: BaseException) -> str:
    """Return the message of the user's mistake behind `error`, without the layers that passed it on.

    >>> try:
    ...     try:
    ...         raise ValueError("batch_size must be at least 1, got 0")
    ...     except ValueError as cause:
    ...         raise RuntimeError("Error in call to target") from cause
    ... except RuntimeError as error:
    ...     one_sentence(error)
    'batch_size must be at least 1, got 0'
    """
    while error.__cause__ is not None and not isinstance(error, LitVideoError):
        error = error.__cause__
    return str(error) or type(error).__name__
