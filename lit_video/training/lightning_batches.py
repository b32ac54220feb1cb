"""What Lightning iterates: a loader's batches, and which of them its model has processed.

Lightning's own counts are no place to resume from. After a resume it may hold an epoch for done that was left in the
middle (`max_time`), ask for the loader before it has read the checkpoint (a scheduler that wants to know the number of
steps), or count an epoch in batches of another size. So the place is noted here, batch by batch, and Lightning is asked
for one number: how many batches it has processed since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

from lightning import LightningDataModule, Trainer

from lit_video.loading.epoch import Batch
from lit_video.loading.loader import VideoLoader
from lit_video.loading.resume import Place
from lit_video.samplers.base import Order, Sampler

# Of the latest batches the places are remembered. All but one of them were processed when anybody asks.
REMEMBERED = 16


class Unseen:
    """A method `val_dataloader` that can be called, and that Lightning takes for one that nobody wrote.

    Where there is nothing to validate on, it would warn of a model without `validation_step`, or of an empty list.

    Args:
        method: Bound.
    """

    __wrapped__ = LightningDataModule.val_dataloader  # what Lightning looks at, to tell who wrote a method

    def __init__(self, method: Callable[[], Any]) -> None:
        self._method = method

    def __call__(self) -> Any:
        """Return what the method returns."""
        return self._method()


class FirstEpoch:
    """A sampler each of whose epochs is like its first: Lightning's `overfit_batches` means the same ones each time.

    Args:
        sampler: Whose epoch.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def order(self, epoch: int) -> Order:
        """Return the order of epoch 0."""
        return self._sampler.order(0)

    def __getattr__(self, name: str) -> Any:
        """Return what else the sampler says of itself."""
        return getattr(self._sampler, name)


class EvaluationBatches:
    """What Lightning iterates to validate, test or predict: the same batches each time, from the first on.

    Args:
        loader: Whose batches these are.
        trainer: Who takes them.
    """

    def __init__(self, loader: VideoLoader, trainer: Trainer) -> None:
        self._loader, self._trainer = loader, trainer

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Return an iterator over all batches; nothing starts before it is used."""
        self._begin_anew()
        self._loader.go_to(Place(0, 0))
        yield from self._loader
        self._loader.go_to(Place(0, 0))

    def hold_again(self) -> None:
        """Have Lightning hold a validation that a checkpoint was saved in the middle of.

        It does if a step of it failed, and else, as after SIGTERM, takes it for done. Like the next method's, these
        numbers are not public; tests of resuming in a validation guard them.
        """
        val_loop = self._trainer.fit_loop.epoch_loop.val_loop
        progress = val_loop.batch_progress
        if val_loop.restarting and progress.current.ready and not progress.is_last_batch:
            for count, behind in (("started", 0), ("processed", 1), ("completed", 1)):
                setattr(progress.total, count, progress.total.ready - behind)
            val_loop.update_restart_stage()

    def _begin_anew(self) -> None:
        """Have Lightning hold the whole of such a validation.

        It would take as many batches as were left, and the first ones at that: of those before it knows no result any
        more.
        """
        val_loop = self._trainer.fit_loop.epoch_loop.val_loop
        if val_loop.restarting and val_loop._data_fetcher is not None:
            val_loop.batch_progress.reset_on_run()
            val_loop._data_fetcher.fetched = 0


class LightningBatches:
    """Not a `DataLoader`, and without `state_dict`: Lightning would keep the state of rank 0, and lose it at times.

    Args:
        loader: Whose batches these are.
        trainer: Who takes them.
        begin: Where.
        resumed: Where instead, as a checkpoint says that was read meanwhile; None where there is none. Asked for when
            a batch is.

    Attributes:
        epoch: Of the batch that was handed out last.
    """

    def __init__(
        self, loader: VideoLoader, trainer: Trainer, begin: Place, resumed: Callable[[], Place | None]
    ) -> None:
        self._loader, self.trainer, self._start, self._resumed = loader, trainer, begin, resumed
        self._processed_before: int | None = None  # by Lightning, before the first of these batches
        self._handed_out = 0
        self._places: deque[Place] = deque(maxlen=REMEMBERED)  # after each of the latest batches
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Return an iterator over what is left of the epoch, or over the next one; nothing starts before it is used.

        Lightning asks for one more often than it uses one.
        """
        return self._batches()

    @property
    def place(self) -> Place:
        """The place after the last batch that was processed; one that was handed out since comes again."""
        if self._processed_before is None:
            return self._start
        processed = self._processed_in_all() - self._processed_before
        back = self._handed_out - processed
        # Lightning puts its counts back after a search for a batch size or a learning rate.
        return self._places[-1 - back] if processed > 0 and 0 <= back < len(self._places) else self._start

    def _batches(self) -> Iterator[Batch]:
        resumed = self._resumed()
        if resumed is not None or self._processed_before is None:
            self._start, self._processed_before = resumed or self._start, self._processed_in_all()
            self._handed_out = 0
            self._places.clear()
        self._loader.go_to(self.place)
        if not self._left(self._loader.place):  # Lightning was told to end epochs early, and this one is at its end
            self._loader.go_to(Place(self._loader.place.epoch + 1, 0))
        place = self._loader.place
        if resumed is not None and place.epoch == self.trainer.current_epoch + 1:
            self._start = place
            return  # Lightning holds the epoch before for unfinished: here it ends
        left = self._left(place)
        self._tell_lightning(left)
        for batch in self._loader:
            left -= 1
            self.epoch = place.epoch
            self._handed_out += 1
            self._places.append(self._loader.place if left else Place(place.epoch + 1, 0))
            yield batch
            if not left:
                return

    def _left(self, place: Place) -> int:
        """Return the batches that are left of an epoch, which Lightning may have been told to end early."""
        limit = self.trainer.num_training_batches
        if limit >= len(self):
            return self._loader.batches_from(place)
        positions = self._loader.batch_size * self._loader.world_size
        return max(0, ceil(limit - place.position / positions))

    def _tell_lightning(self, left: int) -> None:
        """Have Lightning count as many batches as there are: others were processed if the batch size is another now.

        Neither of the two is public; a contract test guards them.
        """
        done = max(0, min(len(self), int(self.trainer.num_training_batches)) - left)
        fit_loop = self.trainer.fit_loop
        current = fit_loop.epoch_loop.batch_progress.current
        if current.ready != done and fit_loop._data_fetcher is not None:
            for count in ("ready", "started", "processed", "completed"):
                setattr(current, count, done)
            fit_loop._data_fetcher.fetched = done

    def _processed_in_all(self) -> int:
        """Return how many batches Lightning has processed in all epochs."""
        return self.trainer.fit_loop.epoch_loop.batch_progress.total.processed  # pyright: ignore[reportAttributeAccessIssue]
