"""Facts -> figures, one PNG each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lit_video.measuring.canvas import COLOURS, GUIDE, INK, MARKERS, label_column, new_figure, plain_numbers, png
from lit_video.report.facts import Facts
from lit_video.report.scatter import draw_throughput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_DEFF = 0.1  # that is shown
DENSE = 20  # places from which on points would hide each other


def draw(facts: Facts) -> dict[str, bytes]:
    """Return all figures as PNG files, by file name."""
    pictures: dict[str, Callable[[], Figure]] = {
        f"throughput_{horizon}.png": lambda horizon=horizon: draw_throughput(facts, horizon)
        for horizon in facts["horizons"]
    }
    pictures["correlation.png"] = lambda: draw_correlation(facts["correlation"])
    pictures["deff_by_horizon.png"] = lambda: draw_variance_time(facts["deff_by_horizon"], facts["settings"])
    pictures["run_length.png"] = lambda: draw_run_lengths(facts["run_length"])
    pictures["lookahead.png"] = lambda: draw_lookahead(facts["lookahead"])
    if facts["inclusion"]["by_edge"]:
        pictures["inclusion.png"] = lambda: draw_inclusion(facts["inclusion"])
    return {name: png(picture()) for name, picture in pictures.items()}


def draw_correlation(correlation: Facts) -> Figure:
    """Draw R with its interval, and the model fitted to it."""
    figure, axes = new_figure("How alike frames are: R, by distance within a video")
    lag, colour = np.array(correlation["lag"]), COLOURS["uniform"]
    axes.fill_between(
        lag, correlation["low"], correlation["high"], color=colour, alpha=0.18, linewidth=0, label="95 % interval"
    )
    axes.plot(lag, correlation["R"], ".-", color=colour, linewidth=0.8, markersize=5, label="measured")
    model = correlation["model"]
    name = f"fitted: {model['rho_v']:.2f} + {model['rho_s']:.2f} · {model['phi']:.3f}^lag"
    axes.plot(lag[1:], correlation["fitted"][1:], "--", color=COLOURS["chunked"], linewidth=1.5, label=name)
    axes.axhline(0, color=INK, linewidth=0.8)
    low, high = min(-0.05, *correlation["R"]), 1.03
    axes.set(xlabel="distance in frames", ylabel="correlation", ylim=(max(-1, low - 0.15), high), xlim=(0, lag[-1]))
    axes.legend(loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def draw_variance_time(curves: Sequence[Facts], settings: Facts) -> Figure:
    """Draw the design effect of so many slots in a row: laws as lines, real orders as points."""
    figure, axes = new_figure("Design effect of so many images in a row", right=0.8)
    shades = _shades([curve["family"] for curve in curves])
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.axvline(settings["batch_size"], color=GUIDE, linewidth=0.8, linestyle=":")
    ends = []
    for curve, shade in zip(curves, shades, strict=True):
        colour, slots, law = COLOURS[curve["family"]], np.array(curve["slots"]), np.array(curve["law"], dtype=float)
        law = np.where(law > 0, law, np.nan)
        axes.plot(slots, law, color=colour, alpha=shade, linewidth=1.5)
        ends.append(_last(slots, law))
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
        "batch", (settings["batch_size"], 0.01), xycoords=("data", "axes fraction"), fontsize=8.5, color="#777777",
        ha="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )  # fmt: skip
    names, colours = [curve["name"] for curve in curves], [COLOURS[curve["family"]] for curve in curves]
    label_column(axes, [x for x, _ in ends], [max(y, LEAST_DEFF) for _, y in ends], names, colours)
    return figure


def _last(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the last point whose height is a number."""
    known = np.flatnonzero(np.isfinite(y))
    return float(x[known[-1]]), float(y[known[-1]])


def _shades(families: Sequence[str]) -> list[float]:
    """Return how opaque each curve is: those of one family from light to dark."""
    shades = []
    for number, family in enumerate(families):
        rank, many = families[:number].count(family), families.count(family)
        shades.append(1.0 if many == 1 else 0.4 + 0.6 * rank / (many - 1))
    return shades


# What curves of noise scales are called, and their colours.
SCALES = {
    "infinite": ("noise alone limits training", "#D55E00", "-"),
    "batch": ("noise scale = batch size", "#0072B2", "-"),
    "zero": ("noise does not matter: plain speed", "#777777", "-"),
    "chosen": ("noise scale of this report", "#009E73", "-"),
}


def draw_run_lengths(runs: Facts) -> Figure:
    """Draw the training time by run length, and what whole GOPs and a look-ahead make of it."""
    figure, axes = new_figure("Training time with runs of k frames read from anywhere, relative to single frames")
    k = np.array(runs["k"])
    for name, times in runs["relative_time"].items():
        words, colour, style = SCALES[name]
        axes.plot(k, times, style, color=colour, linewidth=1.6, label=words)
        best = runs["best_k"][name]
        axes.plot(best, times[best - 1], "o", color=colour, markersize=8, markeredgecolor="white")
        axes.annotate(
            f"k = {best}", (best, times[best - 1]), xytext=(0, 9), textcoords="offset points", color=colour,
            ha="left" if best < 2 else "right" if best > 0.8 * k[-1] else "center", fontsize=9.5,
        )  # fmt: skip
    if runs["whole_gops"]:
        whole = runs["whole_gops"]
        axes.plot(whole["k"], whole["relative_time"], "s", color=INK, markersize=8, label="whole GOPs, noise-limited")
    if runs["uniform_with_lookahead"]:
        axes.axhline(
            runs["uniform_with_lookahead"], color=INK, linestyle="--", linewidth=1.2, label="uniform with look-ahead"
        )
    axes.set(xscale="log", yscale="log", xlabel="frames in a run, k", ylabel="relative time, lower is better")
    axes.set_xlim(0.93, max(2.0, k[-1] * 1.05))
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.15, high * 1.15)
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9.5)
    return figure


def draw_lookahead(lookahead: Facts) -> Figure:
    """Draw decoded frames per image by memory, for uniform order."""
    figure, axes = new_figure("What exactly uniform order costs, by memory for frames that wait")
    colour = COLOURS["uniform"]
    axes.plot(lookahead["mib"], lookahead["law"], color=GUIDE, linewidth=2.2, label="by formula F48")
    axes.plot(
        lookahead["planned_mib"], lookahead["planned"], "o", markerfacecolor="none", color=colour, markersize=8,
        label="planned, nothing decoded",
    )  # fmt: skip
    axes.plot(
        lookahead["measured_mib"], lookahead["measured"], "*", color=COLOURS["chunked"], markersize=13,
        label="measured while decoding",
    )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="memory in MiB", ylabel="frames decoded per image")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.9), high * 1.1)
    axes.set_xlim(right=lookahead["mib"][-1] * 1.5)
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
    axes.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def draw_inclusion(inclusion: Facts) -> Figure:
    """Draw how often frames come by place in the video and in the GOP, for a biased sampler and an unbiased one."""
    figure, both = new_figure("How often frames come, relative to an even share", columns=2)
    labels = ("frames from the nearer end of the video", "place in the GOP, from its keyframe")
    for axes, profile, label in zip(both, (inclusion["by_edge"], inclusion["by_gop"]), labels, strict=True):
        places = np.array(profile["places"])
        sliding, error, dense = np.array(profile["sliding"]), np.array(profile["error"]), len(places) > DENSE
        blue, red = COLOURS["uniform"], COLOURS["chunked"]
        axes.plot(places, profile["circular"], "-" if dense else "s", color=blue, linewidth=3, markersize=6,
                  label="chunks of this package, counted")  # fmt: skip
        axes.plot(places, profile["exact"], "-", color=INK, linewidth=1, label="sliding windows, exact")
        axes.fill_between(places, sliding - error, sliding + error, color=red, alpha=0.2, linewidth=0)
        axes.plot(places, sliding, "o", color=red, markersize=3 if dense else 5, label="sliding windows, counted")
        axes.set(xlabel=label, ylim=(0, max(1.3, 1.1 * max(profile["sliding"]))))
    both[0].set_ylabel("times an even share")
    both[0].legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    return figure
