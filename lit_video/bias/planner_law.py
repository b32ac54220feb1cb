"""What exactly uniform order costs when decoding is shared: decoded frames, seeks and memory.

Section 10 of docs/bias.md. The order is a fixed random permutation and never changed; a look-ahead of `W` slots lets
one decoding of a GOP serve every frame of it that is wanted soon. Nothing is saved until `W` reaches the number of
GOPs; from there on about N / W frames are decoded per delivered frame, whatever the GOP length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.validation import Floats, lengths_in_frames, whole

SLOTS_PER_FRAME = 1.9  # look-ahead in slots per frame of memory, with which peaks stay below the memory too


@dataclass(frozen=True, slots=True)
class PlannerCost:
    """Means over an epoch.

    Attributes:
        decoded: Frames decoded per frame delivered, at least 1.
        opens: GOPs opened, that is seeks, per frame delivered.
        held: Decoded frames that wait for their slot.
    """

    decoded: float
    opens: float
    held: float


def lead_in(gop_lengths: ArrayLike) -> float:
    """Return how many frames are decoded for nothing before one taken at random: half a GOP. F47 of docs/bias.md.

    >>> lead_in([5, 5])
    2.0
    """
    gops = lengths_in_frames("gop_lengths", gop_lengths)
    return float(gops @ (gops - 1) / (2 * gops.sum()))


def _mean_gap(x: Floats) -> Floats:
    """Return the mean of 1 / (2 + m) for m ~ Poisson(x): the share of a GOP behind the last of 1 + m wanted frames."""
    small = x < 1e-4  # there the closed form is a difference of equal numbers
    safe = np.where(small, 1.0, x)
    return np.where(small, 0.5 - x / 6, (safe + np.expm1(-safe)) / safe**2)


def planner_sliding(gop_lengths: ArrayLike, W: int) -> PlannerCost:
    """On a miss decode the GOP up to its last frame wanted in the next `W` slots, and keep those. F48 of docs/bias.md.

    Poisson approximation: decoded frames and opens within 2 or 3 percent for W << N, 5 percent at N / 4; frames held
    are too many by up to 1 / L where few are. Exact means of one epoch for `W` of N or more. GOPs of different lengths
    count by their frames.

    Args:
        gop_lengths: Frames of every GOP, [GOPs].
        W: Look-ahead in slots.

    Raises:
        ValueError: A length or `W` is below 1.
    """
    sizes, counts = np.unique(lengths_in_frames("gop_lengths", gop_lengths), return_counts=True)
    N = int(sizes @ counts)
    share = sizes * counts / N
    if whole("W", W) >= N:
        return PlannerCost(1.0, float(counts.sum() / N), float(N * (share @ ((sizes - 1) / (2 * (sizes + 1))))))
    x = W * sizes / N
    decoded = share @ ((sizes + 1) * (1 - _mean_gap(x)) / (1 + x))
    return PlannerCost(max(1.0, float(decoded)), float(share @ (1 / (1 + x))), float(share @ (W * x / (2 * (1 + x)))))


def planner_lookahead(memory_frames: int, num_gops: int | None = None) -> int:
    """Return the look-ahead in slots for a memory of so many frames, with a sliding, staggered look-ahead.

    F48 says that a look-ahead of W holds W·x / (2·(1 + x)) frames, with x = W / G wanted frames in each of G GOPs.
    Where `num_gops` is known that is solved for W: twice the memory where GOPs are few, more where they are many and
    most look-aheads find little; what is held at a peak is the planner's business. Else 1.9 slots per frame, which
    peaks too stay below.

    Args:
        memory_frames: Decoded frames that may wait.
        num_gops: Of the data set.

    Raises:
        ValueError: `memory_frames` is negative or `num_gops` below 1.
    """
    held = whole("memory_frames", memory_frames, low=0)
    if num_gops is None:
        return max(1, int(SLOTS_PER_FRAME * held))
    return max(1, math.ceil(held + math.sqrt(held**2 + 2 * held * whole("num_gops", num_gops))))
