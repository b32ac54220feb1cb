"""Which frames are looked at: all of small data; of larger data, runs of neighbours and independent pairs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from lit_video.report.features import Features
from lit_video.report.reading import describe_frames, first_copies
from lit_video.report.setting import Options, Setting
from lit_video.rng import rng

# With fewer videos than this, drawing videos anew says little about how far the estimate may be off.
FEW_VIDEOS = 10
PAIRS_OF_ALL = 20000  # that are drawn where all frames are known; 0.5 percent of error where 8 directions matter


@dataclass(frozen=True, eq=False)
class Pilot:
    """The vectors that everything about likeness is measured on.

    Attributes:
        runs: Vectors of consecutive frames of one video, each [n, numbers].
        video_ids: The first copy of each run's video, [runs].
        pairs: Vectors of independent frames, [pairs, 2, numbers].
        whole: Whether every frame of the data was decoded.
        vectors: Of the frames that were decoded, [frames, numbers].
        frame_ids: Theirs, ascending.
        canonical: For each frame of the data, the id of the same frame in the first copy of its video.
        num_different_videos: Copies and links of a file counted once.
        seconds: What decoding and describing took.
    """

    runs: Sequence[Float[np.ndarray, "n numbers"]]
    video_ids: Int64[np.ndarray, " runs"]
    pairs: Float[np.ndarray, "pairs 2 numbers"]
    whole: bool
    vectors: Float[np.ndarray, "frames numbers"]
    frame_ids: Int64[np.ndarray, " frames"]
    canonical: Int64[np.ndarray, " all_frames"]
    num_different_videos: int
    seconds: float

    @property
    def few_videos(self) -> bool:
        """Whether blocks of frames are drawn anew, and not videos."""
        return self.num_different_videos < FEW_VIDEOS

    def vectors_of(self, frame_ids: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "n numbers"]:
        """Return the vectors of any frames of the data, where all were decoded; else of those that were."""
        return self.vectors[np.searchsorted(self.frame_ids, self.canonical[frame_ids])]


def take_pilot(setting: Setting, options: Options, features: Features) -> Pilot:
    """Decode what is to be looked at, and return its vectors."""
    index, began = setting.index, time.perf_counter()
    first = first_copies(index)
    canonical = np.repeat(index.offset[first] - index.offset[:-1], index.lengths) + np.arange(index.num_frames)
    different = np.unique(canonical)
    whole = len(different) <= options.pilot_frames
    if whole:
        spans = [slice(*index.offset[video : video + 2]) for video in np.unique(first)]
        runs = [np.arange(span.start, span.stop) for span in spans]
        num_pairs = PAIRS_OF_ALL
    else:
        runs, num_pairs = _windows(setting, options, len(np.unique(first)) < FEW_VIDEOS), options.num_pairs
    pairs = rng(setting.seed, "report.pairs").integers(index.num_frames, size=(num_pairs, 2))
    needed = different if whole else np.unique(canonical[np.concatenate([*runs, pairs.ravel()])])
    vectors = features.finish(describe_frames(setting, needed, features.describe), needed)
    found = lambda ids: vectors[np.searchsorted(needed, canonical[ids])]  # noqa: E731
    return Pilot(
        runs=[found(run) for run in runs],
        video_ids=first[[index.locate(run[:1])[0][0] for run in runs]],
        pairs=found(pairs),
        whole=whole,
        vectors=vectors,
        frame_ids=needed,
        canonical=canonical,
        num_different_videos=len(np.unique(first)),
        seconds=time.perf_counter() - began,
    )


def window_length(lengths: Int64[np.ndarray, " videos"], max_lag: int, few_videos: bool) -> int:
    """Return how many frames a window of the pilot has.

    Blocks are drawn within windows, which then must be longer. Half of all frames lie in videos that hold a window.
    """
    wanted = 2 * max_lag if few_videos else max_lag + 1
    ascending = np.sort(lengths)
    middle = ascending[np.searchsorted(np.cumsum(ascending), ascending.sum() / 2)]
    return int(min(wanted, middle))


def _windows(setting: Setting, options: Options, few_videos: bool) -> list[Int64[np.ndarray, " frames"]]:
    """Return the frame ids of windows at random places, spread evenly over all places where a window may begin."""
    index = setting.index
    length = window_length(index.lengths, options.max_lag, few_videos)
    places = np.cumsum(np.maximum(index.lengths - length + 1, 0))
    draw = rng(setting.seed, "report.windows")
    drawn = (np.arange(options.num_windows) + draw.random(options.num_windows)) / options.num_windows * places[-1]
    place = drawn.astype(np.int64)
    video_ids = np.searchsorted(places, place, side="right")
    starts = index.offset[video_ids + 1] - length - (places[video_ids] - 1 - place)
    return [np.arange(start, start + length) for start in starts]
