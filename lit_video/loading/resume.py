"""Where in a run one is, and whether a saved place belongs to this data, seed and sampler."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lit_video.index import Samples, as_population
from lit_video.samplers.base import Order, Sampler
from lit_video.support.errors import ResumeError

# Of longer orders every n-th block is digested: a different seed or sampler shows in any of them.
DIGESTED = 2**24
BLOCK = 2**16


class Place(NamedTuple):
    """The next position to deliver, counted over all ranks."""

    epoch: int
    position: int


def order_digest(index: Samples, order: Order) -> str:
    """Return what names an epoch's order of this data: equal only if both are."""
    text = hashlib.blake2b(f"{index.digest()} {len(order)} ".encode(), digest_size=16)
    stride = BLOCK * max(1, len(order) // DIGESTED)
    for begin in range(0, len(order), stride):
        text.update(np.ascontiguousarray(order[begin : begin + BLOCK], np.int64).tobytes())
    return text.hexdigest()


def check_place(state: Mapping[str, int | str], seed: int, index: Samples, sampler: Sampler) -> Place:
    """Return the place that `state` names.

    Raises:
        ResumeError: It lies within an epoch of other data, another seed or another sampler. One at an epoch's
            beginning imposes nothing.
    """
    place = Place(int(state["epoch"]), int(state["position"]))
    if place.position == 0:
        return place
    length = len(sampler.order(place.epoch))
    _refuse_if(state["seed"] != seed, f"with seed {state['seed']}, and this run has seed {seed}", place)
    _refuse_if(
        state["num_frames"] != index.num_samples,
        f"on {state['num_frames']} {_samples(index)}, and the videos now have {index.num_samples}",
        place,
    )
    _refuse_if(
        state["order_digest"] != order_digest(index, sampler.order(place.epoch)),
        "with other videos, another sampler or other arguments of it: the order of frames is not the same",
        place,
    )
    _refuse_if(not 0 <= place.position < length, f"which is none of the {length} that there are", place)
    return place


def _samples(index: Samples) -> str:
    return "frames" if as_population(index).clip_length is None else "clips"


def _refuse_if(wrong: bool, what: str, place: Place) -> None:
    if wrong:
        raise ResumeError(
            f"This checkpoint was saved at position {place.position} of epoch {place.epoch} {what}.\n"
            "Resume with what it was saved with, or from a checkpoint at the end of an epoch."
        )
