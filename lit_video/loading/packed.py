"""Frames that wait packed in memory: where they lie, and how often they are still wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lit_video.loading.pages import Pages
from lit_video.loading.tiers import Done, Job, Source
from lit_video.planning.reads import GopRead


@dataclass
class Packed:
    """A frame that waits packed in memory.

    Attributes:
        source: Where it lies.
        uses: Positions that it still has to fill.
    """

    source: Source
    uses: int


class PackedFrames:
    """The packed frames of a run. A frame's pages are given back after its last use.

    Args:
        pages: Where they lie.
        packed_bytes: Reserved for a frame that is to be packed; what it does not need is given back. As soon as one
            took more, as much is reserved for all.
    """

    def __init__(self, pages: Pages, packed_bytes: int) -> None:
        self._pages, self._packed_bytes = pages, packed_bytes
        self._frames: dict[int, Packed] = {}  # by frame id

    def reserve(self, read: GopRead) -> list[Sequence[int]]:
        """Return pages for each frame that a read packs."""
        return [self._pages.reserve(self._packed_bytes) for _ in read.packed]

    def keep(self, origin: int, job: Job, done: Done) -> None:
        """Remember where the frames lie that a read packed. One that did not fit its pages is not there when due.

        Args:
            origin: Frame id of the video's first frame.
            job: The read.
            done: What came of it.
        """
        sizes, uses_of = done.num_bytes or [-1] * len(job.pages), job.read.packed_uses
        for frame, pages, num_bytes, uses in zip(job.read.packed, job.pages, sizes, uses_of, strict=True):
            before = self._frames.get(origin + frame)
            self._packed_bytes = max(self._packed_bytes, abs(num_bytes))
            kept = self._pages.keep(pages, num_bytes if before is None and num_bytes > 0 else 0)
            if before is not None:
                before.uses += uses
            elif kept:
                self._frames[origin + frame] = Packed(Source(kept, num_bytes), uses)

    def source(self, frame_id: int) -> Source | None:
        """Return where a frame lies; None: it is not here."""
        packed = self._frames.get(frame_id)
        return None if packed is None else packed.source

    def use_once_more(self, frame_id: int) -> None:
        """Have a frame that is here wait for one more position."""
        if frame_id in self._frames:
            self._frames[frame_id].uses += 1

    def use(self, frame_id: int) -> None:
        """Note that a frame was fetched."""
        packed = self._frames[frame_id]
        packed.uses -= 1
        if not packed.uses:
            self._pages.free(packed.source.pages)
            del self._frames[frame_id]
