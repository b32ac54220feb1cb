"""A job whose items are numbers, each of which leaves a file; workers import this."""

import json
import os
import signal
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lit_video.support.errors import RemoteError


class Numbers:
    """Each item is a number; what it does to its worker is said by name: `deadly`, `once`, and so on."""

    def __init__(self, folder, **kinds):
        folder.mkdir(exist_ok=True)
        self.folder, self.work = folder, partial(works, folder, kinds)
        self.given_up, self.told = {}, []

    def left(self, items):
        return [number for number in items if not (self.folder / f"{number}.done").exists()]

    def weight(self, item):
        return 1.0

    def give_up(self, item, why):
        self.given_up[item] = why

    def tell(self, num_left):
        self.told.append(num_left)

    def attempts(self):
        """Return how often each number was tried."""
        tried = [json.loads(line) for path in self.folder.glob("*.tried") for line in path.read_text().splitlines()]
        return {number: tried.count(number) for number in sorted(set(tried))}


@contextmanager
def works(folder, kinds):
    if kinds.get("none_lives"):
        os.kill(os.getpid(), signal.SIGKILL)
    yield partial(do, folder, kinds)


def do(folder, kinds, number):
    with (folder / f"{os.getpid()}.tried").open("a") as file:
        file.write(f"{number}\n")
    time.sleep(kinds.get("seconds", 0))
    if number == kinds.get("deadly"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == kinds.get("once") and not (folder / "once").exists():
        (folder / "once").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == kinds.get("wrong"):
        raise OSError("no space left")
    if number == kinds.get("refused"):
        raise RemoteError("http://host/a.mp4: access is denied.\nGive those of somebody who may read it")
    while number == kinds.get("hangs"):
        time.sleep(1)
    while number == kinds.get("waits_for_all") and len(list(Path(folder).glob("*.done"))) < kinds["others"]:
        time.sleep(0.05)
    new = folder / f"{number}-{os.getpid()}.part"
    new.touch()
    new.replace(folder / f"{number}.done")
