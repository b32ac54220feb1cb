"""Which sampler to use, from what was measured: costs, correlation, memory. Section 9 of docs/bias.md, step by step.

1. What does a frame cost under the planner, and in runs of k?
2. The higher effective rate wins (F49): frames per second weighed against what they are worth.
3. Frames that the consumer cannot take are worth nothing, so from there on the least clustered order wins.
4. Chunks are mixed by lanes if so many may be open, else by a jitter buffer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.correlation import h_curve
from lit_video.bias.planner_law import lead_in, planner_lookahead, planner_sliding
from lit_video.bias.validation import Floats, Integers, correlation, lengths_in_frames, real, whole

# Choices whose values differ by less than rounding does are equally good; the least clustered is taken.
TIE = 1e-9


def price(deff: ArrayLike, b: int, noise_scale: float) -> Floats:
    """Return by how much a design effect lengthens training, relative to independent frames. F42 of docs/bias.md.

    Args:
        deff: Design effects, any shape.
        b: Slots of a batch.
        noise_scale: Gradient noise scale in frames; infinite if training is limited by noise, 0 if not at all.

    Raises:
        ValueError: `b` below 1 or a negative noise scale.
    """
    deff, b = np.asarray(deff, dtype=np.float64), whole("b", b)
    noise_scale = real("noise_scale", noise_scale)
    noise_share = 1.0 if math.isinf(noise_scale) else noise_scale / (b + noise_scale)
    return np.asarray(1 + (deff - 1) * noise_share)  # (b + noise_scale·deff) / (b + noise_scale)


def eff_rates(
    a: float, c: float, R: ArrayLike, b: int = 1, noise_scale: float = math.inf, consumer_rate: float = math.inf
) -> Floats:
    """Return the effective frames per second of runs of 1 to len(R) frames, float64 [lags]. F42 of docs/bias.md.

    Frames per second over `price`: independent frames per second where noise limits training, plain ones where it does
    not limit it at all. All k are to be tried: the rate may have two maxima far apart.

    Args:
        a: Seconds to reach the first frame of a run.
        c: Seconds per frame of a run.
        R: Correlation of gradients by distance in frames, R[0] = 1.
        b: Slots of a batch; without effect if the noise scale is infinite.
        noise_scale: Gradient noise scale in frames.
        consumer_rate: Frames per second beyond which they count for nothing.

    Raises:
        ValueError: A negative cost, or both 0.
    """
    a, c, design_effect = real("a", a), real("c", c), h_curve(R)
    if a + c == 0 or math.isinf(a + c):
        raise ValueError(f"a + c must be finite and above 0, got {a + c}")
    k = np.arange(1, design_effect.size + 1)
    # A run of frames that cancel out would be worth infinitely many; correlations that make one are measured wrongly.
    if design_effect.min() <= 0:
        raise ValueError(
            f"R must leave every run a positive variance, got h = {design_effect.min():g} for "
            f"k = {design_effect.argmin() + 1}"
        )
    return np.minimum(k / (a + c * k), consumer_rate) / price(design_effect, b, noise_scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What was measured, and what there is to spend.

    Attributes:
        gop_lengths: Frames of every GOP of the data set, [GOPs].
        R: Correlation of gradients by distance in frames, R[0] = 1. Runs longer than it are not considered.
        b: Slots of a batch.
        decode_seconds: Time to decode a frame.
        seek_seconds: Time to get to a keyframe.
        frame_bytes: Bytes of a decoded, resized frame.
        memory_bytes: Memory for frames that wait.
        noise_scale: Gradient noise scale in frames; infinite if noise limits training.
        num_decoders: Decoders that run at once.
        consumer_rate: Frames per second that the model takes; infinite if it is always waiting.
        max_open: Chunks that may be open at once.
    """

    gop_lengths: ArrayLike
    R: ArrayLike
    b: int
    decode_seconds: float
    seek_seconds: float
    frame_bytes: int
    memory_bytes: int
    noise_scale: float = math.inf
    num_decoders: int = 1
    consumer_rate: float = math.inf
    max_open: int = 64

    def __post_init__(self) -> None:
        lengths_in_frames("gop_lengths", self.gop_lengths)
        correlation("R", self.R)
        for name in ("b", "frame_bytes", "num_decoders", "max_open"):
            whole(name, getattr(self, name))
        whole("memory_bytes", self.memory_bytes, low=0)
        for name in ("decode_seconds", "seek_seconds", "noise_scale", "consumer_rate"):
            real(name, getattr(self, name))
        seconds = self.decode_seconds + self.seek_seconds
        if not 0 < seconds < math.inf or self.consumer_rate == 0:
            came = f"{seconds:g} and {self.consumer_rate:g}"
            raise ValueError(f"decode_seconds + seek_seconds and consumer_rate must be above 0, got {came}")

    @property
    def gops(self) -> Integers:
        """Frames of every GOP, int64 [GOPs]."""
        return lengths_in_frames("gop_lengths", self.gop_lengths)

    @property
    def memory_frames(self) -> int:
        """Decoded frames that may wait."""
        return self.memory_bytes // self.frame_bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to read the data, and what it is worth.

    Attributes:
        name: `"planner"`, `"runs"` (from anywhere) or `"gops"` (whole ones).
        k: Frames read in a row, 1 for the planner; the mean over frames for whole GOPs.
        seconds_per_frame: Decoder time per delivered frame.
        deff: Long-run design effect, h.
        frames_per_second: What reaches the consumer: all decoders together, at most what it takes.
        effective_rate: `frames_per_second` over the price of the design effect (F42): what to maximise.
    """

    name: str
    k: int
    seconds_per_frame: float
    deff: float
    frames_per_second: float
    effective_rate: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A sampler, why, and the numbers that decided.

    Attributes:
        sampler: `"uniform"`, `"chunked"` or `"reservoir"`.
        parameters: What to set: `lookahead`, `k`, `whole_gops`, `lanes`, `jitter`, whatever applies.
        reasons: Sentences, in the order of the decisions.
        candidates: What was compared, the best of each kind.
    """

    sampler: str
    parameters: Mapping[str, int | bool]
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]


def recommend(conditions: Conditions) -> Recommendation:
    """Return the sampler that trains fastest under these conditions. Section 9 of docs/bias.md."""
    found = _planner(conditions), _runs(conditions), _whole_gops(conditions)
    candidates = tuple(candidate for candidate in found if candidate is not None)
    best = _best(candidates)
    reasons = _reasons(conditions, best, candidates)
    if best.name == "planner":
        lookahead = min(int(conditions.gops.sum()), planner_lookahead(conditions.memory_frames))
        return Recommendation("uniform", {"lookahead": lookahead}, reasons, candidates)
    sampler, mixing, reason = _mixing(conditions)
    chunk: dict[str, int | bool] = {"k": best.k, "whole_gops": best.name == "gops"}
    return Recommendation(sampler, chunk | mixing, (*reasons, reason), candidates)


def _candidate(conditions: Conditions, name: str, k: int, seconds_per_frame: float, deff: float) -> Candidate:
    """Return a candidate with its rates; frames beyond what the consumer takes count for nothing."""
    rate = min(conditions.num_decoders / seconds_per_frame, conditions.consumer_rate)
    value = rate / float(price(deff, conditions.b, conditions.noise_scale))
    return Candidate(name, k, seconds_per_frame, deff, rate, value)


def _planner(conditions: Conditions) -> Candidate:
    """Return uniform order with a look-ahead that never holds more than the memory: C_p of F49."""
    cost = planner_sliding(conditions.gops, planner_lookahead(conditions.memory_frames))
    seconds = conditions.decode_seconds * cost.decoded + conditions.seek_seconds * cost.opens
    return _candidate(conditions, "planner", 1, seconds, 1.0)


def _runs(conditions: Conditions) -> Candidate | None:
    """Return the best runs of two frames or more that start anywhere: C_k of F49.

    Single frames are the planner's without a look-ahead.
    """
    curve, decoders = h_curve(conditions.R), conditions.num_decoders
    if curve.size < 2:
        return None
    a = conditions.seek_seconds + conditions.decode_seconds * lead_in(conditions.gops)
    c = conditions.decode_seconds
    limits = conditions.b, conditions.noise_scale, conditions.consumer_rate
    values = eff_rates(a / decoders, c / decoders, conditions.R, *limits)[1:]
    equals = np.flatnonzero(values >= values.max() * (1 - TIE)) + 2
    k = int(equals[np.argmin(curve[equals - 1])])
    return _candidate(conditions, "runs", k, a / k + c, float(curve[k - 1]))


def _whole_gops(conditions: Conditions) -> Candidate | None:
    """Return whole GOPs: no frame decoded for nothing, but the length of the runs is what it is."""
    curve, gops = h_curve(conditions.R), conditions.gops
    N = int(gops.sum())
    if not 2 <= gops.max() <= curve.size:
        return None
    # The variance of a chunk's sum is L·h_L, so long GOPs count by their frames.
    deff = float(gops @ curve[gops - 1] / N)
    seconds = conditions.decode_seconds + conditions.seek_seconds * gops.size / N
    return _candidate(conditions, "gops", round(int(gops @ gops) / N), seconds, deff)


def _best(candidates: tuple[Candidate, ...]) -> Candidate:
    """Return the candidate of the highest effective rate; of equals the least clustered one."""
    highest = max(candidate.effective_rate for candidate in candidates)
    equals = [candidate for candidate in candidates if candidate.effective_rate >= highest * (1 - TIE)]
    return min(equals, key=lambda candidate: candidate.deff)


def _reasons(conditions: Conditions, best: Candidate, candidates: tuple[Candidate, ...]) -> tuple[str, ...]:
    """Return one sentence for the comparison and, where it matters, one for the consumer."""
    values = ", ".join(
        f"{c.name} {c.effective_rate:.4g} ({c.frames_per_second:.4g} frames/s, design effect {c.deff:.3g})"
        for c in candidates
    )
    reasons = [f"Effective frames per second: {values}; {best.name} is best."]
    if best.frames_per_second >= conditions.consumer_rate * (1 - TIE):
        reasons.append(
            f"The consumer takes {conditions.consumer_rate:.4g} frames/s and gets them, so the least clustered "
            "order that saturates it was chosen."
        )
    return tuple(reasons)


def _mixing(conditions: Conditions) -> tuple[str, dict[str, int], str]:
    """Return what mixes chunks, lanes or a jitter buffer: the sampler, its parameter, and why."""
    if conditions.b <= conditions.max_open:
        reason = f"{conditions.b} lanes may be open at once, so no two frames of a batch come from one chunk."
        return "chunked", {"lanes": conditions.b}, reason
    jitter = max(1, 2 * conditions.memory_frames)
    reason = (
        f"A batch of {conditions.b} would need as many open chunks, and {conditions.max_open} are allowed: "
        f"a jitter of {jitter} positions mixes them with {conditions.memory_frames} frames of memory."
    )
    return "reservoir", {"jitter": jitter}, reason
