"""What follows a training: a test, and predictions as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor

from lit_video.support.errors import DataError

ENDINGS = (".csv", ".parquet")


def after_fit(
    trainer: Trainer, model: LightningModule, datamodule: LightningDataModule, test: bool, predict: str | None
) -> None:
    """Test and predict with the best weights: those of the checkpoint that did best, where there is one.

    Args:
        trainer: That has trained.
        model: What it has trained; one that cannot test or predict is not asked to.
        datamodule: Its `VideoDataModule`.
        test: Whether to test.
        predict: Where the table goes, in the run's folder: FILE.csv or FILE.parquet. None: no predictions.

    Raises:
        ValueError: A table of another kind.
        DataError: There are no videos to test or predict on.
    """
    if predict is not None and Path(predict).suffix not in ENDINGS:
        raise ValueError(f"predict must end in one of {', '.join(ENDINGS)}, got {predict!r}")
    best = _best_checkpoint(trainer)
    if test and _can(model, "test_step"):
        trainer.test(model, datamodule, ckpt_path=best)
    if predict is not None and _can(model, "predict_step"):
        found = trainer.predict(model, datamodule, ckpt_path=best)
        write_predictions(Path(trainer.default_root_dir) / predict, found or [], model, datamodule)


def write_predictions(path: Path, predictions: Sequence[Any], model: Any, datamodule: Any) -> None:
    """Write a table with a row for each sample and its likeliest class, on rank 0; every rank must call this.

    Columns: `path`; `frame_index` and `seconds`, of the frame, or the one in the middle of a clip; `class`;
    `probability`. Rows are sorted by path and frame.

    Args:
        path: Where to.
        predictions: This rank's batches, as `FrameClassifier.predict_step` returns them.
        model: Whose `classes` these are.
        datamodule: Whose videos of `predict` these are.
    """
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    batches = [batch for rank in _of_all_ranks([_row_by_row(batch) for batch in predictions]) for batch in rank]
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return
    if not batches:
        raise DataError("There is nothing to predict: no batch came.\nLook at trainer.limit_predict_batches")
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    order = np.lexsort((columns["frame_index"], columns["video_id"]))
    video_id, number = columns["video_id"][order], columns["class"][order]
    paths = datamodule.population("predict").index.known_paths
    table = pyarrow.table(
        {
            "path": [str(paths[row]) for row in video_id.tolist()],
            "frame_index": columns["frame_index"][order],
            "seconds": columns["seconds"][order],
            "class": [model.classes[row] for row in number.tolist()],
            "probability": columns["probability"][order],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    (pyarrow.csv.write_csv if path.suffix == ".csv" else pyarrow.parquet.write_table)(table, path)


def _row_by_row(batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the columns of a batch's samples, without those that pad it."""
    due = batch["weight"] > 0
    frames = {"frame_index": batch["frame_index"], "seconds": batch["pts_seconds"]}
    if batch["frame_index"].dim() == 2:
        frames = {name: values[:, values.shape[1] // 2] for name, values in frames.items()}
    probability, number = batch["probability"].max(dim=1)
    columns = {"video_id": batch["video_id"], **frames, "class": number, "probability": probability}
    return {name: values[due].numpy() for name, values in columns.items()}


def _of_all_ranks(mine: Any) -> list[Any]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [mine]
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, mine)
    return found


def _best_checkpoint(trainer: Trainer) -> str | None:
    """Return the path of the best checkpoint, None where none was written."""
    return getattr(trainer.checkpoint_callback, "best_model_path", None) or None


def _can(model: LightningModule, step: str) -> bool:
    """Whether a model has a step of its own, and not the one that Lightning puts in its place."""
    return getattr(type(model), step) is not getattr(LightningModule, step)
