"""What an engine is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from lit_video.support.errors import MachineError

Item = TypeVar("Item")
Handle = Any  # of a shard that an engine has
Work = Callable[[], AbstractContextManager[Callable[[Item], None]]]

PATIENCE_SECONDS = 3600.0  # after which a worker that is still at one item is given up


@runtime_checkable
class Job(Protocol, Generic[Item]):
    """What is to be done, item by item. What is done is on disk, whole, under its name, and then not done again."""

    @property
    def work(self) -> Work[Item]:
        """What makes what does one item, for a worker; it can be pickled.

        Whatever is wrong with the item is its to tell, by what it leaves on disk: an error that it raises ends the
        whole run.
        """
        ...

    def left(self, items: Sequence[Item]) -> list[Item]:
        """Return which of these are not done, as the disk says, in the same order."""
        ...

    def weight(self, item: Item) -> float:
        """Return what an item costs, in any unit."""
        ...

    def give_up(self, item: Item, why: str) -> None:
        """Take note of an item at which workers die."""
        ...

    def tell(self, num_left: int) -> None:
        """Show how far the work is."""
        ...


@runtime_checkable
class Shard(Protocol):
    """What a worker is to call; it can be pickled."""

    @property
    def module(self) -> str:
        """The name of the module that what it does comes from: worth to be imported once for several workers."""
        ...

    def __call__(self) -> str | None:
        """Do it; return why no more of it can be done, in a sentence for the user, or None."""
        ...


class Ended(NamedTuple):
    """A shard that an engine is done with.

    Attributes:
        handle: Of the shard.
        why: It was not done, in words; None: it was.
        died: Nobody raised an error: the process ended, or its machine.
        is_told: `why` is what the shard returned, and not an error's traceback.
    """

    handle: Handle
    why: str | None = None
    died: bool = False
    is_told: bool = False

    @classmethod
    def of(cls, handle: Handle, told: str | None) -> Ended:
        """Return the end of a shard that returned this."""
        return cls(handle, told, is_told=told is not None)


@runtime_checkable
class Engine(Protocol):
    """Runs shards on other processors. `lit_video.engines.driver.work_off` is who uses it.

    Attributes:
        num_shards: Shards at work at a time.
        room: Shards that may be given to it at a time, where it has a queue of its own.
        least_share: Of all the work, the least that one of `num_shards` workers is given at a time: starting costs.
        patience_seconds: After which a worker that is still at one item is given up.
        folder: Which all workers see, for what is on its way; None: they are on this machine, or nobody said.
    """

    num_shards: int
    room: int
    least_share: float
    patience_seconds: float
    folder: str | None

    def start(self, shards: Sequence[Shard]) -> list[Handle]:
        """Have shards called, each by a worker that need not live longer."""
        ...

    def wait(self, handles: Sequence[Handle], seconds: float) -> list[Ended]:
        """Return which of these have ended, as soon as any has, and none of them after so many seconds."""
        ...

    def stop(self, handles: Sequence[Handle]) -> None:
        """End these, whatever they are at, and wait for nothing."""
        ...

    def close(self) -> None:
        """Let go of whatever is held."""
        ...


def check_arguments(num_cpus: object, patience_seconds: object) -> None:
    """Raise ValueError unless these can be an engine's."""
    if num_cpus is not None and (not isinstance(num_cpus, int) or num_cpus < 1):
        raise ValueError(f"engine.num_cpus must be at least 1, got {num_cpus!r}")
    if not isinstance(patience_seconds, int | float) or patience_seconds <= 0:
        raise ValueError(f"engine.patience_seconds must be more than 0, got {patience_seconds!r}")


def library(name: str) -> Any:
    """Import what an engine is.

    Raises:
        MachineError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MachineError(
            f"engine={name} needs {name}, which is not installed.\nInstall it: pip install 'lit-video[{name}]'"
        ) from error
