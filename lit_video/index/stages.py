"""From what a user wants to the samples of training, validation, test and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from lit_video.index.clips import ClipShape
from lit_video.index.container_table import SCANS
from lit_video.index.frame_labels import FrameLabels, read_frame_labels
from lit_video.index.intervals import Stretches, read_intervals
from lit_video.index.labels import Description, Labels, check_labels
from lit_video.index.population import Population
from lit_video.index.proxied import scan_proxies
from lit_video.index.selection import Rate, check_choice_of_frames
from lit_video.index.splits import Split, Splits, check_split, split_stretches, split_videos
from lit_video.index.table import VideoIndex, warn_of_another_libavcodec
from lit_video.support.errors import DataError, check_choice

STAGES = ("train", "val", "test", "predict")
Root = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Choices:
    """Which videos, which of their frames or clips, and what they are of: `VideoDataModule` says what each means.

    Raises:
        ValueError: One is out of range, or two exclude each other.
        TypeError: `labels` or `split` is nothing that these can be found by.
    """

    root: Root | None = None
    index: str | Path | None = None
    proxy: str | Path | None = None
    val_root: Root | None = None
    test_root: Root | None = None
    predict_root: Root | None = None
    split: Split | None = None
    split_by: str = "video"
    stratify: str | None = None
    split_seed: int = 0
    labels: Labels | None = None
    label_column: str | Sequence[str] = "label"
    label_kind: str = "auto"
    missing: str = "raise"
    frame_labels: str | Path | None = None
    labels_at: str = "nearest"
    stride: int = 1
    fps: Rate = None
    every_seconds: Rate = None
    keyframes_only: bool = False
    intervals: Any = None
    exclude: Mapping[str, Any] | Sequence[str] | str | None = None
    clip_length: int | None = None
    clip_stride: int = 1
    clip_fps: Rate = None
    ends: str = "inside"
    scan: str = "auto"

    def __post_init__(self) -> None:
        check_choice("scan", self.scan, SCANS)
        if self.index is not None and self.proxy is not None:
            raise ValueError(f"index is taken as it is, got proxy={self.proxy} too: name the videos with root")
        if self.index is not None and self.excluded_files:
            raise ValueError(
                f"index is taken as it is, got exclude={list(self.excluded_files)} too: leave files out when it is"
                f" made, lit-video index FOLDER --exclude '{self.excluded_files[0]}' --out INDEX"
            )
        check_labels(self.labels, self.label_kind, self.missing)
        check_choice_of_frames(self.stride, self.fps, self.every_seconds, self.keyframes_only)
        ClipShape.made_of(self.clip_length, self.clip_stride, self.clip_fps, self.ends)
        if wrong := [glob for glob in self.excluded_files if not isinstance(glob, str)]:
            raise ValueError(f"exclude must be globs of files, or a mapping that may have files, got {wrong[0]!r}")
        if self.split is not None:
            check_split(self.split)
        if self.split is None and self.stratify is not None:
            raise ValueError("stratify is for split: give its shares, such as split={'train': 0.8, 'val': 0.2}")
        if self.split == "intervals" and (self.intervals is None or self.stratify is not None):
            raise ValueError("split='intervals' needs intervals with a column split, and no stratify")

    @property
    def excluded_files(self) -> Sequence[str]:
        """Globs of files that are no data: `exclude` itself, or what it has under `files`."""
        globs = (self.exclude.get("files") if isinstance(self.exclude, Mapping) else self.exclude) or ()
        return [globs] if isinstance(globs, str) else list(globs)

    @property
    def excluded_frames(self) -> Mapping[str, Any]:
        """What is left out of the others: what `exclude` has under other keys."""
        if not isinstance(self.exclude, Mapping):
            return {}
        return {key: value for key, value in self.exclude.items() if key != "files"}

    def other_roots(self) -> dict[str, Root]:
        """Return the roots that are for one stage alone, by its name."""
        roots = {"val": self.val_root, "test": self.test_root, "predict": self.predict_root}
        return {stage: root for stage, root in roots.items() if root is not None}

    def may_have(self, stage: str) -> bool:
        """Tell whether there can be samples for `val`, `test` or `predict`, as far as one knows before the scan."""
        if stage in self.other_roots():
            return True
        if isinstance(self.split, Mapping):
            return stage in self.split
        return self.split is not None or self.split_by == "column"


class Stages:
    """The populations of a run, made where they are first asked for.

    Args:
        choices: The user's.
        index_dir: Where indices are kept; by default in the user's cache folder.
        progress: Show a progress bar while files are indexed.
        made: Where another process of this machine has indices that it made for the same choices: `indices` of it.

    Raises:
        DataError: Nothing usable where the user said, or no label where one is needed.
    """

    def __init__(
        self, choices: Choices, index_dir: str | Path | None, progress: bool, made: Mapping[str, Path] | None = None
    ) -> None:
        self._choices = choices

        def index_of(stage: str, root: Root | None) -> VideoIndex:
            if made:
                return VideoIndex.load(made[stage])
            assert root is not None
            return _scan(root, choices, index_dir, progress)

        others = {stage: index_of(stage, root) for stage, root in choices.other_roots().items()}
        # Last, so that `VideoIndex.load` gives this one.
        index = index_of("train", choices.root) if choices.index is None else self._given(choices.index)
        self.index = self._labelled(index)
        self._others = {stage: self._labelled_as_trained(other, stage) for stage, other in others.items()}
        self._made: dict[str, Population] = {}
        _ = self._splits

    def _given(self, index: str | Path) -> VideoIndex:
        found, root = VideoIndex.load(index), self._choices.root
        warn_of_another_libavcodec(found)
        return found if root is None else found.with_roots(root)

    @property
    def indices(self) -> dict[str, Path]:
        """Where the columns of all indices lie; empty where one is in memory only, or stands for other videos."""
        if self._choices.proxy is not None:
            return {}
        all_of_them = {"train": self.index, **self._others}
        found = {stage: index.folder for stage, index in all_of_them.items() if index.folder is not None}
        return found if len(found) == len(all_of_them) else {}

    def names(self) -> list[str]:
        """Return the stages that there are samples for."""
        return [stage for stage in STAGES if stage in self._others or stage in self._splits.names]

    def population(self, stage: str) -> Population:
        """Return the samples of a stage.

        Raises:
            DataError: There are none.
        """
        if stage not in self._made:
            self._made[stage] = self._make(stage)
        return self._made[stage]

    def digest(self) -> str:
        """Return what names the videos of all stages, and their splits."""
        digests = [index.digest() for index in (self.index, *self._others.values())]
        of_stretch = self._splits.of_stretch
        told = b"" if of_stretch is None else of_stretch.tobytes()
        return " ".join([*digests, self._splits.of_video.tobytes().hex(), told.hex()])

    @cached_property
    def _splits(self) -> Splits:
        c = self._choices
        if c.split is None and c.split_by != "column":
            return Splits(["train"], np.zeros(self.index.num_videos, np.int8))
        if c.split == "intervals":
            assert self._stretches is not None
            return self._not_told_twice(split_stretches(self._stretches, self.index.num_videos))
        described = self.index.described
        table, label = (None, None) if described is None else (described.table, described.label)
        found = split_videos(
            self.index.known_paths,
            self.index.named_by,
            c.split,
            c.split_by,
            c.stratify,
            c.split_seed,
            table=table,
            labels=label,
        )
        return self._not_told_twice(found)

    def _not_told_twice(self, splits: Splits) -> Splits:
        if twice := [stage for stage in splits.names if stage in self._choices.other_roots()]:
            raise ValueError(f"give data.split a share for {twice[0]} or give data.{twice[0]}_root, not both")
        return splits

    # Tables are read once for all stages that `root` is split into.

    @cached_property
    def _stretches(self) -> Stretches | None:
        return self._stretches_of(self.index)

    @cached_property
    def _frame_labels(self) -> FrameLabels | None:
        return self._frame_labels_of(self.index, self._choices.missing)

    def _stretches_of(self, index: VideoIndex) -> Stretches | None:
        c = self._choices
        if c.intervals is None:
            return None
        return read_intervals(
            c.intervals, index.known_paths, "skip", label_column=c.label_column, label_kind=c.label_kind
        )

    def _frame_labels_of(self, index: VideoIndex, missing: str) -> FrameLabels | None:
        c = self._choices
        if c.frame_labels is None:
            return None
        return read_frame_labels(c.frame_labels, index.known_paths, c.labels_at, c.label_column, c.label_kind, missing)

    def _make(self, stage: str) -> Population:
        if stage not in self.names():
            raise DataError(
                f"There are no videos for {stage}.\n"
                f"Split them off, as in data.split={{train: 0.8, {'val' if stage == 'train' else stage}: 0.2}},"
                f" or name others: data.{'root' if stage == 'train' else f'{stage}_root'}=FOLDER"
            )
        c = self._choices
        index = self._others.get(stage, self.index)
        mask = self._has_label(index, stage)
        if stage not in self._others:
            mask &= self._splits.mask(stage)
        missing = "skip" if stage == "predict" else c.missing
        is_own = index is self.index
        listed = self._stretches if is_own else self._stretches_of(index)
        shared = is_own and missing == c.missing
        frame_labels = self._frame_labels if shared else self._frame_labels_of(index, missing)
        if listed is not None and stage not in self._others and self._splits.of_stretch is not None:
            listed = listed.where(self._splits.of_stretch == self._splits.names.index(stage))
        return Population(
            index,
            videos=mask,
            stride=c.stride,
            fps=c.fps,
            every_seconds=c.every_seconds,
            keyframes_only=c.keyframes_only,
            intervals=listed,
            frame_labels=frame_labels,
            exclude=c.excluded_frames,
            clip_length=c.clip_length,
            clip_stride=c.clip_stride,
            clip_fps=c.clip_fps,
            ends=c.ends,
        )

    def _labelled(self, index: VideoIndex, missing: str | None = None) -> VideoIndex:
        c = self._choices
        return index.with_labels(c.labels, c.label_column, c.label_kind, missing or c.missing)

    def _labelled_as_trained(self, index: VideoIndex, stage: str) -> VideoIndex:
        """Return the index with labels by the numbers that the training set's classes have."""
        labels = self._choices.labels
        if (stage == "predict" and not isinstance(labels, str)) or labels is None or labels == "video":
            return index
        labelled = self._labelled(index, "skip" if stage == "predict" else None)
        described, trained = labelled.described, self.index.described
        assert described is not None
        assert trained is not None
        if not isinstance(trained.label, np.ndarray) or described.classes == trained.classes:
            return labelled
        return replace(labelled, described=_renumbered(described, trained, index, self._choices.missing, stage))

    def _has_label(self, index: VideoIndex, stage: str) -> Bool[np.ndarray, " videos"]:
        """Return which videos may be used: with `missing=skip` those that have a label."""
        if index.described is None or stage == "predict":
            return np.ones(index.num_videos, bool)
        return index.described.has_label.copy()


def _scan(root: Root, choices: Choices, index_dir: str | Path | None, progress: bool) -> VideoIndex:
    if choices.proxy is None:
        return VideoIndex.scan(root, index_dir, progress, choices.excluded_files, choices.scan)
    index = scan_proxies(root, Path(choices.proxy).expanduser(), index_dir, progress, choices.excluded_files)
    return index.with_roots(root)


def _renumbered(
    described: Description, trained: Description, index: VideoIndex, missing: str, stage: str
) -> Description:
    assert isinstance(described.label, np.ndarray)
    number = {name: place for place, name in enumerate(trained.classes)}
    label = np.array([number.get(name, -1) for name in described.classes] + [-1], np.int64)[described.label]
    if missing == "raise" and stage != "predict" and (label < 0).any():
        video_id = int(np.argmax(label < 0))
        name = list(described.classes)[int(described.label[video_id])]
        raise DataError(
            f"{index.path(video_id)}: its class, {name}, is none of the {len(number)} of data.root.\n"
            f"Add videos of it there, or leave it out of data.{stage}_root: data.missing=skip"
        )
    return replace(described, label=label, classes=trained.classes, has_label=label >= 0)
