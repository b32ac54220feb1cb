"""The later parts of report.md: what was measured, bias, how everything was found, and what it does not tell."""

from __future__ import annotations

from lit_video.report.facts import Facts
from lit_video.report.markdown import number, paragraph, table

CROWDED = 0.8  # share of a core that a decoding thread had, below which other programs may have had the rest


def describe_measurement(facts: Facts) -> str:
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


def describe_bias(facts: Facts) -> str:
    """Return the laws of single slots, and the tests of them."""
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


def describe_method(facts: Facts) -> str:
    """Return how everything was found."""
    parts = _videos, _machine, _likeness, _speed, _costs
    last = f"All of it took {number(facts['seconds'])} s. Every number is in report.json."
    return "## How this was found\n\n" + "\n".join(f"- {text}" for text in [*(part(facts) for part in parts), last])


def _videos(facts: Facts) -> str:
    data = facts["data"]
    copies = "" if data["different_videos"] == data["videos"] else f", {data['different_videos']} of them different"
    return (
        f"Videos: {data['videos']}{copies}; {data['frames']} frames, {data['width']}×{data['height']}, "
        f"{data['codec']}; {data['gops']} GOPs of {data['gop_length']['least']} to "
        f"{data['gop_length']['most']} frames. First: {data['first_path']}"
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
        f"Speed: the loader of training; {options['rounds']} rounds in which contenders took turns, each with one "
        f"batch to warm up; {number(options['seconds'])} s or {options['images']} images for each. The transform is "
        "not timed. Frames that were decoded and wait for their turn count as made, and what an epoch decodes is "
        "planned to its end, so that a few seconds tell what an epoch would."
    )


def _costs(facts: Facts) -> str:
    costs = facts["costs"]
    milliseconds = [number(1e3 * costs[f"{name}_seconds"]) for name in ("seek", "decode", "deliver")]
    crowded = " Something else wanted it too: repeat the report." if costs["cpu_share"] < CROWDED else ""
    return (
        f"Cost of reads, from {costs['num_reads']} of them: {milliseconds[0]} ms a read, {milliseconds[1]} ms a frame "
        f"decoded, {milliseconds[2]} ms more a frame wanted; half of all reads are within "
        f"{number(100 * costs['relative_error'])} % of this. Their threads had a core "
        f"{number(100 * costs['cpu_share'])} % of the time.{crowded}"
    )


LIMITS = """\
## What it does not tell

- How alike gradients are in your training. R changes with the model, its augmentation and its progress, and single
  directions of the gradient may be more alike than their sum. Measure again with labels, and later in training.
- What conditional and dynamic bias do (docs/bias.md, section 7): design effects are variances at fixed parameters.
- Speed with a model that needs the same cores, with a cold disk, on several ranks, or in other processes.
- More than this machine did in these seconds: repeat it, and look at the ±."""
