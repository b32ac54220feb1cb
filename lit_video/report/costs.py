"""What reads cost in seconds, and what that makes of a whole epoch, which nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from lit_video.bias import lead_in, planner_sliding
from lit_video.bias.planner_law import SLOTS_PER_FRAME
from lit_video.measuring.reads import Read
from lit_video.planning.planner import plan
from lit_video.planning.reads import GopRead
from lit_video.report.choices import Contender, uniform
from lit_video.report.contest import Measured
from lit_video.report.setting import Setting

STEPS = 30  # of reweighting
PLANNED = 2**17  # positions of an epoch that are planned, at a few hundred thousand a second


@dataclass(frozen=True)
class Costs:
    """Seconds that one thread is busy, while the others are too."""

    seek_seconds: float  # for each read: opening the file now and then, seeking, starting the decoder
    decode_seconds: float  # for each frame from the keyframe to the last wanted one
    deliver_seconds: float  # for each wanted frame besides: scaling and writing, and decoding what is skipped elsewhere
    num_reads: int  # that were timed
    relative_error: float  # median difference of times and fit, over the median time
    cpu_share: float  # of the time that a read took, its thread had a core so much

    def per_image(self, decoded: float, wanted: float, reads: float) -> float:
        """Return the thread seconds of an image that takes so many frames and reads, on average."""
        return self.decode_seconds * decoded + self.deliver_seconds * wanted + self.seek_seconds * reads


def fit_costs(reads: Sequence[Read]) -> Costs:
    """Explain the reads' times by the least sum of absolute errors, no cost below 0.

    Errors count by their size and not by their square, since some reads are far slower than all others: those that
    another program held up.
    """
    counts = np.array([(1, read.decoded, read.wanted) for read in reads], np.float64)
    seconds, cpu_seconds = np.array([(read.seconds, read.cpu_seconds) for read in reads]).T
    found, error = np.zeros(3), np.ones(len(reads))
    for _ in range(STEPS):
        weight = 1 / np.sqrt(np.maximum(error, 1e-3 * seconds.mean()))
        found, _ = nnls(counts * weight[:, None], seconds * weight)
        error = np.abs(counts @ found - seconds)
    seek, decode, deliver = found.tolist()
    relative_error = float(np.median(error) / np.median(seconds))
    return Costs(seek, decode, deliver, len(reads), relative_error, float(cpu_seconds.sum() / seconds.sum()))


def plan_epoch(setting: Setting, contender: Contender, lookahead: int, held: int = PLANNED) -> tuple[float, ...]:
    """Return frames decoded, frames wanted and reads for each image of an epoch, or of its first PLANNED positions.

    As the planner has it that holds so many frames for later positions at most; nothing is decoded.
    """
    order = contender.make(setting.seed).order(0)
    positions = np.asarray(order[0 : min(len(order), PLANNED)])
    reads = plan(positions, setting.index, lookahead, held)
    wanted = sum(len(read.frame_indices) for read in reads if isinstance(read, GopRead))
    return tuple(amount / len(positions) for amount in (reads.decoded_frames, wanted, reads.num_reads))


def carry_over(setting: Setting, contender: Contender, measured: Measured, costs: Costs) -> dict[str, Any]:
    """Return the rates of whole epochs and what is decoded in them, as report.json has it, from what was measured.

    A short measurement sees an epoch's beginning, where look-aheads are shortened so that reads do not fall into step.
    """
    lookahead = measured.budget.lookahead
    decoded, wanted, reads = plan_epoch(setting, contender, lookahead, measured.budget.held)
    here = costs.per_image(measured.decoded_per_image, measured.wanted_per_image, measured.reads_per_image)
    faster = here / costs.per_image(decoded, wanted, reads)
    return {name: getattr(measured, name) * faster for name in ("images_per_s", "standard_error", "interval")} | {
        "decoded_per_image": decoded,
        "decoded_per_image_theory": decode_theory(setting, contender, lookahead),
        "reads_per_image": reads,
    }


def decode_theory(setting: Setting, contender: Contender, lookahead: int) -> float | None:
    """Return the decode amplification that docs/bias.md gives; None where it gives none."""
    gops = setting.gop_lengths
    if contender.family == "uniform":  # F47 without a look-ahead, else F48
        return 1 + lead_in(gops) if lookahead == 1 else planner_sliding(gops, lookahead).decoded
    if contender.chunk == "gop" or contender.family == "sequential":
        return 1.0
    return 1 + lead_in(gops) / contender.chunk if isinstance(contender.chunk, int) else None


def by_memory(setting: Setting, measured: Sequence[Measured]) -> dict[str, Any]:
    """Return decode amplification of uniform order by look-ahead: by law, planned without a limit, and measured."""
    frames, gops = setting.index.num_frames, setting.gop_lengths
    fine = np.unique(np.geomspace(1, frames, 60).round().astype(int))
    coarse = np.unique(np.geomspace(1, min(frames, PLANNED), 9).round().astype(int))
    real = np.array([one.budget.lookahead for one in measured])
    mib = setting.frame_bytes / SLOTS_PER_FRAME / 2**20  # of memory for each position of a look-ahead
    return {
        "lookahead": fine,
        "mib": fine * mib,
        "law": [planner_sliding(gops, W).decoded for W in fine.tolist()],
        "planned_lookahead": coarse,
        "planned_mib": coarse * mib,
        "planned": [plan_epoch(setting, uniform(setting), W)[0] for W in coarse.tolist()],
        "measured_lookahead": real,
        "measured_mib": real * mib,
        "measured": [one.decoded_per_image for one in measured],
        "memory_mib": setting.lookahead_bytes / 2**20,
        "reach": setting.reach,
    }
