"""The constants of `measuring.capacity`, measured on this machine by one thread, on a video written for it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch

from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.index.scan import scan_file
from lit_video.measuring.capacity import Constants
from lit_video.planning.reads import GopRead, reads_in_order
from lit_video.proxies.settings import Settings
from lit_video.proxies.transcode import transcode
from lit_video.store.frames import FrameStore
from lit_video.support.rng import rng

FRAMES, GOP, HEIGHT, WIDTH, SIZE = 90, 30, 1080, 1920, (224, 224)
ROUNDS = 3  # of which the median counts


def measure_costs(folder: Path) -> Constants:
    """Return the constants; half a minute of one core. What is written lies in `folder`."""
    video = write_texture(folder / "texture.mp4")
    index = VideoIndex.scan(video, folder / "index", progress=False)
    small = folder / "proxy.mp4"
    encode = _seconds(partial(transcode, index, 0, Settings(), small), 1) / FRAMES
    proxy = VideoIndex.scan(small, folder / "index", progress=False)
    with closing(PyAVDecoder(index, SIZE)) as decoder:
        whole = _seconds(partial(_decode, decoder, index, list(reads_in_order(index, 0, np.arange(FRAMES))))) / FRAMES
        last = [GopRead(0, start, (start + GOP - 1,), ((0,),)) for start in range(0, FRAMES, GOP)]
        first = [GopRead(0, start, (start,), ((0,),)) for start in range(0, FRAMES, GOP)]
        alone = _seconds(partial(_decode, decoder, index, first)) / len(first)
        decode = max(0.0, _seconds(partial(_decode, decoder, index, last)) / len(last) - alone) / (GOP - 1)
    with closing(PyAVDecoder(proxy, SIZE)) as decoder:
        order = rng(0, "costs").permutation(FRAMES).tolist()
        random = [GopRead(0, frame, (frame,), ((0,),)) for frame in order]
        proxy_seconds = _seconds(partial(_decode, decoder, proxy, random)) / FRAMES
        look = decoder.look
    pack, fetch, num_bytes = _of_store(folder / "store", proxy, look)
    deliver = max(0.0, whole - decode)
    return Constants(
        decode_seconds=decode,
        deliver_seconds=deliver,
        seek_seconds=max(0.0, alone - decode - deliver),
        proxy_seconds=proxy_seconds,
        encode_seconds=max(0.0, encode - whole),
        proxy_bytes=os.stat(small).st_size / FRAMES,
        fetch_seconds=fetch,
        pack_seconds=pack,
        store_bytes=num_bytes,
        index_seconds=_seconds(partial(scan_file, small)),
        where=f"a core of {platform.node()}, {platform.machine()}",
    )


def write_texture(path: Path) -> Path:
    """Write 1080p H.264 that pans over noise of all scales, which is about as hard to code as footage."""
    draw = rng(0, "texture")
    field = sum(
        np.kron(draw.normal(size=(-(-1200 // scale), -(-2112 // scale))), np.ones((scale, scale)))[:1200, :2112]
        for scale in (8, 16, 48, 96)
    )
    field = np.clip(128 + 28 * np.asarray(field), 0, 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": str(GOP), "bf": "0", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            view = field[number : number + HEIGHT, 2 * number : 2 * number + WIDTH]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="gray").reformat(format="yuv420p")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _decode(decoder: PyAVDecoder, index: VideoIndex, reads: list[GopRead]) -> None:
    for read in reads:
        decoder.decode(read, list(torch.empty((len(read.frame_indices), 3, *SIZE), dtype=torch.uint8)))


def _of_store(folder: Path, index: VideoIndex, look: str) -> tuple[float, float, float]:
    """Return the seconds to pack a frame and keep it, to fetch it, and its bytes."""
    with closing(FrameStore(folder, index, look, SIZE)) as store:
        frames, ids = torch.empty((FRAMES, 3, *SIZE), dtype=torch.uint8), np.arange(FRAMES)
        with closing(PyAVDecoder(index, SIZE)) as decoder:
            for read in reads_in_order(index, 0, ids):
                decoder.decode(read, [frames[frame] for frame in read.frame_indices])
        began = time.perf_counter()
        packed = [store.packing.pack(frame.numpy()) for frame in frames]
        store.put(ids, packed)
        pack = (time.perf_counter() - began) / FRAMES
        order, out = rng(0, "costs").permutation(FRAMES), np.empty((32, 3, *SIZE), np.uint8)
        parts = [order[begin : begin + 32] for begin in range(0, FRAMES, 32)]
        fetch = _seconds(lambda: [store.get(part, out[: len(part)]) for part in parts]) / FRAMES
        return pack, fetch, float(np.mean([len(one) for one in packed]))


def _seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median seconds of some calls."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))
