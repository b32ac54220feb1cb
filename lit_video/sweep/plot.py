"""A ranking -> sweep.png: a line for each job, with its images per second and what these are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lit_video.measuring.canvas import COLOURS, GUIDE, INK, png, shortened
from lit_video.measuring.page import number
from lit_video.sweep.ranking import Ranking, Row
from lit_video.sweep.tables import keys_of, names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40  # lines that are drawn, the best
LONGEST = 32  # characters of an option's value
PANELS = {"images_per_s": "images/s", "effective_images_per_s": "effective images/s, over many batches"}
Lines = dict[tuple[str, ...], list[Row]]  # jobs by their values of the options that a line names


def draw(ranking: Ranking) -> bytes:
    """Return the figure as a PNG file."""
    return png(make_figure(ranking))


def make_figure(ranking: Ranking) -> Figure:
    """Return a line for each job that ended well, the best on top, with a column for each option in which they differ.

    Jobs that differ in their seed alone share a line: a bar to their mean, and a thin line from the lowest to the
    highest. Where no job has an effective rate there is one panel. The figure grows with its lines and their names.
    """
    from matplotlib.figure import Figure

    header, lines = lines_of(ranking)
    names = _in_columns([header, *lines][: MOST + 1])
    panels = [name for name in PANELS if any(_values(rows, name) for rows in lines.values())] or ["images_per_s"]
    size = (1 + 0.08 * len(names[0]) + 4 * len(panels), 1.4 + 0.25 * len(names))
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(_title(ranking, lines, panels[-1]), x=0.01, ha="left", fontsize=11, color=INK)
    for axes, name in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        axes.set_title(PANELS[name], fontsize=10, loc="left", color=INK)
        _bars(axes, list(lines.values())[:MOST], name)
    figure.axes[0].set_yticks(range(-1, len(names) - 1), names, fontfamily="monospace", fontsize=9)
    figure.axes[0].get_yticklabels()[0].set_fontweight("bold")
    figure.axes[0].set_ylim(len(names) - 1.4, -1.5)
    return figure


def lines_of(ranking: Ranking) -> tuple[tuple[str, ...], Lines]:
    """Return the names of the options in which jobs differ, and the jobs that ended well by their values, best first.

    The seed is no such option, unless it is the only one.
    """
    keys = [key for key in keys_of(ranking) if key != "seed"] or keys_of(ranking)
    lines: Lines = {}
    for row in ranking.rows:
        if row.images_per_s is not None:
            lines.setdefault(row.values(keys) or (row.job.name,), []).append(row)
    best_first = sorted(lines.items(), key=lambda line: [-_mean(line[1], name) for name in reversed(PANELS)])
    return tuple(names_of(keys)) or ("job",), dict(best_first)


def _title(ranking: Ranking, lines: Lines, by: str) -> str:
    ended, jobs, (best_by, _, _) = sum(map(len, lines.values())), len(ranking.rows), PANELS[by].partition(",")
    words = [f"{ended} of {jobs} jobs ended well" if ended < jobs else f"Jobs: {jobs}", f"most {best_by} on top"]
    words += [f"the best {MOST} of {len(lines)} lines"] if len(lines) > MOST else []
    several = any(len(rows) > 1 for rows in lines.values())
    return ", ".join(words) + ("\nBars: mean over seeds. Thin lines: lowest to highest." if several else "")


def _in_columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Return each row as text of one width, where every letter is equally wide."""
    cells = np.array([[shortened(cell, LONGEST) for cell in row] for row in table])
    widths = np.strings.str_len(cells).max(axis=0)
    return ["  ".join(row) for row in np.strings.ljust(cells, widths)]


def _values(rows: Sequence[Row], name: str) -> list[float]:
    return [value for row in rows if (value := getattr(row, name)) is not None]


def _mean(rows: Sequence[Row], name: str) -> float:
    return float(np.mean(_values(rows, name) or 0))


def _bars(axes: Axes, lines: Sequence[Sequence[Row]], name: str) -> None:
    means = np.array([_mean(rows, name) for rows in lines])
    ends = np.array([(min(found), max(found)) for rows in lines for found in [_values(rows, name) or [0.0]]])
    whiskers = np.abs(ends.reshape(-1, 2).T - means)
    style = {"ecolor": INK, "elinewidth": 1.2}
    bars = axes.barh(range(len(lines)), means, 0.72, xerr=whiskers, color=list(map(_colour, lines)), error_kw=style)
    axes.bar_label(bars, [_said(rows, name) for rows in lines], padding=4, fontsize=9, color=INK)
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GUIDE, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def _said(rows: Sequence[Row], name: str) -> str:
    biased = any(row.unbiased == "no" for row in rows)
    return number(_mean(rows, name)) if _values(rows, name) else "biased" if biased else "not known"


def _colour(rows: Sequence[Row]) -> str:
    family = str(rows[0].job.config.data.sampler._target_).rpartition(".")[2].removesuffix("Sampler").lower()
    return COLOURS.get(family, COLOURS["named"])
