"""One epoch under way on one rank: reads, slots, workers and threads put together, and nothing of who iterates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from lit_video.loading.assembly import Assembly, Costs, Piece
from lit_video.loading.background import Background
from lit_video.loading.faults import Fault
from lit_video.loading.slots import SlotPool
from lit_video.loading.workers import Workers
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
        assembly: Puts the plan's frames in this order.
        pool: Where decoded frames wait.
        workers: They decode.
        weigh: From frame ids to weights.
        epoch: Its number.

    Attributes:
        batches_left: Batches that were not taken yet.
        assembly: What the next epoch may go on with, once this one is over.
    """

    def __init__(
        self, order: RankOrder, assembly: Assembly, pool: SlotPool, workers: Workers, weigh: Weigh, epoch: int
    ) -> None:
        self.pool, self.order, self.assembly, self.epoch = pool, order, assembly, epoch
        self.batches_left = len(order.batch_sizes)
        self._workers, self._counted = workers, assembly.costs
        self._background = Background(lambda: _deliveries(order, assembly, weigh))

    def take(self) -> Delivery | None:
        """Return the next batch, or None once the run was stopped."""
        self._workers.check()
        item = self._background.take()
        if item is None:
            return None
        piece, described = item
        self.batches_left -= 1
        images, population = self.pool.form.of_bytes(piece.gathered.take()), self.order.population
        if population.clip_length is not None:
            images = images.unflatten(0, (-1, population.clip_length))
        return Delivery({"image": images, **described}, len(piece.places))

    def new_costs(self) -> Costs:
        """Return what the reads cost that were done since this was last asked."""
        now = self.assembly.costs
        new, self._counted = now - self._counted, now
        return new

    def new_faults(self) -> list[Fault]:
        """Return the frames that could not be delivered, of which this was not asked before."""
        ledger = self.assembly.faults.ledger
        found = list(ledger)
        del ledger[: len(found)]
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
