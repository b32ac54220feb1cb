"""A run that is ended from outside, by SIGTERM or by Slurm, and one that goes on where such a run was."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

AUTO = "auto"


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Exit with 143 after SIGTERM, as shells expect. Lightning exits with 0, as if all had been done."""
    try:
        yield
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None


def checkpoint_to_resume(ckpt_path: str | None, trainer: Trainer) -> str | None:
    """Return the checkpoint to resume from, None to start anew, and say which where the choice was ours.

    Args:
        ckpt_path: A path; or None; or `auto`: the newest in the trainer's folder or its callbacks' folders. Of a job
            that Slurm puts back into the queue that is Lightning's `hpc_ckpt_N.ckpt`.
        trainer: Who resumes.
    """
    if ckpt_path != AUTO:
        return ckpt_path
    folders = [trainer.default_root_dir, *(getattr(saver, "dirpath", None) for saver in trainer.checkpoint_callbacks)]
    # Hidden ones are those of searches for a batch size or a learning rate that were cut off.
    found = {
        path
        for folder in folders
        if folder is not None
        for path in Path(folder).rglob("*.ckpt")
        if path.is_file() and not path.name.startswith(".")
    }
    if not found:
        rank_zero_info(f"ckpt_path=auto: no checkpoint in {trainer.default_root_dir} yet, starting anew")
        return None
    newest = max(found, key=lambda path: (path.stat().st_mtime_ns, path))
    rank_zero_info(f"ckpt_path=auto: going on from {newest}")
    return str(newest)
