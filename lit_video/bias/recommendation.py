"""Which sampler to use, from what was measured: costs, correlation, memory. Section 9 of docs/bias.md, step by step.

1. If all frames fit into a cache, decode once and permute.
2. What does a frame cost under the planner, and in runs of k?
3. The higher effective rate wins (F49).
4. Frames that the consumer cannot take are worth nothing, so from there on the least clustered order wins.
5. Chunks are mixed by lanes if so many decoders may be open, else by a jitter buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lit_video.bias.choice import TIE, price
from lit_video.bias.conditions import Conditions
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


def _candidate(conditions: Conditions, name: str, k: int, seconds_per_frame: float, deff: float) -> Candidate:
    """Return a candidate with its rates; frames beyond what the consumer takes count for nothing."""
    rate = min(conditions.num_decoders / seconds_per_frame, conditions.consumer_rate)
    value = rate / float(price(deff, conditions.b, conditions.noise_scale))
    return Candidate(name, k, seconds_per_frame, deff, rate, value)


def _planner(conditions: Conditions) -> Candidate:
    """Return uniform order with a look-ahead that never holds more than the memory: step 2, C_p."""
    cost = planner_sliding(conditions.gops, planner_lookahead(conditions.memory_frames))
    seconds = conditions.decode_seconds * cost.decoded + conditions.seek_seconds * cost.opens
    return _candidate(conditions, "planner", 1, seconds, 1.0)


def _runs(conditions: Conditions) -> Candidate | None:
    """Return the best runs of two frames or more that start anywhere: step 2, C_k, and step 4.

    Single frames are the planner's without a look-ahead.
    """
    curve, gops = h_curve(conditions.R), conditions.gops
    if curve.size < 2:
        return None
    # To start anywhere, the frames from the keyframe on are decoded for nothing: (L − 1) / 2 of them on average.
    lead_in = float(gops @ (gops - 1) / (2 * gops.sum()))
    k, deff = np.arange(2, curve.size + 1), curve[1:]
    seconds = (conditions.seek_seconds + conditions.decode_seconds * (lead_in + k)) / k
    rates = np.minimum(conditions.num_decoders / seconds, conditions.consumer_rate)
    values = rates / price(deff, conditions.b, conditions.noise_scale)
    equals = np.flatnonzero(values >= values.max() * (1 - TIE))
    best = equals[np.argmin(deff[equals])]
    return _candidate(conditions, "runs", int(k[best]), float(seconds[best]), float(deff[best]))


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


def _mixed(conditions: Conditions, best: Candidate) -> Recommendation:
    """Return step 5 for chunks: lanes, or a jitter buffer, and what is left of the design effect at three horizons."""
    reach = momentum_reach(conditions.b)
    aligned = best.name == "gops"
    if conditions.b <= conditions.max_open:
        r = slot_corr_lanes(conditions.R, best.k, conditions.b, reach)
        sampler, mixing = "chunked", {"lanes": conditions.b}
        reason = f"{conditions.b} lanes may be open at once, so no two frames of a batch come from one chunk."
    else:
        jitter = max(1, 2 * conditions.memory_frames)
        r = slot_corr_jitter(slot_corr_lanes(conditions.R, best.k, 1, best.k - 1), jitter, reach)
        sampler, mixing = "reservoir", {"jitter": jitter}
        reason = (
            f"A batch of {conditions.b} would need as many open chunks, and {conditions.max_open} are allowed: "
            f"a jitter of {jitter} positions mixes them with {conditions.memory_frames} frames of memory."
        )
    deff = {"batch": deff_from_slots(r, conditions.b), "momentum": deff_momentum(r, conditions.b), "long": best.deff}
    return Recommendation(sampler, {"k": best.k, "whole_gops": aligned, **mixing}, (reason,), (), deff)


def _uniform_deff(N: int, b: int) -> dict[str, float]:
    """Return the design effect of a random permutation; over many batches it only falls."""
    return {"batch": deff_wor(N, b) if 2 <= N >= b else 1.0, "momentum": 1.0, "long": 1.0}


def recommend(conditions: Conditions) -> Recommendation:
    """Return the sampler that trains fastest under these conditions. Section 9 of docs/bias.md."""
    N, b = int(conditions.gops.sum()), conditions.b
    cache = N * (conditions.stored_frame_bytes or conditions.frame_bytes)
    if cache <= conditions.cache_bytes:
        reason = f"All {N} frames take {cache} bytes of {conditions.cache_bytes} to spare: decode once and permute."
        return Recommendation("uniform", {"decode_once": True}, (reason,), (), _uniform_deff(N, b))
    found = _planner(conditions), _runs(conditions), _whole_gops(conditions)
    candidates = tuple(candidate for candidate in found if candidate is not None)
    best = _best(candidates)
    if best.name == "planner":
        lookahead = min(N, planner_lookahead(conditions.memory_frames))
        result = Recommendation("uniform", {"lookahead": lookahead}, (), (), _uniform_deff(N, b))
    else:
        result = _mixed(conditions, best)
    return replace(result, reasons=(*_reasons(conditions, best, candidates), *result.reasons), candidates=candidates)
