"""One order for all ranks: which positions of it are whose.

The sequence of positions is cut into global batches of world_size × batch_size, the same for every rank, and each
global batch is dealt out so that ranks share as little decoding as can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Int64, UInt64

from lit_video.index import Population, Samples, as_population
from lit_video.samplers.base import Order
from lit_video.support.rng import mix, rng

SHARDS = ("gop", "slot")


@dataclass(frozen=True, eq=False)
class RankOrder:
    """The part of an epoch's order that one rank delivers, from a global position on. It is itself an order.

    Args:
        order: Of the epoch, for all ranks.
        index: The videos, or the samples of them.
        batch_size: Of one rank.
        rank: This one, from 0.
        world_size: Number of ranks.
        begin: Global position to begin at.
        drop_last: Leave out the last global batch where it is short.
        pad_last: Deal out a last global batch that is short all the same: every position is delivered once, and ranks
            that would have fewer get the last one again, as padding.
        shard: `gop`: a position goes to the rank that owns its GOP this epoch, or to the next one that is short of a
            full batch. `slot`: positions go to ranks in runs of `batch_size`.
        key: Of the epoch: names the owners of GOPs.
        machines: The machine that each rank is on, where a GOP is to stay with one in all epochs: each keeps what it
            decoded. Among a machine's ranks the owner is another in each epoch. None: among all.
    """

    order: Order
    index: Samples
    batch_size: int
    rank: int = 0
    world_size: int = 1
    begin: int = 0
    drop_last: bool = False
    shard: str = "gop"
    key: tuple[int, int] = (0, 0)
    pad_last: bool = False
    machines: tuple[int, ...] | None = None

    @cached_property
    def population(self) -> Population:
        """The samples."""
        return as_population(self.index)

    @property
    def global_batch_size(self) -> int:
        """Positions of one batch of all ranks."""
        return self.batch_size * self.world_size

    @property
    def batch_sizes(self) -> list[int]:
        """Size of each batch of this rank; the same on every rank."""
        full, last = self._full_and_last
        return [self.batch_size] * full + [last] * (last > 0)

    @cached_property
    def _full_and_last(self) -> tuple[int, int]:
        """Number of full batches, and size of the last one, 0 where there is none besides."""
        full, rest = divmod(len(self.order) - self.begin, self.global_batch_size)
        return full, 0 if self.drop_last else -(-rest // self.world_size) if self.pad_last else rest // self.world_size

    @property
    def left_out(self) -> Int64[np.ndarray, " positions"]:
        """Global positions that no rank delivers, because the last global batch could not be dealt out evenly."""
        covered = self.begin + self.world_size * len(self)
        return np.arange(covered, len(self.order))

    def __len__(self) -> int:
        full, last = self._full_and_last
        return full * self.batch_size + last

    def __getitem__(self, places: slice) -> Int64[np.ndarray, " places"]:
        """Return the sample ids at a half-open range of this rank's own positions."""
        positions = np.minimum(self.positions(places), len(self.order) - 1)
        if not len(positions):
            return np.empty(0, np.int64)
        first, last = int(positions.min()), int(positions.max())
        return np.asarray(self.order[first : last + 1])[positions - first]

    def positions(self, places: slice) -> Int64[np.ndarray, " places"]:
        """Return the global positions of a half-open range of this rank's own; from the end on they are padding."""
        begin, end, step = places.indices(len(self))
        if self.world_size == 1:
            return np.arange(self.begin + begin, self.begin + end, step)
        batches = range(begin // self.batch_size, -(-end // self.batch_size))
        dealt = [self._deal(number) for number in batches] or [np.empty(0, np.int64)]
        offset = batches.start * self.batch_size
        return np.concatenate(dealt)[begin - offset : end - offset : step]

    def _deal(self, number: int) -> Int64[np.ndarray, " batch"]:
        """Return this rank's global positions in global batch `number`, ascending."""
        begin = self.begin + number * self.global_batch_size
        rest = min(self.global_batch_size, len(self.order) - begin)
        size = -(-rest // self.world_size) if self.pad_last else rest // self.world_size
        positions = np.arange(begin, begin + size * self.world_size)
        if self.shard == "slot":
            return positions[self.rank * size : (self.rank + 1) * size]
        return positions[self._owners(begin, size) == self.rank]

    def _owners(self, begin: int, size: int) -> Int64[np.ndarray, " positions"]:
        sample_ids = np.asarray(self.order[begin : begin + size * self.world_size])
        gops = self._gops_of(sample_ids)
        owners = np.pad(self._owner_of(gops), (0, size * self.world_size - len(gops)), mode="edge")  # padding
        room = np.full(self.world_size, size)
        for place in self._turns(gops, len(owners)):
            owner = int(owners[place])
            if not room[owner]:
                owner = next(rank for rank in self._next_to[owner] if room[rank])
            owners[place] = owner
            room[owner] -= 1
        return owners

    def _turns(self, gops: UInt64[np.ndarray, " n"], num_places: int) -> list[int]:
        """Return in which order places find their owners: where GOPs are to stay, it is the same few that must go."""
        if self.machines is None:
            return list(range(num_places))
        first = np.argsort(mix(gops ^ np.uint64(_machines_key(self.key[0]) >> 1)), kind="stable")
        return [*first.tolist(), *range(len(gops), num_places)]

    @cached_property
    def _machine_of(self) -> Int64[np.ndarray, " ranks"]:
        return np.zeros(self.world_size, np.int64) if self.machines is None else np.array(self.machines, np.int64)

    @cached_property
    def _next_to(self) -> list[list[int]]:
        """For each rank, who takes what it has no room for: the next ones of its machine, then the next ones."""
        return [self._others(rank) for rank in range(self.world_size)]

    def _others(self, rank: int) -> list[int]:
        machine = self._machine_of
        others = [(rank + step) % self.world_size for step in range(1, self.world_size)]
        return sorted(others, key=lambda other: bool(machine[other] != machine[rank]))

    def _gops_of(self, sample_ids: Int64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
        """Return what names the GOP in which each sample begins: the frame id of its keyframe."""
        population = self.population
        index, frame_ids = population.index, population.frames_of(sample_ids)[0][:, 0]
        video_ids, _ = index.locate(frame_ids)
        return (index.offset[video_ids] + index.start_of(frame_ids)).astype(np.uint64)

    def _owner_of(self, gops: UInt64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the rank that owns each GOP in this epoch."""
        seed, epoch = self.key
        drawn = mix(gops ^ np.uint64(_epoch_key(seed, epoch)))
        if self.machines is None:
            return (drawn % np.uint64(self.world_size)).astype(np.int64)
        # A seat that is the GOP's in all epochs says on which machine, so that a machine's share goes by its ranks.
        seats = (mix(gops ^ np.uint64(_machines_key(seed))) % np.uint64(self.world_size)).astype(np.int64)
        owners = np.empty_like(seats)
        for machine in set(self.machines):
            is_here, ranks = self._machine_of[seats] == machine, np.flatnonzero(self._machine_of == machine)
            owners[is_here] = ranks[(drawn[is_here] % np.uint64(len(ranks))).astype(np.int64)]
        return owners


@lru_cache(maxsize=4)
def _epoch_key(seed: int, epoch: int) -> int:
    return int(rng(seed, "shard", epoch).integers(2**63))


@lru_cache(maxsize=4)
def _machines_key(seed: int) -> int:
    return int(rng(seed, "machines").integers(2**63))
