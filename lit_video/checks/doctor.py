"""What works here: each part that this package rests on is tried for real, and told in one screen."""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders.base import Decoder
from lit_video.decoders.colour import LUMA_WEIGHTS, planes_to_frame
from lit_video.decoders.cuvid import CuvidDecoder
from lit_video.decoders.geometry import fit_picture
from lit_video.decoders.nvdec import LIBRARY, NUMBERS, capabilities, is_installed
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.scaler import BT2020_CONSTANT_LUMINANCE, Scaler
from lit_video.decoders.supported import refused_videos
from lit_video.decoders.torchcodec import TorchCodecDecoder
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.measuring.copies import CopyCounter
from lit_video.media.picture import FULL_RANGE, LIMITED_RANGE, plane_rows
from lit_video.planning.planner import GopRead
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.reservoir import ReservoirSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DeviceError, LitVideoError
from lit_video.support.machine import cores_in_words, memory_bytes, num_file_handles

CODECS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}
MOST_FAR = 1e-3  # of all values may differ by more than 2 levels: swscale rounds at the edges of a picture
SIZE = (192, 256)  # NVDEC takes nothing much smaller
DECODERS: dict[str, Callable[..., Decoder]] = {
    "pyav": PyAVDecoder,
    "torchcodec": TorchCodecDecoder,
    "torchcodec on cuda": partial(TorchCodecDecoder, device="cuda"),
    "cuvid": CuvidDecoder,
    "cuvid, route=cuvid": partial(CuvidDecoder, route="cuvid"),
}
ON_GPU = ("torchcodec on cuda", "cuvid", "cuvid, route=cuvid")
SAMPLERS = {
    "sequential": SequentialSampler,
    "uniform": UniformSampler,
    "chunked": ChunkedSampler,
    "reservoir": ReservoirSampler,
}


class Skip(Exception):
    """A check that cannot be made here, and why."""


@dataclass(frozen=True)
class Finding:
    """What a check found: `ok`, `failed` or `skipped`, and in words."""

    name: str
    status: str
    text: str


def examine(folder: Path) -> Iterator[Finding]:
    """Make all checks; stamped videos are written to `folder`."""
    for name, check in CHECKS.items():
        yield _find(name, check)
    videos = write_videos(folder)
    index = VideoIndex.scan(videos, folder / "index", progress=False)
    on_gpu = supported_by_nvdec(index)
    decoders = [(name, name in ON_GPU, on_gpu if name in ON_GPU else index) for name in DECODERS]
    for name, needs_gpu, of in decoders:
        yield _find(f"decode: {name}", partial(check_stamps, name, of), needs_gpu)
    for method in multiprocessing.get_all_start_methods():
        yield _find(f"workers: {method}", partial(check_start_method, method, index))
    yield _find("colours: torch, swscale", partial(check_conversion, index))
    yield _find("colours: GPU, CPU", partial(check_colours, on_gpu), needs_gpu=True)
    yield _find("copies: cuvid", partial(check_copies, on_gpu), needs_gpu=True)
    for name, needs_gpu, of in decoders:
        yield _find(f"frames/s: {name}", partial(check_speed, name, of), needs_gpu)


def _find(name: str, check: Callable[[], str], needs_gpu: bool = False) -> Finding:
    try:
        return Finding(name, "ok", check())
    except Skip as error:
        return Finding(name, "skipped", str(error))
    except LitVideoError as error:
        # That something is not there is no failure; that a GPU is there and refuses is one.
        missing = isinstance(error, DeviceError) and not (needs_gpu and torch.cuda.is_available())
        return Finding(name, "skipped" if missing else "failed", str(error).splitlines()[0])
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(name, "failed", f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})")


def write_videos(folder: Path) -> list[Path]:
    """Write a stamped video of each codec that there is an encoder for."""
    names = [(codec, encoder) for codec, encoder in CODECS.items() if encoder in av.codecs_available]
    return [
        write_stamped(folder / f"{number}-{codec}.mkv", 60, number, encoder, 12, size=SIZE)
        for number, (codec, encoder) in enumerate(names)
    ]


# The machine.


def check_far_away() -> str:
    """Tell of which stores there are packages, and whether there are credentials for S3, but not which."""
    packages = {"https": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "hf": "huggingface_hub"}
    if find_spec("fsspec") is None:
        raise Skip("fsspec is not installed: pip install 'lit-video[remote]'")
    there = [f"{name}://" for name, package in packages.items() if find_spec(package)]
    text = f"data.root may be {', '.join(there)}; pip install a package for others"
    if find_spec("botocore") is None:
        return text
    providers = importlib.import_module("botocore.session").get_session().get_component("credential_provider")
    providers.remove("iam-role")  # the machine's own is asked for over the network
    found = providers.load_credentials()
    told = found.method if found else "none, unless this machine has a role"
    return f"{text}; credentials for s3://: {told}"


def check_machine() -> str:
    """Tell what this process may use, and why it is no more."""
    return f"{cores_in_words()}, {memory_bytes() / 2**30:.1f} GiB, {num_file_handles()} file handles"


def check_ffmpeg() -> str:
    """Tell PyAV's FFmpeg, and what of it concerns GPUs."""
    cuvid = sorted(name.removesuffix("_cuvid") for name in av.codecs_available if name.endswith("_cuvid"))
    encoders = [name for name in CODECS.values() if name in av.codecs_available]
    return f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}; cuvid for {', '.join(cuvid) or 'nothing'}; " + (
        f"encoders {', '.join(encoders)}"
    )


def check_torch() -> str:
    """Tell torch's build."""
    return f"torch {torch.__version__}, {'CUDA ' + torch.version.cuda if torch.version.cuda else 'no CUDA'} build"


def check_driver() -> str:
    """Tell the NVIDIA driver and GPU."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise Skip("no NVIDIA driver: libcuda.so.1 is not there") from error
    if not torch.cuda.is_available():
        raise Skip("a driver, but torch finds no GPU")
    gpu = torch.cuda.get_device_properties(0)
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"


def check_nvdec() -> str:
    """Tell what the GPU decodes, in 8 and 10 bits, and on how many engines."""
    if not torch.cuda.is_available():
        raise Skip("no GPU")
    assert is_installed(), f"the driver is there, but not {LIBRARY}: NVIDIA_DRIVER_CAPABILITIES must have video"
    torch.zeros(1, device="cuda")  # makes a context current, which the question needs
    found = {codec: [bits for bits in (8, 10) if capabilities(codec, bits)] for codec in NUMBERS}
    lines = [f"{codec} {' and '.join(map(str, bits))} bits" for codec, bits in found.items() if bits]
    assert lines, "no codec at all"
    engines = capabilities("h264")
    return f"{engines.num_engines if engines else 'unknown number of'} engines; {', '.join(lines)}"


def supported_by_nvdec(index: VideoIndex) -> VideoIndex:
    """Return the index of those videos that the GPU decodes; of all where there is no GPU, which is told elsewhere."""
    if not torch.cuda.is_available():
        return index
    torch.zeros(1, device="cuda")
    refused = refused_videos(index)
    paths = [path for video_id, path in enumerate(index.paths) if video_id not in refused]
    assert index.folder is not None
    folder = index.folder.parent.with_name("index-nvdec")
    return VideoIndex.scan(paths or index.paths, folder, progress=False)


FORK = """
import os, torch
torch.zeros(1, device="cuda")
pid = os.fork()
if pid == 0:
    try:
        torch.zeros(1, device="cuda")
    except Exception as error:
        print(str(error).splitlines()[0], flush=True)
        os._exit(1)
    os._exit(0)
os._exit(0 if os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 1 else 2)
"""


def check_fork() -> str:
    """Show that CUDA fails in a forked child after it was used in its parent, as docs/gpu.md says."""
    if not torch.cuda.is_available():
        raise Skip("no GPU: tests/driver shows it on a stand-in")
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"CUDA worked in a forked child, or the trial failed: {done.stderr[-200:]}"
    return f"fails in a forked child, as it must: {done.stdout.strip()}"


CHECKS = {
    "machine": check_machine,
    "FFmpeg": check_ffmpeg,
    "torch": check_torch,
    "GPU": check_driver,
    "NVDEC on the GPU": check_nvdec,
    "CUDA after fork": check_fork,
    "far away": check_far_away,
}


# Decoders.


def _decode(decoder: Decoder, index: VideoIndex, video_id: int, frame: int) -> torch.Tensor:
    start = int(index.start_of(np.array([index.offset[video_id] + frame]))[0])
    out = torch.zeros((1, 3, *SIZE), dtype=torch.uint8, device=decoder.device)
    decoder.decode(GopRead(video_id, start, (frame,), ((0,),)), [out[0]])
    return out[0].cpu()


def check_stamps(name: str, index: VideoIndex) -> str:
    """Decode frames of every codec, and read in them which they are."""
    decoder, good = DECODERS[name](index, SIZE), []
    try:
        for video_id in range(index.num_videos):
            number = int(Path(index.path(video_id)).name.partition("-")[0])
            for frame in (0, 59, 30, 13):
                found = read_stamp(_decode(decoder, index, video_id, frame))
                assert found == (number, frame), f"asked for {(number, frame)}, got {found}"
            good.append(index.codec(video_id))
    finally:
        decoder.close()
    return f"the right frames of {', '.join(good)}"


def _load(index: VideoIndex, decoder: Any, sampler: Any = UniformSampler, **arguments: Any) -> tuple[int, float]:
    """Load an epoch; return images and seconds, from the first request on."""
    loader = VideoLoader(index, sampler(index, 0), decoder, size=SIZE, batch_size=32, **arguments)
    began = time.perf_counter()
    images = sum(len(batch["image"]) for batch in loader)
    seconds = time.perf_counter() - began
    loader.close()
    return images, seconds


def check_start_method(method: str, index: VideoIndex) -> str:
    """Load an epoch in a worker process that starts so."""
    images, seconds = _load(index, PyAVDecoder, num_workers=1, start_method=method)
    assert images == index.num_frames, f"{images} of {index.num_frames} images came"
    return f"an epoch of {images} images, {seconds:.1f} s with the start of the worker"


def check_conversion(index: VideoIndex) -> str:
    """Convert pictures with the GPU path's arithmetic, on the CPU, and compare with swscale."""
    geometry = fit_picture(SIZE, 0, SIZE, "crop")
    scaler, expected, worst = Scaler(SIZE, "crop", "bilinear", "bt601"), torch.zeros((3, *SIZE), dtype=torch.uint8), 0
    with av.open(index.path(0)) as container:
        picture = next(container.decode(video=0)).reformat(format="nv12")
    luma, chroma = (torch.from_numpy(plane_rows(picture, plane).copy()) for plane in (0, 1))
    for matrix in LUMA_WEIGHTS.keys() - {BT2020_CONSTANT_LUMINANCE}:
        for color_range in (LIMITED_RANGE, FULL_RANGE):
            picture.colorspace, picture.color_range = matrix, color_range
            scaler.write(picture, expected)
            uv = chroma.reshape(chroma.shape[0], -1, 2)
            found = planes_to_frame(luma, uv, geometry, matrix, color_range == FULL_RANGE)
            worst = max(worst, int((found.int() - expected.int()).abs().max()))
    assert worst <= 2, f"frames differ by up to {worst} levels of 255"
    return f"at most {worst} levels of 255 apart, over {len(LUMA_WEIGHTS) - 1} matrices and both ranges"


def check_colours(index: VideoIndex) -> str:
    """Compare frames of cuvid with those of pyav."""
    gpu, cpu = CuvidDecoder(index, SIZE), PyAVDecoder(index, SIZE)
    worst, far = 0, 0.0
    for video_id in range(index.num_videos):
        found, expected = (_decode(decoder, index, video_id, 20).int() for decoder in (gpu, cpu))
        apart = (found - expected).abs()
        worst, far = max(worst, int(apart.max())), max(far, float((apart > 2).float().mean()))
    assert far < MOST_FAR, f"{far:.2%} of all values differ by more than 2 levels of 255, up to {worst}"
    return f"frames differ by at most {worst} levels of 255"


def check_copies(index: VideoIndex) -> str:
    """Count bytes that cross between main memory and the GPU in an epoch."""
    if not torch.cuda.is_available():
        raise Skip("no GPU")
    counter = CopyCounter()
    counter.start()
    images, _ = _load(index, CuvidDecoder)
    copied = counter.stop()
    pixels = images * 3 * SIZE[0] * SIZE[1]
    assert max(copied) < pixels / 10, f"{copied} bytes crossed, and the pixels are {pixels}"
    return f"{copied.host_to_device} bytes to the GPU and {copied.device_to_host} back, for {pixels} bytes of pixels"


def check_speed(name: str, index: VideoIndex) -> str:
    """Measure frames/s of a decoder with each sampler; small videos, so only ratios mean anything."""
    rates = []
    for sampler_name, sampler in SAMPLERS.items():
        images, seconds = _load(index, DECODERS[name], sampler)
        rates.append(f"{sampler_name} {images / seconds:.0f}")
    return ", ".join(rates)
