"""Groups of samples drawn with chosen probabilities: classes that count alike, however many samples each has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from lit_video.samplers.drawn import IndependentSampler
from lit_video.samplers.runs import Runs
from lit_video.samplers.shares import Shares, listed, share_out


@dataclass(frozen=True)
class WeightedSampler(IndependentSampler):
    """Independent draws: first a group, all alike or by `shares`, then a sample of it, all alike.

    What the loss is a mean over is a choice. By default it is the balance: a class that is drawn half the time is half
    the loss, the batch's weights are 1, and `design_effect` is 1, for it compares with as many independent draws by the
    same shares. With `correct` it stays the mean over all samples: weights are 1 / (N q), which undo the balance in the
    mean and leave more images of rare groups, and `design_effect` is what that costs beside uniform draws (F61).

    Args:
        index: The samples.
        seed: The run's seed.
        num_samples: Positions in an epoch; as many as there are samples by default.
        by: What groups samples: `class`, `video`, `root`, or a column of the labels.
        shares: Of the draws, by name of a group, relative to their sum; 0 leaves a group out. None: all groups
            that have samples alike.
        correct: The batch's weights undo the balance.

    Raises:
        ValueError: `shares` lacks a group or names another, or `correct` cannot be done.
        DataError: There are no such groups.
    """

    by: str = "class"
    shares: Mapping[str, float] | None = None
    correct: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_can_correct(self._shares, self.by, self.correct)

    @property
    def as_drawn(self) -> bool:
        """Whether the loss is to be a mean over samples as they are drawn: unless `correct`."""
        return not self.correct

    def law(self) -> Runs:
        """Return the share of each group over the number of its samples (F61)."""
        shares = self._shares
        return Runs(shares.offset, (shares.share / shares.size)[shares.group])

    @cached_property
    def _shares(self) -> Shares:
        return share_out(self.index, self.by, self.shares)


def check_can_correct(shares: Shares, by: str, correct: bool) -> None:
    """Check that weights exist where they are asked for.

    Raises:
        ValueError: A group has no share, and is to be corrected.
    """
    never = [name for name, share in zip(shares.names, shares.share, strict=True) if share == 0]
    if correct and never:
        raise ValueError(f"correct=true needs a share above 0 for each {by}, and {listed(never)} is never drawn")
