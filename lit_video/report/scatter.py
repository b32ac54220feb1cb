"""Speed against worth, the figure that the recommendation is read from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lit_video.measuring.canvas import COLOURS, GUIDE, INK, MARKERS, label_column, new_figure, plain_numbers
from lit_video.report.facts import Facts, horizon_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_throughput(facts: Facts, horizon: str) -> Figure:
    """Draw images per second against what each is worth, and lines of equal effective rate."""
    rows = [row for row in facts["contenders"] if row["deff"][horizon]]
    words = horizon_words(facts["settings"]["batch_size"])[horizon]
    figure, axes = new_figure(f"Speed against worth: {words}", right=0.77)
    x = np.array([row["images_per_s"] for row in rows])
    y = np.array([1 / row["deff"][horizon] for row in rows])
    axes.set(xscale="log", yscale="log", xlabel="images per second", ylabel="worth of an image, 1 / design effect")
    _widen(axes, x, y)
    _iso_lines(axes, np.log(np.c_[x, y]))
    front = [row["name"] for row in rows if row["name"] in facts["pareto"][horizon]]
    on_front = sorted((x[i], y[i]) for i, row in enumerate(rows) if row["name"] in front)
    axes.plot(
        *zip(*on_front, strict=True), color=INK, linewidth=1.2, zorder=2, label="not beaten in both (Pareto front)"
    )
    for i, row in enumerate(rows):
        colour = COLOURS[row["family"]]
        edge = INK if row["name"] in front else "white" if row["exact_uniform"] else colour
        face = colour if row["exact_uniform"] else "white"
        axes.plot(x[i], y[i], MARKERS[row["family"]], color=face, markeredgecolor=edge, markersize=9, zorder=3)
    label_column(axes, x, y, [row["name"] for row in rows], [COLOURS[row["family"]] for row in rows])
    axes.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    return figure


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
            _write_on_line(axes, f"{rate:,.10g}/s".replace(",", " "), spot, rate / spot)


def _write_on_line(axes: Axes, text: str, x: float, y: float) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axes.annotate(text, (x, y), fontsize=8, color="#777777", ha="center", va="center", bbox=box, zorder=1.5)
