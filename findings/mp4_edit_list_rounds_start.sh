#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): written to MP4 with a time base of 1/30000, pictures at 2002, 3003 and 4004 come back at 1980, 2981 and
# 3982. The empty edit that holds the first time is in units of the movie's time scale, a thousandth of a second whatever
# the track's is. With movie_timescale=30000 the times are exact.
# Seen: "by default: 1980 2981 3982; with movie_timescale: 2002 3003 4004"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - "$folder/a.mp4" <<'PYTHON'
import sys
from fractions import Fraction

import av
import numpy as np

TIMES = [2002, 3003, 4004]


def written(path, options):
    with av.open(path, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 30000)
        for time in TIMES:
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = time, Fraction(1, 30000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        assert container.streams.video[0].time_base == Fraction(1, 30000)
        return [packet.pts for packet in container.demux(video=0) if packet.size]


plain, exact = written(sys.argv[1], {}), written(sys.argv[1], {"movie_timescale": "30000"})
print("by default:", *plain, end="; ")
print("with movie_timescale:", *exact)
raise SystemExit(0 if exact == TIMES and plain == [1980, 2981, 3982] else 1)
PYTHON
