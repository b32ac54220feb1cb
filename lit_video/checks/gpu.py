"""What only hardware can answer, asked of it in some three minutes: a line a question, beside what NVIDIA's note says.

Each speed is of reads of one random frame, the dearest there are: planned reads cost less, by the look-ahead's gain.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders.colour import planes_to_frame
from lit_video.decoders.cuvid import CuvidDecoder
from lit_video.decoders.device import CudaOps, DeviceOps
from lit_video.decoders.geometry import fit_picture
from lit_video.decoders.limits import one_of
from lit_video.decoders.nvdec import capabilities, decoder_utilization, max_video_clock
from lit_video.index import VideoIndex
from lit_video.planning.planner import GopRead

KINDS = (("h264", 8), ("h264", 10), ("hevc", 8), ("hevc", 10), ("hevc", 12), ("vp9", 8), ("vp9", 10), ("av1", 8))
PRECISIONS = ("highest", "high", "medium")
THREADS = (1, 7, 14, 28)
CONVERSIONS = 200
NUM_FILES = 64
PAUSE_SECONDS = 0.005  # between two launches of the training loop that is timed


class Answer(NamedTuple):
    """What was found, in words."""

    question: str
    text: str
    failed: bool = False


class Note(NamedTuple):
    """Pictures/s of 1080p that one engine decodes, at a video clock in MHz (NVDEC application note 13.0, section 3)."""

    name: str
    clock: int
    h264: int
    hevc: int


# By compute capability. Hopper and GA100 have Turing's engines.
NOTES = {
    (7, 5): Note("Turing", 1860, 771, 1316),
    (8, 0): Note("GA100", 1860, 771, 1316),
    (8, 6): Note("Ampere", 1665, 748, 1415),
    (8, 9): Note("Ada", 2160, 903, 1641),
    (9, 0): Note("Hopper", 1860, 771, 1316),
    (10, 0): Note("Blackwell", 2362, 2172, 1872),
    (12, 0): Note("Blackwell", 2362, 2172, 1872),
}


@dataclass(frozen=True)
class Trial:
    """Where and how long to ask.

    Attributes:
        folder: For the videos.
        seconds: Of each measurement.
        size: Of the large videos: height, width; the small ones have a quarter of the pixels.
        ops: The device.
    """

    folder: Path
    seconds: float = 6.0
    size: tuple[int, int] = (1080, 1920)
    ops: DeviceOps = field(default_factory=CudaOps)

    def decoder(self, index: VideoIndex, max_open: int | None) -> CuvidDecoder:
        """Return a decoder of frames of 224 × 224."""
        return CuvidDecoder(index, 224, max_open=max_open, device_ops=self.ops)

    def stream(self, side: bool = False) -> AbstractContextManager[object]:
        """Return what has a thread work on a stream of its own, or on the default one."""
        if self.ops.resolve("cuda").type != "cuda":
            return nullcontext()
        return torch.cuda.stream(torch.cuda.Stream() if side else torch.cuda.default_stream())

    @property
    def small(self) -> tuple[int, int]:
        """Height and width of the small videos."""
        return self.size[0] // 4 * 2, self.size[1] // 4 * 2


class Rate(NamedTuple):
    """What threads that read random frames did, and what a training loop beside them felt."""

    frames: float  # a second
    busy: int  # percent of NVDEC, the most that was seen
    wrong: int  # frames that are not those asked for
    slowest_launch: float  # milliseconds
    error: str


def ask(trial: Trial) -> Iterator[Answer]:
    """Yield the answer to each question.

    Raises:
        DeviceError: There is no GPU.
    """
    device = trial.ops.resolve("cuda")
    with trial.ops.decoding(device):
        trial.ops.bind(device)
        yield Answer("card, torch, PyAV", f"{_card(device)}, torch {torch.__version__}, PyAV {av.__version__}")
        yield Answer("driver, video clock", _clocks(device))
        for codec, bits in KINDS:
            yield Answer(f"decodes {codec}, {bits} bits", _capabilities(codec, bits))
        yield _precision(trial, device)
        yield Answer(f"ms of {CONVERSIONS} conversions to 224", f"{_conversions(trial, device):.1f}")
    big, small, many = _videos(trial)
    for threads in THREADS:
        told = _ceiling(device, "h264", trial.size, 30)
        yield _rate(f"{threads} threads, H.264 GOP 30", told, trial, big, threads)
        told = _ceiling(device, "hevc", trial.small, 8)
        yield _rate(f"{threads} threads, HEVC GOP 8, small", told, trial, small, threads)
    yield _rate(f"{NUM_FILES} files, 7 threads, 16 open", "", trial, many, 7, max_open=16)
    yield _rate(f"{NUM_FILES} files, 7 threads, all open", _free(device), trial, many, 7)
    yield _rate("14 threads, default stream", "a race if any are wrong", trial, big, 14)
    yield _rate("14 threads, streams of their own", "a race if any are wrong", trial, big, 14, side=True)


def _card(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "no CUDA device"


def _free(device: torch.device) -> str:
    return f"{torch.cuda.mem_get_info(device)[0] >> 20} MiB free" if device.type == "cuda" else "memory unknown"


def _clocks(device: torch.device) -> str:
    clock = max_video_clock(device.index or 0)
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.split("\n")[0]
    except OSError:
        driver = ""
    return f"{driver or 'unknown'}, {clock or 'unknown'} MHz at most"


def _capabilities(codec: str, bits: int) -> str:
    found = capabilities(codec, bits)
    return f"on {found.num_engines} engines, up to {found.max_width} × {found.max_height}" if found else "no"


def _planes(trial: Trial, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = trial.size
    rng, shapes = np.random.default_rng(0), ((height, width), (height // 2, width // 2, 2))
    luma, chroma = (torch.from_numpy(rng.integers(0, 256, shape, np.uint8)).to(device) for shape in shapes)
    return luma, chroma


def _precision(trial: Trial, device: torch.device) -> Answer:
    planes, geometry, before = _planes(trial, device), fit_picture(trial.size, 0, (224, 224), "crop"), []
    kept = torch.get_float32_matmul_precision()
    try:
        for precision in PRECISIONS:
            torch.set_float32_matmul_precision(precision)
            before.append(planes_to_frame(*planes, geometry, 1, False).int())
    finally:
        torch.set_float32_matmul_precision(kept)
    apart = [int((frame - before[0]).abs().max()) for frame in before[1:]]
    text = ", ".join(f"{name} {levels}" for name, levels in zip(PRECISIONS[1:], apart, strict=True))
    return Answer("levels apart by matmul precision", text, any(apart))


def _conversions(trial: Trial, device: torch.device) -> float:
    planes, geometry = _planes(trial, device), fit_picture(trial.size, 0, (224, 224), "crop")
    planes_to_frame(*planes, geometry, 1, False)
    trial.ops.synchronize()
    began = time.perf_counter()
    for _ in range(CONVERSIONS):
        planes_to_frame(*planes, geometry, 1, False)
    trial.ops.synchronize()
    return 1e3 * (time.perf_counter() - began)


def _videos(trial: Trial) -> tuple[VideoIndex, VideoIndex, VideoIndex]:
    """Return two large videos of H.264, two small ones of HEVC, and many links to the large ones."""
    folders = [trial.folder / name for name in ("big", "small", "many")]
    for folder in folders:
        folder.mkdir()
    for n in (0, 1):
        write_stamped(folders[0] / f"{n}.mp4", 60, n, gop=30, b_frames=2, size=trial.size)
        write_stamped(folders[1] / f"{n}.mp4", 60, n, "libx265", gop=8, size=trial.small)
    for n in range(NUM_FILES):
        (folders[2] / f"{n:03}.mp4").symlink_to(folders[0] / f"{n % 2}.mp4")
    big, small, many = (VideoIndex.scan(f, f.with_name(f"{f.name}-index"), progress=False) for f in folders)
    return big, small, many


def _rate(
    question: str,
    beside: str,
    trial: Trial,
    index: VideoIndex,
    threads: int,
    side: bool = False,
    max_open: int | None = None,
) -> Answer:
    found = rate(trial, index, threads, side, max_open)
    if found.error:
        return Answer(question, found.error, failed=True)
    text = (
        f"{found.frames:.0f} frames/s, NVDEC {found.busy} %, {found.wrong} wrong, slowest launch"
        f" {found.slowest_launch:.1f} ms"
    )
    return Answer(question, f"{text}; {beside}" if beside else text, failed=found.wrong > 0)


def rate(trial: Trial, index: VideoIndex, threads: int, side: bool = False, max_open: int | None = None) -> Rate:
    """Read random frames on so many threads, beside a loop that launches work as training does."""
    ends, done, wrong, errors = time.monotonic() + trial.seconds, [0] * threads, [0] * threads, list[str]()

    def work(number: int) -> None:
        try:
            decoder = one_of(threads, trial.decoder)(index, max_open)
            done[number], wrong[number] = _read_until(ends, trial, decoder, index, number, side)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")

    team = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in team:
        thread.start()
    busy, slowest = _train_beside(trial, team)
    return Rate(sum(done) / trial.seconds, busy, sum(wrong), slowest, next(iter(errors), ""))


def _read_until(
    ends: float, trial: Trial, decoder: CuvidDecoder, index: VideoIndex, seed: int, side: bool
) -> tuple[int, int]:
    rng, done, wrong = np.random.default_rng(seed), 0, 0
    out = torch.zeros((3, 224, 224), dtype=torch.uint8, device=decoder.device)
    with trial.stream(side):
        while time.monotonic() < ends:
            video_id = int(rng.integers(index.num_videos))
            frame = int(rng.integers(index.length(video_id)))
            start = int(index.start_of(index.offset[video_id : video_id + 1] + frame)[0])
            decoder.decode(GopRead(video_id, start, (frame,), ((0,),)), [out])
            wrong += not _is(out, (video_id % 2, frame))
            done += 1
    decoder.close()
    return done, wrong


def _is(out: torch.Tensor, expected: tuple[int, int]) -> bool:
    try:
        return read_stamp(out) == expected
    except ValueError:
        return False


def _train_beside(trial: Trial, team: list[threading.Thread]) -> tuple[int, float]:
    """Return how busy NVDEC was at most, in percent, and how long the slowest launch took, in milliseconds."""
    device = trial.ops.resolve("cuda")
    numbers, busy, slowest = torch.ones((512, 512), device=device), 0, 0.0
    with trial.stream(side=True):
        torch.mm(numbers, numbers)  # makes what the library needs before it is timed
        while any(thread.is_alive() for thread in team):
            began = time.perf_counter()
            torch.mm(numbers, numbers)
            slowest = max(slowest, 1e3 * (time.perf_counter() - began))
            busy = max(busy, decoder_utilization(device.index or 0) or 0)
            time.sleep(PAUSE_SECONDS)
    return busy, slowest


def _ceiling(device: torch.device, codec: str, size: tuple[int, int], gop: int) -> str:
    """Return how many random frames/s NVIDIA's note leaves room for."""
    note = NOTES.get(torch.cuda.get_device_capability(device)) if device.type == "cuda" else None
    clock, found = max_video_clock(device.index or 0), capabilities(codec)
    if note is None or not clock or found is None or not found.num_engines:
        return "NVIDIA's note says nothing of this"
    pictures = found.num_engines * (note.h264 if codec == "h264" else note.hevc) * clock / note.clock
    pictures *= 1920 * 1080 / (size[0] * size[1])
    return f"ceiling {pictures / ((gop + 1) / 2):.0f} by NVIDIA's note, scaled by clock and pixels"
