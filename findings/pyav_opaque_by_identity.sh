#!/usr/bin/env bash
# PyAV 18.1.0: what Packet.opaque hands through a decoder (copy_opaque) is kept by the object's identity and let go with
# the first reference to it. Two packets, of two decoders that know nothing of each other, with the same small int as
# their opaque: once one of the two is gone, pictures of the other decoder come out with None. With an object of its own
# for each packet all come out with theirs. Two threads that number their packets from 0 meet this.
# Seen: "shared ints: 55 of 60 pictures without their number; own objects: 0 of 60" (how many of the first varies)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

encoder = av.CodecContext.create("libx264", "w")
encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 64, 48, "yuv420p", 30
encoder.time_base = Fraction(1, 30)
draw, packets = np.random.default_rng(0), []
for pts in range(60):
    picture = av.VideoFrame.from_ndarray(draw.integers(0, 255, (48, 64, 3), np.uint8), format="rgb24")
    picture = picture.reformat(format="yuv420p")
    picture.pts = pts
    packets += [bytes(packet) for packet in encoder.encode(picture)]
packets += [bytes(packet) for packet in encoder.encode(None)]


def without_number(wrap):
    decoders = [av.CodecContext.create("h264", "r") for _ in range(2)]
    for decoder in decoders:
        decoder.copy_opaque = True
    found = []
    for number, data in enumerate(packets):
        ones = []
        for decoder in decoders:
            packet = av.Packet(data)
            packet.opaque = wrap(number)
            ones.append(decoder.decode(packet))
        found += ones[0]
    found += decoders[0].decode(None)
    return sum(picture.opaque is None for picture in found), len(found)


shared, own = without_number(lambda number: number), without_number(lambda number: [number])
print(f"shared ints: {shared[0]} of {shared[1]} pictures without their number; own objects: {own[0]} of {own[1]}")
raise SystemExit(not (shared[0] and not own[0] and own[1] == len(packets)))
PYTHON
