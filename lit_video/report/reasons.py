"""Why the recommended contender is recommended, in sentences."""

from __future__ import annotations

from lit_video.report.facts import Facts
from lit_video.report.markdown import number


def reasons(facts: Facts) -> list[str]:
    """Return the sentences, the weightiest first."""
    chosen, rows = facts["recommendation"], {row["name"]: row for row in facts["contenders"]}
    row, others = rows[chosen["name"]], [rows[name] for name in chosen["best_of_others"]]
    found = [_best(row, chosen["tied_with"]), *([_others(others)] if others else []), _unbiased(row)]
    if facts["data"]["frames"] * facts["settings"]["frame_bytes"] <= facts["settings"]["lookahead_bytes"]:
        found.append("All frames fit the memory, so each is decoded once an epoch, whatever the order.")
    return [*found, _law(facts)]


def _rate(row: Facts) -> str:
    return number(row["effective_images_per_s"]["long"])


def _best(row: Facts, tied_with: list[str]) -> str:
    low, high = row["deff_low"]["long"], row["deff_high"]["long"]
    between = "" if low == high else f" (between {number(low)} and {number(high)})"
    tied = f", but for {' and '.join(tied_with)}, less than 5 % more" if tied_with else ""
    return (
        f"It makes {number(row['images_per_s'])} images/s here. In the long run an image has a design effect of "
        f"{number(row['deff']['long'])}{between}: these are as good as {_rate(row)} independent images/s, which "
        f"*effective* means below. Of what was measured and is unbiased, nothing gives more{tied}."
    )


def _others(rows: list[Facts]) -> str:
    listed = "; ".join(
        f"{row['name']} {_rate(row)} ({number(row['images_per_s'])} images/s, design effect "
        f"{number(row['deff']['long'])}{'' if row['exact_uniform'] else ', biased'})"
        for row in rows
    )
    return f"Effective images/s of others: {listed}."


def _unbiased(row: Facts) -> str:
    if row["exact_uniform"] and row["epoch_complete"]:
        return (
            "Each frame is equally likely at each position, and comes once an epoch: the expected gradient is unbiased."
        )
    if row["exact_uniform"]:
        return "Each frame is equally likely at each position: the expected gradient is unbiased."
    return "Not every frame is equally likely at each position: use the batch's weights, or another sampler."


def _law(facts: Facts) -> str:
    name, law = facts["recommendation"]["name"], facts["recommendation"]["law"]["name"]
    if name == law:
        return "The cost model of docs/bias.md, section 9, recommends the same."
    return f"The cost model of docs/bias.md, section 9, would take {law}; it was measured too, and is not ahead."
