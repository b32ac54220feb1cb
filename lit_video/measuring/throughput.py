"""The measurement: what a run delivered, how fast, at what cost, and on which machine."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import psutil
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from rich.table import Table

from lit_video.datamodule import VideoDataModule
from lit_video.decoders.nvdec import decoder_utilization
from lit_video.loading.faults import Fault
from lit_video.loading.loader import VideoLoader
from lit_video.measuring.copies import Copied, CopyCounter
from lit_video.measuring.page import write_whole
from lit_video.support.machine import cores_in_words, memory_bytes, num_cores, num_file_handles
from lit_video.support.screen import screen

INTERRUPTIONS: dict[type[BaseException], str] = {KeyboardInterrupt: "Ctrl-C", SIGTERMException: "SIGTERM"}
BATCHES_COUNTED = 64  # whose copies are counted: the profiler keeps a record of everything meanwhile


class Throughput(Callback):
    """Measures a training run and writes `throughput.json`.

    The clock runs from the first request for a batch to the end of the last step, the model's work included; building
    the index is apart, and the clock stands still while the model is validated. Every rank measures, rank 0 adds up and
    writes. Copies are those of the training processes, in their first batches, scaled to an epoch.

    Args:
        folder: Where `throughput.json` goes.
        describe: What else to write: the names of the parts that were chosen.

    Attributes:
        report: What was written, on every rank; empty before the end, and if no batch was asked for. A training that
            was interrupted says by what, under `interrupted`, and has the figures of one rank.
    """

    def __init__(self, folder: str | Path, describe: Mapping[str, Any]) -> None:
        self.folder, self.describe = Path(folder), dict(describe)
        self.report: dict[str, Any] = {}
        self._ended = 0.0
        self._counter: CopyCounter | None = None
        self._copied: Copied | None = None
        self._batches_counted = 0
        self._seconds_beside = 0.0  # that the clock stood still: validating, or reading the profiler's records
        self._validation_began, self._seconds_since = 0.0, 0.0  # since the latest step, of validating
        self._nvdec_percent: list[int] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count: frames, and where a model runs on a GPU, copies."""
        _data_of(trainer).count_anew()
        if pl_module.device.type == "cuda" and self.describe.get("run_model"):
            self._counter = CopyCounter()
            self._counter.start()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count no more."""
        self._stop_counting()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time, log the speed where there is a logger, and note now and then how busy NVDEC is."""
        began, self._ended = self._ended + self._seconds_since, time.perf_counter()
        self._seconds_beside += self._seconds_since
        self._seconds_since = 0.0
        if trainer.loggers and began:  # the first batch's time is that of starting up
            num_images = len(batch["image"]) * trainer.world_size
            pl_module.log("images_per_s", num_images / (self._ended - began))
        if self._counter is not None:
            self._batches_counted += 1
            if self._batches_counted == BATCHES_COUNTED:
                self._stop_counting()
                self._ended = time.perf_counter()
        if pl_module.device.type == "cuda" and batch_idx % 16 == 0:
            percent = decoder_utilization(pl_module.device.index or 0)
            self._nvdec_percent += [] if percent is None else [percent]

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time."""
        self._validation_began = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave validation out, if it lies between two steps."""
        if self._ended:
            self._seconds_since += time.perf_counter() - self._validation_began

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the report."""
        datamodule = _data_of(trainer)
        if datamodule.loader is None:  # limit_train_batches=0
            return
        if pl_module.device.type == "cuda":  # the last step may still be under way
            torch.cuda.synchronize(pl_module.device)
            self._ended = time.perf_counter()
        self._write(trainer, gather(self._measured(datamodule.loader)))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write and print what was measured till somebody ended the training, by Ctrl-C or SIGTERM.

        Rank 0 writes its own figures: the other ranks may be anywhere, and are not waited for.
        """
        name = INTERRUPTIONS.get(type(exception))
        if name is None or not self._ended or self.report or not trainer.is_global_zero:
            return
        loader = _data_of(trainer).loader
        assert loader is not None
        self._stop_counting()
        self._write(trainer, [self._measured(loader)], interrupted=name)
        print_report(self.report)

    def _measured(self, loader: VideoLoader) -> dict[str, Any]:
        return measure(loader, self._ended - self._seconds_beside) | self._on_gpu(loader)

    def _write(self, trainer: Trainer, ranks: list[dict[str, Any]], **more: Any) -> None:
        self.report = total(ranks) | self._facts(trainer, _data_of(trainer)) | more
        if trainer.is_global_zero:
            write_whole(self.folder, {"throughput.json": json.dumps(self.report, indent=2) + "\n"})

    def _stop_counting(self) -> None:
        if self._counter is not None:
            began = time.perf_counter()
            self._copied, self._counter = self._counter.stop(), None
            self._seconds_beside += time.perf_counter() - began

    def _on_gpu(self, loader: VideoLoader) -> dict[str, Any]:
        """Return copies of an epoch and the load of NVDEC, None where there is no GPU or it does not tell."""
        figures: dict[str, Any] = dict.fromkeys(COPIES)
        if self._copied is not None and self._batches_counted:
            epochs = len(loader) / self._batches_counted
            figures = {key: round(number * epochs) for key, number in zip(COPIES, self._copied, strict=True)}
        if self._nvdec_percent:
            figures["nvdec_utilization_percent"] = sum(self._nvdec_percent) / len(self._nvdec_percent)
        return figures

    def _facts(self, trainer: Trainer, datamodule: VideoDataModule) -> dict[str, Any]:
        loader = datamodule.loader
        assert loader is not None
        index = loader.index
        return {
            "batch_size": loader.batch_size,
            "lookahead": loader.budget.lookahead,
            **loader.memory.facts(),
            **self.describe,
            "device": str(loader.device),
            "num_workers": loader.num_workers,
            "threads": loader.threads,
            "epochs": trainer.current_epoch,
            "index": {
                "videos": index.num_videos,
                "frames": index.num_frames,
                "seconds": round(index.seconds, 3),
                "cached": index.num_cached,
                "requests": index.fetched.requests,
                "bytes_fetched": index.fetched.num_bytes,
                "damaged_frames": sum(map(index.num_damaged, index.damaged_videos)),
                "hdr": index.num_hdr,
            },
            "skipped_files": [{"path": file.path, "reason": file.reason} for file in index.skipped],
            "short_files": [
                {"path": index.path(video_id), "frames": index.length(video_id), "expected": expected}
                for video_id, expected in index.short_files
            ],
            "machine": machine(),
        }


def _data_of(trainer: Trainer) -> VideoDataModule:
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(datamodule, VideoDataModule)
    return datamodule


COPIES = ("bytes_host_to_device", "bytes_device_to_host")
SUMMED = (
    "images",
    "batches",
    "delivered_frames",
    "decoded_frames",
    "fetched_frames",
    "requests",
    "bytes_fetched",
    "reads",
    "skipped_frames",
    "images_from_cpu",
)


def measure(loader: VideoLoader, ended: float) -> dict[str, Any]:
    """Return what one rank's loader did until `ended`, a time of `time.perf_counter`."""
    counts = loader.counts
    began = counts.first_request if counts.first_request is not None else ended
    return {
        "images": counts.images,
        "seconds": max(0.0, ended - began),
        "batches": counts.batches,
        "time_to_first_batch_s": (counts.first_batch or began) - began,
        "wait_seconds": counts.wait_seconds,
        "delivered_frames": counts.delivered_frames,
        "decoded_frames": counts.decoded_frames,
        "fetched_frames": counts.fetched_frames,
        "requests": counts.requests,
        "bytes_fetched": counts.bytes_fetched,
        "reads": counts.reads,
        "peak_held_frames": counts.peak_held_frames,
        "slots": loader.budget.slots,
        "skipped_frames": counts.skipped_frames,
        "images_from_cpu": counts.images_from_cpu,
        "ledger": [{"rank": loader.rank, **row} for row in ledger_rows(loader.ledger)],
    }


def ledger_rows(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """Return a row for each run of frames that were not delivered in an epoch, for the same reason.

    Keys: `path`; `first` and `last` frame index, which was not delivered either; `why`; `epoch`; `frames` and
    `positions`, how many were not delivered; `replaced`, in how many of the frames' place another came; and
    `replaced_by`, path and frame index of the first of these, or None.
    """
    rows: list[dict[str, Any]] = []
    for fault in sorted(faults, key=lambda fault: (fault.epoch, fault.path, fault.frame_index)):
        last = rows[-1] if rows else None
        key = {"path": fault.path, "why": fault.reason, "epoch": fault.epoch}
        if last is None or last["last"] + 1 < fault.frame_index or any(last[name] != key[name] for name in key):
            counts = dict.fromkeys(("frames", "positions", "replaced"), 0)
            last = {**key, "first": fault.frame_index, "last": -1, **counts, "replaced_by": None}
            rows.append(last)
        last["frames"] += fault.frame_index != last["last"]
        last["last"] = fault.frame_index
        last["positions"] += fault.positions
        last["replaced"] += fault.replaced_by is not None
        last["replaced_by"] = last["replaced_by"] or fault.replaced_by
    return rows


def gather(mine: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the measurements of all ranks, on every rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [mine]
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, mine)
    return found


def total(ranks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the ranks' sum: counts added, times and peaks of the slowest and fullest rank."""
    report = {key: sum(rank[key] for rank in ranks) if key in SUMMED else _most(ranks, key) for key in ranks[0]}
    report |= {key: _sum(ranks, key) for key in COPIES}
    report["ledger"] = [fault for rank in ranks for fault in rank["ledger"]]
    report["images_per_s"] = report["images"] / report["seconds"] if report["seconds"] else 0.0
    for key in ("requests", "bytes_fetched"):
        report[f"{key}_per_image"] = report[key] / max(1, report["images"])
    report["decode_amplification"] = report["decoded_frames"] / max(1, report["delivered_frames"])
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in report.items()}


def _sum(ranks: list[dict[str, Any]], key: str) -> Any:
    values = [rank[key] for rank in ranks if rank.get(key) is not None]
    return sum(values) if values else None


def _most(ranks: list[dict[str, Any]], key: str) -> Any:
    values = [rank[key] for rank in ranks if rank[key] is not None]
    return max(values) if values else None


def machine() -> dict[str, Any]:
    """Return what the measurement ran on."""
    gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    return {
        "cpu": _cpu_name(),
        "cores": num_cores(),
        "cores_in_words": cores_in_words(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "file_handles": num_file_handles(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu.name if gpu else None,
        "gpu_ram_gib": round(gpu.total_memory / 2**30, 1) if gpu else None,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in ("torch", "av", "lightning")},
        "ffmpeg": av.ffmpeg_version_info,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def print_report(report: Mapping[str, Any]) -> None:
    """Print the figures that people look for."""
    table = Table(title="Throughput", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")  # a path is wanted whole
    for name, text in _lines(report):
        table.add_row(name, text)
    screen().print(table)


def _copies(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    if r["bytes_host_to_device"] is None:
        return []
    sizes = [f"{r[key] / 2**20:.1f} MiB" for key in ("bytes_host_to_device", "bytes_device_to_host")]
    return [("copied", f"{sizes[0]} to the GPU and {sizes[1]} back, each epoch")]


def _fault(row: Mapping[str, Any]) -> str:
    instead, one = row["replaced_by"], row["first"] == row["last"]
    frames = f"frame {row['first']}" if one else f"{row['frames']} frames, {row['first']} to {row['last']},"
    what = f"; frame {instead[1]} of {instead[0]} came in its place" if instead else ""
    if instead and not one:
        what = f"; frame {instead[1]} of {instead[0]} and others came in their place"
    return f"{frames} of {row['path']}: {row['why']}{what}"


def _limits(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what bounds the files and decoders of a thread, where the decoder says how many it keeps."""
    if r["max_open"] is None:
        return []
    machine = r["machine"]
    kept = f"{r['max_open']} files, {r['max_decoders']} decoders a thread"
    return [("open", f"{kept}, of {machine['file_handles']} handles and {machine['memory_gib']} GiB")]


def _far(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was asked of stores, where videos are far away."""
    if not r["requests"]:
        return []
    each = f"{r['requests_per_image']:.2f} and {r['bytes_fetched_per_image'] / 1e3:.0f} kB an image"
    return [("far away", f"{r['requests']} requests, {r['bytes_fetched'] / 1e6:.1f} MB: {each}")]


def _hdr(number: Mapping[str, int]) -> list[tuple[str, str]]:
    text = ", ".join(f"{count} {name.upper()}" for name, count in number.items() if count)
    return [("HDR", f"videos: {text}")] if text else []


def _lines(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    index, machine = r["index"], r["machine"]
    reused = "all reused" if index["cached"] == index["videos"] else f"{index['cached']} reused"
    skipped = r["skipped_files"]
    return [
        ("images/s", f"{r['images_per_s']:.1f}"),
        *([("interrupted", f"by {r['interrupted']}; figures of rank 0")] if "interrupted" in r else []),
        ("images", f"{r['images']} in {r['seconds']:.2f} s, {r['batches']} batches of {r['batch_size']}"),
        ("first batch", f"after {r['time_to_first_batch_s']:.2f} s; waited {r['wait_seconds']:.2f} s in all"),
        ("decoded", f"{r['decoded_frames']} frames in {r['reads']} reads: {r['decode_amplification']:.2f} a frame"),
        *_far(r),
        ("memory", f"{r['peak_held_frames']} of {r['slots']} slots; look-ahead {r['lookahead']} positions"),
        ("parts", f"{r['sampler']}, {r['decoder']} on {r['device']}, {r['threads']} threads, {r['transform']}"),
        *_limits(r),
        ("model", "run" if r["run_model"] else "not run"),
        *_copies(r),
        *(
            [("from the CPU", f"{n} images of videos that the GPU does not decode")]
            if (n := r["images_from_cpu"])
            else []
        ),
        ("index", f"{index['videos']} videos, {index['frames']} frames, {index['seconds']:.2f} s, {reused}"),
        *_hdr(index.get("hdr", {})),
        *[("skipped", f"{file['path']}: {file['reason']}") for file in skipped[:10]],
        *([("skipped", f"and {len(skipped) - 10} files more")] if len(skipped) > 10 else []),
        *([("damaged", f"{index['damaged_frames']} frames, as the index knows")] if index["damaged_frames"] else []),
        *[
            ("short", f"{file['path']}: {file['frames']} of {file['expected']} frames")
            for file in r["short_files"][:10]
        ],
        *([("short", f"and {len(r['short_files']) - 10} files more")] if len(r["short_files"]) > 10 else []),
        *[("not delivered", _fault(row)) for row in r["ledger"][:10]],
        *([("not delivered", f"and {len(r['ledger']) - 10} runs of frames more")] if len(r["ledger"]) > 10 else []),
        ("machine", f"{machine['cpu']}, {machine['cores_in_words']}, {machine['gpu'] or 'no GPU'}"),
    ]
