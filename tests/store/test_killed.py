"""A process that is killed while it writes leaves a store that opens, and whole frames alone."""

import random
import signal
import subprocess
import sys
import time

from lit_video.store.contents import verify
from tests.fakes import index_of
from tests.programs import REPOSITORY
from tests.store.frames import served, store_of

NUM_FRAMES, TIMES = 3000, 20

PROGRAM = """
import sys
import numpy as np
from tests.fakes import index_of
from tests.store.frames import frames_of, store_of
store = store_of(sys.argv[1], index_of((3000,), 10), packing="raw")
start = int(np.argmin(store.has()))
print("ready", flush=True)
while True:
    for first in range(start, 3000, 10):
        ids = [n % 3000 for n in range(first, first + 10)]
        store.put(ids, [store.packing.pack(frame) for frame in frames_of(ids)])
    start = 0
"""


def kill_at_random(folder, seconds):
    """Fill in a process of its own, and kill it so many seconds after it began to write."""
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL


def test_killed_while_it_fills(tmp_path):
    draw, before = random.Random(0), 0
    for _ in range(TIMES):
        kill_at_random(tmp_path, draw.uniform(0, 0.1))
        store = store_of(tmp_path, index_of((NUM_FRAMES,), 10))
        there = store.has()
        assert there.sum() >= before, "what was kept stays"
        before = int(there.sum())
        assert store.problem is None
        assert served(store, there.nonzero()[0][-50:]) == [True] * min(50, before)
        store.close()
    assert before > 0
    assert before % 10 == 0, "a transaction is there whole or not at all"
    assert verify(tmp_path) == (before, 0)
