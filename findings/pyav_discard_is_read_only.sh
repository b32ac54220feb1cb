#!/usr/bin/env bash
# PyAV 18.1.0: Packet.is_discard, FFmpeg's AV_PKT_FLAG_DISCARD, can be read and not set. FFmpeg decodes a packet so flagged and drops its picture
# before it is fetched: of a hardware decoder such pictures are neither mapped nor copied. Whoever decodes from a keyframe to one
# frame in the middle of a GOP wants just that, and cannot ask for it. That FFmpeg does so shows with a packet whose flag a container set.
# Seen: "set: AttributeError; pictures of 10 packets, of which an edit list discards 4: 6"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import av
import numpy as np

with av.open("whole.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(10):
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
    container.mux(stream.encode(None))
# Times before 0 become an edit list, which has players decode the pictures and not show them.
with av.open("whole.mp4") as source, av.open("cut.mp4", "w") as sink:
    stream = sink.add_stream_from_template(source.streams.video[0])
    step = int(1 / 25 / source.streams.video[0].time_base)
    for packet in source.demux(video=0):
        if packet.size:
            packet.pts, packet.dts, packet.stream = packet.pts - 4 * step, packet.dts - 4 * step, stream
            sink.mux(packet)
with av.open("cut.mp4") as container:
    packets = [packet for packet in container.demux(video=0) if packet.size]
    flagged = sum(packet.is_discard for packet in packets)
with av.open("cut.mp4") as container:
    shown = len(list(container.decode(video=0)))
try:
    packets[0].is_discard = True
    outcome = "worked"
except AttributeError:
    outcome = "AttributeError"
print(f"set: {outcome}; pictures of {len(packets)} packets, of which an edit list discards {flagged}: {shown}")
raise SystemExit((outcome, len(packets), flagged, shown) != ("AttributeError", 10, 4, 6))
PYTHON
