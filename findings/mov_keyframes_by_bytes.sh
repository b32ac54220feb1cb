#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): packets of H.264 in MP4 are keyframes if a parser that looks at their bytes says so, and not
# if the container's table of sync samples says so. Given the same file with zeros in the place of all samples but the
# first, it hands out the same packets, with the same times, sizes and places, and only the first is a keyframe;
# Stream.index_entries still has them all. So a file can be indexed from its table, if that is asked for keyframes.
# Seen: "packets alike: True; keyframes: 5 of the file, 1 with zeros, 5 in index_entries"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import io

import av
import numpy as np

file, draw = io.BytesIO(), np.random.default_rng(0)
with av.open(file, "w", format="mp4") as container:
    stream = container.add_stream("libx264", 30, options={"bf": "2", "sc_threshold": "0"})
    stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 10
    for _ in range(50):
        picture = draw.integers(0, 255, (48, 64, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode(None))


def packets(data):
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        entries = [(entry.pos, entry.size, entry.is_keyframe) for entry in stream.index_entries]
        found = [(p.pts, p.dts, p.size, p.pos, p.is_keyframe) for p in container.demux(stream) if p.size]
    return found, entries


whole, entries = packets(file.getvalue())
hollow = bytearray(file.getvalue())
for begin, size, _ in entries[1:]:
    hollow[begin : begin + size] = bytes(size)
found, same_entries = packets(bytes(hollow))
alike = [packet[:4] for packet in whole] == [packet[:4] for packet in found]
flags = [sum(packet[-1] for packet in some) for some in (whole, found, same_entries)]
print(f"packets alike: {alike}; keyframes: {flags[0]} of the file, {flags[1]} with zeros, {flags[2]} in index_entries")
raise SystemExit(not (alike and flags[0] == flags[2] > flags[1]))
PYTHON
