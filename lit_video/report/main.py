"""The whole report, from the videos to a folder that is written at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lit_video.measuring.canvas import require_matplotlib
from lit_video.report.advice import propose, translate
from lit_video.report.contenders import Contender, list_contenders, uniform_reach
from lit_video.report.contest import Measured, Round, load, together
from lit_video.report.costs import fit_costs
from lit_video.report.facts import Facts
from lit_video.report.features import make_features
from lit_video.report.inclusion import check_inclusion
from lit_video.report.likeness import lags_needed, measure_likeness
from lit_video.report.pictures import draw
from lit_video.report.pilot import take_pilot
from lit_video.report.reasons import reasons
from lit_video.report.setting import Options, Setting
from lit_video.report.summary import Findings, summarise
from lit_video.report.words import write_words

Tell = Callable[[str], None]


def main(
    setting: Setting,
    options: Options,
    folder: str | Path,
    names: Mapping[str, str],
    given: Sequence[str] = (),
    tell: Tell = print,
) -> Facts:
    """Measure, and write the report into `folder`; nothing is written before all is measured.

    Args:
        setting: The data, as training would load it.
        options: How thoroughly to look.
        folder: Where report.md, report.json and the pictures go.
        names: What the run calls its `sampler`, `decoder` and `transform`.
        given: Overrides of the command line, for the command that is recommended.
        tell: Is told what is going on.

    Returns:
        What report.json holds.

    Raises:
        LitVideoError: matplotlib is missing, a video cannot be decoded, or there is nothing to compare.
    """
    require_matplotlib()
    began = time.perf_counter()
    found = find(setting, options, names["sampler"], tell)
    tell("Counting and drawing")
    facts = summarise(setting, options, found, names, given)
    facts["recommendation"]["reasons"] = reasons(facts)
    pictures = draw(facts)
    facts["seconds"] = round(time.perf_counter() - began, 1)
    write(Path(folder), facts, pictures)
    return facts


def find(setting: Setting, options: Options, named: str, tell: Tell) -> Findings:
    """Measure everything: frames, then contenders, then the one that the cost model proposes if it is none of them."""
    contenders, features = list_contenders(setting, options, named), make_features(setting, options.features)
    reach = uniform_reach(setting)
    tell(f"Looking at frames: {features.kind}")
    pilot = take_pilot(setting, options, features)
    likeness = measure_likeness(pilot, options, setting.seed, lags_needed(pilot.footage, options))
    measured = compete(setting, options, contenders, tell)
    costs = fit_costs([read for one in measured.values() for read in one.reads])
    law = propose(setting, options, likeness, costs, measured[contenders[0]].threads, reach)
    proposed = translate(law, setting, reach)
    known = [one for one in contenders if one.same_order_as(proposed) and one.lookahead == proposed.lookahead]
    if not known:
        tell("The cost model proposes another one")
        measured |= compete(setting, options, [proposed], tell)
    inclusion = check_inclusion(setting, list(measured))
    return Findings(features, pilot, likeness, measured, costs, law, known[0] if known else proposed, inclusion)


def compete(
    setting: Setting, options: Options, contenders: Sequence[Contender], tell: Tell
) -> dict[Contender, Measured]:
    """Measure contenders, in turn in each round."""
    rounds: dict[Contender, list[Round]] = {contender: [] for contender in contenders}
    for number in range(options.rounds):
        for contender in contenders:
            tell(f"Measuring {contender.name}, round {number + 1} of {options.rounds}")
            rounds[contender].append(load(setting, options, contender, number))
    return {contender: together(found) for contender, found in rounds.items()}


def write(folder: Path, facts: Facts, pictures: Mapping[str, bytes]) -> None:
    """Write each file whole or not at all, report.md last: where it is, all is."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {**pictures, "report.json": (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode()}
    files["report.md"] = write_words(facts, pictures).encode()
    for name, content in files.items():
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)
