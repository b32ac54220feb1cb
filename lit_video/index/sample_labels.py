"""What samples are of: as their frames, their stretches or their videos are labelled, whichever says most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from lit_video.index.frame_labels import FrameLabels
from lit_video.index.intervals import Stretches
from lit_video.index.table import VideoIndex


@dataclass(frozen=True, eq=False)
class SampleLabels:
    """The labels of a population.

    Attributes:
        index: All frames, and what is known of their videos.
        intervals: Stretches, or None where samples come from whole videos.
        frame_labels: Of single frames, or None.
    """

    index: VideoIndex
    intervals: Stretches | None
    frame_labels: FrameLabels | None

    @property
    def differ_within_videos(self) -> bool:
        """Whether two samples of one video may have different labels."""
        return self.frame_labels is not None or (self.intervals is not None and self.intervals.label is not None)

    @property
    def classes(self) -> Sequence[str] | Mapping[str, Sequence[str]]:
        """Names of the classes, by number, or by column; none without labels, or of numbers."""
        if self.frame_labels is not None:
            alone, classes = self.frame_labels.alone, self.frame_labels.classes
            return classes if alone is None else classes[alone]
        if self.intervals is not None and self.intervals.label is not None:
            return self.intervals.classes
        return [] if self.index.described is None else self.index.described.classes

    def of(
        self,
        video_ids: Int64[np.ndarray, " n"],
        stretches: Int64[np.ndarray, " n"],
        frame_ids: Int64[np.ndarray, "n clip"],
    ) -> dict[str, Any]:
        """Return the entries of a batch that say what its samples are of, as far as anything does.

        `label`: int64 [n] of classes or float32 [n] of numbers, or by column: of the frame in the middle of a clip,
        else of its stretch, else of its video. `meta`: the other columns of numbers by name, [n]: of the stretch, where
        there are stretches, else of the video.

        Args:
            video_ids: Of the samples.
            stretches: Of the samples, rows of `intervals`, or -1.
            frame_ids: Of the samples.
        """
        found: dict[str, Any] = {}
        for told, rows in ((self.index.described, video_ids), (self.intervals, stretches)):
            if told is not None and told.label is not None:
                found["label"] = _tensors(told.label, rows)
            if told is not None and told.meta:
                found["meta"] = _tensors(told.meta, rows)
        if self.frame_labels is not None:
            middle = frame_ids[:, frame_ids.shape[1] // 2]
            places = self.index.locate(middle)[1]
            found["label"] = _tensors(self.frame_labels.at(video_ids, places, self.index.pts_seconds(middle)), ...)
        return found


def _tensors(values: Any, rows: Any) -> Any:
    """Return arrays, or a mapping of them, at rows, as tensors."""
    if isinstance(values, Mapping):
        return {name: _tensors(column, rows) for name, column in values.items()}
    import torch  # here: whoever only indexes need not wait for it

    return torch.from_numpy(np.asarray(values)[rows])
