"""One epoch under way on one rank: reads, slots, workers and threads put together, and nothing of who iterates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from lit_video.loading.assembly import Assembly, Background, Costs, MakeBatch, Piece
from lit_video.loading.faults import Fault, Faults
from lit_video.loading.slots import SlotPool
from lit_video.loading.workers import Workers
from lit_video.planning.planner import Plan
from lit_video.planning.sharding import RankOrder

Batch = dict[str, Any]
Weigh = Callable[[np.ndarray], np.ndarray]

# A stopped thread ends after the read that it is at; one that takes longer is left to end alone.
PATIENCE_SECONDS = 2.0


class Delivery(NamedTuple):
    """A batch, and the number of this rank's positions that it covers."""

    batch: Batch
    num_positions: int


class EpochRun:
    """One epoch under way.

    Args:
        order: This rank's.
        reads: The plan of it.
        pool: Where decoded frames wait.
        workers: They decode.
        admission: Positions ahead of the next batch of which the reads may be under way.
        gather: Makes a batch of slots.
        weigh: From frame ids to weights.
        faults: What to do about frames that cannot be decoded.

    Attributes:
        batches_left: Batches that were not taken yet.
    """

    def __init__(
        self,
        order: RankOrder,
        reads: Plan,
        pool: SlotPool,
        workers: Workers,
        admission: int,
        gather: MakeBatch,
        weigh: Weigh,
        faults: Faults,
    ) -> None:
        self.pool, self.order = pool, order
        self.batches_left = len(order.batch_sizes)
        self._workers, self._faults = workers, faults
        clip = order.population.frames_per_sample
        self._assembly = Assembly(reads, pool, workers, admission, gather, faults, clip)
        self._counted = self._assembly.costs
        self._background = Background(lambda: _deliveries(order, self._assembly, weigh))

    def take(self) -> Delivery | None:
        """Return the next batch, or None once the run was stopped."""
        self._workers.check()
        item = self._background.take()
        if item is None:
            return None
        piece, described = item
        self.batches_left -= 1
        images, population = piece.gathered.take(), self.order.population
        if population.clip_length is not None:
            images = images.unflatten(0, (-1, population.clip_length))
        return Delivery({"image": images, **described}, len(piece.places))

    def new_costs(self) -> Costs:
        """Return what the reads cost that were done since this was last asked."""
        now = self._assembly.costs
        new, self._counted = now - self._counted, now
        return new

    def new_faults(self) -> list[Fault]:
        """Return the frames that could not be delivered, of which this was not asked before."""
        found = list(self._faults.ledger)
        del self._faults.ledger[: len(found)]
        return found

    def stop(self) -> bool:
        """End all threads, and tell whether they did in time."""
        self._workers.interrupt()
        return self._background.stop(PATIENCE_SECONDS) and self._workers.stop(PATIENCE_SECONDS)


def _deliveries(order: RankOrder, assembly: Assembly, weigh: Weigh) -> Iterator[tuple[Piece, Batch]]:
    for piece in assembly.pieces(order.batch_sizes):
        yield piece, _describe(order, piece, weigh)


def _describe(order: RankOrder, piece: Piece, weigh: Weigh) -> Batch:
    """Return all of a batch but its images."""
    places = slice(piece.places.start, piece.places.stop)
    kept = np.array(piece.kept, np.int64) - places.start
    population, positions = order.population, order.positions(places)[kept]
    sample_ids, is_due = order[places][kept], positions < len(order.order)
    for row, place in enumerate(piece.kept):
        sample_ids[row] = piece.stand_ins.get(place, sample_ids[row])
    frame_ids, is_pad = population.frames_of(sample_ids)
    frames = {
        "frame_index": population.index.locate(frame_ids)[1],
        "pts_seconds": population.index.pts_seconds(frame_ids),
        "is_pad": is_pad,
    }
    if population.clip_length is None:
        frames = {name: values[:, 0] for name, values in frames.items() if name != "is_pad"}
    samples = {
        "video_id": population.videos_of(sample_ids),
        "position": np.minimum(positions, len(order.order) - 1),
        "weight": (weigh(sample_ids) * is_due).astype(np.float32),
    }
    described = {name: torch.from_numpy(values) for name, values in (samples | frames).items()}
    return described | population.labels_of(sample_ids, frame_ids)
