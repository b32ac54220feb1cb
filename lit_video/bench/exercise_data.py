"""Input of the exercise's kind from real footage: 1080p, H.264, .MOV, 30 frames/s, a keyframe every 30, no B-frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import torch
from rich.progress import track
from torchvision.transforms.v2 import functional as F

from lit_video.support.demo import demo_clip

HEIGHT, WIDTH, FPS, GOP = 1080, 1920, 30, 30
BIT_RATE = 16_000_000  # what a telephone of the exercise's time writes at this size


def make_exercise_data(folder: Path, num_frames: int = 600, num_links: int = 200) -> Path:
    """Write one video of the exercise's kind into `folder`, and link to it from `folder/videos`; return that folder.

    The picture pans and zooms over the demo clip's frames, so the encoder finds real texture and real motion.

    Raises:
        DataError: The demo clip is not installed.
    """
    clip = demo_clip()
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    path, part = folder / "IMG_4475.MOV", folder / "part.MOV"
    if not path.exists() or _num_frames(path) != num_frames:
        _encode(part, _pictures(clip, num_frames), num_frames)
        part.replace(path)
    for number in range(num_links):
        link = videos / f"{number:03}.MOV"
        if not link.exists():
            link.symlink_to(path.absolute())
    return videos


def _num_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return container.streams.video[0].frames


def _encode(path: Path, pictures: Iterator[np.ndarray], num_frames: int) -> None:
    options = {"preset": "medium", "g": str(GOP), "keyint_min": str(GOP), "sc_threshold": "0", "bf": "0"}
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", BIT_RATE
        for number, picture in enumerate(track(pictures, "Encoding", total=num_frames, transient=True)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pictures(clip: Path, num_frames: int) -> Iterator[np.ndarray]:
    with av.open(str(clip)) as container:
        frames = [torch.from_numpy(f.to_ndarray(format="rgb24")).permute(2, 0, 1) for f in container.decode(video=0)]
    for number in range(num_frames):
        frame = frames[number // 2 % len(frames)]
        height, width = frame.shape[1:]
        zoom = 1.15 + 0.15 * math.sin(number / 60)
        h, w = int(height / zoom), int(height / zoom * WIDTH / HEIGHT)
        top, left = _swing(height - h, number / 47), _swing(width - w, number / 71)
        view = F.resized_crop(frame, top, left, h, w, [HEIGHT, WIDTH], antialias=True)
        yield view.permute(1, 2, 0).contiguous().numpy()


def _swing(room: int, angle: float) -> int:
    return int(room * (0.5 + 0.5 * math.sin(angle)))
