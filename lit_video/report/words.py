"""Facts -> report.md, which a stranger can read: what to do and why comes first, and how it was found later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lit_video.report.facts import Facts, horizon_words
from lit_video.report.markdown import listed, number, paragraph, table
from lit_video.report.method import LIMITS, describe_bias, describe_measurement, describe_method

OFF = 0.25  # share by which a law may differ from what was measured before that is said

PICTURES = {
    "throughput_batch.png": """
Right is faster, up is more worth; along a dashed line the effective images/s are the same. Of the filled points, only
those that the dark line joins or rings are worth choosing from: others are beaten in speed and worth. Hollow: biased.
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


def write_words(facts: Facts, pictures: Iterable[str]) -> str:
    """Return report.md."""
    parts = (
        _recommendation,
        _side_by_side,
        lambda facts: _pictures(pictures),
        describe_measurement,
        describe_bias,
        describe_method,
    )
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
    off = [row["name"] for row in rows if _law_is_off(row)]
    if off:
        notes.append(f"*deff batch* is off for {listed(off)}: compare the one that was measured, further down.")
    if frames < remembered:
        notes.append(
            f"An epoch of {frames} frames is shorter than what momentum remembers ({remembered} images): there the "
            "design effect says most of all that an epoch has each frame once. Follow the long run."
        )
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def _law_is_off(row: Facts) -> bool:
    """Tell whether batches of the real orders have another design effect than the law says."""
    measured, law = row["measured"]["deff_batch"], row["deff"]["batch"]
    return measured is not None and row["exact_uniform"] and abs(law - measured) > OFF * measured


def _pictures(pictures: Iterable[str]) -> str:
    shown = [f"![{name[:-4].replace('_', ' ')}]({name})\n\n{paragraph(PICTURES[name])}" for name in pictures]
    return "## Pictures\n\n" + "\n\n".join(shown)
