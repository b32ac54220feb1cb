"""Indices of videos that do not exist, and reads of frames."""

from fractions import Fraction

import numpy as np

from lit_video.index.columns import columns_of
from lit_video.index.scan import Entry
from lit_video.index.table import VideoIndex
from lit_video.index.truth import Start
from lit_video.media.container import Seek
from lit_video.planning.planner import GopRead


def entry_of(length, gop):
    """Return the entry of a video of this length, with keyframes every `gop` frames."""
    return Entry(
        stream=0,
        time_base=Fraction(1, 30),
        width=128,
        height=96,
        rotation=0,
        aspect=1.0,
        codec="h264",
        pixel_format="yuv420p",
        matrix=2,
        range=0,
        made="exact",
        pts=np.arange(length, dtype=np.int64),
        starts=[Start(frame, Seek.TIME, frame) for frame in range(0, length, gop)],
    )


def index_of(lengths, gop):
    """Return the index of videos of these lengths, with keyframes every `gop` frames."""
    entry = {length: entry_of(length, gop) for length in set(lengths)}
    entries = [entry[length] for length in lengths]
    files = [(f"/nowhere/{number}.mp4", 1000 + number, number) for number in range(len(lengths))]
    return VideoIndex(*columns_of(files, entries))


class Grouped(VideoIndex):
    """An index whose classes and roots are given: videos take turns, or a number for each says which is its own."""

    numbers = None
    group_names = ("even", "odd")

    def group_of(self, by):
        if by not in ("class", "root"):
            return super().group_of(by)
        numbers = np.arange(self.num_videos) % 2 if self.numbers is None else np.array(self.numbers)
        return numbers, self.group_names


def grouped_index_of(lengths, gop, numbers=None, names=("even", "odd")):
    """Return the index of videos of these lengths, with classes and roots."""
    plain = index_of(lengths, gop)
    index = Grouped(plain.columns, plain.names)
    object.__setattr__(index, "numbers", numbers)
    object.__setattr__(index, "group_names", names)
    return index


def read_of(index, video_id, frames):
    """The read of some frames of one GOP."""
    start = int(index.start_of(index.offset[video_id] + np.array(frames[:1]))[0])
    return GopRead(video_id, start, tuple(frames), tuple((place,) for place in range(len(frames))))
