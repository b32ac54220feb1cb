"""Videos that are damaged as recordings are: overwritten sectors, lost transport packets, pictures cut out."""

import random
import tempfile
from functools import cache, partial
from pathlib import Path

import av

from lit_video.checks.stamps import write_stamped

# What is written: 96 frames, GOPs of 12, with a texture so that pictures fill several transport packets.
ENCODERS = {
    "H.264, CAVLC": ("libx264", 0, {"x264-params": "cabac=0"}),
    "H.264, CABAC": ("libx264", 0, {}),
    "H.264, B-frames": ("libx264", 2, {"x264-params": "b-pyramid=normal"}),
    "H.264, slices": ("libx264", 2, {"x264-params": "slices=3"}),
    "HEVC": ("libx265", 0, {}),
    "HEVC, B-frames": ("libx265", 3, {}),
    "MPEG-2": ("mpeg2video", 0, {}),
    "MPEG-2, B-frames": ("mpeg2video", 2, {}),
    "MPEG-4": ("mpeg4", 0, {}),
    "MPEG-4, B-frames": ("mpeg4", 2, {}),
    "VP8": ("libvpx", 0, {}),
    "VP9": ("libvpx-vp9", 0, {}),
    "AV1": ("libsvtav1", 0, {}),
}
CONTAINERS = {
    "H.264": "mp4 mkv avi ts",
    "HEVC": "mp4 mkv ts",
    "MPEG-2": "mpg ts",
    "MPEG-4": "avi mp4 ts",
    "VP8": "webm",
    "VP9": "webm mp4",
    "AV1": "mp4 mkv",
}


def whole(path: Path, encoder: str) -> Path:
    """Write the undamaged video."""
    path.write_bytes(_whole(path.suffix, encoder))
    return path


@cache
def _whole(suffix: str, encoder: str) -> bytes:
    codec, b_frames, options = ENCODERS[encoder]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"whole{suffix}")
        return write_stamped(path, 96, 5, codec, 12, b_frames, size=(192, 256), options=options).read_bytes()


def overwrite(source: Path, path: Path, seed: int) -> Path:
    """Overwrite parts of a few packets with zeros."""
    draw, data = random.Random(seed), bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size and p.pos is not None and p.pos >= 0]
    for place, size in draw.sample(packets[3:], 4):
        begin = place + min(size - 1, draw.randrange(size // 8, size // 2 + 1) + 8)
        end = min(len(data), place + size)
        data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    return path


def lose(source: Path, path: Path, seed: int) -> Path:
    """Lose a few transport packets of a transport stream."""
    draw, data = random.Random(seed), source.read_bytes()
    packets = [data[place : place + 188] for place in range(0, len(data), 188)]
    lost = set(draw.sample(range(60, len(packets)), 4))
    path.write_bytes(b"".join(packet for number, packet in enumerate(packets) if number not in lost))
    return path


def cut(source: Path, path: Path, seed: int) -> Path:
    """Copy a video and leave out a few pictures, one to four in a row."""
    draw = random.Random(seed)
    begins = draw.sample(range(4, 90), 3)
    gone = {number for begin in begins for number in range(begin, begin + draw.randrange(1, 5))}
    with av.open(str(source)) as container, av.open(str(path), "w") as copy:
        stream = container.streams.video[0]
        target = copy.add_stream_from_template(stream)
        for number, packet in enumerate(container.demux(stream)):
            if packet.size and number not in gone:
                packet.stream = target
                copy.mux(packet)
    return path


def remux(source: Path, path: Path) -> Path:
    """Copy a video into another container, as it is."""
    with av.open(str(source)) as container, av.open(str(path), "w") as copy:
        stream = container.streams.video[0]
        target = copy.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.size and packet.dts is not None:
                packet.stream = target
                copy.mux(packet)
    return path


def _made(path: Path, encoder: str, harm, seed: int) -> None:
    source = whole(path.with_name(f"whole-{path.name}"), encoder)
    harm(source, path, seed)
    source.unlink()


# For the zoo: one of each encoder and way, in the container that fits.
DAMAGED = {
    f"{way} in {encoder}.{ending}": partial(_made, encoder=encoder, harm=harm, seed=seed)
    for seed, encoder in enumerate(ENCODERS)
    for way, harm in (("zeros", overwrite), ("lost packets", lose), ("a cut", cut))
    for ending in CONTAINERS[encoder.split(",")[0]].split()[:: 1 if way == "zeros" else -1][:1]
    if (way != "lost packets" or ending == "ts") and not (way == "a cut" and encoder == "AV1")
}
