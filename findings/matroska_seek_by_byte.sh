#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): a Matroska file seeks by byte without an error, and nowhere. Asked for the byte at which any of
# its clusters begins (as Stream.index_entries has them, after the file was read), the demuxer goes on from what it had
# in its buffer, so that every target gives the same packet. The same targets by time land where they should. So a file
# without cues is read from its beginning at each opening, whatever is known of its clusters; MP4 says EPERM instead.
# Seen: "by byte: 1 landing of 8 targets, by time: 8 of 8; MP4: PermissionError"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import io

import av
import numpy as np


def written(name):
    file, draw = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format=name) as container:
        stream = container.add_stream("libx264", 25, options={"bf": "0", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", 20
        for _ in range(200):
            picture = draw.integers(0, 255, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def landing(data, target, by_byte):
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        container.seek(target, stream=stream, unsupported_byte_offset=by_byte)
        return next(container.demux(stream)).pts


data = written("matroska")
with av.open(io.BytesIO(data)) as container:
    stream = container.streams.video[0]
    keyframes = [packet.pts for packet in container.demux(stream) if packet.size and packet.is_keyframe][1:9]
    clusters = {entry.timestamp: entry.pos for entry in stream.index_entries}
by_byte = {landing(data, clusters[pts], True) for pts in keyframes}
right = sum(landing(data, pts, False) == pts for pts in keyframes)
try:
    landing(written("mp4"), 5000, True)
    said = "nothing"
except OSError as error:
    said = type(error).__name__
print(f"by byte: {len(by_byte)} landing of {len(keyframes)} targets, by time: {right} of {len(keyframes)}; MP4: {said}")
raise SystemExit(not (len(by_byte) == 1 and right == len(keyframes) and said == "PermissionError"))
PYTHON
