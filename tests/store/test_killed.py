"""A process that is killed while it writes leaves a store that opens, and whole frames alone."""

import os
import random
import signal
import time

import numpy as np
import pytest

from lit_video.store.contents import verify
from tests.fakes import index_of
from tests.store.frames import frames_of, served, store_of

NUM_FRAMES, TIMES = 3000, 20


def keep_filling(folder, begun):
    """Fill, ten frames in each transaction, until all are there or somebody ends it."""
    store = store_of(folder, index_of((NUM_FRAMES,), 10), packing="raw")
    first = int(np.argmin(store.has()))
    os.write(begun, b"x")
    while first < NUM_FRAMES:
        ids = list(range(first, first + 10))
        store.put(ids, [frame.tobytes() for frame in frames_of(ids)])
        first += 10


def kill_at_random(folder, seconds):
    """Fill in a process of its own, and kill it so many seconds after it began to write."""
    begun, its_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            keep_filling(folder, its_end)
        finally:
            os._exit(1)
    assert os.read(begun, 1) == b"x"
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    for end in (begun, its_end):
        os.close(end)
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 warns wherever there are threads
def test_killed_while_it_fills(tmp_path):
    draw, before, killed = random.Random(0), 0, 0
    for _ in range(TIMES):
        killed += kill_at_random(tmp_path, draw.uniform(0, 0.05))
        store = store_of(tmp_path, index_of((NUM_FRAMES,), 10))
        there = store.has()
        assert there.sum() >= before, "what was kept stays"
        before = int(there.sum())
        assert there[:before].all(), "in order, without a gap"
        assert before % 10 == 0, "a transaction is there whole or not at all"
        assert store.problem is None
        assert served(store, there.nonzero()[0][-50:].tolist()) == [True] * min(50, before)
        store.close()
    assert killed > TIMES // 2
    assert before > 0
    assert verify(tmp_path) == (before, 0)
