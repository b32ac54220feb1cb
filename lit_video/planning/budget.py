"""How the memory for frames is divided between those under way, those that are due, and those that wait."""

from __future__ import annotations

from dataclasses import dataclass

from lit_video.bias.planner_law import planner_lookahead
from lit_video.planning.planner import FETCH

FARTHEST = 16  # look-ahead in slots per frame of memory: with more GOPs a look-ahead finds almost nothing


@dataclass(frozen=True, slots=True)
class Budget:
    """How the memory for frames is divided.

    Attributes:
        slots: F, frames held and in flight at most.
        admission: A, positions ahead of the next batch of which the reads may be under way.
        held: H, frames kept for positions further ahead at most: in slots, or packed.
        lookahead: W, positions that a read looks ahead.
        near: Positions ahead of a read for which it keeps frames in slots, whatever is held.
        packed_bytes: Memory for packed frames; 0: frames wait in slots.
    """

    slots: int
    admission: int
    held: int
    lookahead: int
    near: int = 0
    packed_bytes: int = 0


def divide(
    num_slots: int, batch_size: int, num_positions: int, num_frames: int, num_gops: int, lookahead: int | None
) -> Budget:
    """Divide `num_slots` slots between reads under way and frames that wait, and choose the look-ahead.

    If all frames fit, the look-ahead is all that is known of the order and every frame is decoded once; else as far as
    the memory lasts. Slots that could never be filled are not asked for.

    Args:
        num_slots: What the memory holds.
        batch_size: Of this rank.
        num_positions: Of this rank, as far as its order is known: of an epoch, or two.
        num_frames: Of the data set.
        num_gops: Of the data set.
        lookahead: The user's choice, or None.

    Raises:
        ValueError: Fewer slots than a batch and one frame besides.
    """
    if num_slots <= batch_size:
        raise ValueError(f"num_slots must be above the batch size, {batch_size}, got {num_slots}")
    # At least a batch, or the batch that is waited for could not all be under way.
    admission = max(batch_size, min(4 * batch_size, num_slots // 2))
    held = num_slots - admission
    lookahead = _reach(held, num_positions, num_frames, num_gops, lookahead)
    slots = min(num_slots, admission + min(lookahead, num_frames), max(1, num_positions))
    return Budget(slots, admission, held, lookahead)


def least_slots(batch_size: int) -> int:
    """Return how many slots there must be where frames are fetched: for a batch, for what is near, and a fetch."""
    return 2 * batch_size + FETCH


def divide_in_tiers(
    memory_bytes: int,
    frame_bytes: int,
    packed_bytes: int | None,
    batch_size: int,
    num_positions: int,
    num_frames: int,
    num_gops: int,
    lookahead: int | None,
    num_kept: int,
    most_bytes: int = 0,
) -> Budget:
    """Divide memory where frames are fetched, from a store or from memory that keeps them packed.

    A read keeps frames that are due soon in slots: so a fetch never waits for a read that is under way. Slots for two
    admissions and a fetch are a small part of the memory; the rest is for frames that wait.

    Args:
        memory_bytes: For all.
        frame_bytes: Of a frame in a slot.
        packed_bytes: Of a packed one, about; None: frames wait in slots.
        batch_size: Of this rank.
        num_positions: As in `divide`.
        num_frames: Of the data set.
        num_gops: Of the data set.
        lookahead: The user's choice, or None.
        num_kept: Frames that may have to wait: those that no store takes.
        most_bytes: Reserved for a frame that is being packed, or will be by a read that was handed out.

    Raises:
        ValueError: Fewer slots than `least_slots`.
    """
    num_slots = memory_bytes // frame_bytes
    if num_slots < least_slots(batch_size):
        raise ValueError(f"memory_bytes must hold {least_slots(batch_size)} frames, got room for {num_slots}")
    admission = max(batch_size, min(4 * batch_size, (num_slots - FETCH) // 4))
    slots = min(2 * admission + FETCH, num_slots)
    rest = memory_bytes - slots * frame_bytes
    # The plan is an admission ahead: beside the frames that it knows to be held lie as many that it has let go and that
    # nobody fetched yet, and as many are being packed, since in the mean a position has one packed for it.
    under_way = 0 if packed_bytes is None else admission * (packed_bytes + most_bytes)
    held = min(max(0, rest - under_way) // (packed_bytes or frame_bytes), num_kept)
    lookahead = _reach(held, num_positions, num_frames, num_gops, lookahead)
    if packed_bytes is None:
        return Budget(slots + held, admission, held, lookahead, admission + FETCH)
    return Budget(slots, admission, held, lookahead, admission + FETCH, rest if held else 0)


def _reach(held: int, num_positions: int, num_frames: int, num_gops: int, lookahead: int | None) -> int:
    if lookahead is None:
        most = FARTHEST * max(1, held)
        lookahead = num_positions if num_frames <= held else min(planner_lookahead(held, num_gops), most)
    return max(1, min(lookahead, num_positions))
