"""A sampler run through a real loader: two ranks, left in mid-epoch and gone on with, of files that need not exist."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from lit_video.decoders.base import Frames
from lit_video.index import Samples, VideoIndex
from lit_video.index.population import as_population
from lit_video.loading.epoch import Batch
from lit_video.loading.loader import VideoLoader
from lit_video.planning.planner import GopRead
from lit_video.samplers.base import Order, Sampler
from lit_video.support.errors import LitVideoError

RANKS, BATCH, SIZE = 2, 5, 4
MOST_BATCHES = 12  # of each rank, before the run is left, and after
MEMORY = 2**16  # bytes
DIGITS = 3  # bytes of a number


class NumberedPictures:
    """Decodes nothing: each picture says which video and frame it is, in its first bytes."""

    device = torch.device("cpu")
    start_method: str | None = None

    def __init__(self, index: VideoIndex, size: tuple[int, int]) -> None:
        """Take what a decoder is given, and need none of it."""

    def decode(self, read: GopRead, out: Frames) -> None:
        """Write the numbers."""
        for place, frame_index in enumerate(read.frame_indices):
            out[place][:2, 0, :DIGITS] = torch.tensor([_digits(read.video_id), _digits(frame_index)], dtype=torch.uint8)

    def close(self) -> None:
        """Close nothing."""


def check_run(sampler: Sampler, index: Samples) -> None:
    """Check that what a loader delivers are the frames of the order, with weights, on two ranks and over a resume.

    Raises:
        AssertionError: It is not so, or the run dies.
    """
    order = sampler.order(0)
    ranks = RANKS if len(order) >= RANKS * BATCH else 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of look-ahead and the like: this is no training
            found = list(_halves(sampler, index, ranks))
    except (LitVideoError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise AssertionError(f"a run of this sampler dies: {type(error).__name__}: {error}") from error
    positions = np.sort(np.concatenate([batch["position"].numpy() for batch in found]))
    assert np.array_equal(positions, np.arange(len(positions))), "over all ranks and a resume, each position comes once"
    for batch in found:
        _check_batch(batch, order, index)


def _halves(sampler: Sampler, index: Samples, ranks: int) -> Iterator[Batch]:
    """Yield the batches of all ranks: of a run that is left in mid-epoch, and of another that goes on from there."""
    states: list[dict[str, int | str]] = [{}] * ranks
    for half in (0, 1):
        for rank in range(ranks):
            loader = VideoLoader(
                index, sampler, NumberedPictures, SIZE, BATCH, 1, lookahead_bytes=MEMORY, rank=rank, world_size=ranks
            )
            with contextlib.closing(loader):
                if half:
                    loader.load_state_dict(states[rank])
                if loader.place.epoch == 0:
                    batches = max(1, loader.batches_from(loader.place) // (2 - half))
                    yield from itertools.islice(loader, min(batches, MOST_BATCHES))
                states[rank] = loader.state_dict()
        assert all(state == states[0] for state in states), "ranks agree on where in the epoch they are"


def _check_batch(batch: Batch, order: Order, index: Samples) -> None:
    positions, population = batch["position"].numpy(), as_population(index)
    wanted = np.concatenate([order[place : place + 1] for place in positions.tolist()])
    frames = population.index.locate(population.frames_of(wanted)[0].ravel())
    image = batch["image"].reshape(-1, 3, SIZE, SIZE)
    shown = image[:, :2, 0, :DIGITS].numpy().astype(np.int64) @ 256 ** np.arange(DIGITS)
    assert np.array_equal(shown.T, np.stack(frames)), f"pictures at positions {positions.tolist()} are not the order's"
    assert np.array_equal(batch["frame_index"].numpy().ravel(), frames[1]), "a batch says which frames it has"
    assert torch.isfinite(batch["weight"]).all(), f"weights are numbers, got {batch['weight'].tolist()}"


def _digits(number: int) -> list[int]:
    return [number // 256**place % 256 for place in range(DIGITS)]
