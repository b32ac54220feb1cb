"""Costs, R and what was measured -> which sampler to take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lit_video.bias import Conditions, Recommendation, recommend
from lit_video.report.costs import Costs
from lit_video.report.likeness import Likeness
from lit_video.report.setting import Options, Setting

# Rates closer than this are the same, on a machine that others use as well; then the less clustered order is better.
EQUAL = 0.05

Row = Mapping[str, Any]  # of the table of contenders


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


def rate(row: Row) -> float:
    """Return independent images per second in the long run."""
    found = row["effective_images_per_s"]["long"]
    return math.inf if found is None else found


def pick(rows: Sequence[Row]) -> Row:
    """Return the best by what was measured; of those that are equal, the least clustered, and then the fastest.

    Only samplers whose every slot is uniform over all frames; where there is none, the fastest of all.
    """
    fair = [row for row in rows if row["exact_uniform"]] or list(rows)
    best = max(map(rate, fair))
    equals = [row for row in fair if rate(row) >= best * (1 - EQUAL)]
    return min(equals, key=lambda row: (round(row["deff"]["long"], 3), -rate(row)))


def tied(rows: Sequence[Row], best: Row) -> list[Row]:
    """Return the unbiased others that are ahead of the best, or behind it by less than the error of both rates."""
    ours = rate(best)
    return [
        row
        for row in rows
        if row is not best
        and row["exact_uniform"]
        and (rate(row) > ours or ours - rate(row) < math.hypot(_error(row), _error(best)))
    ]


def _error(row: Row) -> float:
    """Return half of the 95 % interval of the effective rate, from that of the images per second."""
    return rate(row) * row["interval"] / row["images_per_s"]


def best_of_others(rows: Sequence[Row], best: Row) -> list[Row]:
    """Return the best of each family but the recommended one, and frames each on its own, best first."""
    found: dict[str, Row] = {}
    for row in sorted(rows, key=rate, reverse=True):
        single = row["family"] == "uniform" and row["lookahead"] == 1
        if row is not best:
            found.setdefault("single" if single else row["family"], row)
    return list(found.values())
