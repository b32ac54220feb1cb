#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): FFmpeg's MJPEG encoder makes Huffman tables for each picture, by default and on one thread, and
# of a flat picture nearly all that follows them is zeros; so zeros in a JPEG are no sign of damage. With slices that are
# encoded side by side, or huffman=default, the standard's tables are used, in which no two zeros follow each other there.
# Seen: "longest run of zeros in a black picture of 640x480: 1798 bytes, with huffman=default 1"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import re
from fractions import Fraction

import av
import numpy as np


def longest(huffman):
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 640, 480, "yuvj420p", Fraction(1, 25)
    context.thread_count, context.options = 1, {"huffman": huffman}
    picture = av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), format="rgb24").reformat(format="yuvj420p")
    scan = bytes(context.encode(picture)[0]).partition(b"\xff\xda")[2][12:]
    return max(map(len, re.findall(rb"\0+", scan)), default=0)


optimal, default = longest("optimal"), longest("default")
print(f"longest run of zeros in a black picture of 640x480: {optimal} bytes, with huffman=default {default}")
raise SystemExit(not (optimal > 1000 and default < 3))
PYTHON
