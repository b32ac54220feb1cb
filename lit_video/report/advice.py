"""Costs and R -> a sampler, as a command line; and then whether measuring bears it out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from lit_video.bias import Conditions, Recommendation, recommend
from lit_video.report.contenders import Contender, chunked, reservoir, uniform
from lit_video.report.costs import Costs
from lit_video.report.likeness import Likeness
from lit_video.report.setting import Options, Setting

# Rates closer than this are the same, on a machine that others use as well; then the less clustered order is better.
EQUAL = 0.05


def propose(
    setting: Setting, options: Options, likeness: Likeness, costs: Costs, threads: int, lookahead: int
) -> Recommendation:
    """Return what section 9 of docs/bias.md recommends, with the costs that were measured.

    Args:
        setting: Memory, batch size and GOPs.
        options: Noise scale, and what the model consumes.
        likeness: R.
        costs: Of reads. Scaling and writing a frame counts as decoding here, which overstates the planner's cost.
        threads: That decode.
        lookahead: Positions that the memory lets a read look ahead.
    """
    gop = float(setting.gop_lengths @ setting.gop_lengths / setting.gop_lengths.sum())
    return recommend(
        Conditions(
            gop_lengths=setting.gop_lengths,
            R=likeness.for_runs(int(setting.gop_lengths.max())),
            b=setting.batch_size,
            decode_seconds=costs.decode_seconds + costs.deliver_seconds,
            seek_seconds=costs.seek_seconds,
            frame_bytes=setting.frame_bytes,
            memory_bytes=setting.lookahead_bytes,
            noise_scale=options.noise,
            num_decoders=threads,
            consumer_rate=options.consumer_rate,
            # A lane is no open file here but a chunk whose frames wait: as many as a look-ahead reaches over.
            max_open=max(1, int(lookahead / gop)),
        )
    )


def translate(found: Recommendation, setting: Setting, lookahead: int) -> Contender:
    """Return the sampler of this package that a recommendation means.

    `lit_video.bias` counts lanes and the jitter's width; the samplers here take `lanes`, of which the look-ahead must
    reach over all, and `buffer`, half a width.

    Args:
        found: The recommendation.
        setting: The data.
        lookahead: Positions that a read looks ahead.
    """
    parameters = found.parameters
    if found.sampler == "uniform":  # decoding once, or a look-ahead: both are what the loader does with its memory
        return uniform(setting)
    k = int(parameters["k"])
    chunk_length = None if parameters["whole_gops"] else k
    if found.sampler == "chunked":
        return chunked(setting, chunk_length, max(1, min(int(parameters["lanes"]), lookahead // k)))
    return reservoir(setting, chunk_length, max(1, min(int(parameters["jitter"]), lookahead - k) // 2))


@dataclass(frozen=True)
class Standing:
    """A contender as the choice sees it.

    Attributes:
        contender: Which.
        rate: Independent images per second in the long run.
        deff: Design effect in the long run.
        fair: Every slot is uniform over all frames: only these may be recommended.
    """

    contender: Contender
    rate: float
    deff: float
    fair: bool


def pick(standings: Sequence[Standing]) -> Standing:
    """Return the best by what was measured; of those that are equal, the least clustered, and then the fastest.

    Where nothing is fair, the fastest of all.
    """
    fair = [standing for standing in standings if standing.fair] or list(standings)
    best = max(standing.rate for standing in fair)
    equals = [standing for standing in fair if standing.rate >= best * (1 - EQUAL)]
    return min(equals, key=lambda standing: (round(standing.deff, 3), -standing.rate))


def command(contender: Contender, given: Sequence[str]) -> str:
    """Return the command that trains with a contender.

    Args:
        contender: The sampler.
        given: Overrides of this run; those of the sampler and of the report are left out, what a contender sets wins.
    """
    sets = {argument.split("=")[0] for argument in contender.arguments}
    dropped = ("sampler=", "data.sampler.", "report.", "hydra.")
    kept = [part for part in given if not part.lstrip("+~").startswith(dropped) and part.split("=")[0] not in sets]
    if not contender.arguments:  # the sampler that this run names
        kept = [part for part in given if not part.lstrip("+~").startswith(("report.", "hydra."))]
    return " ".join(["python train.py", *contender.arguments, *map(shlex.quote, kept)])
