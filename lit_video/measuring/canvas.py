"""What figures share: size, colours, axes, labels that do not overlap.

matplotlib is used without its global state: there is no window and no current figure.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lit_video.support.errors import LitVideoError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart.
COLOURS = {
    "uniform": "#0072B2",
    "chunked": "#D55E00",
    "reservoir": "#009E73",
    "sequential": "#555555",
    "named": "#CC79A7",
}
MARKERS = {"uniform": "o", "chunked": "s", "reservoir": "D", "sequential": "v", "named": "*"}
GUIDE = "#999999"
INK = "#222222"


def require_matplotlib() -> None:
    """Find out before anything is measured whether it can be drawn.

    Raises:
        LitVideoError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise LitVideoError("The report draws with matplotlib, which is not here: pip install -e '.[report]'") from None


def new_figure(title: str) -> tuple[Figure, Axes]:
    """Return a figure of 900 by 560 pixels, and its axes, which leave room for what is written about."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(9, 5.6), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    axes = figure.subplots()
    figure.suptitle(title, x=0.02, ha="left", fontsize=13, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def shortened(text: str, longest: int) -> str:
    """Return a text of at most so many characters: of a longer one its two ends, and three dots between them.

    >>> shortened("short.mp4", 16), shortened("2024-05-12_front_left.mp4", 16)
    ('short.mp4', '2024-...left.mp4')
    """
    tail = longest // 2
    return text if len(text) <= longest else f"{text[: longest - tail - 3]}...{text[-tail:]}"


def logarithmic(axes: Axes, *names: str) -> None:
    """Make the axes `x`, `y` or both logarithmic, with 0.05, 20 and 3000 written on them and no powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(**{f"{name}scale": "log" for name in names})
    for axis in (getattr(axes, f"{name}axis") for name in names):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace(",", " ")))
        axis.set_minor_formatter(NullFormatter())


def label_column(
    axes: Axes, x: ArrayLike, y: ArrayLike, names: Sequence[str], colours: Sequence[str], at: float = 1.05
) -> None:
    """Name the points in a column at the right, in their order of height, with a line to each."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    figure_points = axes.transData.transform(np.c_[x, y])
    heights = axes.transAxes.inverted().transform(figure_points)[:, 1]
    places = spread(heights, 0.05, 0.02, 0.98)
    for i, name in enumerate(names):
        axes.annotate(
            name,
            (x[i], y[i]),
            xytext=(at, places[i]),
            textcoords="axes fraction",
            fontsize=9.5,
            color=colours[i],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colours[i], "linewidth": 0.5, "shrinkA": 1, "shrinkB": 4},
        )


def spread(places: ArrayLike, distance: float, low: float, high: float) -> np.ndarray:
    """Return places moved as little as keeps them `distance` apart and, if they fit, within [low, high].

    >>> spread([0.5, 0.5, 0.9], 0.1, 0, 1).round(2).tolist()
    [0.45, 0.55, 0.9]
    """
    from scipy.optimize import isotonic_regression

    places = np.asarray(places, np.float64)
    order = np.argsort(places, kind="stable")
    steps = distance * np.arange(len(order))
    settled = isotonic_regression(places[order] - steps).x + steps  # the closest ascending sequence
    settled = np.clip(settled, low + steps, np.maximum(high - steps[::-1], low + steps))
    return settled[np.argsort(order)]
