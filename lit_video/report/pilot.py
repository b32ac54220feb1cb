"""Which frames are looked at, decoded by the loader of training: their vectors, in runs and in independent pairs.

All of small data; of larger data, runs of neighbours and independent pairs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int64

from lit_video.index import VideoIndex
from lit_video.index.copies import first_copies
from lit_video.report.features import Describe, Features
from lit_video.report.setting import Options, Setting
from lit_video.samplers.base import Order
from lit_video.samplers.sequential import SequentialSampler
from lit_video.support.rng import rng

# With fewer videos than this, drawing videos anew says little about how far the estimate may be off.
FEW_VIDEOS = 10
PAIRS_OF_ALL = 20000  # that are drawn where all frames are known: half a percent of error where 8 directions matter
BATCH = 32  # frames that are described at a time
REACH = 512  # positions within which the frames of a GOP are decoded together


@dataclass(frozen=True, eq=False)
class Footage:
    """What there is to see in an index: links and copies of a file show nothing new."""

    index: VideoIndex
    first: Int64[np.ndarray, " videos"]  # for each video the first one that is the same file

    @property
    def videos(self) -> Int64[np.ndarray, " different"]:
        """The videos that are no copies, ascending."""
        return np.unique(self.first)

    @property
    def lengths(self) -> Int64[np.ndarray, " different"]:
        """Frames of each of `videos`."""
        return self.index.lengths[self.videos]

    @property
    def few(self) -> bool:
        """Whether blocks of frames are drawn anew, and not videos."""
        return len(self.videos) < FEW_VIDEOS

    def original(self, frame_ids: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the id of the same frame in the first copy of its video."""
        video_ids, frame_indices = self.index.locate(frame_ids)
        return self.index.offset[self.first[video_ids]] + frame_indices


@dataclass(frozen=True, eq=False)
class Pilot:
    """The vectors that everything about likeness is measured on."""

    footage: Footage
    whole: bool  # every frame was decoded
    frame_ids: Int64[np.ndarray, " frames"]  # that were decoded, first copies all, ascending
    vectors: Float[np.ndarray, "frames numbers"]  # of these
    runs: Sequence[Int64[np.ndarray, " _"]]  # ids of consecutive frames of one video, each run of its own length
    pairs: Int64[np.ndarray, "pairs 2"]  # ids of independent frames

    def vectors_of(self, frame_ids: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "n numbers"]:
        """Return the vectors of frames that were decoded, or whose first copies were."""
        return self.vectors[np.searchsorted(self.frame_ids, self.footage.original(frame_ids))]


def take_pilot(setting: Setting, options: Options, features: Features) -> Pilot:
    """Decode what is to be looked at, each frame once, and return its vectors.

    Raises:
        DecodeError: A frame could not be decoded.
    """
    index = setting.index
    footage = Footage(index, first_copies(index))
    whole = bool(footage.lengths.sum() <= options.pilot_frames)
    all_runs = [np.arange(*index.offset[video : video + 2]) for video in footage.videos]
    runs = all_runs if whole else _windows(footage, options, setting.seed)
    size = PAIRS_OF_ALL if whole else options.num_pairs, 2
    pairs = rng(setting.seed, "report.pairs").integers(index.num_frames, size=size)
    frame_ids = np.unique(footage.original(np.concatenate([*runs, pairs.ravel()])))
    vectors = features.finish(_describe(setting, frame_ids, features.describe), frame_ids)
    return Pilot(footage, whole, frame_ids, vectors, runs, pairs)


def window_length(footage: Footage, max_lag: int) -> int:
    """Return how many frames a window needs; half of all frames lie in videos that hold one.

    Blocks are drawn within windows, which then must be longer.
    """
    wanted = 2 * max_lag if footage.few else max_lag + 1
    lengths = np.sort(footage.lengths)
    return int(min(wanted, lengths[np.searchsorted(np.cumsum(lengths), lengths.sum() / 2)]))


def _windows(footage: Footage, options: Options, seed: int) -> list[Int64[np.ndarray, " frames"]]:
    """Return windows at random places, spread evenly over all places where one may begin."""
    length, index = window_length(footage, options.max_lag), footage.index
    ends = np.cumsum(np.maximum(footage.lengths - length + 1, 0))
    draw = rng(seed, "report.windows").random(options.num_windows)
    places = ((np.arange(options.num_windows) + draw) / options.num_windows * ends[-1]).astype(np.int64)
    rows = np.searchsorted(ends, places, side="right")
    starts = index.offset[footage.videos[rows] + 1] - length - (ends[rows] - 1 - places)
    return [np.arange(start, start + length) for start in starts]


@dataclass(frozen=True, eq=False)
class Listed(SequentialSampler):
    """The frames of a list, in its order, so that a loader decodes them."""

    frame_ids: Int64[np.ndarray, " n"] = field(default_factory=lambda: np.empty(0, np.int64))

    def order(self, epoch: int) -> Order:
        """Return the list."""
        return self.frame_ids


def _describe(
    setting: Setting, frame_ids: Int64[np.ndarray, " n"], describe: Describe
) -> Float[np.ndarray, "n numbers"]:
    """Return the numbers of frames, whose ids are ascending so that each is decoded once."""
    listed = Listed(setting.index, setting.seed, frame_ids)
    batch_size = min(BATCH, setting.batch_size)  # of so many, the memory is known to hold more than one
    loader = setting.make_loader(listed, lookahead=min(REACH, len(frame_ids)), batch_size=batch_size)
    with contextlib.closing(loader):
        return np.concatenate([describe(batch["image"], frame_ids[batch["position"].numpy()]) for batch in loader])
