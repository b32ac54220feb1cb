"""What a contender reads instead of videos, made once, before the clock, and used again while it is whole."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lit_video.bench.contenders import Setting
from lit_video.index import VideoIndex


@dataclass(frozen=True)
class Prepared:
    """What was made for a contender.

    Attributes:
        folder: Where it lies.
        seconds: What making it took.
        num_bytes: On the disk.
    """

    folder: Path
    seconds: float
    num_bytes: int


def made_once(setting: Setting, name: str, make: Callable[[Path], float]) -> Prepared:
    """Return what `make` wrote for these files at this size; have it written if it is not there, or not whole.

    Args:
        setting: Says the files and the size. The folder lies beside the index.
        name: Of what is made.
        make: Writes into a folder that is there and empty, and returns the seconds that others took before it.
    """
    index = setting.index()
    folder = Path(f"{setting.index_dir}-{name}-{setting.size}")
    note, files = folder / "made.json", files_digest(index)
    if note.exists() and (told := json.loads(note.read_text()))["files"] == files:
        return Prepared(folder / "data", told["seconds"], told["num_bytes"])
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    began = time.perf_counter()
    before = make(folder / "data")
    made = Prepared(folder / "data", before + time.perf_counter() - began, size_of(folder / "data"))
    # Written last, and in one piece: whatever ended before this line is made anew.
    part = folder / "part.json"
    part.write_text(json.dumps({"files": files, "seconds": made.seconds, "num_bytes": made.num_bytes}))
    part.replace(note)
    return made


def files_digest(index: VideoIndex) -> str:
    """Return what changes with the files: their paths, sizes, times, and when their frames are shown."""
    columns = index.columns
    parts = (columns.path_bytes, columns.path_offset, columns.size_bytes, columns.mtime_ns, columns.offset, columns.pts)
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.tobytes())
    return digest.hexdigest()


def size_of(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
