"""How alike the vectors of neighbouring frames are: R with intervals, the model of it, and R as far as needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from lit_video.bias import CorrelationModel, estimate_R, fit_R, h_curve
from lit_video.report.pilot import Footage, Pilot, window_length
from lit_video.report.setting import Options
from lit_video.support.errors import DataError
from lit_video.support.rng import rng

FEWEST_LAGS = 4  # that three numbers can be fitted to
LEAST_H = 0.5  # design effect of a run; a smaller one is that of nearly all there is
LONGEST = 2**16  # lags of R; frames further apart count as the last ones do


@dataclass(frozen=True, eq=False)
class Likeness:
    """R, measured and carried on."""

    pilot: Pilot  # that it was measured on
    R: Float64[np.ndarray, " lags"]  # correlation by distance in frames, 1 at 0
    low: Float64[np.ndarray, " lags"]  # lower ends of 95 % intervals
    high: Float64[np.ndarray, " lags"]  # upper ends
    num_measured: int  # lags whose interval was measured; from there on it is as wide as at the last of these
    num_pairs: Int64[np.ndarray, " measured"]  # behind each of them
    model: CorrelationModel  # fitted to them
    exact: bool  # R is that of all frames, at all lags; else the model carries it on
    block: int | None  # frames that were drawn anew together; None: whole videos were
    bootstrap: str  # what the intervals come from, in words

    def for_runs(self, longest_gop: int) -> Float64[np.ndarray, " lags"]:
        """Return R as far as runs are worth considering: to where longer ones are less varied, or a GOP's length.

        Runs that are nearly a whole video have a small variance only because there are so few of them.
        """
        curve = h_curve(self.R)
        useless = np.flatnonzero(curve < LEAST_H)
        end = max(int(curve.argmax()) + 1, longest_gop)
        return self.R[: min(end, useless[0])] if len(useless) else self.R[:end]


def measure_likeness(pilot: Pilot, options: Options, seed: int, num_lags: int) -> Likeness:
    """Measure R on the pilot's vectors as far as `options` say, and carry it on to `num_lags`.

    Raises:
        DataError: The videos are too short, or all frames are the same.
    """
    length, few = window_length(pilot.footage, options.max_lag), pilot.footage.few
    measured = length // 2 + 1 if few else length
    if measured < FEWEST_LAGS:
        raise DataError(
            f"The videos are too short to compare neighbours: half of all frames lie in videos of at most {length}.\n"
            "Name longer videos, as in data.root=FOLDER"
        )
    pairs = pilot.vectors_of(pilot.pairs.ravel()).reshape(len(pilot.pairs), 2, -1)
    if np.array_equal(pairs[:, 0], pairs[:, 1]):
        raise DataError(
            "All frames that were looked at are the same: there is nothing to measure.\n"
            "Name other videos, as in data.root=FOLDER"
        )
    runs = [run for run in pilot.runs if len(run) >= length]
    vectors = [pilot.vectors_of(run) for run in runs]
    video_ids, _ = pilot.footage.index.locate(np.array([run[0] for run in runs]))
    draw, block = rng(seed, "report.resamples"), length - measured + 1 if few else None
    found = estimate_R(vectors, pairs, draw, video_ids=video_ids, num_lags=measured, block=block)
    blocks = f"a moving-block bootstrap: drawing blocks of {block} consecutive frames anew"
    bootstrap = blocks if few else f"drawing {len(pilot.footage.videos)} videos anew"
    num_lags = min(LONGEST, max(num_lags, measured))
    R = correlation_of_all(pilot, num_lags) if pilot.whole else found.R
    model = fit_R(R[:measured], found.num_pairs)
    R = R if pilot.whole else np.r_[R, model.R(num_lags)[measured:]]
    # The resamples say how far off an estimate may be, and not where R is: where all frames are known, it lies there.
    low, high = (R + np.pad(end - found.R, (0, num_lags - measured), mode="edge") for end in (found.low, found.high))
    return Likeness(pilot, R, low, high, measured, found.num_pairs, model, pilot.whole, block, bootstrap)


def correlation_of_all(pilot: Pilot, num_lags: int) -> Float64[np.ndarray, " lags"]:
    """Return R of all frames, by its definition F1 of docs/bias.md; 0 beyond the longest video."""
    footage = pilot.footage
    weight = np.bincount(footage.first)[footage.videos] / footage.index.num_frames  # copies count as often as they are
    runs = [pilot.vectors_of(run).astype(np.float64) for run in pilot.runs]
    mean = sum(w * run.sum(axis=0) for w, run in zip(weight, runs, strict=True))
    weighed = [(w, run - mean) for w, run in zip(weight, runs, strict=True)]
    variance = sum(w * np.square(run).sum() for w, run in weighed)
    R = np.zeros(num_lags)
    for lag in range(min(num_lags, int(footage.lengths.max()))):
        longer = [(w, run) for w, run in weighed if len(run) > lag]
        products = sum(w * np.einsum("ij,ij->", run[lag:], run[: len(run) - lag]) for w, run in longer)
        R[lag] = products / sum(w * (len(run) - lag) for w, run in longer) / variance
    R[0] = 1
    return R


def lags_needed(footage: Footage, options: Options) -> int:
    """Return how far R must reach for every contender: as far as videos, GOPs and chunks do."""
    chunks = [k for k in options.chunk_lengths if isinstance(k, int)]
    return int(max([*chunks, footage.index.lengths.max(), options.max_lag])) + 1
