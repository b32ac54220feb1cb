"""Facts -> figures, one PNG each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_video.measuring.canvas import COLOURS, GUIDE, INK, MARKERS, label_column, logarithmic, new_figure, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_DEFF = 0.1  # that is shown
OFFSET = 0.13  # of markers from the middle of their row
POINTS: dict[str, Any] = {"markersize": 4.5, "elinewidth": 0.8}
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
    """Draw images per second and, over many batches, effective ones, the best on top, the one `chosen` in bold."""
    rows = sorted(contenders, key=lambda row: row["effective_images_per_s"]["long"] or 0)
    figure, axes = new_figure("What each sampler makes, and what that is worth over many batches")
    for place, row in enumerate(rows):
        speed, wide, colour = row["images_per_s"], row["interval"], COLOURS[row["family"]]
        _draw_interval(axes, place + OFFSET, (speed - wide, speed, speed + wide), "o", colour, "white")
        if effective := row["effective_images_per_s"]["long"]:
            low, high = row["effective_low"]["long"], row["effective_high"]["long"] or effective
            fair = colour if row["exact_uniform"] else "white"
            _draw_interval(axes, place - OFFSET, (low, effective, high), "D", colour, fair)
            where = {"xytext": (0, -14), "textcoords": "offset points", "ha": "center"}
            axes.annotate(f"{effective:.3g}", (effective, place - OFFSET), fontsize=8.5, color=colour, **where)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set(color=COLOURS[row["family"]], fontweight="bold" if row["name"] == chosen else "normal")
    axes.set(xlabel="images per second, with 95 % intervals", ylim=(-0.8, len(rows) - 0.4))
    logarithmic(axes, "x")
    for marker, face, words in (("o", "white", "images"), ("D", INK, "effective images"), ("D", "white", "biased")):
        axes.plot([], [], marker, color=INK, markerfacecolor=face, label=words)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _draw_interval(axes: Axes, place: float, span: Sequence[float], marker: str, colour: str, face: str) -> None:
    low, value, high = span
    error = [[value - max(low, 0.01 * value)], [high - value]]  # above 0, for an axis that is logarithmic
    style: dict[str, Any] = {"color": colour, "capsize": 3, "elinewidth": 1.5, "markersize": 8}
    axes.errorbar(value, place, xerr=error, fmt=marker, markerfacecolor=face, **style)


def draw_correlation(correlation: Mapping[str, Any]) -> Figure:
    """Draw R with its interval, and the model fitted to it."""
    figure, axes = new_figure("How alike frames are: R, by distance within a video")
    lag, colour, low = correlation["lag"], COLOURS["uniform"], min(-0.05, *correlation["R"])
    band = {"color": colour, "alpha": 0.18, "linewidth": 0, "label": "95 % interval"}
    axes.fill_between(lag, correlation["low"], correlation["high"], **band)
    axes.plot(lag, correlation["R"], ".-", color=colour, linewidth=0.8, markersize=5, label="measured")
    name = "fitted: {rho_v:.2f} + {rho_s:.2f} · {phi:.3f}^distance".format(**correlation["model"])
    axes.plot(lag[1:], correlation["fitted"][1:], "--", color=COLOURS["chunked"], linewidth=1.5, label=name)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="distance in frames", ylabel="correlation", ylim=(max(-1, low - 0.15), 1.03), xlim=(0, lag[-1]))
    axes.legend(loc="best", **LEGEND)
    return figure


def draw_deff_by_horizon(curves: Sequence[Mapping[str, Any]], batch_size: int) -> Figure:
    """Draw the design effect of so many slots in a row: laws as lines, real orders as points."""
    figure, axes = new_figure("Design effect of so many images in a row")
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.axvline(batch_size, color=GUIDE, linewidth=0.8, linestyle=":")
    colours, ends = [COLOURS[curve["family"]] for curve in curves], []
    for curve, colour, shade in zip(curves, colours, _shades([curve["family"] for curve in curves]), strict=True):
        slots, law = np.array(curve["slots"]), np.array(curve["law"], dtype=float)
        seen = law > 0
        axes.plot(slots, np.where(seen, law, np.nan), color=colour, alpha=shade, linewidth=1.5)
        ends.append((slots[seen][-1], max(law[seen][-1], LEAST_DEFF)))
        if curve["measured"] is not None:
            measured = np.array(curve["measured"])
            style: dict[str, Any] = {"fmt": MARKERS[curve["family"]], "color": colour, "alpha": shade}
            axes.errorbar(slots, measured, measured * curve["relative_sd"], **style, **POINTS)
    axes.set(xlabel="images in a row", ylabel="design effect")
    logarithmic(axes, "x", "y")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], LEAST_DEFF))
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    style = {"fontsize": 8.5, "color": "#777777", "ha": "center", "bbox": box}
    axes.annotate("batch", (batch_size, 0.01), xycoords=("data", "axes fraction"), **style)
    x, y = np.transpose(ends)
    label_column(axes, x, y, [curve["name"] for curve in curves], colours)
    return figure


def _shades(families: Sequence[str]) -> list[float]:
    """Return how opaque each curve is: those of one family from light to dark."""
    ranks = [(families[:number].count(family), families.count(family)) for number, family in enumerate(families)]
    return [1.0 if many == 1 else 0.4 + 0.6 * rank / (many - 1) for rank, many in ranks]


def draw_lookahead(lookahead: Mapping[str, Any]) -> Figure:
    """Draw decoded frames per image by memory, for uniform order."""
    figure, axes = new_figure("What exactly uniform order costs, by memory for frames that wait")
    axes.plot(lookahead["mib"], lookahead["law"], color=GUIDE, linewidth=2.2, label="by formula F48")
    planned: dict[str, Any] = {"color": COLOURS["uniform"], "label": "planned, nothing decoded"}
    axes.plot(lookahead["planned_mib"], lookahead["planned"], "o", markerfacecolor="none", markersize=8, **planned)
    measured: dict[str, Any] = {"color": COLOURS["chunked"], "label": "measured while decoding"}
    axes.plot(lookahead["measured_mib"], lookahead["measured"], "*", markersize=13, **measured)
    axes.set(xlabel="memory in MiB", ylabel="frames decoded per image")
    logarithmic(axes, "x", "y")
    low, high = axes.get_ylim()
    given, most = lookahead["memory_mib"], lookahead["mib"][-1]
    axes.set(ylim=(min(low, 0.9), high * 1.1), xlim=(axes.get_xlim()[0], most * 1.5))
    text, place = f"data.lookahead_bytes, {given:.0f} MiB, holds all frames →", most * 1.5
    if given <= most:
        axes.axvline(given, color=INK, linestyle=":", linewidth=1.2)
        text, place = "data.lookahead_bytes ", given
    style = {"ha": "right", "va": "top", "fontsize": 9, "color": INK}
    axes.annotate(text, (place, 0.97), xycoords=("data", "axes fraction"), **style)
    axes.legend(loc="lower left", **LEGEND)
    return figure
