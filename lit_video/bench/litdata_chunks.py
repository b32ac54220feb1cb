"""`python -m lit_video.bench.litdata_chunks FILES.json FOLDER WORKERS` writes JPEGs, as they are, as litdata's chunks.

A program of its own, since `litdata.optimize` sets how processes start, for good, and draws on the screen.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CHUNK_BYTES = "64MB"  # what litdata's README advises for samples of this size


def sample(file: str) -> dict[str, Any]:
    """Return what litdata is to store of a file: nothing beside the picture, which is not encoded again."""
    from litdata import Image

    return {"image": Image(path=file)}


def main() -> None:
    """Write what the command line says."""
    from litdata import optimize

    files, folder, workers = sys.argv[1:]
    inputs = json.loads(Path(files).read_text())
    optimize(sample, inputs, output_dir=folder, chunk_bytes=CHUNK_BYTES, num_workers=int(workers), verbose=False)


if __name__ == "__main__":
    main()
