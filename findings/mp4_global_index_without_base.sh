#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): MP4 written with movflags frag_keyframe+empty_moov+global_sidx has its index of fragments put
# before them when all are written, and the places that fragments name are not moved by its size. Without
# default_base_moof, with which places count from the fragment, every packet is read from elsewhere: nothing decodes.
# Nobody says a word while it is written. With default_base_moof all is well.
# Seen: "pictures of 60: 0 without, 60 with default_base_moof"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import av
import numpy as np

av.logging.set_level(av.logging.PANIC)


def pictures(flags):
    path, draw = f"{sys.argv[1]}/a.mp4", np.random.default_rng(0)
    with av.open(path, "w", options={"movflags": flags}) as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", 20
        for _ in range(60):
            picture = draw.integers(0, 255, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        context, found = container.streams.video[0].codec_context, 0
        for packet in container.demux(video=0):
            try:
                found += sum(not picture.is_corrupt for picture in context.decode(packet))
            except av.FFmpegError:
                pass
    return found


flags = "frag_keyframe+empty_moov+global_sidx"
without, with_base = pictures(flags), pictures(f"{flags}+default_base_moof")
print(f"pictures of 60: {without} without, {with_base} with default_base_moof")
raise SystemExit(not (without < 60 and with_base == 60))
PYTHON
