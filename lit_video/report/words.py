"""Facts -> report.md, which a stranger can read: what to do and why comes first, and how it was found later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lit_video.report.facts import Facts, horizon_words

CROWDED = 0.8  # share of a core that a decoding thread had, below which other programs may have had the rest

PICTURES = {
    "throughput_batch.png": """
Right is faster, up is more worth; along a dashed line the effective images/s are the same. Of the filled points, only
those that the dark line joins or rings are worth choosing from: any other is beaten in speed and in worth. Hollow: biased.
""",
    "throughput_momentum.png": """
The same, where a gradient is an average over batches, as momentum makes it: batches that show the same stretches of
video are worth less together than each alone.
""",
    "throughput_long.png": """
The same over many batches. Mixing hides the likeness of neighbours from one batch; here it is back. This is the
picture that the recommendation follows.
""",
    "correlation.png": """
1: the same gradient; 0: as different as frames taken at random. The longer it stays high, the less a run of
neighbouring frames is worth. The band is where R would lie 95 times in 100 with other footage of this kind.
""",
    "deff_by_horizon.png": """
How many times noisier the sum of so many images in a row is than that of independent ones. Lines are the samplers'
laws with the R above; points, where there are any, are their real orders. Above 1 images repeat each other; far below,
the end of an epoch is near, and everything has been shown.
""",
    "run_length.png": """
How long training takes with runs of k frames from anywhere, relative to single frames: J(k)/J(1), lower is better, and
the dot is the best k. Where noise limits training, long runs may cost more than they save.
""",
    "lookahead.png": """
More memory lets one decoding of a GOP serve more frames: little is gained up to about one wanted frame in a GOP, and
from there on the cost falls with the memory. The formula is for look-aheads far shorter than an epoch.
""",
    "inclusion.png": """
What bias looks like. Windows that slide within their video reach its ends too rarely: the counts, with two standard
errors, lie on the exact law. The chunks of this package reach every frame once.
""",
}


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


def write_words(facts: Facts, pictures: Iterable[str]) -> str:
    """Return report.md."""
    parts = _recommendation, _side_by_side, lambda facts: _pictures(pictures), _measured, _bias, _how
    return "\n\n".join([*(part(facts) for part in parts), LIMITS]) + "\n"


def _recommendation(facts: Facts) -> str:
    chosen = facts["recommendation"]
    listed = "\n".join(f"- {reason}" for reason in chosen["reasons"])
    return f"# Take {chosen['name']}\n\n```\n{chosen['command']}\n```\n\n{listed}"


def _side_by_side(facts: Facts) -> str:
    horizons, words = facts["horizons"], horizon_words(facts["settings"]["batch_size"])
    header = ["sampler", "images/s", "±", "decoded", "theory"]
    header += [f"deff {horizon}" for horizon in horizons] + [f"eff. images/s {horizon}" for horizon in horizons]
    weighed = ", weighed by the noise scale (F42)" if facts["options"]["noise_scale"] else ""
    explained = f"""
        *images/s*: what whole epochs would give, from what was measured; ± is its standard error. *decoded*: frames
        decoded per image in an epoch; *theory*: what docs/bias.md says of it (F48 for uniform order;
        1 + (L − 1)/(2k) for runs of k decoded one by one, less where the look-ahead joins runs; 1 for GOPs). *deff*:
        design effect over {"; ".join(f"*{horizon}*, {words[horizon]}" for horizon in horizons)}.
        *eff. images/s*: images/s over the design effect{weighed}.
        """
    return "\n\n".join(
        [
            "## Side by side",
            table(header, (_row(row, horizons) for row in facts["contenders"])),
            paragraph(explained),
            *_notes(facts),
        ]
    )


def _row(row: Facts, horizons: Sequence[str]) -> list[str]:
    values = [row[key] for key in ("images_per_s", "standard_error", "decoded_per_image", "decoded_per_image_theory")]
    values += [row["deff"][horizon] for horizon in horizons]
    values += [row["effective_images_per_s"][horizon] for horizon in horizons]
    return [row["name"], *map(number, values)]


def _notes(facts: Facts) -> list[str]:
    """Return what is to be said of single contenders."""
    rows, frames, remembered = facts["contenders"], facts["data"]["frames"], facts["settings"]["momentum_slots"]
    runs = [row for row in rows if isinstance(row["chunk"], int)]
    joined = [row["name"] for row in runs if row["decoded_per_image"] < 0.95 * row["decoded_per_image_theory"]]
    notes = [f"The look-ahead joins runs of {listed(joined)}: fewer frames are decoded than one by one."] * bool(joined)
    notes += [f"{row['name']}: {warning}" for row in rows for warning in row["measured"]["warnings"]]
    if any(value is None for row in rows for value in row["effective_images_per_s"].values()):
        notes.append("–: by its law the sum does not vary at all: so short an epoch is nearly complete by then.")
    if frames < remembered:
        notes.append(
            f"An epoch of {frames} frames is shorter than what momentum remembers ({remembered} images): there the "
            "design effect says most of all that an epoch has each frame once. Follow the long run."
        )
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def _pictures(pictures: Iterable[str]) -> str:
    shown = [f"![{name[:-4].replace('_', ' ')}]({name})\n\n{paragraph(PICTURES[name])}" for name in pictures]
    return "## Pictures\n\n" + "\n\n".join(shown)


def _measured(facts: Facts) -> str:
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


def _bias(facts: Facts) -> str:
    inclusion = facts["inclusion"]
    header = ["sampler", "TV", "χ", "largest weight", "times in an epoch", "batch worth", "counted"]
    rows = [
        [
            row["name"],
            *(number(row[key]) for key in ("tv", "chi", "largest_weight")),
            " to ".join(dict.fromkeys(map(number, row["inclusion"]))),
            number(row["effective_batch_size"]["batch"]),
            {True: "each once", False: "NOT each once", None: "–"}[inclusion["each_once"].get(row["name"])],
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


def _verdict(test: Facts) -> str:
    if test["should_fail"]:
        return "biased, as it should be" if test["as_it_should"] else "too few draws to see its bias"
    return "uniform" if test["as_it_should"] else "NOT uniform"


def _how(facts: Facts) -> str:
    parts = _videos, _machine, _likeness, _speed, _costs
    last = f"All of it took {number(facts['seconds'])} s. Every number is in report.json."
    return "## How this was found\n\n" + "\n".join(f"- {text}" for text in [*(part(facts) for part in parts), last])


def _videos(facts: Facts) -> str:
    data = facts["data"]
    copies = "" if data["different_videos"] == data["videos"] else f", {data['different_videos']} of them different"
    return (
        f"Videos: {data['videos']}{copies}; {data['frames']} frames, {data['width']}×{data['height']}, {data['codec']}; "
        f"{data['gops']} GOPs of {data['gop_length']['least']} to {data['gop_length']['most']} frames. First: "
        f"{data['first_path']}"
    )


def _machine(facts: Facts) -> str:
    machine, settings = facts["machine"], facts["settings"]
    return (
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['gpu'] or 'no GPU'}; {settings['threads']} "
        f"decoding threads. Batches of {settings['batch_size']}, frames of {settings['height']}×{settings['width']}, "
        f"{settings['lookahead_bytes'] / 2**20:.0f} MiB for frames that wait, decoder {settings['decoder']}, transform "
        f"{settings['transform']}, seed {settings['seed']}."
    )


def _likeness(facts: Facts) -> str:
    found, pilot = facts["correlation"], facts["correlation"]["pilot"]
    looked = "all of them" if pilot["whole"] else f"{pilot['runs']} windows and {pilot['pairs']} independent pairs"
    measured = found["beyond"] == "measured"
    beyond = "was measured at all distances" if measured else f"beyond {found['lag'][-1]} frames is the fitted model's"
    return (
        f"Features: {found['features']['what']} R is from {pilot['frames']} frames, {looked}. Its interval comes from "
        f"{found['bootstrap_words']}. R {beyond}."
    )


def _speed(facts: Facts) -> str:
    options = facts["options"]
    return (
        f"Speed: the loader of training; {options['rounds']} rounds in which contenders took turns, each with one batch "
        f"to warm up; {number(options['seconds'])} s or {options['images']} images for each. The transform is not timed. "
        "Frames that were decoded and wait for their turn count as made, and what an epoch decodes is planned to its "
        "end, so that a few seconds tell what an epoch would."
    )


def _costs(facts: Facts) -> str:
    costs = facts["costs"]
    milliseconds = [number(1e3 * costs[f"{name}_seconds"]) for name in ("seek", "decode", "deliver")]
    crowded = " Something else wanted it too: repeat the report." if costs["cpu_share"] < CROWDED else ""
    return (
        f"Cost of reads, from {costs['num_reads']} of them: {milliseconds[0]} ms a read, {milliseconds[1]} ms a frame "
        f"decoded, {milliseconds[2]} ms more a frame wanted; half of all reads are within "
        f"{number(100 * costs['relative_error'])} % of this. Their threads had a core {number(100 * costs['cpu_share'])} "
        f"% of the time.{crowded}"
    )


LIMITS = """\
## What it does not tell

- How alike gradients are in your training. R changes with the model, its augmentation and its progress, and single
  directions of the gradient may be more alike than their sum. Measure again with labels, and later in training.
- What conditional and dynamic bias do (docs/bias.md, section 7): design effects are variances at fixed parameters.
- Speed with a model that needs the same cores, with a cold disk, on several ranks, or in other processes.
- More than this machine did in these seconds: repeat it, and look at the ±."""
