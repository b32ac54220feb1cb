"""Damaged videos by the thousand: index and decode either work or raise our errors. No hang, no crash, no leak.

A mutant is a function of its number, so that a failure can be looked at again: `python scripts/fuzz.py --only 1234`.
Decoding runs in a child process; one that dies or says nothing for long is noted and replaced.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from rich.progress import track

from lit_video.checks.stamps import write_stamped
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.planning.planner import plan
from lit_video.planning.reads import GopRead
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import LitVideoError
from lit_video.support.rng import rng

# Codec, container ending, B-frames: what people have.
KINDS = (
    ("libx264", "mp4", 2),
    ("libx264", "mkv", 0),
    ("libx264", "ts", 2),
    ("libx265", "mp4", 2),
    ("libvpx-vp9", "webm", 0),
    ("libvpx", "webm", 0),
    ("libsvtav1", "mp4", 0),
    ("mpeg4", "avi", 2),
    ("mpeg2video", "mpg", 2),
    ("mjpeg", "avi", 0),
)
SIZE = (32, 32)


class Outcome(NamedTuple):
    """What became of a mutant: `decoded`, `refused`, `crashed` or `hung`, in words, and what the child holds."""

    number: int
    kind: str
    text: str
    resident_bytes: int = 0
    open_files: int = 0


def write_originals(folder: Path) -> list[Path]:
    """Write the undamaged videos."""
    originals = []
    for number, (codec, ending, b_frames) in enumerate(KINDS):
        pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        path = folder / f"{number}.{ending}"
        originals.append(write_stamped(path, 16, number, codec, 6, b_frames, 25, pixel_format=pixel_format))
    return originals


def mutate(data: bytes, number: int) -> bytes:
    """Return `data` damaged in one to four ways, a function of `number`."""
    draw, changed = rng(0, "fuzz", number), bytearray(data)
    for _ in range(int(draw.integers(1, 5))):
        way = WAYS[int(draw.integers(len(WAYS)))]
        way(changed, draw)
    return bytes(changed)


def _flip_bits(data: bytearray, draw: np.random.Generator) -> None:
    for place in draw.integers(max(1, len(data)), size=int(draw.integers(1, 20))) if data else ():
        data[place] ^= 1 << int(draw.integers(8))


def _overwrite(data: bytearray, draw: np.random.Generator) -> None:
    begin, end = _range(data, draw)
    data[begin:end] = draw.bytes(end - begin)


def _truncate(data: bytearray, draw: np.random.Generator) -> None:
    del data[int(draw.integers(len(data) + 1)) :]


def _cut_out(data: bytearray, draw: np.random.Generator) -> None:
    begin, end = _range(data, draw)
    del data[begin:end]


def _repeat(data: bytearray, draw: np.random.Generator) -> None:
    begin, end = _range(data, draw)
    data[end:end] = data[begin:end]


def _resize_box(data: bytearray, draw: np.random.Generator) -> None:
    """Change the size before a box's name, which demuxers trust."""
    names = (b"moov", b"trak", b"stbl", b"stts", b"ctts", b"stss", b"stsz", b"stco", b"mdat", b"avcC", b"idx1", b"movi")
    places = [place for name in names if (place := data.find(name)) >= 4]
    if places:
        place = places[int(draw.integers(len(places)))]
        data[place - 4 : place] = int(draw.integers(2**32)).to_bytes(4, "big")


WAYS = (_flip_bits, _flip_bits, _overwrite, _truncate, _cut_out, _repeat, _resize_box)


def _range(data: bytearray, draw: np.random.Generator) -> tuple[int, int]:
    begin = int(draw.integers(len(data) + 1))
    return begin, min(len(data), begin + int(draw.integers(1, 400)))


def try_one(path: Path, folder: Path) -> str:
    """Index and decode a file in random order; return `decoded` or, for what we raise ourselves, `refused: …`.

    Raises:
        Exception: Anything else, which is a bug.
    """
    decoder = None
    try:
        index = VideoIndex.scan(path, folder, progress=False)
        decoder = PyAVDecoder(index, SIZE, max_open=1)
        out = torch.zeros((64, 3, *SIZE), dtype=torch.uint8)
        for read in plan(UniformSampler(index, 0).order(0)[:64], index, 8, 64):
            assert isinstance(read, GopRead)
            decoder.decode(read, list(out[: len(read.frame_indices)]))
        return "decoded"
    except LitVideoError as error:
        return f"refused: {str(error).splitlines()[0]}"
    finally:
        if decoder is not None:
            decoder.close()
        shutil.rmtree(folder, ignore_errors=True)


def _serve(connection: Connection, folder: str) -> None:
    process = psutil.Process()
    while (task := connection.recv()) is not None:
        number, path = task
        try:
            text = try_one(Path(path), Path(folder) / f"index-{os.getpid()}")
        except Exception as error:
            text = f"bug: {type(error).__name__}: {error}"
        connection.send(Outcome(number, text.partition(":")[0], text, process.memory_info().rss, process.num_fds()))


class Child:
    """The process that tries mutants."""

    def __init__(self, folder: Path) -> None:
        context: Any = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, str(folder)), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, number: int, path: Path, timeout_seconds: float) -> Outcome:
        """Return what became of a mutant; after a crash or a hang this child is of no more use."""
        try:
            self._ours.send((number, str(path)))
            if not self._ours.poll(timeout_seconds):
                return Outcome(number, "hung", f"nothing for {timeout_seconds:.0f} s")
            return self._ours.recv()
        except (EOFError, OSError):
            self._process.join(5)
            return Outcome(number, "crashed", f"exit code {self._process.exitcode}")

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()


def fuzz(numbers: Sequence[int], seconds: float, timeout_seconds: float, keep: Path | None) -> list[Outcome]:
    """Try mutants of these numbers, for at most `seconds`; keep those that crash, hang or show a bug in `keep`."""
    outcomes, deadline = [], time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals = write_originals(folder)
        child = Child(folder)
        for number in track(numbers, "Fuzzing", transient=True):
            if time.monotonic() > deadline:
                break
            original = originals[number % len(originals)]
            mutant = folder / f"mutant{original.suffix}"
            mutant.write_bytes(mutate(original.read_bytes(), number))
            outcome = child.run(number, mutant, timeout_seconds)
            outcomes.append(outcome)
            if outcome.kind not in ("decoded", "refused"):
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(mutant, keep / f"{number}{original.suffix}")
                child.end()
                child = Child(folder)
        child.end()
    return outcomes


def tell(outcomes: Sequence[Outcome]) -> int:
    """Print what was found, and return the exit code."""
    counts = Counter(outcome.kind for outcome in outcomes)
    numbers = [outcome.number for outcome in outcomes]
    print(f"{len(outcomes)} mutants, {min(numbers)} to {max(numbers)}: {dict(counts)}")
    failed = [outcome for outcome in outcomes if outcome.kind not in ("decoded", "refused")]
    for outcome in failed[:20]:
        print(f"mutant {outcome.number} ({KINDS[outcome.number % len(KINDS)]}): {outcome.kind}: {outcome.text}")
    leaks = _leaks([outcome for outcome in outcomes if outcome.resident_bytes])
    print(leaks or "no leak: open files and memory of the child are flat")
    return 1 if failed or leaks else 0


def _leaks(outcomes: Sequence[Outcome]) -> str:
    if len(outcomes) < 400:
        return ""
    quarter = len(outcomes) // 4
    early, late = outcomes[quarter : 2 * quarter], outcomes[-quarter:]
    files = np.median([o.open_files for o in late]) - np.median([o.open_files for o in early])
    grown = np.median([o.resident_bytes for o in late]) - np.median([o.resident_bytes for o in early])
    if files > 0 or grown > 64 * 2**20:
        return f"leak: {files:.0f} open files and {grown / 2**20:.0f} MiB more in the last quarter than in the second"
    return ""
