"""What Hydra calls when a sweep's jobs have ended, and what keeps one that failed from ending the others.

Every run of train.py imports this module at its start: what needs torch is imported when there is a sweep.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from lit_video.support.errors import Told, told_in_a_sentence
from lit_video.sweep.jobs import FAILED


class SweepReport(Callback):
    """Writes `sweep.csv`, `sweep.md` and `sweep.png` into the sweep's folder, and prints the table."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report; exit with 1 if a job failed."""
        from lit_video.sweep.summary import report

        with told_in_a_sentence():
            report(Path(config.hydra.sweep.dir))


@contextlib.contextmanager
def others_go_on() -> Iterator[None]:
    """Within a sweep, note a user's mistake in the job's folder and return, so that the other jobs run."""
    try:
        yield
    except Told as told:
        hydra = HydraConfig.get()
        if hydra.mode != RunMode.MULTIRUN:
            raise
        (Path(hydra.runtime.output_dir) / FAILED).write_text(told.sentence + "\n")
