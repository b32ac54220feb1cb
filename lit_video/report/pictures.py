"""Facts -> figures, one PNG each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_video.measuring.canvas import COLOURS, GUIDE, INK, MARKERS, label_column, new_figure, plain_numbers, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_DEFF = 0.1  # that is shown
FAR = 0.6  # of the width, from the left: a line from there to the names at the right would cross others
LEGEND = {"frameon": True, "framealpha": 0.9, "edgecolor": "none", "fontsize": 9}


def draw(facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Return all figures as PNG files, by file name."""
    figures = {
        "throughput.png": draw_throughput(facts["contenders"], facts["pareto"]["long"]),
        "correlation.png": draw_correlation(facts["correlation"]),
        "deff_by_horizon.png": draw_deff_by_horizon(facts["deff_by_horizon"], facts["settings"]["batch_size"]),
        "lookahead.png": draw_lookahead(facts["lookahead"]),
    }
    return {name: png(figure) for name, figure in figures.items()}


def draw_throughput(contenders: Sequence[Mapping[str, Any]], front: Sequence[str]) -> Figure:
    """Draw images per second against what each is worth over many batches, and lines of equal effective rate.

    Args:
        contenders: The rows of the table.
        front: Names of those that the others do not beat, fastest first.
    """
    rows = [row for row in contenders if row["deff"]["long"]]
    figure, axes = new_figure("Speed against worth, over many batches")
    x = np.array([row["images_per_s"] for row in rows])
    y = np.array([1 / row["deff"]["long"] for row in rows])
    x_error = np.array([row["interval"] for row in rows])
    # A lower design effect is a higher worth; one that may be 0 has no upper end, and its bar leaves the picture.
    ends = np.array([(row["deff_high"]["long"], row["deff_low"]["long"]) for row in rows])
    y_ends = 1 / np.maximum(ends, 1e-6)
    axes.set(xscale="log", yscale="log", xlabel="images per second", ylabel="worth of an image: 1 / design effect")
    _widen(axes, x, y)
    _iso_lines(axes, np.log(np.c_[x, y]))
    for i, row in enumerate(rows):
        colour, fair = COLOURS[row["family"]], row["exact_uniform"]
        edge = INK if row["name"] in front else "white" if fair else colour
        bars = [[min(x_error[i], 0.95 * x[i])], [x_error[i]]], [[y[i] - y_ends[i, 0]], [y_ends[i, 1] - y[i]]]
        axes.errorbar(x[i], y[i], np.abs(bars[1]), np.abs(bars[0]), color=colour, elinewidth=1, capsize=2, alpha=0.6)
        axes.plot(
            x[i], y[i], MARKERS[row["family"]], color=colour if fair else "white", markeredgecolor=edge, markersize=9,
            zorder=3,
        )  # fmt: skip
    on_front = [(x[i], y[i]) for name in front for i, row in enumerate(rows) if row["name"] == name]
    axes.plot(*zip(*on_front, strict=True), color=INK, linewidth=1.2, zorder=2)
    _name(axes, x, y, rows)
    return figure


def _name(axes: Axes, x: np.ndarray, y: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> None:
    """Name the points: those far to the left above them, the others in a column at the right."""
    far = axes.transAxes.inverted().transform(axes.transData.transform(np.c_[x, y]))[:, 0] < FAR
    names, colours = [row["name"] for row in rows], [COLOURS[row["family"]] for row in rows]
    for i in np.flatnonzero(far):
        axes.annotate(
            names[i], (x[i], y[i]), xytext=(0, -16), textcoords="offset points", ha="center", fontsize=9.5,
            color=colours[i],
        )  # fmt: skip
    near = np.flatnonzero(~far)
    label_column(axes, x[near], y[near], [names[i] for i in near], [colours[i] for i in near])


def _widen(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Set limits with room around the points, at least a factor of 4 from end to end."""
    for values, set_limits in ((x, axes.set_xlim), (y, axes.set_ylim)):
        low, high = values.min(), values.max()
        room = max(1.35, math.sqrt(max(1.0, 4 / (high / low))))
        set_limits(low / room, high * room)
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)


def _iso_lines(axes: Axes, points: np.ndarray) -> None:
    """Draw lines along which the effective rate is the same, and write it on them, away from the points."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    size = np.log([right / left, top / bottom])
    exponents = range(math.floor(math.log10(left * bottom)), math.ceil(math.log10(right * top)) + 1)
    for rate in (digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)):
        ends = np.array([max(left, rate / top), min(right, rate / bottom)])
        if ends[0] >= ends[1]:
            continue
        axes.plot(ends, rate / ends, color=GUIDE, linewidth=0.7, linestyle=(0, (5, 4)), zorder=1)
        if math.log(ends[1] / ends[0]) > 0.3 * size[0]:
            x = np.exp(np.interp((0.1, 0.3, 0.7, 0.9), (0, 1), np.log(ends)))
            clear = [np.hypot(*((points - np.log(spot)) / size).T).min() for spot in zip(x, rate / x, strict=True)]
            spot = x[np.argmax(np.minimum(clear, 0.08))]
            axes.annotate(
                f"{rate:,.10g}/s".replace(",", " "), (spot, rate / spot), fontsize=8, color="#777777", ha="center",
                va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8}, zorder=1.5,
            )  # fmt: skip


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
