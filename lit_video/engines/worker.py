"""What runs in a worker."""

from __future__ import annotations

import faulthandler
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import Generic

from lit_video.engines.base import Item, Work
from lit_video.support.errors import LitVideoError
from lit_video.support.machine import take_cores


@dataclass(frozen=True)
class Items(Generic[Item]):
    """A shard of items: to call it is to do them, one after another, and to end the process if one takes too long."""

    work: Work[Item]
    items: Sequence[Item]
    patience_seconds: float

    @property
    def module(self) -> str:
        """Where the work comes from."""
        return getattr(self.work, "func", self.work).__module__

    def __call__(self) -> str | None:
        """Do them; return what is wrong with more than one item, in a sentence, where that ends the work."""
        take_cores(1)
        parent = parent_process()
        try:
            with self.work() as do:
                for item in self.items:
                    if parent is not None and not parent.is_alive():  # nobody waits any more
                        break
                    # By a thread in C: what hangs in a library may hold the interpreter.
                    faulthandler.dump_traceback_later(self.patience_seconds, exit=True, file=2)
                    do(item)
        except LitVideoError as error:
            return str(error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        return None
