"""The whole measurement, from the videos to a folder: report.json, the pictures of it and the words for it.

What the keys of report.json mean is in docs/bias.md, section 15.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lit_video import __version__
from lit_video.bias import momentum_reach
from lit_video.measuring.canvas import require_matplotlib
from lit_video.measuring.page import write_whole
from lit_video.measuring.throughput import machine
from lit_video.report.choices import command, different, list_contenders, overrides, propose, translate
from lit_video.report.contest import compete
from lit_video.report.costs import by_memory, fit_costs
from lit_video.report.document import reasons, write_document
from lit_video.report.features import Features, make_features
from lit_video.report.inclusion import check_inclusion
from lit_video.report.likeness import Likeness, lags_needed, measure_likeness
from lit_video.report.pictures import draw
from lit_video.report.pilot import Pilot, take_pilot
from lit_video.report.setting import Options, Setting
from lit_video.report.worth import best_of_others, deff_by_horizon, pick, row_of, tied
from lit_video.samplers.laws import HORIZONS

Facts = dict[str, Any]

DIGITS = 6  # of a number in the report


def report(
    setting: Setting,
    options: Options,
    folder: str | Path,
    names: Mapping[str, str],
    given: Sequence[str] = (),
    tell: Callable[[str], None] = print,
) -> Facts:
    """Measure, write report.md, report.json and the pictures into `folder`, and return what report.json holds.

    Nothing is written before all is measured.

    Args:
        setting: The data, as training would load it.
        options: How thoroughly to look.
        folder: Made where it is not there.
        names: What the run calls its `sampler`, `decoder` and `transform`.
        given: Overrides of the command line, for the command that is recommended.
        tell: Is told what is going on.

    Raises:
        LitVideoError: matplotlib is missing, a video cannot be decoded, or there is nothing to compare.
    """
    require_matplotlib()
    began = time.perf_counter()
    facts = measure(setting, options, names, given, tell)
    facts["recommendation"]["reasons"] = reasons(facts)
    pictures = draw(facts)
    facts["seconds"] = round(time.perf_counter() - began, 1)
    numbers = json.dumps(facts, indent=1, allow_nan=False) + "\n"
    write_whole(Path(folder), {**pictures, "report.json": numbers, "report.md": write_document(facts, pictures)})
    return facts


def measure(
    setting: Setting, options: Options, names: Mapping[str, str], given: Sequence[str], tell: Callable[[str], None]
) -> Facts:
    """Measure everything: frames, then contenders, then the one that the cost model proposes if it is none of them."""
    contenders, features = list_contenders(setting, options, names["sampler"]), make_features(setting, options.features)
    tell(f"Looking at frames: {features.kind}")
    pilot = take_pilot(setting, options, features)
    likeness = measure_likeness(pilot, options, setting.seed, lags_needed(pilot.footage, options))
    measured = compete(setting, options, contenders, tell)
    threads = measured[contenders[0]].threads
    costs = fit_costs([read for one in measured.values() for read in one.reads])
    # Scaling and writing a frame counts as decoding here, which overstates the planner's cost.
    decode_seconds = costs.decode_seconds + costs.deliver_seconds
    R = likeness.for_runs(int(setting.gop_lengths.max()))
    law = propose(setting, options, R, decode_seconds, costs.seek_seconds, threads)
    proposed = translate(law, setting, setting.reach)
    known = proposed.among(contenders)
    if not known:
        tell("The cost model proposes another one")
        measured |= compete(setting, options, [proposed], tell)
    tell("Counting and drawing")
    curves = {one: deff_by_horizon(setting, likeness, one) for one in different(measured)}
    rows = [plain(row_of(setting, options, likeness, costs, curves, *one)) for one in measured.items()]
    best = pick(rows)
    chosen = list(measured)[rows.index(best)]
    return plain(
        {
            "lit_video": __version__,
            "horizons": HORIZONS,
            "recommendation": {
                "name": chosen.name,
                "overrides": overrides(chosen, given),
                "command": command(chosen, given),
                "tied_with": [row["name"] for row in tied(rows, best)],
                "best_of_others": [row["name"] for row in best_of_others(rows, best)],
                "law": asdict(law) | {"name": (known or [proposed])[0].name},
            },
            "contenders": rows,
            "data": _data(setting, pilot),
            "settings": _settings(setting, threads, names),
            "options": asdict(options),
            "machine": machine(),
            "correlation": _correlation(likeness, features),
            "costs": asdict(costs),
            "deff_by_horizon": list(curves.values()),
            "lookahead": by_memory(setting, [one for who, one in measured.items() if who.family == "uniform"]),
            "inclusion": check_inclusion(setting, list(measured)),
        }
    )


def plain(value: Any) -> Any:
    """Return `value` as JSON has it: numbers rounded, what is not finite as None."""
    text = json.dumps(value, default=lambda array: array.tolist())
    rounded = lambda digits: float(f"{float(digits):.{DIGITS}g}")  # noqa: E731
    return json.loads(text, parse_float=rounded, parse_constant=lambda _: None)


def _data(setting: Setting, pilot: Pilot) -> Facts:
    """Return what was looked at."""
    index, gops = setting.index, setting.gop_lengths
    sizes = zip(index.columns.width.tolist(), index.columns.height.tolist(), strict=True)
    return {
        "videos": index.num_videos,
        "different_videos": len(pilot.footage.videos),
        "frames": index.num_frames,
        "gops": len(gops),
        "gop_length": {"least": gops.min(), "median": np.median(gops), "most": gops.max()},
        "codecs": dict(Counter(map(index.codec, range(index.num_videos))).most_common()),
        "sizes": {f"{width}×{height}": many for (width, height), many in sorted(Counter(sizes).items())},
        "first_path": index.path(0),
        "skipped_files": len(index.skipped),
    }


def _settings(setting: Setting, threads: int, names: Mapping[str, str]) -> Facts:
    """Return what contenders had in common."""
    (height, width), batch = setting.shape, min(setting.batch_size, setting.index.num_frames)
    own = {name: getattr(setting, name) for name in ("batch_size", "frame_bytes", "lookahead_bytes", "seed")}
    shared = {"height": height, "width": width, "threads": threads, "momentum_slots": momentum_reach(batch)}
    return {**own, **shared, **names}


def _correlation(likeness: Likeness, features: Features) -> Facts:
    """Return R, where it comes from, and how sure it is."""
    pilot, lags = likeness.pilot, np.arange(likeness.num_measured)
    looked_at = {"frames": pilot.frame_ids, "runs": pilot.runs, "pairs": pilot.pairs}
    return {
        "features": {"kind": features.kind, "what": features.sentence},
        "pilot": {"whole": pilot.whole} | {name: len(ids) for name, ids in looked_at.items()},
        "bootstrap": "blocks" if likeness.block else "videos",
        "bootstrap_words": likeness.bootstrap,
        "block": likeness.block,
        "lag": lags,
        **{name: getattr(likeness, name)[lags] for name in ("R", "low", "high")},
        "pairs_of_lag": likeness.num_pairs,
        "model": asdict(likeness.model),
        "fitted": likeness.model.R(likeness.num_measured),
        "beyond": "measured" if likeness.exact else "model",
    }
