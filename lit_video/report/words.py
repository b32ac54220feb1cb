"""Facts -> report.md, which a stranger can read: what to do and why comes first, and how it was found later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lit_video.report.facts import Facts, horizon_words

PICTURES = {
    "throughput_batch.png": "Right is faster, up is more worth. Along a dashed line the effective images/s are the same. "
    "Only the points on the dark line are worth choosing from: any other is beaten in speed and in worth.",
    "throughput_momentum.png": "The same, where a gradient is an average over batches, as momentum makes it: batches "
    "that show the same stretches of video are worth less together than each alone.",
    "throughput_long.png": "The same over many batches. Mixing hides the likeness of neighbours from one batch; here it "
    "is back. This is the picture that the recommendation follows.",
    "correlation.png": "1: the same gradient; 0: as different as frames taken at random. The longer it stays high, the "
    "less a run of neighbouring frames is worth. The band is where R would lie 95 times in 100 with other footage of "
    "this kind.",
    "deff_by_horizon.png": "How many times noisier the sum of so many images in a row is than that of independent ones. "
    "Lines are the samplers' laws with the R above; points, where there are any, are their real orders. Above 1 images "
    "repeat each other; below, an epoch nears its end and has shown everything.",
    "run_length.png": "How long training takes with runs of k frames from anywhere, relative to single frames; lower is "
    "better, and the dot is the best k. Where noise limits training, long runs soon cost more than they save.",
    "lookahead.png": "More memory lets one decoding of a GOP serve more frames: nothing is gained up to about one wanted "
    "frame in a GOP, and from there on the cost falls with the memory.",
    "inclusion.png": "What bias looks like. Windows that slide within their video reach its ends too rarely (round "
    "points, on the exact law); the chunks of this package reach every frame once.",
}


def number(value: float | None) -> str:
    """Return a number as the report writes it: three digits, or all of a large one.

    >>> number(0.12345), number(48.712), number(2431.4), number(None)
    ('0.123', '48.7', '2431', '–')
    """
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_words(facts: Facts, pictures: Iterable[str]) -> str:
    """Return report.md."""
    parts = [
        _recommendation(facts),
        _table(facts),
        _pictures(list(pictures)),
        _bias(facts),
        _how(facts),
        _limits(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _recommendation(facts: Facts) -> str:
    chosen = facts["recommendation"]
    reasons = "\n".join(f"- {reason}" for reason in chosen["reasons"])
    return f"# Take {chosen['name']}\n\n```\n{chosen['command']}\n```\n\n{reasons}"


def reasons(facts: Facts) -> list[str]:
    """Return why the recommended contender is recommended, in sentences."""
    chosen, rows = facts["recommendation"], {row["name"]: row for row in facts["contenders"]}
    row = rows[chosen["name"]]
    low, high = row["deff_low"]["long"], row["deff_high"]["long"]
    between = "" if low == high else f" (between {number(low)} and {number(high)})"
    found = [
        f"It makes {number(row['images_per_s'])} images/s here. In the long run an image has a design effect of "
        f"{number(row['deff']['long'])}{between}: that is {number(_long(row))} effective images/s, as many independent "
        "frames as would give an equally good gradient. Of what was measured and is unbiased, nothing gives more"
        + (", but for what is within 5 % and more clustered." if chosen["tied_with"] else ".")
    ]
    others = [rows[name] for name in chosen["best_of_others"]]
    if others:
        listed = "; ".join(
            f"{other['name']} {number(_long(other))} ({number(other['images_per_s'])} images/s, design effect "
            f"{number(other['deff']['long'])})"
            for other in others
        )
        found.append(f"Effective images/s of others: {listed}.")
    found.append(
        "Each frame is equally likely at each position, and comes once in an epoch: the expected gradient is unbiased."
        if row["exact_uniform"] and row["epoch_complete"]
        else "Not every frame is equally likely at each position: use the batch's weights, or another sampler."
    )
    if facts["data"]["frames"] * facts["settings"]["frame_bytes"] <= facts["settings"]["lookahead_bytes"]:
        found.append("All frames fit the memory, so each is decoded once an epoch whatever the order.")
    found.append(_law_agrees(facts))
    return found


def _long(row: Facts) -> float | None:
    return row["effective_images_per_s"]["long"]


def _law_agrees(facts: Facts) -> str:
    chosen, law = facts["recommendation"], facts["recommendation"]["law"]
    if chosen["name"] == law["name"]:
        return "The cost model of docs/bias.md, section 9, recommends the same."
    return f"The cost model of docs/bias.md, section 9, would take {law['name']}; it was measured, and it is not ahead."


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table, the first column to the left and the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _table(facts: Facts) -> str:
    header = ["sampler", "images/s", "±", "decoded", "theory"]
    header += [f"deff {horizon}" for horizon in facts["horizons"]]
    header += [f"eff. images/s {horizon}" for horizon in facts["horizons"]]
    words = horizon_words(facts["settings"]["batch_size"])
    explained = "; ".join(f"*{horizon}*: {words[horizon]}" for horizon in facts["horizons"])
    return "\n\n".join(
        [
            "## Side by side",
            table(header, (_row(row, facts) for row in facts["contenders"])),
            "*images/s*: what a whole epoch would give, from what was measured; ± is its standard error. *decoded*: "
            "frames decoded per image in an epoch; *theory*: what docs/bias.md says of it (F48 for uniform order; "
            "1 + (L − 1)/(2k) for runs of k decoded one by one, less where the look-ahead joins runs; 1 for GOPs). "
            f"*deff*: design effect, {explained}. *eff. images/s*: images/s over the design effect"
            + (", weighed by the noise scale." if facts["options"]["noise_scale"] else "."),
            *_notes(facts),
        ]
    )


def _row(row: Facts, facts: Facts) -> list[str]:
    values = [row[key] for key in ("images_per_s", "standard_error", "decoded_per_image", "decoded_per_image_theory")]
    values += [row["deff"][horizon] for horizon in facts["horizons"]]
    values += [row["effective_images_per_s"][horizon] for horizon in facts["horizons"]]
    return [row["name"], *map(number, values)]


def _notes(facts: Facts) -> list[str]:
    """Return what is to be said of single contenders."""
    runs = [row for row in facts["contenders"] if isinstance(row["chunk"], int)]
    joined = [row["name"] for row in runs if row["decoded_per_image"] < 0.95 * row["decoded_per_image_theory"]]
    notes = [f"The look-ahead joins neighbouring runs of {_listed(joined)}: fewer frames are decoded than one by one."]
    notes = notes if joined else []
    for row in facts["contenders"]:
        notes += [f"{row['name']}: {warning}" for warning in row["measured"]["warnings"]]
    if any(value is None for row in facts["contenders"] for value in row["effective_images_per_s"].values()):
        notes.append("–: one batch holds the whole epoch, so its sum does not vary at all.")
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def _pictures(pictures: Sequence[str]) -> str:
    shown = [f"![{name[:-4].replace('_', ' ')}]({name})\n\n{PICTURES[name]}" for name in pictures]
    return "## Pictures\n\n" + "\n\n".join(shown)


def _bias(facts: Facts) -> str:
    header = ["sampler", "TV", "χ", "largest weight", "times in an epoch", "batch worth", "counted"]
    inclusion = facts["inclusion"]
    rows = [
        [
            row["name"],
            number(row["tv"]),
            number(row["chi"]),
            number(row["largest_weight"]),
            " to ".join(dict.fromkeys(map(number, row["inclusion"]))),
            number(row["effective_batch_size"]["batch"]),
            {True: "each once", False: "NOT each once", None: "–"}[inclusion["each_once"].get(row["name"])],
        ]
        for row in facts["contenders"]
    ]
    tests = [[test["name"], test["statistic"], number(test["p_value"]), number(test["adjusted"]), _verdict(test)]
             for test in inclusion["tests"]]  # fmt: skip
    return "\n\n".join(
        [
            "## Bias",
            table(header, rows),
            "*TV*: share of the draws that go to the wrong frames; *χ*: times the spread of the gradients, the largest "
            "bias; *batch worth*: independent frames that a batch is worth. *counted*: whether each of "
            f"{inclusion['epochs']} epochs had each frame exactly once. A sequential order has no bias over an epoch "
            "and all of it in each batch.",
            table(["test", "statistic", "p", "p by Holm", "verdict"], tests),
        ]
    )


def _verdict(test: Facts) -> str:
    if test["should_fail"]:
        return "biased, as it should be" if test["as_it_should"] else "too few draws to see its bias"
    return "uniform" if test["as_it_should"] else "NOT uniform"


def _how(facts: Facts) -> str:
    data, likeness, costs, machine = facts["data"], facts["correlation"], facts["costs"], facts["machine"]
    settings, pilot = facts["settings"], likeness["pilot"]
    copies = "" if data["different_videos"] == data["videos"] else f", {data['different_videos']} of them different"
    looked = "all of them" if pilot["whole"] else f"{pilot['runs']} windows and {pilot['pairs']} independent pairs"
    beyond = "was measured at all distances" if likeness["beyond"] == "measured" else (
        f"is the fitted model's beyond a distance of {likeness['lag'][-1]} frames"
    )  # fmt: skip
    return "\n".join(
        [
            "## How this was found",
            "",
            f"- Videos: {data['videos']}{copies}; {data['frames']} frames, {data['width']}×{data['height']}, "
            f"{data['codec']}; {data['gops']} GOPs of {data['gop_length']['least']} to {data['gop_length']['most']} "
            f"frames. First: {data['first_path']}",
            f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['gpu'] or 'no GPU'}; "
            f"{settings['threads']} decoding threads; others may have used it as well.",
            f"- Settings: batches of {settings['batch_size']}, frames of {settings['height']}×{settings['width']}, "
            f"{settings['lookahead_bytes'] / 2**20:.0f} MiB for frames that wait, decoder {settings['decoder']}, "
            f"transform {settings['transform']}, seed {settings['seed']}.",
            f"- Features: {likeness['features']['what']}",
            f"- R: from {pilot['frames']} frames ({looked}). The interval is that of "
            f"{likeness['bootstrap_words']}. R {beyond}.",
            f"- Speed: the loader of training, one batch to warm up, then {number(facts['options']['seconds'])} s or "
            f"{facts['options']['images']} images; nothing consumes the batches, and the transform is not timed. "
            "Frames that were decoded and wait for their turn count as made.",
            f"- Cost of reads, from {costs['num_reads']} of them: {number(1e3 * costs['seek_seconds'])} ms a read, "
            f"{number(1e3 * costs['decode_seconds'])} ms a frame decoded, {number(1e3 * costs['deliver_seconds'])} ms "
            f"more a frame wanted; the fit is off by {number(100 * costs['relative_error'])} % of the mean.",
            f"- All of it took {number(facts['seconds'])} s. Every number is in report.json.",
        ]
    )


def _limits(facts: Facts) -> str:
    return "\n".join(
        [
            "## What it does not tell",
            "",
            "- How alike gradients are in your training: R changes with the model, its augmentation and its progress, "
            "and single directions of the gradient may be more alike than their sum. Measure again with labels.",
            "- What conditional and dynamic bias do (docs/bias.md, section 7): design effects are variances at fixed "
            "parameters.",
            "- Speed with a model that needs the same cores, with a cold disk, or on several ranks.",
            "- More than this machine did in these seconds: repeat it, and compare the ±.",
        ]
    )
