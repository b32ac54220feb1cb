"""Holds an index to the truth: every frame by random access, sample by sample, against one sequential decode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lit_video.decoders.reader import OpenVideos
from lit_video.errors import DecodeError
from lit_video.index import VideoIndex
from lit_video.index.truth import decode_sequentially
from lit_video.picture import checksum
from lit_video.planner import GopRead
from lit_video.rng import rng

ALONE = 100  # frames that are read each alone, of longer videos


@dataclass(frozen=True)
class Verification:
    """What was found out about one video.

    Attributes:
        path: The file.
        made: How its entry was made: `exact` or `decoded`.
        frames: That the index knows.
        true_frames: That a sequential decode gives.
        wrong: Frame indices at which random access gave another picture than the sequential decode.
        missing: Frame indices at which it gave none.
    """

    path: str
    made: str
    frames: int
    true_frames: int
    wrong: tuple[int, ...]
    missing: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether all is as the index says."""
        return self.frames == self.true_frames and not self.wrong and not self.missing


def verify(index: VideoIndex, video_id: int, skip_unwanted: bool = True, seed: int = 0) -> Verification:
    """Read every frame of a video in random order, GOP by GOP and alone, and compare with a sequential decode.

    Each GOP is read twice: a random half of its frames, and later the other half; so reads begin at keyframes, stop
    early, go on, and skip. And some frames are read each alone, between these.

    Raises:
        OSError: The file cannot be opened any more.
    """
    path, length = index.path(video_id), int(index.lengths[video_id])
    truth = decode_sequentially(Path(path), int(index.columns.stream[video_id])).sums
    wrong, missing = set(), set()
    videos = OpenVideos(index, max_open=1, skip_unwanted=skip_unwanted)
    for read in _reads(index, video_id, length, seed):
        try:
            for frame, picture in videos.read(read):
                if frame >= len(truth) or checksum(picture) != truth[frame]:
                    wrong.add(frame)
        except DecodeError as error:
            missing.update(error.missing)
    videos.close()
    made = index.made(video_id)
    return Verification(path, made, length, len(truth), tuple(sorted(wrong)), tuple(sorted(missing)))


def _reads(index: VideoIndex, video_id: int, length: int, seed: int) -> list[GopRead]:
    draw, reads = rng(seed, "verify", video_id), []
    starts = [start.frame for start in index.starts(video_id)]
    for begin, end in zip(starts, [*starts[1:], length], strict=True):
        frames = np.arange(begin, end)
        first = draw.random(len(frames)) < 0.5
        for part in (frames[first], frames[~first]):
            if len(part):
                wanted = tuple(part.tolist())
                reads.append(GopRead(video_id, begin, wanted, tuple((place,) for place in range(len(wanted)))))
    alone = np.sort(draw.permutation(length)[:ALONE])
    starts_of_them = index.start_of(index.offset[video_id] + alone).tolist()
    reads += [GopRead(video_id, start, (f,), ((0,),)) for start, f in zip(starts_of_them, alone.tolist(), strict=True)]
    return [reads[place] for place in draw.permutation(len(reads))]
