"""A ranking -> sweep.png: the jobs by images per second, and by what these are worth."""

from __future__ import annotations

from typing import Any

from lit_video.measuring.canvas import COLOURS, INK, new_figure, png
from lit_video.report.document import number
from lit_video.sweep.ranking import Ranking, Row
from lit_video.sweep.reading import keys_of, label

MOST = 40  # jobs that are drawn, the best
PANELS = (("images_per_s", "images/s"), ("effective_images_per_s", "effective images/s, over many batches"))


def draw(ranking: Ranking) -> bytes:
    """Return a bar for each job that ended well, longest on top, in each of two orders."""
    rows = [row for row in ranking.rows if row.images_per_s is not None]
    height = max(3.2, 1.5 + 0.3 * min(MOST, len(rows)))
    figure, panels = new_figure(_title(rows), columns=2, width=13, height=height)
    keys = keys_of(ranking)
    for axes, (name, title) in zip(panels, PANELS, strict=True):
        _bars(axes, [(getattr(row, name), label(row, keys), _colour(row)) for row in rows], title)
    return png(figure)


def _title(rows: list[Row]) -> str:
    return f"The best {MOST} of {len(rows)} jobs" if len(rows) > MOST else f"{len(rows)} jobs, ranked"


def _colour(row: Row) -> str:
    family = str(row.job.config.data.sampler._target_).rpartition(".")[2].removesuffix("Sampler").lower()
    return COLOURS.get(family, COLOURS["named"])


def _bars(axes: Any, bars: list[tuple[float | None, str, str]], title: str) -> None:
    known = sorted(((value, name, colour) for value, name, colour in bars if value is not None), reverse=True)[:MOST]
    axes.set_title(title if known else f"{title}: not known", fontsize=11, loc="left", color=INK)
    for place, (value, _, colour) in enumerate(known):
        axes.barh(-place, value, color=colour, height=0.72)
        axes.annotate(
            number(value), (value, -place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks([-place for place in range(len(known))], [name for _, name, _ in known], fontsize=9)
    axes.set_xlim(0, 1.15 * max((value for value, _, _ in known), default=1))
    axes.set_ylim(-len(known) + 0.4, 0.6)
    axes.grid(axis="y", visible=False)
