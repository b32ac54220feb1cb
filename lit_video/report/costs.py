"""What reads cost in seconds, and what that makes of a whole epoch, which nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from lit_video.bias import planner_sliding
from lit_video.planning.planner import plan
from lit_video.report.choices import Contender
from lit_video.report.contest import Measured, Read
from lit_video.report.setting import Setting

STEPS = 30  # of reweighting
PLANNED = 2**17  # positions of an epoch that are planned, at a few hundred thousand a second


@dataclass(frozen=True)
class Costs:
    """Seconds that one thread is busy, while the others are too.

    Attributes:
        seek_seconds: For each read: opening the file now and then, seeking, starting the decoder.
        decode_seconds: For each frame from the keyframe to the last wanted one.
        deliver_seconds: For each wanted frame besides: scaling and writing it, and decoding what is skipped elsewhere.
        num_reads: That were timed.
        relative_error: Median difference of times and fit, over the median time.
        cpu_share: Of the time that a read took, its thread had a core so much.
    """

    seek_seconds: float
    decode_seconds: float
    deliver_seconds: float
    num_reads: int
    relative_error: float
    cpu_share: float

    def per_image(self, decoded: float, wanted: float, reads: float) -> float:
        """Return the thread seconds of an image that takes so many frames and reads, on average."""
        return self.decode_seconds * decoded + self.deliver_seconds * wanted + self.seek_seconds * reads


def fit_costs(reads: Sequence[Read]) -> Costs:
    """Explain the reads' times by the least sum of absolute errors, no cost below 0.

    Errors count by their size and not by their square, since some reads are far slower than all others: those that
    another program held up.
    """
    counts = np.array([(1, read.decoded, read.wanted) for read in reads], np.float64)
    seconds = np.array([read.seconds for read in reads])
    weight, found = np.ones(len(reads)), np.zeros(3)
    for _ in range(STEPS):
        found, _ = nnls(counts * weight[:, None], seconds * weight)
        error = np.abs(counts @ found - seconds)
        weight = 1 / np.sqrt(np.maximum(error, 1e-3 * seconds.mean()))
    seek, decode, deliver = found.tolist()
    error = float(np.median(np.abs(counts @ found - seconds)) / np.median(seconds))
    busy, had = sum(read.seconds for read in reads), sum(read.cpu_seconds for read in reads)
    return Costs(seek, decode, deliver, len(reads), error, had / busy)


def plan_epoch(setting: Setting, contender: Contender, measured: Measured, costs: Costs) -> dict[str, Any]:
    """Plan an epoch, or its first PLANNED positions, and carry the measured rate over to it.

    A short measurement sees an epoch's beginning, where look-aheads are shortened so that reads do not fall into step.

    Returns:
        Images per second with their errors and what is decoded for one, as report.json has it.
    """
    order = contender.make(setting.seed).order(0)
    positions = np.asarray(order[0 : min(len(order), PLANNED)])
    reads = plan(positions, setting.index, measured.budget.lookahead, measured.budget.held)
    wanted = sum(len(read.frame_indices) for read in reads)
    filled = reads.delivered_frames
    decoded, opened, wanted = reads.decoded_frames / filled, reads.num_reads / filled, wanted / filled
    here = costs.per_image(measured.decoded_per_image, measured.wanted_per_image, measured.reads_per_image)
    there = costs.per_image(decoded, wanted, opened)
    rates = ("images_per_s", "standard_error", "interval")
    return {name: getattr(measured, name) * here / there for name in rates} | {
        "decoded_per_image": decoded,
        "decoded_per_image_theory": decode_theory(setting, contender, measured.budget.lookahead),
        "reads_per_image": opened,
    }


def decode_theory(setting: Setting, contender: Contender, lookahead: int) -> float | None:
    """Return the decode amplification that docs/bias.md gives; None where it gives none."""
    if contender.family == "uniform":  # F47 without a look-ahead, else F48
        return 1 + setting.lead_in if lookahead == 1 else planner_sliding(setting.gop_lengths, lookahead).decoded
    if contender.chunk == "gop" or contender.family == "sequential":
        return 1.0
    return 1 + setting.lead_in / contender.chunk if isinstance(contender.chunk, int) else None
