"""Facts -> report.md, which a stranger can read: what to do and why comes first, and how it was found later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

OFF = 0.25  # share by which a law may differ from what was measured before that is said
CROWDED = 0.8  # share of a core that a decoding thread had, below which other programs may have had the rest
FEW = 3  # sizes or codecs that are named one by one

HORIZON_WORDS = {
    "batch": "one batch of {batch_size}",
    "momentum": "a moving average of batches, momentum 0.9",
    "long": "many batches",
}

PICTURES = {
    "throughput.png": """
Circles: images/s, with their 95 % interval in this measurement. Diamonds: as many independent images would do the same
for the gradient over many batches; their interval has that of R in it, too. The further a diamond lies to the left, the
more images repeat each other. Where intervals overlap, the measurement cannot tell which is better. Hollow: biased.
""",
    "correlation.png": """
1: the same gradient; 0: as different as frames taken at random. The longer it stays high, the less a run of
neighbouring frames is worth. The band is where R would lie 95 times in 100 with other footage of this kind.
""",
    "deff_by_horizon.png": """
How many times noisier the sum of so many images in a row is than that of independent ones. Lines are the samplers'
laws with the R above; points, where there are any, are their real orders, with one standard deviation. Above 1 images
repeat each other; far below, the end of an epoch is near, and everything has been shown. Mixing hides the likeness of
neighbours from one batch; over many it is back.
""",
    "lookahead.png": """
More memory lets one decoding of a GOP serve more frames: little is gained up to about one wanted frame in a GOP, and
from there on the cost falls with the memory. The formula is for look-aheads far shorter than an epoch.
""",
}

LIMITS = """\
## What it does not tell

- How alike gradients are in your training. R changes with the model, its augmentation and its progress, and single
  directions of the gradient may be more alike than their sum. Measure again with labels, and later in training.
- What conditional and dynamic bias do (docs/bias.md, section 7): design effects are variances at fixed parameters.
- Speed with a model that needs the same cores, with a cold disk, on several ranks, or in other processes.
- More than this machine did in these seconds: repeat it, and look at the ±."""


def number(value: float | None) -> str:
    """Return a number as the report writes it: three digits, or all of a large one.

    >>> number(0.12345), number(48.712), number(2431.4), number(None)
    ('0.123', '48.7', '2431', '–')
    """
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table, the first column to the left and the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def paragraph(text: str) -> str:
    """Return `text` on one line."""
    return " ".join(text.split())


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def write_document(facts: Mapping[str, Any], pictures: Iterable[str]) -> str:
    """Return report.md."""
    shown = [f"![{name[:-4].replace('_', ' ')}]({name})\n\n{paragraph(PICTURES[name])}" for name in pictures]
    parts = [_recommendation(facts), _side_by_side(facts), "## Pictures\n\n" + "\n\n".join(shown)]
    return "\n\n".join([*parts, _measurement(facts), _bias(facts), _method(facts), LIMITS]) + "\n"


def _recommendation(facts: Mapping[str, Any]) -> str:
    chosen = facts["recommendation"]
    what = " ".join(chosen["overrides"]) or chosen["name"]
    reasons = "\n".join(f"- {reason}" for reason in chosen["reasons"])
    return f"# Take `{what}`\n\n```\n{chosen['command']}\n```\n\n{reasons}"


def reasons(facts: Mapping[str, Any]) -> list[str]:
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
        rates = "; ".join(
            f"{one['name']} {_rate(one)} ({number(one['images_per_s'])} images/s, design effect "
            f"{number(one['deff']['long'])}{'' if one['exact_uniform'] else ', biased'})"
            for one in others
        )
        found.append(f"Effective images/s of others: {rates}.")
    found.append(_unbiased(row))
    if facts["data"]["frames"] * facts["settings"]["frame_bytes"] <= facts["settings"]["lookahead_bytes"]:
        found.append("All frames fit the memory, so each is decoded once an epoch, whatever the order.")
    law = chosen["law"]["name"]
    model = "The cost model of docs/bias.md, section 9, "
    other = f"would take {law}; it was measured too, and is not ahead."
    return [*found, model + ("recommends the same." if law == chosen["name"] else other)]


def _rate(row: Mapping[str, Any]) -> str:
    return number(row["effective_images_per_s"]["long"])


def _unbiased(row: Mapping[str, Any]) -> str:
    if not row["exact_uniform"]:
        return "Not every frame is equally likely at each position: use the batch's weights, or another sampler."
    once = ", and comes once an epoch" if row["epoch_complete"] else ""
    return f"Each frame is equally likely at each position{once}: the expected gradient is unbiased."


def _side_by_side(facts: Mapping[str, Any]) -> str:
    horizons, batch_size = facts["horizons"], facts["settings"]["batch_size"]
    header = ["sampler", "images/s", "±", "decoded", "theory"]
    header += [f"deff {horizon}" for horizon in horizons] + [f"eff. images/s {horizon}" for horizon in horizons]
    weighed = ", weighed by the noise scale (F42)" if facts["options"]["noise_scale"] else ""
    over = "; ".join(f"*{horizon}*, {HORIZON_WORDS[horizon].format(batch_size=batch_size)}" for horizon in horizons)
    explained = f"""
        *images/s*: what whole epochs would give, from what was measured; ± is half of its 95 % interval. *decoded*:
        frames decoded per image in an epoch; *theory*: what docs/bias.md says of it (F48 for uniform order;
        1 + (L − 1)/(2k) for runs of k decoded one by one, less where the look-ahead joins runs; 1 for GOPs). *deff*:
        design effect over {over}. *eff. images/s*: images/s over the design effect{weighed}.
        """
    rows = (_side(row, horizons) for row in facts["contenders"])
    return "\n\n".join(["## Side by side", table(header, rows), paragraph(explained), *_notes(facts)])


def _side(row: Mapping[str, Any], horizons: Sequence[str]) -> list[str]:
    values = [row[key] for key in ("images_per_s", "interval", "decoded_per_image", "decoded_per_image_theory")]
    values += [row["deff"][horizon] for horizon in horizons]
    values += [row["effective_images_per_s"][horizon] for horizon in horizons]
    return [row["name"], *map(number, values)]


def _notes(facts: Mapping[str, Any]) -> list[str]:
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
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def _measurement(facts: Mapping[str, Any]) -> str:
    """Return what the contenders did."""
    header = ["sampler", "images/s", "s", "first batch s", "waited s", "decoded", "look-ahead", "frames held", "deff"]
    keys = ("images_per_s", "seconds", "first_batch_seconds", "wait_seconds", "decoded_per_image")
    rows = [
        [
            row["name"],
            *(number(row["measured"][key]) for key in keys),
            row["lookahead"],
            row["measured"]["peak_held_frames"],
            number(row["measured"]["deff_batch"]),
        ]
        for row in facts["contenders"]
    ]
    explained = """
        In the seconds that were measured, *s*, after the first batch. Nothing consumes the batches, so nearly all of
        the time is waiting. *look-ahead*: in positions. *deff*: of batches of the real orders, where every frame was
        decoded; held against *deff batch* above, it checks the law.
        """
    return "\n\n".join(["## What was measured", table(header, rows), paragraph(explained)])


def _bias(facts: Mapping[str, Any]) -> str:
    """Return the laws of single slots, and the tests of them."""
    inclusion = facts["inclusion"]
    header = ["sampler", "TV", "χ", "largest weight", "times in an epoch", "batch worth", "counted"]
    counted = {True: "each once", False: "NOT each once", None: "–"}
    rows = [
        [
            row["name"],
            *(number(row[key]) for key in ("tv", "chi", "largest_weight")),
            " to ".join(dict.fromkeys(map(number, row["inclusion"]))),
            number(row["effective_batch_size"]["batch"]),
            counted[inclusion["each_once"].get(row["name"])],
        ]
        for row in facts["contenders"]
    ]
    tests = [
        [test["name"], test["statistic"], number(test["p_value"]), number(test["adjusted"]), _verdict(test)]
        for test in inclusion["tests"]
    ]
    explained = f"""
        *TV*: share of the draws that go to the wrong frames; *χ*: times the spread of the gradients, the largest bias;
        *batch worth*: independent frames that a batch is worth. *counted*: whether each of {inclusion["epochs"]}
        epochs had each frame exactly once. A sequential order has no bias over an epoch, and all of it in each batch.
        """
    last = table(["test", "statistic", "p", "p by Holm", "verdict"], tests)
    return "\n\n".join(["## Bias", table(header, rows), paragraph(explained), last])


def _verdict(test: Mapping[str, Any]) -> str:
    if test["should_fail"]:
        return "biased, as it should be" if test["as_it_should"] else "too few draws to see its bias"
    return "uniform" if test["as_it_should"] else "NOT uniform"


def _method(facts: Mapping[str, Any]) -> str:
    """Return how everything was found."""
    options, settings, machine = facts["options"], facts["settings"], facts["machine"]
    parts = [
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['gpu'] or 'no GPU'}; {settings['threads']} "
        f"decoding threads. Batches of {settings['batch_size']}, frames of {settings['height']}×{settings['width']}, "
        f"{settings['lookahead_bytes'] / 2**20:.0f} MiB for frames that wait, decoder {settings['decoder']}, transform "
        f"{settings['transform']}, seed {settings['seed']}.",
        _likeness(facts["correlation"]),
        f"Speed: the loader of training; {options['rounds']} rounds in which contenders took turns, each with one "
        f"batch to warm up; {number(options['seconds'])} s or {options['images']} images for each. The transform is "
        "not timed. Frames that were decoded and wait for their turn count as made, and what an epoch decodes is "
        "planned to its end, so that a few seconds tell what an epoch would.",
        _costs(facts["costs"]),
        f"All of it took {number(facts['seconds'])} s. Every number is in report.json.",
    ]
    return "## How this was found\n\n" + "\n".join(f"- {text}" for text in [_videos(facts["data"]), *parts])


def _videos(data: Mapping[str, Any]) -> str:
    copies = "" if data["different_videos"] == data["videos"] else f", {data['different_videos']} of them different"
    return (
        f"Videos: {data['videos']}{copies}; {data['frames']} frames; {_kinds(data['sizes'], 'sizes')}; "
        f"{_kinds(data['codecs'], 'codecs')}; {data['gops']} GOPs of {data['gop_length']['least']} to "
        f"{data['gop_length']['most']} frames. First: {data['first_path']}"
    )


def _kinds(counts: Mapping[str, int], what: str) -> str:
    """Return what there is and how many of each; of many sizes, which are in order, the first and the last.

    >>> _kinds({"h264": 3}, "codecs"), _kinds({"h264": 3, "vp9": 1}, "codecs")
    ('h264', 'h264 (3) and vp9 (1)')
    """
    if len(counts) == 1:
        return next(iter(counts))
    if len(counts) <= FEW or what == "codecs":
        return listed([f"{name} ({many})" for name, many in counts.items()])
    names = list(counts)
    return f"{len(counts)} {what} from {names[0]} to {names[-1]}"


def _likeness(found: Mapping[str, Any]) -> str:
    pilot = found["pilot"]
    looked = "all of them" if pilot["whole"] else f"{pilot['runs']} windows and {pilot['pairs']} independent pairs"
    measured = found["beyond"] == "measured"
    beyond = "was measured at all distances" if measured else f"beyond {found['lag'][-1]} frames is the fitted model's"
    return (
        f"Features: {found['features']['what']} R is from {pilot['frames']} frames, {looked}. Its interval comes from "
        f"{found['bootstrap_words']}. R {beyond}."
    )


def _costs(costs: Mapping[str, Any]) -> str:
    milliseconds = [number(1e3 * costs[f"{name}_seconds"]) for name in ("seek", "decode", "deliver")]
    crowded = " Something else wanted it too: repeat the report." if costs["cpu_share"] < CROWDED else ""
    return (
        f"Cost of reads, from {costs['num_reads']} of them: {milliseconds[0]} ms a read, {milliseconds[1]} ms a frame "
        f"decoded, {milliseconds[2]} ms more a frame wanted; half of all reads are within "
        f"{number(100 * costs['relative_error'])} % of this. Their threads had a core "
        f"{number(100 * costs['cpu_share'])} % of the time.{crowded}"
    )
