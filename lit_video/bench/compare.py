"""All contenders, in turn, several times: the medians, and their ratios."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from lit_video.bench import PREPARED
from lit_video.bench.contenders import Setting
from lit_video.bench.run import check_drop_caches
from lit_video.index.files import find_files
from lit_video.measuring.throughput import machine
from lit_video.support.errors import DataError, LitVideoError


def compare(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row a run: rounds outermost, so that a machine that slows down slows all contenders down."""
    files = find_files(chosen.root).files
    if chosen.videos and max(chosen.videos) > len(files):
        raise DataError(f"{chosen.root}: {len(files)} files, fewer than --videos asks for.\nAsk for fewer")
    if chosen.drop_caches:
        check_drop_caches()
    tasks = [
        (number, contender, videos)
        for number in range(chosen.rounds)
        for videos in chosen.videos or [len(files)]
        for contender in chosen.contenders
    ]
    rows = []
    with _folder(chosen.prepared) as folder:
        for number, contender, videos in track(tasks, "Measuring", transient=True):
            setting = _setting(chosen, files[:videos], folder / str(videos), number)
            setting.index()  # once, before the clock
            task = {"contender": contender, "setting": asdict(setting)}
            made = _run({**task, "prepare": True}) if contender in PREPARED else {}
            counts = {key: of.get(contender, of[""]) for key, of in (("skip", chosen.skip), ("images", chosen.images))}
            row = _run({**task, **counts, "cold": chosen.drop_caches})
            rows.append({"round": number, "videos": videos, **row, **made})
    return rows


@contextmanager
def _folder(chosen: str | None) -> Iterator[Path]:
    """Give the folder of indexes and of what contenders have made: the one that was chosen, or one that is deleted."""
    if chosen:
        yield Path(chosen)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _setting(chosen: argparse.Namespace, files: list[str], index_dir: Path, number: int) -> Setting:
    return Setting(
        tuple(files),
        str(index_dir),
        size=chosen.size,
        batch_size=chosen.batch_size,
        workers=chosen.workers,
        augment=chosen.augment,
        seed=number,
        lookahead_bytes=chosen.lookahead_bytes,
        images_per_s=chosen.images_per_s,
        keep=chosen.keep,
        store=chosen.store,
        packing=chosen.store_packing,
        store_bytes=chosen.store_bytes,
        delay_seconds=chosen.delay,
    )


def _run(task: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "lit_video.bench.run", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise LitVideoError(f"{task['contender']} failed: {told[0]}\nRun it alone to see more: {' '.join(command)}")
    return json.loads(done.stdout.splitlines()[-1])


def print_rows(rows: list[dict[str, Any]], chosen: argparse.Namespace) -> None:
    """Print medians over rounds, and each contender's rate over that of the first, round by round."""
    table = Table(title=f"{chosen.batch_size} images a batch, {chosen.workers} workers, {machine()['cpu']}")
    for name in (
        "videos",
        "contender",
        "images/s",
        "min – max",
        "× first",
        "first batch s",
        "waited s",
        "MiB",
        "files",
        "D",
        "requests",
        "kB",
    ):
        table.add_column(name, justify="left" if name == "contender" else "right")
    for videos in dict.fromkeys(row["videos"] for row in rows):
        for contender in chosen.contenders:
            table.add_row(str(videos), contender, *_cells(rows, videos, contender, chosen.contenders[0]))
    console = Console(width=130)
    console.print(table)
    for told in preparations(rows):
        console.print(told, highlight=False)


def preparations(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line for each contender that reads what was made before: what that took is in none of its columns."""
    made = dict[tuple[str, int], dict[str, Any]]()
    for row in rows:
        if "prepare_seconds" in row:  # of the first round: later ones find a store filled
            made.setdefault((row["contender"], row["videos"]), row)
    return [
        f"{contender}, {videos} video{'s' * (videos > 1)}: made before the clock in {row['prepare_seconds']:.1f} s,"
        f" {row['prepared_bytes'] / 2**20:.1f} MiB"
        for (contender, videos), row in made.items()
    ]


def _cells(rows: list[dict[str, Any]], videos: int, contender: str, first: str) -> list[str]:
    mine = [row for row in rows if (row["videos"], row["contender"]) == (videos, contender)]
    base = [row for row in rows if (row["videos"], row["contender"]) == (videos, first)]

    def median(key: str) -> float:
        return statistics.median(row[key] for row in mine)

    rates = [row["images_per_s"] for row in mine]
    ratio = statistics.median(a["images_per_s"] / b["images_per_s"] for a, b in zip(mine, base, strict=True))

    def told(key: str, unit: float) -> str:
        return "" if mine[0][key] is None else f"{median(key) / unit:.2f}"

    return [
        f"{statistics.median(rates):.1f}",
        f"{min(rates):.1f} – {max(rates):.1f}",
        f"{ratio:.2f}",
        f"{median('time_to_first_batch_s'):.1f}",
        f"{median('wait_seconds'):.1f}",
        f"{median('peak_bytes') / 2**20:.0f}",
        f"{median('peak_files'):.0f}",
        told("decode_amplification", 1),
        told("requests_per_image", 1),
        told("bytes_fetched_per_image", 1e3),
    ]
