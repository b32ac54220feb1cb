#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): a fragmented MP4 ends in a list of its fragments (mfra), which FFmpeg's muxer writes and its
# demuxer does not use: opening reads the head of every fragment, so that it takes longer the longer the recording.
# With use_mfra_for=pts the list is used, and opening reads the head and the end. But then its times are those of the
# packets too: of fragments of one picture each, behind an edit list (cmaf+delay_moov), all come earlier, some by 2^32.
# Seen: "200 fragments: opened by 2599 and 13 seeks, same times; of a picture each: times differ by -4294967808, -512"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import io

import av
import numpy as np

LISTED = {"use_mfra_for": "pts"}


class Counted(io.BytesIO):
    seeks = 0

    def seek(self, *arguments):
        self.seeks += 1
        return super().seek(*arguments)


def written(flags, frames, gop):
    file, draw = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format="mp4", options={"movflags": flags}) as container:
        stream = container.add_stream("libx264", 25, options={"bf": "2", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", gop
        for _ in range(frames):
            picture = draw.integers(0, 255, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def opened(data, options):
    file = Counted(data)
    with av.open(file, options=options) as container:
        seeks = file.seeks
        return seeks, [packet.pts for packet in container.demux(video=0) if packet.size]


data = written("frag_keyframe+empty_moov+default_base_moof", 800, 4)
(plain, times), (listed, same) = opened(data, {}), opened(data, LISTED)
data = written("cmaf+delay_moov+frag_every_frame", 100, 20)
(_, pictures), (_, others) = opened(data, {}), opened(data, LISTED)
off = {other - time for time, other in zip(pictures, others)}
print(f"200 fragments: opened by {plain} and {listed} seeks, {'same' if times == same else 'other'} times;", end=" ")
print("of a picture each: times differ by", ", ".join(map(str, sorted(off))))
raise SystemExit(not (plain > 200 and listed < 20 and times == same and off != {0}))
PYTHON
