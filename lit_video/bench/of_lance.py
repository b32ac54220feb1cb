"""A contender that reads videos as blobs of a table of Lance, far away on a store that speaks S3."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from lit_video.bench.contenders import Contest, PerVideo, Setting, per_video
from lit_video.bench.far_away import far_away
from lit_video.bench.of_far import closing, counted
from lit_video.bench.prepared import Prepared, made_once
from lit_video.loading.counters import Counts
from lit_video.support.errors import LitVideoError

COLUMN, TABLE = "video_bytes", "videos.lance"


def lance_table(setting: Setting) -> Prepared:
    """Return the folder of a table with a row for each video, its bytes as they are."""
    lance = _lance()
    schema = pa.schema([pa.field(COLUMN, pa.large_binary(), metadata={"lance-encoding:blob": "true"})])

    def rows() -> Iterator[pa.RecordBatch]:
        for path in setting.index().paths:
            yield pa.record_batch([pa.array([Path(path).read_bytes()], pa.large_binary())], schema=schema)

    def make(folder: Path) -> float:
        lance.write_dataset(pa.RecordBatchReader.from_batches(schema, rows()), str(folder / TABLE), schema=schema)
        return 0.0

    return made_once(setting, "lance", make)


def lance_far(setting: Setting) -> Contest:
    """Load with torchcodec from the table's blobs, as lerobot-lancedb does: each is a file, and stays open."""
    folder, stack = lance_table(setting).folder, contextlib.ExitStack()
    url = stack.enter_context(far_away(folder.parent, setting.delay_seconds))
    counts = Counts()
    return closing(stack, counted(per_video(_PerVideoLance(setting, url, folder.name)), url, counts)), counts


class _PerVideoLance(PerVideo):
    """torchcodec, asked once a batch for all frames of a video that the batch wants, over Lance."""

    seek_mode = "approximate"  # by what the container says: no file is read through when it is opened

    def __init__(self, setting: Setting, url: str, bucket: str) -> None:
        super().__init__(setting)
        self._row_of = {path: row for row, path in enumerate(self.index.paths)}
        self._url, self._bucket = url, bucket
        self._table: Any = None

    def source(self, path: str) -> Any:
        """Return a video's blob."""
        if self._table is None:
            told = {"aws_access_key_id": "anyone", "aws_secret_access_key": "any", "aws_region": "us-east-1"}
            where = {"endpoint": self._url, "allow_http": "true", "virtual_hosted_style_request": "false"}
            self._table = _lance().dataset(f"s3://{self._bucket}/{TABLE}", storage_options=told | where)
        return self._table.take_blobs(COLUMN, indices=[self._row_of[path]])[0]


def _lance() -> Any:
    os.environ.setdefault("LANCE_LOG", "error")
    try:
        import lance  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise LitVideoError(
            "The contender lance_far needs Lance, which is not here: pip install -e '.[peers]'"
        ) from None
    return lance
