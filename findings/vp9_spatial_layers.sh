#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): a VP9 superframe with the same picture in three sizes, as video calls send it (spatial layers),
# is three pictures with equal times to FFmpeg's own decoder "vp9", the smallest first, and one, the largest, to
# "libvpx-vp9" in the same build. Whoever counts a picture for each packet reads the small ones.
# Seen: "vp9: [(64, 48), (128, 96), (256, 192)] libvpx-vp9: [(256, 192)]"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np


def keyframe(width, height):
    encoder = av.CodecContext.create("libvpx-vp9", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = width, height, "yuv420p", 30
    encoder.time_base = Fraction(1, 30)
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    picture = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuv420p")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


layers = [keyframe(*size) for size in ((64, 48), (128, 96), (256, 192))]
marker = bytes([0b110_11_000 | len(layers) - 1])  # VP9 bitstream specification, annex B: sizes of four bytes
superframe = b"".join(layers) + marker + b"".join(len(layer).to_bytes(4, "little") for layer in layers) + marker
found = {}
for name in ("vp9", "libvpx-vp9"):
    decoder = av.CodecContext.create(name, "r")
    found[name] = [(picture.width, picture.height) for picture in decoder.decode(av.Packet(superframe))]
print(" ".join(f"{name}: {sizes}" for name, sizes in found.items()))
expected = {"vp9": [(64, 48), (128, 96), (256, 192)], "libvpx-vp9": [(256, 192)]}
raise SystemExit(found != expected)
PYTHON
