"""How frames wait, chosen by what was measured: what a decode costs here, what packing costs, how small it makes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lit_video.bias.planner_law import planner_lookahead, planner_sliding
from lit_video.decoders.base import Decoder
from lit_video.decoders.form import form_of
from lit_video.index import Population
from lit_video.loading.pages import PAGE_BYTES
from lit_video.planning.reads import GopRead
from lit_video.store.packing import Packing
from lit_video.support.errors import DecodeError
from lit_video.support.rng import rng

KEEPS = ("auto", "raw", "lossless", "jpeg")
TRIED_GOPS, TRIED_FRAMES = 16, 2  # decoded and packed to measure: frames from each of so many GOPs
MARGIN = 0.95  # of a store's room is given away beforehand: how small frames become is known from a few
MANY_GOPS = 2**16  # so many stand for more of them in the law


@dataclass(frozen=True)
class Sizes:
    """Frames that were decoded and packed to measure.

    Attributes:
        decode_seconds: For each decoded frame.
        pack_seconds: For each packed and unpacked one.
        num_bytes: Of each packed frame.
    """

    decode_seconds: float
    pack_seconds: float
    num_bytes: tuple[int, ...]

    @property
    def mean_bytes(self) -> int:
        """Of a packed frame, in whole pages: not less than the mean of all, as far as a few tell of it.

        A standard error above theirs, those of one GOP being alike: a frame that finds no room is decoded again, from
        its keyframe on.
        """
        pages = np.array([-(-one // PAGE_BYTES) * PAGE_BYTES for one in self.num_bytes])
        error = pages.std() / math.sqrt(max(1, len(pages) // TRIED_FRAMES))
        return min(int(pages.mean() + error), int(pages.max()))

    @property
    def most_bytes(self) -> int:
        """Of nearly every packed frame: what is reserved for one. A larger one is decoded again when it is due."""
        return max(self.num_bytes) * 5 // 4


def measure(population: Population, decoder: Decoder, size: tuple[int, int], packing: Packing) -> Sizes | None:
    """Decode some frames from all over the data set, and pack and unpack them. None: none of them could be decoded.

    Which frames is the same every time, so their sizes are too.
    """
    draw, index, form = rng(0, "keep.measure"), population.index, form_of(decoder, size)
    decode_seconds, num_decoded, frames = 0.0, 0, list[np.ndarray]()
    frame_ids = population.frames_of(draw.integers(population.num_samples, size=TRIED_GOPS))[0][:, 0]
    places = list(zip(index.locate(frame_ids)[0].tolist(), index.start_of(frame_ids).tolist(), strict=True))
    for place in places:
        index.expect(*place)
    for video_id, start in places:
        wanted = tuple(range(start, min(start + TRIED_FRAMES, index.gop_end(video_id, start))))
        out = torch.empty((len(wanted), *form.shape), dtype=form.samples, device=decoder.device)
        try:
            with index.holding(video_id, start):  # what is far away is fetched beside decoding
                began = time.perf_counter()
                decoder.decode(GopRead(video_id, start, wanted, ((0,),) * len(wanted)), list(out))
        except (DecodeError, OSError):
            continue
        decode_seconds, num_decoded = decode_seconds + time.perf_counter() - began, num_decoded + len(wanted)
        frames += list(out.view(torch.uint8).cpu().numpy())
    if not frames:
        return None
    packing.unpack([packing.pack(frames[0])], frames[0][None])  # what comes first takes longer
    began = time.perf_counter()
    packed = [packing.pack(frame) for frame in frames]
    packing.unpack(packed, np.empty_like(frames[0], shape=(len(frames), *frames[0].shape)))
    return Sizes(
        decode_seconds / num_decoded, (time.perf_counter() - began) / len(frames), tuple(len(one) for one in packed)
    )


def packing_pays(sizes: Sizes, population: Population, memory_bytes: int, frame_bytes: int) -> bool:
    """Tell whether a frame of uniform order costs less time where those that wait are packed, by F48 of docs/bias.md.

    More of them fit, so that less is decoded; but each that waits is packed and unpacked.
    """
    gops = np.diff(population.keyframes)
    if len(gops) > MANY_GOPS:
        gops = gops[:: len(gops) // MANY_GOPS]
    scale = population.num_gops / len(gops)

    def cost_of(num_held: int) -> tuple[float, float]:
        lookahead = max(1, int(planner_lookahead(max(1, num_held), population.num_gops) / scale))
        found = planner_sliding(gops, lookahead)
        return found.decoded * sizes.decode_seconds, 1 - found.opens

    raw, _ = cost_of(memory_bytes // frame_bytes)
    packed, waiting = cost_of(memory_bytes // sizes.mean_bytes)
    return packed + waiting * sizes.pack_seconds < raw


def share_of_room(room_bytes: int, sizes_bytes: float, num_frames: int, num_stored: int) -> float:
    """Return the share of a data set that a store has room for, what it has of it already included."""
    return min(1.0, (num_stored + MARGIN * room_bytes / max(1.0, sizes_bytes)) / num_frames)


def in_gb(num_bytes: float) -> str:
    """Return a size in words.

    >>> in_gb(9_240_000_000), in_gb(1_500_000)
    ('9.2 GB', '1.5 MB')
    """
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def told(values: Sequence[int]) -> str:
    """Return how sizes spread, in words."""
    return f"{np.mean(values) / 1000:.0f} kB a frame ({min(values) / 1000:.0f} to {max(values) / 1000:.0f})"
