"""Facts -> figures, one PNG each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_video.measuring.canvas import COLOURS, GUIDE, INK, MARKERS, label_column, new_figure, plain_numbers, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_DEFF = 0.1  # that is shown
OFFSET = 0.13  # of markers from the middle of their row
LEGEND = {"frameon": True, "framealpha": 0.9, "edgecolor": "none", "fontsize": 9}


def draw(facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Return all figures as PNG files, by file name."""
    figures = {
        "throughput.png": draw_throughput(facts["contenders"], facts["recommendation"]["name"]),
        "correlation.png": draw_correlation(facts["correlation"]),
        "deff_by_horizon.png": draw_deff_by_horizon(facts["deff_by_horizon"], facts["settings"]["batch_size"]),
        "lookahead.png": draw_lookahead(facts["lookahead"]),
    }
    return {name: png(figure) for name, figure in figures.items()}


def draw_throughput(contenders: Sequence[Mapping[str, Any]], chosen: str) -> Figure:
    """Draw images per second and, over many batches, effective ones, with their intervals; the best on top.

    Args:
        contenders: The rows of the table.
        chosen: Name of the one that is recommended.
    """
    rows = sorted(contenders, key=lambda row: row["effective_images_per_s"]["long"] or 0)
    figure, axes = new_figure("What each sampler makes, and what that is worth over many batches")
    for place, row in enumerate(rows):
        speed, effective, colour = row["images_per_s"], row["effective_images_per_s"]["long"], COLOURS[row["family"]]
        style = {"color": colour, "capsize": 3, "elinewidth": 1.5, "markersize": 8}
        error = [[min(row["interval"], 0.99 * speed)], [row["interval"]]]
        axes.errorbar(speed, place + OFFSET, xerr=error, fmt="o", markerfacecolor="white", **style)
        if effective:
            low, high = row["effective_low"]["long"], row["effective_high"]["long"]
            error = [[effective - max(low, 0.01 * effective)], [(high or effective) - effective]]
            fair = colour if row["exact_uniform"] else "white"
            axes.errorbar(effective, place - OFFSET, xerr=error, fmt="D", markerfacecolor=fair, **style)
            axes.annotate(
                f"{effective:.3g}", (effective, place - OFFSET), xytext=(0, -14), textcoords="offset points",
                ha="center", fontsize=8.5, color=colour,
            )  # fmt: skip
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set(color=COLOURS[row["family"]], fontweight="bold" if row["name"] == chosen else "normal")
    axes.set(xscale="log", xlabel="images per second, with 95 % intervals", ylim=(-0.8, len(rows) - 0.4))
    plain_numbers(axes.xaxis)
    for marker, face, words in (("o", "white", "images"), ("D", INK, "effective images"), ("D", "white", "biased")):
        axes.plot([], [], marker, color=INK, markerfacecolor=face, label=words)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_correlation(correlation: Mapping[str, Any]) -> Figure:
    """Draw R with its interval, and the model fitted to it."""
    figure, axes = new_figure("How alike frames are: R, by distance within a video")
    lag, colour = np.array(correlation["lag"]), COLOURS["uniform"]
    axes.fill_between(
        lag, correlation["low"], correlation["high"], color=colour, alpha=0.18, linewidth=0, label="95 % interval"
    )
    axes.plot(lag, correlation["R"], ".-", color=colour, linewidth=0.8, markersize=5, label="measured")
    model = correlation["model"]
    name = f"fitted: {model['rho_v']:.2f} + {model['rho_s']:.2f} · {model['phi']:.3f}^distance"
    axes.plot(lag[1:], correlation["fitted"][1:], "--", color=COLOURS["chunked"], linewidth=1.5, label=name)
    axes.axhline(0, color=INK, linewidth=0.8)
    low = min(-0.05, *correlation["R"])
    axes.set(xlabel="distance in frames", ylabel="correlation", ylim=(max(-1, low - 0.15), 1.03), xlim=(0, lag[-1]))
    axes.legend(loc="best", **LEGEND)
    return figure


def draw_deff_by_horizon(curves: Sequence[Mapping[str, Any]], batch_size: int) -> Figure:
    """Draw the design effect of so many slots in a row: laws as lines, real orders as points."""
    figure, axes = new_figure("Design effect of so many images in a row")
    shades = _shades([curve["family"] for curve in curves])
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.axvline(batch_size, color=GUIDE, linewidth=0.8, linestyle=":")
    ends = []
    for curve, shade in zip(curves, shades, strict=True):
        colour, slots, law = COLOURS[curve["family"]], np.array(curve["slots"]), np.array(curve["law"], dtype=float)
        law = np.where(law > 0, law, np.nan)
        axes.plot(slots, law, color=colour, alpha=shade, linewidth=1.5)
        last = np.flatnonzero(np.isfinite(law))[-1]
        ends.append((float(slots[last]), max(float(law[last]), LEAST_DEFF)))
        if curve["measured"] is not None:
            measured = np.array(curve["measured"])
            axes.errorbar(
                slots, measured, measured * curve["relative_sd"], fmt=MARKERS[curve["family"]], color=colour,
                alpha=shade, markersize=4.5, elinewidth=0.8,
            )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="images in a row", ylabel="design effect")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], LEAST_DEFF))
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    axes.annotate(
        "batch", (batch_size, 0.01), xycoords=("data", "axes fraction"), fontsize=8.5, color="#777777",
        ha="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )  # fmt: skip
    names, colours = [curve["name"] for curve in curves], [COLOURS[curve["family"]] for curve in curves]
    label_column(axes, [x for x, _ in ends], [y for _, y in ends], names, colours)
    return figure


def _shades(families: Sequence[str]) -> list[float]:
    """Return how opaque each curve is: those of one family from light to dark."""
    ranks = [(families[:number].count(family), families.count(family)) for number, family in enumerate(families)]
    return [1.0 if many == 1 else 0.4 + 0.6 * rank / (many - 1) for rank, many in ranks]


def draw_lookahead(lookahead: Mapping[str, Any]) -> Figure:
    """Draw decoded frames per image by memory, for uniform order."""
    figure, axes = new_figure("What exactly uniform order costs, by memory for frames that wait")
    axes.plot(lookahead["mib"], lookahead["law"], color=GUIDE, linewidth=2.2, label="by formula F48")
    axes.plot(
        lookahead["planned_mib"], lookahead["planned"], "o", markerfacecolor="none", color=COLOURS["uniform"],
        markersize=8, label="planned, nothing decoded",
    )  # fmt: skip
    axes.plot(
        lookahead["measured_mib"], lookahead["measured"], "*", color=COLOURS["chunked"], markersize=13,
        label="measured while decoding",
    )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="memory in MiB", ylabel="frames decoded per image")
    low, high = axes.get_ylim()
    axes.set(ylim=(min(low, 0.9), high * 1.1), xlim=(axes.get_xlim()[0], lookahead["mib"][-1] * 1.5))
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    given, inside = lookahead["memory_mib"], lookahead["memory_mib"] <= lookahead["mib"][-1]
    if inside:
        axes.axvline(given, color=INK, linestyle=":", linewidth=1.2)
    text = "data.lookahead_bytes " if inside else f"data.lookahead_bytes, {given:.0f} MiB, holds all frames →"
    axes.annotate(
        text, (given if inside else axes.get_xlim()[1], 0.97), xycoords=("data", "axes fraction"), ha="right",
        va="top", fontsize=9, color=INK,
    )  # fmt: skip
    axes.legend(loc="lower left", **LEGEND)
    return figure
