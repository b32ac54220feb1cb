"""Which sampler to use, from what was measured: costs, correlation, memory. Section 9 of docs/bias.md, step by step.

1. If all frames fit into a cache, decode once and permute.
2. What does a frame cost under the planner, and in runs of k?
3. The higher effective rate wins (F49).
4. Frames that the consumer cannot take are worth nothing, so from there on the least clustered order wins.
5. Chunks are mixed by lanes if so many decoders may be open, else by a jitter buffer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from lit_video.bias.arguments import Floats, Integers, correlation, lengths_in_frames, real, whole
from lit_video.bias.choice import TIE, price
from lit_video.bias.correlation import h_curve
from lit_video.bias.design_effect import deff_from_slots, deff_momentum, deff_wor, momentum_reach
from lit_video.bias.planner_law import planner_lookahead, planner_sliding
from lit_video.bias.slot_correlation import slot_corr_jitter, slot_corr_lanes


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
        parameters: What to set: `decode_once`, `lookahead`, `k`, `lanes`, `jitter`, whatever applies.
        reasons: Sentences, in the order of the decisions.
        candidates: What was compared, the best of each kind; none if everything fits the cache.
        deff: Design effect of one batch, through momentum 0.9, and in the long run: `batch`, `momentum`, `long`.
    """

    sampler: str
    parameters: Mapping[str, int | bool]
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    deff: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Setting:
    """What was measured, checked: see the arguments of `recommend`."""

    gops: Integers
    R: Floats
    b: int
    decode_seconds: float
    seek_seconds: float
    memory_frames: int
    noise_scale: float
    num_decoders: int
    consumer_rate: float

    def candidate(self, name: str, k: int, seconds_per_frame: float, deff: float) -> Candidate:
        """Return a candidate with its rates; frames beyond what the consumer takes count for nothing."""
        rate = min(self.num_decoders / seconds_per_frame, self.consumer_rate)
        value = rate / float(price(deff, self.b, self.noise_scale))
        return Candidate(name, k, seconds_per_frame, deff, rate, value)


def _planner(setting: _Setting) -> Candidate:
    """Return uniform order with as long a look-ahead as the memory allows: step 2, C_p."""
    cost = planner_sliding(setting.gops, planner_lookahead(setting.memory_frames))
    seconds = setting.decode_seconds * cost.decoded + setting.seek_seconds * cost.opens
    return setting.candidate("planner", 1, seconds, 1.0)


def _runs(setting: _Setting) -> Candidate | None:
    """Return the best runs of two frames or more that start anywhere: step 2, C_k, and step 4.

    Single frames are the planner's without a look-ahead.
    """
    if setting.R.size < 2:
        return None
    # To start anywhere, the frames from the keyframe on are decoded for nothing: (L − 1) / 2 of them on average.
    lead_in = float(setting.gops @ (setting.gops - 1) / (2 * setting.gops.sum()))
    k, deff = np.arange(2, setting.R.size + 1), h_curve(setting.R)[1:]
    seconds = (setting.seek_seconds + setting.decode_seconds * (lead_in + k)) / k
    rates = np.minimum(setting.num_decoders / seconds, setting.consumer_rate)
    values = rates / price(deff, setting.b, setting.noise_scale)
    equals = np.flatnonzero(values >= values.max() * (1 - TIE))
    best = equals[np.argmin(deff[equals])]
    return setting.candidate("runs", int(k[best]), float(seconds[best]), float(deff[best]))


def _whole_gops(setting: _Setting) -> Candidate | None:
    """Return whole GOPs: no frame decoded for nothing, but the length of the runs is what it is."""
    N, gops = int(setting.gops.sum()), setting.gops
    if gops.max() < 2 or gops.max() > setting.R.size:
        return None
    # The variance of a chunk's sum is L·h_L, so long GOPs count by their frames.
    deff = float(gops @ h_curve(setting.R)[gops - 1] / N)
    seconds = setting.decode_seconds + setting.seek_seconds * gops.size / N
    return setting.candidate("gops", round(int(gops @ gops) / N), seconds, deff)


def _best(candidates: tuple[Candidate, ...]) -> Candidate:
    """Return the candidate of the highest effective rate; of equals the least clustered one."""
    highest = max(candidate.effective_rate for candidate in candidates)
    equals = [candidate for candidate in candidates if candidate.effective_rate >= highest * (1 - TIE)]
    return min(equals, key=lambda candidate: candidate.deff)


def _reasons(setting: _Setting, best: Candidate, candidates: tuple[Candidate, ...]) -> tuple[str, ...]:
    """Return one sentence for the comparison and, where it matters, one for the consumer."""
    values = ", ".join(
        f"{c.name} {c.effective_rate:.4g} ({c.frames_per_second:.4g} frames/s, design effect {c.deff:.3g})"
        for c in candidates
    )
    reasons = [f"Effective frames per second: {values}; {best.name} is best."]
    if best.frames_per_second >= setting.consumer_rate * (1 - TIE):
        reasons.append(
            f"The consumer takes {setting.consumer_rate:.4g} frames/s and gets them, so the least clustered "
            "order that saturates it was chosen."
        )
    return tuple(reasons)


def _mixed(setting: _Setting, best: Candidate, max_open: int) -> Recommendation:
    """Return step 5 for chunks: lanes, or a jitter buffer, and what is left of the design effect at three horizons."""
    reach = momentum_reach(setting.b)
    aligned = best.name == "gops"
    if setting.b <= max_open:
        r = slot_corr_lanes(setting.R, best.k, setting.b, reach)
        sampler, mixing = "chunked", {"lanes": setting.b}
        reason = f"{setting.b} lanes may be open at once, so no two frames of a batch come from one chunk."
    else:
        jitter = max(1, 2 * setting.memory_frames)
        r = slot_corr_jitter(slot_corr_lanes(setting.R, best.k, 1, best.k - 1), jitter, reach)
        sampler, mixing = "reservoir", {"jitter": jitter}
        reason = (
            f"A batch of {setting.b} would need as many open chunks, and {max_open} are allowed: "
            f"a jitter of {jitter} positions mixes them with {setting.memory_frames} frames of memory."
        )
    deff = {"batch": deff_from_slots(r, setting.b), "momentum": deff_momentum(r, setting.b), "long": best.deff}
    return Recommendation(sampler, {"k": best.k, "whole_gops": aligned, **mixing}, (reason,), (), deff)


def _uniform_deff(N: int, b: int) -> dict[str, float]:
    """Return the design effect of a random permutation; over many batches it only falls."""
    return {"batch": deff_wor(N, b) if 2 <= N >= b else 1.0, "momentum": 1.0, "long": 1.0}


def recommend(
    *,
    gop_lengths: ArrayLike,
    R: ArrayLike,
    b: int,
    decode_seconds: float,
    seek_seconds: float,
    frame_bytes: int,
    memory_bytes: int,
    cache_bytes: int = 0,
    stored_frame_bytes: int | None = None,
    noise_scale: float = math.inf,
    num_decoders: int = 1,
    consumer_rate: float = math.inf,
    max_open: int = 64,
) -> Recommendation:
    """Return the sampler that trains fastest under these costs. Section 9 of docs/bias.md.

    Args:
        gop_lengths: Frames of every GOP of the data set, [GOPs].
        R: Measured correlation of gradients by distance in frames. Runs longer than it are not considered.
        b: Slots of a batch.
        decode_seconds: Time to decode a frame.
        seek_seconds: Time to get to a keyframe.
        frame_bytes: Bytes of a decoded, resized frame.
        memory_bytes: Memory for frames that wait.
        cache_bytes: Memory or scratch disk for all frames, decoded once.
        stored_frame_bytes: Bytes of a frame in that cache; None: `frame_bytes`.
        noise_scale: Gradient noise scale in frames; infinite if noise limits training.
        num_decoders: Decoders that run at once.
        consumer_rate: Frames per second that the model takes; infinite if it waits for data anyway.
        max_open: Chunks that may be open at once.

    Raises:
        ValueError: A number out of its range, or both times 0.
    """
    gops, R, b = lengths_in_frames("gop_lengths", gop_lengths), correlation("R", R), whole("b", b)
    frame_bytes, memory_bytes = whole("frame_bytes", frame_bytes), whole("memory_bytes", memory_bytes, low=0)
    stored = whole("stored_frame_bytes", frame_bytes if stored_frame_bytes is None else stored_frame_bytes)
    N, cache_bytes = int(gops.sum()), whole("cache_bytes", cache_bytes, low=0)
    if N * stored <= cache_bytes:
        reason = f"All {N} frames take {N * stored} bytes and the cache holds {cache_bytes}: decode once, then permute."
        return Recommendation("uniform", {"decode_once": True}, (reason,), (), _uniform_deff(N, b))
    setting = _Setting(
        gops,
        R,
        b,
        real("decode_seconds", decode_seconds),
        real("seek_seconds", seek_seconds),
        memory_bytes // frame_bytes,
        real("noise_scale", noise_scale),
        whole("num_decoders", num_decoders),
        real("consumer_rate", consumer_rate, np.nextafter(0, 1)),
    )
    if setting.decode_seconds + setting.seek_seconds == 0:
        raise ValueError("decode_seconds + seek_seconds must be above 0, got 0")
    found = _planner(setting), _runs(setting), _whole_gops(setting)
    candidates = tuple(candidate for candidate in found if candidate is not None)
    best = _best(candidates)
    if best.name == "planner":
        lookahead = min(N, planner_lookahead(setting.memory_frames))
        result = Recommendation("uniform", {"lookahead": lookahead}, (), (), _uniform_deff(N, b))
    else:
        result = _mixed(setting, best, whole("max_open", max_open))
    return replace(result, reasons=(*_reasons(setting, best, candidates), *result.reasons), candidates=candidates)
