#!/usr/bin/env bash
# litdata 0.2.76: a string that is the path of an existing picture is stored as that picture, not as the string. Its README's own recipe
# for pictures returns {"image": Image(path=path, quality=95, format="jpeg"), "id": path}: so each picture is stored twice, and "id" comes
# back as pixels. The recipe also encodes a JPEG again, though the text above it says that existing files are kept: Image(path=path) keeps them.
# Whoever follows it has chunks of more than twice the size, and pictures that lost a little more. (Installs torch: some minutes.)
# Seen: "id: [3, 64, 64]; the file's 3,086 bytes lie 1x in 8,356 bytes by the recipe, 1x in 3,102 bytes by Image(path=path) alone"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q litdata==0.2.76 pillow numpy
cd "$folder"
cat > finding.py <<'PYTHON'
from pathlib import Path

import litdata
import numpy as np
from PIL import Image


def recipe(path):
    return {"image": litdata.Image(path=path, quality=95, format="jpeg"), "id": path}


def kept(path):
    return {"image": litdata.Image(path=path)}


def stored(function, folder):
    litdata.optimize(function, ["picture.jpg"], output_dir=folder, chunk_bytes="64MB", num_workers=1, verbose=False)
    sample = litdata.StreamingDataset(folder)[0]
    data = b"".join(file.read_bytes() for file in Path(folder).glob("*.bin"))
    return sample, data


if __name__ == "__main__":
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("picture.jpg", quality=75)
    file = Path("picture.jpg").read_bytes()
    sample, twice = stored(recipe, "recipe")
    _, once = stored(kept, "kept")
    shape = list(getattr(sample["id"], "shape", []))
    copies = twice.count(file), once.count(file)
    print(f"id: {shape or sample['id']}; the file's {len(file):,} bytes lie {copies[0]}x in {len(twice):,} bytes by the recipe,", end=" ")
    print(f"{copies[1]}x in {len(once):,} bytes by Image(path=path) alone")
    raise SystemExit(not (shape == [3, 64, 64] and copies == (1, 1) and len(twice) > 2 * len(file)))
PYTHON
"$folder/venv/bin/python" finding.py
