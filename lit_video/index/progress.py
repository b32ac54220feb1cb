"""How far an index is: a bar in a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

SECONDS = 30.0  # between two lines
LONG_SECONDS = 10.0  # after which a file is named
MEGABYTE = 1e6


class Tally:
    """What is done of the files to index, and what is at work.

    Args:
        num_files: To index.
        num_bytes: Of these files.
        num_done: Files that need nothing.
    """

    def __init__(self, num_files: int, num_bytes: int, num_done: int) -> None:
        self.num_files, self.num_bytes, self.num_done, self.bytes_done = num_files, num_bytes, num_done, 0
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._first = time.monotonic()

    @contextmanager
    def working(self, path: str, size_bytes: int, num_files: int) -> Iterator[None]:
        """Count a file, under as many names, when the block ends."""
        with self._lock:
            self._began[path] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._began[path]
                self.num_done += num_files
                self.bytes_done += max(0, size_bytes)

    def count(self, num_left: int, bytes_done: int) -> None:
        """Take over how far others are."""
        self.num_done, self.bytes_done = self.num_files - num_left, bytes_done

    def longest(self) -> tuple[str, float] | None:
        """Return the file that is at work for the longest time, and its seconds, where these are many."""
        with self._lock:
            path, began = min(self._began.items(), key=lambda item: item[1], default=("", float("inf")))
        seconds = time.monotonic() - began
        return (path, seconds) if seconds >= LONG_SECONDS else None

    def line(self) -> str:
        """Return all this in words."""
        seconds, longest = time.monotonic() - self._first, self.longest()
        return (
            f"Indexing: {self.num_done} of {self.num_files} files,"
            f" {self.bytes_done / MEGABYTE:.0f} of {self.num_bytes / MEGABYTE:.0f} MB, {seconds:.0f} s"
            + (f"; at {longest[0]} for {longest[1]:.0f} s" if longest else "")
        )


@contextmanager
def shown(tally: Tally, show: bool) -> Iterator[None]:
    """Show how far a tally is until the block ends: on standard error, whatever the environment says of colours."""
    console = Console(stderr=True)
    if not show:
        yield
    elif console.is_jupyter or _is_a_terminal(console):
        with _bar(tally, console):
            yield
    else:
        with _lines(tally):
            yield


def _is_a_terminal(console: Console) -> bool:
    # FORCE_COLOR and the like make rich write a bar into files too.
    return sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal


def _bar(tally: Tally, console: Console) -> Progress:
    columns = (TextColumn("Indexing"), BarColumn(), _Files(tally), TimeRemainingColumn(), _Longest(tally))
    bar = _Bar(tally, *columns, console=console, transient=True)
    bar.add_task("", total=max(1, tally.num_bytes))
    return bar


class _Bar(Progress):
    """A bar of bytes: what files cost goes by their sizes."""

    def __init__(self, tally: Tally, *columns: ProgressColumn, console: Console, transient: bool) -> None:
        super().__init__(*columns, console=console, transient=transient)
        self._tally = tally

    def get_renderable(self) -> RenderableType:
        for task in self.task_ids:
            self.update(task, completed=self._tally.bytes_done)
        return super().get_renderable()


class _Files(ProgressColumn):
    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        return Text(f"{self._tally.num_done}/{self._tally.num_files} files")


class _Longest(_Files):
    def render(self, task: Task) -> Text:
        longest = self._tally.longest()
        return Text(f"{Path(longest[0]).name}: {longest[1]:.0f} s" if longest else "", overflow="ellipsis")


@contextmanager
def _lines(tally: Tally) -> Iterator[None]:
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(SECONDS):
            print(tally.line(), file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, name="lit_video index progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
