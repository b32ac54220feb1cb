"""Facts -> report.md, which a stranger can read: what to do and why comes first, and how it was found later.

What always stands there is in document.md, with keys of report.json in braces; here is what depends on the facts.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lit_video.measuring.page import bullets, listed, number

Facts = Mapping[str, Any]

OFF = 0.25  # share by which a law may differ from what was measured before that is said
CROWDED = 0.8  # share of a core that a decoding thread had, below which other programs may have had the rest
DECODED_ONCE = 1.05  # frames decoded for each image, up to which a store would save nothing in the first epoch
FEW = 3  # sizes that are named one by one

PICTURE = re.compile(r"!\[.*\]\((?P<file>.*)\)\n\n.*\n")  # with its caption
ROW = re.compile(r"\{(?P<rows>\w+)\}(?P<cells>\|.*)")  # of a table: the same cells for each of some rows
EMPTY = re.compile(r"\n{3,}")  # where there is nothing to say


class _Words(string.Formatter):
    """As `str.format`, but numbers that are not whole are written as everywhere in the report, and None as –."""

    def format_field(self, value: Any, format_spec: str) -> str:
        plain = value is None or (isinstance(value, float) and not format_spec)
        return number(value) if plain else super().format_field(value, format_spec)


def write_document(facts: Facts, pictures: Collection[str]) -> str:
    """Return report.md, with the pictures of these names."""
    once = facts["inclusion"]["each_once"]
    words = {
        **facts,
        **_how(facts),
        "taken": " ".join(facts["recommendation"]["overrides"]) or facts["recommendation"]["name"],
        "reasons": bullets(facts["recommendation"]["reasons"]),
        "weighed": ", weighed by the noise scale (F42)" if facts["options"]["noise_scale"] else "",
        "notes": bullets(_notes(facts)),
        "contenders": [row | _of_slots(row, once.get(row["name"])) for row in facts["contenders"]],
        "tests": [test | {"verdict": _verdict(test)} for test in facts["inclusion"]["tests"]],
    }
    template = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    template = PICTURE.sub(lambda found: found[0] if found["file"] in pictures else "", template)
    return EMPTY.sub("\n\n", "\n".join(_fill_in(line, words) for line in template.split("\n")))


def _fill_in(line: str, words: Facts) -> str:
    """Return a line of document.md with what its braces name: one of a table once for each of its rows."""
    if row := ROW.fullmatch(line):
        return "\n".join(_Words().vformat(row["cells"], (), cells) for cells in words[row["rows"]])
    return _Words().vformat(line, (), words)


def reasons(facts: Facts) -> list[str]:
    """Return why the recommended sampler is recommended, in sentences, the weightiest first."""
    chosen, rows = facts["recommendation"], {row["name"]: row for row in facts["contenders"]}
    row, others = rows[chosen["name"]], [rows[name] for name in chosen["best_of_others"]]
    low, high = row["deff_low"]["long"], row["deff_high"]["long"]
    between = "" if low == high else f" (between {number(low)} and {number(high)})"
    tied = f"; {listed(chosen['tied_with'])} cannot be told from it" if chosen["tied_with"] else ""
    found = [
        f"It makes {number(row['images_per_s'])} ± {number(row['interval'])} images/s here. In the long run an image "
        f"has a design effect of {number(row['deff']['long'])}{between}: these are as good as {_rate(row)} independent "
        f"images/s, which *effective* means below. Of what was measured and is unbiased, nothing gives more{tied}."
    ]
    if others:
        found.append(f"Effective images/s of others: {'; '.join(map(_other, others))}.")
    found.append(_unbiased(row))
    if facts["data"]["frames"] * facts["settings"]["frame_bytes"] <= facts["settings"]["lookahead_bytes"]:
        found.append("All frames fit the memory, so each is decoded once an epoch, whatever the order.")
    else:
        found += _store(facts, row)
    law = chosen["law"]["name"]
    other = f"would take {law}; it was measured too, and is not ahead."
    same = "recommends the same."
    return [*found, f"The cost model of docs/bias.md, section 9, {same if law == chosen['name'] else other}"]


def _store(facts: Facts, row: Facts) -> list[str]:
    """Return what frames that are kept decoded would change."""
    data, settings = facts["data"], facts["settings"]
    if row["decoded_per_image"] <= DECODED_ONCE:
        return []
    gb = data["frames"] * settings["frame_bytes"] / 1e9
    return [
        f"It decodes {number(row['decoded_per_image'])} frames for each image, in every epoch. With data.store=auto "
        f"that is 1 at most in the first and 0 in all others, whatever the order (F72): `sampler=uniform` then costs "
        f"no more than any other. That takes {number(gb)} GB of disk raw, about half of it lossless."
    ]


def _rate(row: Facts) -> str:
    return number(row["effective_images_per_s"]["long"])


def _other(row: Facts) -> str:
    biased = "" if row["exact_uniform"] else ", biased"
    speed, deff = number(row["images_per_s"]), number(row["deff"]["long"])
    return f"{row['name']} {_rate(row)} ({speed} images/s, design effect {deff}{biased})"


def _unbiased(row: Facts) -> str:
    if not row["exact_uniform"]:
        return "Not every frame is equally likely at each position: use the batch's weights, or another sampler."
    once = ", and comes once an epoch" if row["epoch_complete"] else ""
    return f"Each frame is equally likely at each position{once}: the expected gradient is unbiased."


def _notes(facts: Facts) -> list[str]:
    """Return what is to be said of single contenders."""
    rows, frames, remembered = facts["contenders"], facts["data"]["frames"], facts["settings"]["momentum_slots"]
    runs = [row for row in rows if isinstance(row["chunk"], int)]
    joined = [row["name"] for row in runs if row["decoded_per_image"] < 0.95 * row["decoded_per_image_theory"]]
    notes = [f"The look-ahead joins runs of {listed(joined)}: fewer frames are decoded than one by one."] * bool(joined)
    notes += [f"{row['name']}: {warning}" for row in rows for warning in row["measured"]["warnings"]]
    if any(value is None for row in rows for value in row["effective_images_per_s"].values()):
        notes.append("–: by its law the sum does not vary at all: so short an epoch is nearly complete by then.")
    known = [row for row in rows if row["exact_uniform"] and row["measured"]["deff_batch"] is not None]
    real = [(row["name"], row["deff"]["batch"], row["measured"]["deff_batch"]) for row in known]
    if off := [name for name, law, measured in real if abs(law - measured) > OFF * measured]:
        notes.append(f"*deff batch* is off for {listed(off)}: compare the one that was measured, further down.")
    if frames < remembered:
        notes.append(
            f"An epoch of {frames} frames is shorter than what momentum remembers ({remembered} images): there the "
            "design effect says most of all that an epoch has each frame once. Follow the long run."
        )
    return notes


def _of_slots(row: Facts, each_once: bool | None) -> Facts:
    """Return what is said of a contender's single slots in words."""
    counted = {True: "each once", False: "NOT each once", None: "–"}[each_once]
    return {"times": " to ".join(dict.fromkeys(map(number, row["inclusion"]))), "counted": counted}


def _verdict(test: Facts) -> str:
    if test["should_fail"]:
        return "biased, as it should be" if test["as_it_should"] else "too few draws to see its bias"
    return "uniform" if test["as_it_should"] else "NOT uniform"


def _how(facts: Facts) -> dict[str, Any]:
    """Return what is said of how everything was found."""
    data, costs, found = facts["data"], facts["costs"], facts["correlation"]
    pilot, copies = found["pilot"], data["videos"] - data["different_videos"]
    windows = f"{pilot['runs']} windows and {pilot['pairs']} independent pairs"
    model = f"beyond {found['lag'][-1]} frames is the fitted model's"
    return {
        "different": f", {data['different_videos']} of them different" if copies else "",
        "sizes": _kinds(data["sizes"], FEW, "sizes"),
        "codecs": _kinds(data["codecs"], len(data["codecs"]), "codecs"),
        "gpu": facts["machine"]["gpu"] or "no GPU",
        "mib": facts["settings"]["lookahead_bytes"] / 2**20,
        "looked": "all of them" if pilot["whole"] else windows,
        "beyond": "was measured at all distances" if found["beyond"] == "measured" else model,
        "milliseconds": {name: 1e3 * costs[f"{name}_seconds"] for name in ("seek", "decode", "deliver")},
        "percent": {name: 100 * costs[name] for name in ("relative_error", "cpu_share")},
        "crowded": " Something else wanted it too: repeat the report." if costs["cpu_share"] < CROWDED else "",
    }


def _kinds(counts: Mapping[str, int], few: int, what: str) -> str:
    """Return what there is and how many of each; of more than `few`, which are in order, the first and the last.

    >>> _kinds({"h264": 3}, 3, "codecs"), _kinds({"h264": 3, "vp9": 1}, 3, "codecs")
    ('h264', 'h264 (3) and vp9 (1)')
    """
    names = list(counts)
    if len(names) == 1:
        return names[0]
    if len(names) <= few:
        return listed([f"{name} ({many})" for name, many in counts.items()])
    return f"{len(names)} {what} from {names[0]} to {names[-1]}"
