"""Stores of an index of files that need not exist, and frames that say which they are."""

import numpy as np

from lit_video.store.frames import FrameStore
from tests.fakes import index_of

SIZE = (40, 56)


def store_of(folder, index=None, look="a look", size=SIZE, **options):
    return FrameStore(folder, index_of((30, 20), 10) if index is None else index, look, size, **options)


def frames_of(frame_ids, size=SIZE):
    """The same frame for an id, always, unlike all others, and not to be compressed."""
    return np.stack([np.random.default_rng(int(n)).integers(0, 256, (3, *size), np.uint8) for n in frame_ids])


def fill(store, frame_ids, size=SIZE):
    return store.put(list(frame_ids), [store.packing.pack(frame) for frame in frames_of(frame_ids, size)])


def served(store, frame_ids, size=SIZE):
    """Which frames are served; these are what they should be."""
    out = np.zeros((len(frame_ids), 3, *size), np.uint8)
    found = store.get(list(frame_ids), out)
    assert np.array_equal(out[found], frames_of(frame_ids, size)[found] if found.any() else out[found])
    return found.tolist()
