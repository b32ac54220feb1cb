"""Files of lines in a folder, to which each process adds in a file of its own: nobody waits, and nothing is repaired.

A line is written by one call of the system, by two where the disk is all but full; one that is not whole, of a process
that was killed, is left out.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from lit_video.index.records import record_of

MOST_FILES = 32  # more that nobody writes to any more are made one
IDLE_SECONDS = 2 * 86400.0  # after which nobody writes to a file any more


class Lines:
    """The lines in a folder, and those of this process.

    Args:
        folder: Where they are. It need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writes: FileIO | None = None
        self._read: dict[Path, int] = {}  # bytes of each file that were read

    def new(self) -> Iterator[bytes]:
        """Yield the lines that were not read yet; one that is not all there yet is not."""
        for path in sorted(self._folder.glob("*.jsonl")):
            with contextlib.suppress(OSError):  # another may just have gathered it
                begin = self._read.get(path, 0)
                if path.stat().st_size == begin:
                    continue
                with path.open("rb") as file:
                    file.seek(begin)
                    for line in file:
                        if line.endswith(b"\n") or record_of(line):
                            self._read[path] = self._read.get(path, 0) + len(line)
                            yield line

    def add(self, line: bytes) -> OSError | None:
        """Add a line, and return what the system says if it does not take it."""
        try:
            if self._writes is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                # By time, so that what is known last is read last.
                name = f"{time.time_ns():x}-{uuid.uuid4().hex}.jsonl"
                self._writes = FileIO(self._folder / name, "xb")
            while line:  # a disk that is all but full takes a part, and says why with the rest
                line = line[self._writes.write(line) :]
        except OSError as error:
            return error
        return None

    def close(self) -> None:
        """Write no more."""
        if self._writes is not None:
            with contextlib.suppress(OSError):  # a network drive may say only now that it is full
                self._writes.close()

    def gather(self) -> None:
        """Make one file of those that nobody writes to any more, if they are many."""
        with contextlib.suppress(OSError):  # not needed, and another may be at it
            _gather(self._folder)


def _gather(folder: Path) -> None:
    before = time.time() - IDLE_SECONDS
    idle = [path for path in sorted(folder.glob("*.jsonl")) if path.stat().st_mtime < before]
    if len(idle) <= MOST_FILES:
        return
    gathered = folder / f"{idle[-1].stem.partition('-')[0]}-{uuid.uuid4().hex}.part"
    gathered.write_bytes(
        b"".join(line for path in idle for line in path.read_bytes().splitlines(True) if record_of(line))
    )
    gathered.replace(gathered.with_suffix(".jsonl"))
    for path in idle:
        path.unlink(missing_ok=True)
