#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2, SVT-AV1), run as root on Linux: encoding one small AV1 video leaves the calling thread under the
# real-time policy SCHED_FIFO with priority 99. All threads and programs that it starts from then on inherit that, and take
# the cores from everything else on the machine. Without the right to do so nothing changes.
# Seen: "before: policy 0; after: policy 1 (SCHED_FIFO), priority 99"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - "$folder/a.mp4" <<'PYTHON'
import os
import sys

import av
import numpy as np

before = os.sched_getscheduler(0)
with av.open(sys.argv[1], "w") as container:
    stream = container.add_stream("libsvtav1", rate=30)
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    for number in range(10):
        picture = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 20 * number, np.uint8), format="rgb24")
        container.mux(stream.encode(picture.reformat(format="yuv420p")))
    container.mux(stream.encode(None))
after, priority = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
print(f"before: policy {before}; after: policy {after}{' (SCHED_FIFO)' if after == os.SCHED_FIFO else ''}, priority {priority}")
if os.geteuid():
    raise SystemExit("not root: nothing to see")
raise SystemExit(0 if (before, after, priority) == (os.SCHED_OTHER, os.SCHED_FIFO, 99) else 1)
PYTHON
