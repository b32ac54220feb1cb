"""How a loader's frames are kept: in slots, packed in pages, in a store; and how much of each there is."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lit_video.decoders.base import Decoder
from lit_video.decoders.form import form_of
from lit_video.index import Population
from lit_video.loading.keep import Sizes, in_gb, measure, packing_pays, share_of_room, told
from lit_video.planning.budget import Budget, divide, divide_in_tiers, least_slots
from lit_video.planning.planner import Stored
from lit_video.store.fill import look_of
from lit_video.store.folder import store_folder
from lit_video.store.frames import FrameStore
from lit_video.store.packing import Packing, make_packing
from lit_video.support.rng import mix
from lit_video.support.screen import screen

COUNTED = 2**17  # samples that are looked up to find out how much of a data set a store has
HURRIED = 1 / 16  # frames that may be decoded twice for an early first batch, as a share of all


class Memory:
    """What a loader keeps frames in. Decided once, when its first batch is asked for.

    Args:
        population: The samples.
        decoder: Decodes some of them, where it must be measured what they cost.
        size: Of a frame, height and width.
        batch_size: In samples, of this rank.
        num_positions: Of this rank's epoch, in samples.
        num_epochs: Of which the order is known.
        memory_bytes: For decoded frames.
        lookahead: The user's choice, in samples, or None.
        keep: `raw`, `lossless`, `jpeg` or `auto`.
        jpeg_quality: From 1 to 100.
        store: Folder of the store, `auto`, or None.
        store_bytes: Of the store at most, or None.
        store_packing: `raw`, `lossless` or `jpeg`.
        tells: Whether it says on the screen what it decided.

    Attributes:
        form: Of a frame.
        keep: How frames wait: `raw`, `lossless` or `jpeg`.

    Raises:
        ValueError: The memory does not hold what must be there at a time.
    """

    def __init__(
        self,
        population: Population,
        decoder: Decoder,
        size: tuple[int, int],
        *,
        batch_size: int,
        num_positions: int,
        num_epochs: int,
        memory_bytes: int,
        lookahead: int | None,
        keep: str,
        jpeg_quality: int,
        store: str | Path | None,
        store_bytes: int | None,
        store_packing: str,
        tells: bool,
    ) -> None:
        self._population, self._decoder, self._size, self._tells = population, decoder, size, tells
        clip = population.frames_per_sample
        self._batch_frames = batch_size * clip
        self._sight = num_positions * clip * num_epochs
        self._lookahead = None if lookahead is None else lookahead * clip
        self.form = form_of(decoder, size)
        self._frame_bytes, self._memory_bytes = self.form.num_bytes, memory_bytes
        self._check_room(keep, store)
        self.store = None if store is None else self._open(store, store_bytes, store_packing, jpeg_quality)
        self._tell_store()
        self.keep = self._chosen(keep, jpeg_quality)
        self.packing = None if self.keep == "raw" else make_packing(self.keep, jpeg_quality)

    # What it is made of.

    @property
    def spare(self) -> int:
        """Slots for a clip that comes in the place of another; a frame that does takes the other's slot."""
        return self._population.frames_per_sample if self._population.frames_per_sample > 1 else 0

    @property
    def packed_bytes(self) -> int:
        """Reserved in pages for a frame that is to be packed; 0 where none is."""
        return 0 if self.packing is None else self._sizes_of(self.packing).most_bytes

    @cached_property
    def budget(self) -> Budget:
        """How the memory is divided."""
        population, usable = self._population, self._memory_bytes - self.spare * self._frame_bytes
        known = self._sight, population.num_distinct_frames, population.num_gops, self._lookahead
        if self.packing is None and self.store is None:
            return divide(usable // self._frame_bytes, self._batch_frames, *known)
        packed = None if self.packing is None else self._sizes_of(self.packing).mean_bytes
        kept = 0 if self.share == 1 else population.num_distinct_frames
        batch, most = self._batch_frames, self.packed_bytes
        return divide_in_tiers(usable, self._frame_bytes, packed, batch, *known, kept, most)

    @property
    def hurry(self) -> int:
        """First positions for which no GOP is decoded whole: the first batch, if what that costs later is little."""
        population = self._population
        whole = population.index.num_frames / max(1, len(population.index.columns.start_frame))
        return self._batch_frames if self._batch_frames * whole / 2 <= HURRIED * population.num_distinct_frames else 0

    def facts(self) -> dict[str, Any]:
        """Return how frames, files and decoders are kept, as throughput.json has it."""
        facts: dict[str, Any] = {"keep": self.keep, "store": None}
        facts |= {name: getattr(self._decoder, name, None) for name in ("max_open", "max_decoders")}
        if self.store is not None:
            facts["store"] = {
                "folder": str(self.store.folder),
                "packing": self.store.packing.name,
                "share": round(self.share, 4),
                "bytes": self.store.num_bytes_used,
                "problem": self.store.problem,
            }
        return facts

    # The store.

    @cached_property
    def share(self) -> float:
        """Of the data set's GOPs that the store takes; 0 without one."""
        if self.store is None:
            return 0.0
        wanted = self._population.num_distinct_frames
        if self._num_there >= wanted or not self.store.takes:
            return self._num_there / wanted
        room = min(self.store.room, shutil.disk_usage(self.store.folder).free)
        return share_of_room(room, self._stored_bytes, wanted, self._num_there)

    def stored(self) -> Stored | None:
        """Return what the store has now and what it takes, for a plan; None without one."""
        if self.store is None:
            return None
        return Stored(self.store.has().astype(np.uint8), taker(self._population, self.share))

    @cached_property
    def _num_there(self) -> int:
        """How many of the frames that samples may ask for the store had at first; of many about how many."""
        assert self.store is not None
        population, has = self._population, self.store.has()
        num_samples = population.num_samples
        sample_ids = np.arange(num_samples) if num_samples <= COUNTED else np.arange(COUNTED) * num_samples // COUNTED
        share = has[population.frames_of(sample_ids)[0]].mean()
        return round(float(share) * population.num_distinct_frames)

    @cached_property
    def _stored_bytes(self) -> float:
        """Bytes of a frame in the store, about; LMDB gives it whole pages of 4 KiB."""
        assert self.store is not None
        sizes = self._sizes_of(self.store.packing).num_bytes
        return float(np.mean([-(-(one + 64) // 4096) * 4096 for one in sizes]))

    def _open(self, store: str | Path, num_bytes: int | None, packing: str, quality: int) -> FrameStore:
        look = look_of(self._decoder)
        return FrameStore(store_folder(store), self._population.index, look, self._size, packing, num_bytes, quality)

    def _tell_store(self) -> None:
        if self.store is None or not self._tells:
            return
        wanted, there = self._population.num_distinct_frames, self._num_there
        total, share = wanted * self._stored_bytes, self.share
        fit = "all fit" if share >= 1 else f"{100 * share:.0f} % fit"
        have = f"; {there:,} of them are there" if there else ""
        screen(stderr=True).print(
            f"Store: {wanted:,} frames, {self.store.packing.name} about {in_gb(total)}; {fit}{have}."
        )

    # How frames wait in memory.

    def _check_room(self, keep: str, store: str | Path | None) -> None:
        least = least_slots(self._batch_frames)
        if (store is not None or keep in ("lossless", "jpeg")) and self._num_slots < least:
            raise ValueError(
                f"lookahead_bytes must hold {least} frames of {self._size[0]}x{self._size[1]} where frames are packed"
                f" or stored, which is {least * self._frame_bytes} bytes, got {self._memory_bytes}"
            )

    @property
    def _num_slots(self) -> int:
        return self._memory_bytes // self._frame_bytes - self.spare

    def _chosen(self, keep: str, quality: int) -> str:
        """Return how frames wait, and say so where it was measured."""
        if keep == "auto":
            return self._measured()
        if keep != "raw" and self._measure(make_packing(keep, quality)) is None:
            return "raw"
        return keep

    def _measured(self) -> str:
        population = self._population
        fits = population.num_distinct_frames <= self._num_slots - 4 * self._batch_frames
        few = self._num_slots < least_slots(self._batch_frames)
        if fits or few or self.share == 1 or self._decoder.device.type != "cpu" or self._lookahead is not None:
            return "raw"
        sizes = self._measure(make_packing("lossless"))
        if sizes is None or not packing_pays(sizes, population, self._memory_bytes, self._frame_bytes):
            return "raw"
        if self._tells:
            screen(stderr=True).print(
                f"Frames wait packed without loss, {told(sizes.num_bytes)}: a decode costs"
                f" {sizes.decode_seconds * 1e6:,.0f} µs here, packing {sizes.pack_seconds * 1e6:,.0f} µs."
            )
        return "lossless"

    def _measure(self, packing: Packing) -> Sizes | None:
        if packing not in self._measurements:
            found = measure(self._population, self._decoder, self._size, packing)
            self._measurements[packing] = found
        return self._measurements[packing]

    @cached_property
    def _measurements(self) -> dict[Packing, Sizes | None]:
        return {}

    def _sizes_of(self, packing: Packing) -> Sizes:
        """Return what was measured, or where nothing could be decoded, that frames are as large as raw ones."""
        return self._measure(packing) or Sizes(0.0, 0.0, (self._frame_bytes,))


def taker(population: Population, share: float) -> Callable[[int, int], bool]:
    """Return what tells whether a store takes a GOP: such a share of all, the same ones in every epoch and run.

    A video's path decides, and the keyframe's place in it; so more files, or more room, take none away.
    """
    index, limit = population.index, int(share * 2**64)
    if share >= 1:
        return lambda video_id, start: True

    @lru_cache(maxsize=2**16)
    def name_of(video_id: int) -> int:
        path = index.path(video_id).encode(errors="surrogateescape")
        return int.from_bytes(hashlib.blake2b(path, digest_size=8).digest())

    def takes(video_id: int, start: int) -> bool:
        return int(mix(np.array([name_of(video_id) ^ start], np.uint64))[0]) < limit

    return takes
