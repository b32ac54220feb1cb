"""Holds an index to the truth: every frame by random access, sample by sample, against one sequential decode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lit_video.decoders.reader import OpenVideos
from lit_video.index import VideoIndex
from lit_video.index.truth import decode_sequentially
from lit_video.media.picture import checksum
from lit_video.planning.planner import GopRead
from lit_video.support.errors import DecodeError
from lit_video.support.rng import rng

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
        missing: Frame indices at which it gave none, though a sequential decode gives an undamaged one.
        damaged: Frame indices that are refused as they should be.
    """

    path: str
    made: str
    frames: int
    true_frames: int
    wrong: tuple[int, ...]
    missing: tuple[int, ...]
    damaged: tuple[int, ...] = ()

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
    path, length = index.path(video_id), index.length(video_id)
    truth = _Truth(index, video_id)
    wrong, missing, damaged = set(), set(), set()
    known = {frame for run in index.damage(video_id) for frame in range(run.first, run.last + 1)}
    videos = OpenVideos(index, max_open=1, skip_unwanted=skip_unwanted)
    for read in _reads(index, video_id, length, seed):
        try:
            for frame, picture in videos.read(read):
                if truth.sums.get(frame) != checksum(picture):
                    wrong.add(frame)
        except DecodeError as error:
            for frame in error.missing:
                (missing if frame in truth.sums and frame not in known else damaged).add(frame)
    videos.close()
    lists = (tuple(sorted(frames)) for frames in (wrong, missing, damaged))
    return Verification(path, index.made(video_id), length, truth.num_frames, *lists)


class _Truth:
    """What a sequential decode gives: checksums of undamaged pictures by frame index, and how many frames there are."""

    def __init__(self, index: VideoIndex, video_id: int) -> None:
        with index.on_disk(video_id) as path:
            truth = decode_sequentially(path, int(index.columns.stream[video_id]))
        sums = [None if why else value for value, why in zip(truth.sums, truth.why, strict=True)]
        if index.made(video_id) == "decoded":
            found, self.num_frames = dict(enumerate(sums)), len(sums)
        else:  # a damaged packet may give no picture, and keeps its place all the same
            frame_of = {int(pts): frame for frame, pts in enumerate(index.pts_of(video_id))}
            pairs = list(zip(truth.pts, sums, strict=True))
            found = {frame_of[pts]: value for pts, value in pairs if pts in frame_of}
            known = {frame for run in index.damage(video_id) for frame in range(run.first, run.last + 1)}
            unknown = sum(pts not in frame_of for pts, _ in pairs)
            # Behind damage some give no picture, and keep their places all the same.
            absent = set() if truth.breaks else set(range(len(frame_of))) - found.keys() - known
            self.num_frames = len(frame_of) + unknown - len(absent)
        self.sums = {frame: value for frame, value in found.items() if value is not None}


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
