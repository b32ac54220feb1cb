"""A ranking -> sweep.csv, sweep.md and the table on the screen."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from omegaconf import OmegaConf
from rich.table import Table

from lit_video.measuring.page import number, paragraph
from lit_video.samplers.laws import HORIZONS
from lit_video.sweep.jobs import swept
from lit_video.sweep.ranking import Ranking, Row

FIGURES = ("images/s", "deff", "effective/s", "decoded", "unbiased")
MEASURED = ("decode_amplification", "time_to_first_batch_s", "wait_seconds", "peak_held_frames", "lookahead")
EXPLAINED = """
*images/s*: as each job measured it, its first batch included: jobs of a few seconds say little. *deff*: how many times
noisier the gradient of many batches is than that of as many independent frames, by the sampler's law and the likeness
of these videos' frames. *effective/s*: images/s over *deff*, at the same noise. *decoded*: frames decoded for
each image. *unbiased*: whether the expected gradient is that of all frames, by itself or with the batch's weights; no
number of biased images makes up for that, so these have no effective rate.
"""


def keys_of(ranking: Ranking) -> list[str]:
    """Return the options in which the jobs differ."""
    return swept([row.job for row in ranking.rows])


def names_of(keys: Sequence[str]) -> list[str]:
    """Return the last word of each key, or all of it where two end alike.

    >>> names_of(["sampler", "data.threads", "data.sampler.chunk", "data.decoder.chunk"])
    ['sampler', 'threads', 'data.sampler.chunk', 'data.decoder.chunk']
    """
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]


def label(row: Row, keys: Sequence[str]) -> str:
    """Return what is special about a job: the options in which the jobs differ, groups by their choice alone."""
    named = zip(keys, names_of(keys), row.values(keys), strict=True)
    words = [f"{name}={value}" if _is_value(row, key) else value for key, name, value in named]
    return ", ".join(words) or f"job {row.job.name}"


def _is_value(row: Row, key: str) -> bool:
    return "." in key or (key in row.job.config and not OmegaConf.is_config(row.job.config[key]))


def as_csv(ranking: Ranking) -> str:
    """Return a line for each job, the best first, with all figures in full."""
    keys, text = keys_of(ranking), io.StringIO()
    columns = ["job", *keys, "rank_images_per_s", "rank_effective_images_per_s", "images_per_s"]
    columns += ["effective_images_per_s", *(f"deff_{horizon}" for horizon in HORIZONS), "unbiased", *MEASURED, "failed"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in ranking.rows:
        measured, worth = row.job.throughput or {}, row.worth
        cells: list[Any] = [row.job.name, *(row.job.overrides.get(key) for key in keys)]
        cells += [row.rank, row.effective_rank, row.images_per_s, row.effective_images_per_s]
        cells += [worth.deff[horizon] if worth else None for horizon in HORIZONS]
        cells += [row.unbiased, *(measured.get(name) for name in MEASURED), row.job.failed]
        writer.writerow(cells)
    return text.getvalue()


def as_markdown(ranking: Ranking, picture: str | None) -> str:
    """Return the report, which begins with the best job.

    Args:
        ranking: What it is of.
        picture: Name of the picture; None: there is none.
    """
    best, keys = ranking.rows[0], keys_of(ranking)
    parts = [f"# Best of {len(ranking.rows)}: {label(best, keys)}", _why(best)]
    ended = [[label(row, keys), *_figures(row)] for row in ranking.rows if row.job.throughput]
    parts += [markdown_table(["job", *FIGURES], ended)]
    parts += [paragraph(EXPLAINED), *([f"![The jobs, ranked]({picture})"] if picture else [])]
    parts += [ranking.note] if ranking.note else []
    parts += [f"Job {row.job.name}, {label(row, keys)}, failed: {row.job.failed}" for row in _failed(ranking)]
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, the first column to the left and the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_table(ranking: Ranking) -> Table:
    """Return the same for the screen, where there is less room."""
    keys, table = keys_of(ranking), Table("job", title="Sweep", title_justify="left")
    for name in FIGURES:
        table.add_column(name, justify="right")
    for row in ranking.rows:
        table.add_row(label(row, keys), *(_figures(row) if row.job.throughput else ["failed"]))
    return table


def _failed(ranking: Ranking) -> list[Row]:
    return [row for row in ranking.rows if row.job.throughput is None]


def _why(best: Row) -> str:
    if best.images_per_s is None:
        return "No job ended well."
    if best.effective_images_per_s is None:
        return f"{number(best.images_per_s)} images/s."
    return f"{number(best.effective_images_per_s)} effective images/s, of {number(best.images_per_s)} images/s."


def _figures(row: Row) -> list[str]:
    assert row.job.throughput is not None
    worth, decoded = row.worth, row.job.throughput["decode_amplification"]
    figures = [row.images_per_s, worth.deff["long"] if worth else None, row.effective_images_per_s, decoded]
    return [*map(number, figures), row.unbiased or "–"]
