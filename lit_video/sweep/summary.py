"""A sweep's folder -> what it comes to, in that folder: sweep.csv, sweep.md, sweep.png."""

from __future__ import annotations

from pathlib import Path

from lit_video.measuring.canvas import require_matplotlib
from lit_video.measuring.page import write_whole
from lit_video.support.errors import LitVideoError
from lit_video.support.screen import screen
from lit_video.sweep.jobs import find_jobs
from lit_video.sweep.plot import draw
from lit_video.sweep.ranking import Ranking, rank
from lit_video.sweep.tables import as_csv, as_markdown, as_table


def report(sweep: Path) -> None:
    """Write `sweep.csv`, `sweep.md` and, with matplotlib, `sweep.png`, and print the table.

    Raises:
        LitVideoError: There is no job, or one failed: the report has the others.
    """
    jobs, console = find_jobs(sweep), screen()
    console.print("\nLooking at how alike the videos' frames are, to rank the jobs")
    ranking = rank(jobs)
    console.print(as_table(ranking))
    if ranking.note:
        console.print(ranking.note)
    write(sweep, ranking)
    console.print(f"{sweep}/sweep.md", highlight=False, soft_wrap=True)
    failed = [job for job in jobs if job.throughput is None]
    if failed:
        raise LitVideoError(
            f"{len(failed)} of {len(jobs)} jobs failed, job {failed[0].name} because: {failed[0].failed}\n"
            f"{sweep}/sweep.md names them all"
        )


def write(sweep: Path, ranking: Ranking) -> None:
    """Write the table and, with matplotlib, the picture, each file whole or not at all."""
    files: dict[str, str | bytes] = {"sweep.csv": as_csv(ranking)}
    try:
        require_matplotlib()
        files["sweep.png"] = draw(ranking)
    except LitVideoError:
        screen().print("No picture: that needs matplotlib, pip install -e '.[sweeps]'", highlight=False)
    files["sweep.md"] = as_markdown(ranking, "sweep.png" if "sweep.png" in files else None)
    write_whole(sweep, files)
