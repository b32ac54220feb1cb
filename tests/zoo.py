"""Small videos of every kind and with every trap that we know: `python -m tests.zoo FOLDER` writes them all.

Each maker takes the path to write to. docs/formats.md has the table that `python -m tests.zoo --table` makes of them.
"""

import argparse
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from lit_video.checks.stamps import draw_stamped, write_stamped
from lit_video.checks.verify import verify
from lit_video.index import VideoIndex

Maker = Callable[[Path], object]

# Codec by FFmpeg's encoder, and the containers that people put it in. What is not said: 30 frames, GOP 8, yuv420p.
CONTAINERS = {
    "libx264": "mp4 mov m4v mkv avi ts m2ts mpg flv 3gp h264 nut wmv",
    "libx265": "mp4 mov mkv ts flv hevc",
    "libsvtav1": "mp4 mkv webm ivf obu",
    "libvpx": "webm mkv ivf ogg avi",
    "libvpx-vp9": "webm mp4 mkv ivf",
    "mpeg1video": "mpg ts",
    "mpeg2video": "mpg ts vob mkv mp4 mxf m2v",
    "mpeg4": "avi mp4 mkv mov 3gp m4v ts",
    "h263": "3gp avi",
    "flv": "flv",
    "msmpeg4": "avi",
    "wmv1": "asf",
    "wmv2": "wmv",
    "mjpeg": "avi mov mkv mjpeg",
    "prores_ks": "mov mkv",
    "ffv1": "mkv avi",
    "huffyuv": "avi",
    "utvideo": "avi",
    "png": "mov",
    "qtrle": "mov",
    "gif": "gif",
    "apng": "apng",
    "rv20": "rm",
    "svq1": "mov",
    "cinepak": "mov",
    "dvvideo": "avi",
    "jpeg2000": "mov",
    "v210": "mov",
    "magicyuv": "avi",
    "rawvideo": "avi y4m",
}
PIXEL_FORMATS = {
    "mjpeg": "yuvj420p",
    "prores_ks": "yuv422p10le",
    "huffyuv": "yuv422p",
    "png": "rgb24",
    "qtrle": "rgb24",
    "gif": "rgb8",
    "apng": "rgba",
    "svq1": "yuv410p",
    "cinepak": "rgb24",
    "v210": "yuv422p10le",
    "magicyuv": "gbrp",
}
SIZES = {"dvvideo": (576, 720)}
WITH_B_FRAMES = {"libx264", "libx265", "mpeg4", "mpeg2video", "mpeg1video"}


def plain(codec: str, b_frames: int) -> Maker:
    """A video of a codec, without a trap of its own."""
    return partial(
        write_stamped,
        num_frames=30,
        video_id=3,
        codec=codec,
        gop=8,
        b_frames=b_frames,
        fps=25,
        size=SIZES.get(codec, (144, 176)),
        pixel_format=PIXEL_FORMATS.get(codec, "yuv420p"),
    )


PLAIN: dict[str, Maker] = {
    f"{codec}{' with B-frames' if b_frames else ''}.{ending}": plain(codec, b_frames)
    for codec, endings in CONTAINERS.items()
    for ending in endings.split()
    for b_frames in ((0, 2) if codec in WITH_B_FRAMES else (0,))
}


def x264(parameters: str, b_frames: int = 2, num_frames: int = 60, **arguments) -> Maker:
    """H.264 with parameters of x264."""
    return partial(
        write_stamped,
        num_frames=num_frames,
        gop=12,
        b_frames=b_frames,
        options={"x264-params": parameters},
        **arguments,
    )


def encoded_packets(stream, num_frames: int, video_id: int = 1, size=(96, 128)):
    """Yield stamped packets of a stream, pts counted in frames."""
    for frame_index in range(num_frames + 1):
        picture = None
        if frame_index < num_frames:
            picture = av.VideoFrame.from_ndarray(draw_stamped(video_id, frame_index, size), format="rgb24")
            picture.pts, picture.time_base = frame_index, Fraction(1, 30)
        yield from stream.encode(picture)


def video_stream(container, size=(96, 128), b_frames: int = 2):
    """Add a stream of H.264, GOP 10."""
    options = {"g": "10", "keyint_min": "10", "sc_threshold": "0", "preset": "ultrafast", "bf": str(b_frames)}
    stream = container.add_stream("libx264", rate=30, options=options)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    stream.gop_size, stream.max_b_frames = 10, b_frames
    return stream


def shifted(path: Path, frames: int) -> None:
    """All timestamps moved by so many frames: negative ones become an edit list in MP4."""
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        for packet in encoded_packets(video_stream(container), 40):
            ticks = frames * int(Fraction(1, 30) / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            container.mux(packet)


def joined(path: Path, codec: str, second_size=(96, 128)) -> None:
    """Two files, one behind the other: timestamps fall back, and the size may change."""
    data = b""
    for number, size in enumerate(((96, 128), second_size)):
        part = path.with_name(f"part{number}-{path.name}")
        pixel_format = PIXEL_FORMATS.get(codec, "yuv420p")
        write_stamped(part, 30, number, codec, 10, 2 * (codec in WITH_B_FRAMES), size=size, pixel_format=pixel_format)
        data += part.read_bytes()
        part.unlink()
    path.write_bytes(data)


def truncated(path: Path, share: float) -> None:
    """The end is missing; what is there can be used."""
    whole = path.with_name(f"whole-{path.name}")
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else None
    write_stamped(whole, 60, 0, gop=10, b_frames=2, container_options=options)
    data = whole.read_bytes()
    whole.unlink()
    path.write_bytes(data[: int(len(data) * share)])


def cut(path: Path, codec: str) -> None:
    """The end is missing, in the middle of a packet, which this container's reader takes for the end of everything."""
    write_stamped(path, 60, 0, codec, 10, size=(144, 176))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])


def with_sound(path: Path) -> None:
    """Sound first, then video, interleaved."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000)
        stream = video_stream(container)
        packets = list(encoded_packets(stream, 40))
        for number in range(60):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, number * 1024
            container.mux(sound.encode(frame))
            if number < len(packets):
                container.mux(packets[number])
        container.mux(sound.encode(None))


def with_cover(path: Path) -> None:
    """Cover art, which is a video stream of one picture, before the video."""
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 320, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = video_stream(container)
        picture = av.VideoFrame.from_ndarray(np.full((320, 320, 3), 99, np.uint8), format="rgb24")
        picture.pts = 0
        container.mux(cover.encode(picture))
        container.mux(cover.encode(None))
        for packet in encoded_packets(stream, 40):
            container.mux(packet)


def two_videos(path: Path) -> None:
    """A small video stream before the large one."""
    with av.open(str(path), "w") as container:
        small, large = video_stream(container, (48, 64)), video_stream(container, (192, 256))
        pairs = zip(encoded_packets(small, 40, 8, (48, 64)), encoded_packets(large, 40, 9, (192, 256)), strict=True)
        for pair in pairs:
            for packet in pair:
                container.mux(packet)


def strange_title(path: Path) -> None:
    """A title that is not UTF-8."""
    write_stamped(path, 20, gop=10, container_options=None)
    with av.open(str(path)) as source, av.open(str(path.with_name(f"t{path.name}")), "w") as target:
        target.metadata["title"] = "QQQQQQQQ"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    data = path.with_name(f"t{path.name}").read_bytes()
    path.with_name(f"t{path.name}").unlink()
    assert b"QQQQQQQQ" in data
    path.write_bytes(data.replace(b"QQQQQQQQ", b"\xff\xfe\xe9\xff\xc0\xc1\xf5\x80"))


def late_stream(path: Path) -> None:
    """A transport stream in which sound begins after the video did."""
    first, second = path.with_name(f"a{path.name}"), path.with_name(f"b{path.name}")
    write_stamped(first, 200, 0, gop=10, size=(192, 256))
    with_sound(second)
    path.write_bytes(first.read_bytes() + second.read_bytes())
    first.unlink()
    second.unlink()


def no_timestamps(path: Path) -> None:
    """B-frames in AVI: packets without pts, and pictures whose pts are not in order."""
    write_stamped(path, 40, codec="mpeg4", gop=10, b_frames=3)


def retimed(path: Path, codec: str, b_frames: int, pts_of: Callable[[int, int], int]) -> None:
    """Another pts for each packet, by its place in the file and its pts in frames; packets are stored as they were."""
    whole = path.with_name(f"whole-{path.name}")
    write_stamped(whole, 50, 2, codec, 10, b_frames, 25)
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            ticks = int(Fraction(1, 25) / packet.time_base)
            packet.stream = stream
            packet.pts, packet.dts = ticks * pts_of(number, packet.pts // ticks), ticks * number
            target.mux(packet)
    whole.unlink()


def palette(path: Path) -> None:
    """Gray pixels in MOV, which are places in a palette that is sent once."""
    write_stamped(path, 30, 1, "rawvideo", 10, pixel_format="gray")


def hollow(path: Path) -> None:
    """H.264 with a packet that has a delimiter in it and no picture."""
    write_stamped(path, 40, 1, gop=10)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][24]
    data = bytearray(path.read_bytes())
    # Its only unit, behind a length of four bytes, becomes one of another kind (9: access unit delimiter).
    data[packet.pos + 4] = 9
    path.write_bytes(data)


def headers_change(path: Path) -> None:
    """Two encodes in one stream of a file whose header has the first one's parameter sets only."""
    with av.open(str(path), "w") as target:
        stream, place = None, 0
        for number, parameters in enumerate(("ref=1", "ref=3:8x8dct=0:cabac=0")):
            part = path.with_name(f"part{number}-{path.name}.h264")
            write_stamped(part, 20, number, gop=10, options={"x264-params": f"{parameters}:repeat-headers=1"})
            with av.open(str(part)) as source:
                if stream is None:
                    stream = target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream, packet.time_base = stream, Fraction(1, 25)
                        packet.pts = packet.dts = place
                        place += 1
                        target.mux(packet)
            part.unlink()


def only_in_the_container(path: Path, codec: str) -> None:
    """BT.709 and full range, as the container says and the stream does not: VP8 cannot, and others were not told."""
    whole = path.with_name(f"whole-{path.name}")
    write_stamped(whole, 30, 4, codec, 10, size=(152, 176))
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        named = stream.codec_context
        named.colorspace, named.color_range, named.color_trc, named.color_primaries = 1, 2, 1, 1
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    whole.unlink()


def cropped(path: Path, codec: str = "libx264", crop: tuple[int, int, int, int] = (20, 4, 8, 12), **arguments) -> None:
    """A container that cuts off so many columns and rows: left, top, right, bottom."""
    write_stamped(path, 30, 4, codec, 10, size=(144, 192), colours=(6, 1, 1, 1), **arguments)
    data = path.read_bytes()
    begin = data.index(
        b"\x55\xb0\x90"
    )  # the colours, 16 bytes, in whose place the crop goes, and 3 bytes that mean nothing
    elements = (bytes([0x54, name, 0x81, size]) for name, size in zip((0xCC, 0xBB, 0xDD, 0xAA), crop, strict=True))
    path.write_bytes(data[:begin] + b"".join(elements) + b"\xec\x81\x00" + data[begin + 19 :])


JUMPS = [*range(20), *range(1000, 1020), *range(50000, 50020)]
TRAPS: dict[str, Maker] = {
    "variable frame rate.mkv": partial(write_stamped, num_frames=20, pts=[n * n for n in range(20)]),
    "variable frame rate, B-frames.mp4": partial(
        write_stamped,
        num_frames=40,
        gop=9,
        b_frames=2,
        pts=np.random.default_rng(0).integers(1, 9, 40).cumsum().tolist(),
    ),
    **{
        f"timestamps jump.{e}": partial(write_stamped, num_frames=60, pts=JUMPS, gop=7, b_frames=2)
        for e in ("mp4", "mkv", "ts", "flv")
    },
    **{
        f"begins {n} frames off.{e}": partial(shifted, frames=n)
        for n in (-7, -3, 100)
        for e in ("mp4", "mov", "mkv", "ts", "avi")
    },
    "no timestamps.avi": no_timestamps,
    **{
        f"open GOPs, H.264.{e}": x264("open-gop=1:keyint=12:min-keyint=12:scenecut=0", 3)
        for e in ("mp4", "mkv", "ts", "h264", "avi")
    },
    **{
        f"open GOPs, HEVC.{e}": partial(
            write_stamped,
            num_frames=60,
            codec="libx265",
            options={"x265-params": "open-gop=1:keyint=12:min-keyint=12:bframes=4:log-level=none:pools=none"},
        )
        for e in ("mp4", "mkv", "ts", "hevc")
    },
    **{
        f"intra refresh{', B-frames' if b else ''}.{e}": x264(f"intra-refresh=1:keyint=20:bframes={b}", b, 80)
        for b in (0, 2)
        for e in ("mp4", "mkv", "ts", "h264")
    },
    **{
        f"H.264 {p}.mp4": partial(write_stamped, num_frames=40, gop=10, b_frames=2, pixel_format=p)
        for p in ("yuv444p", "yuv422p", "yuv420p10le", "yuv444p10le", "gray")
    },
    **{
        f"HEVC {p}.mp4": partial(write_stamped, num_frames=40, codec="libx265", gop=10, b_frames=2, pixel_format=p)
        for p in ("yuv444p", "yuv420p10le", "yuv422p10le", "gray")
    },
    "H.264 RGB.mp4": partial(write_stamped, num_frames=30, codec="libx264rgb", gop=10, pixel_format="rgb24"),
    "lossless 4:4:4.mkv": partial(
        write_stamped, num_frames=30, gop=10, b_frames=2, pixel_format="yuv444p", options={"qp": "0"}
    ),
    **{
        f"hidden pictures, {c}.{e}": partial(
            write_stamped,
            num_frames=80,
            codec=c,
            gop=30,
            options={"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "4"},
        )
        for c, e in (("libvpx", "webm"), ("libvpx-vp9", "webm"), ("libvpx-vp9", "mp4"))
    },
    "AV1, random access.mp4": partial(write_stamped, num_frames=80, codec="libsvtav1", gop=33),
    **{f"interlaced H.264.{e}": x264("tff=1:keyint=10:min-keyint=10", num_frames=40) for e in ("mp4", "mkv", "ts")},
    "interlaced MPEG-2.ts": partial(
        write_stamped, num_frames=40, codec="mpeg2video", gop=10, b_frames=2, options={"flags": "+ilme+ildct"}
    ),
    "keyframes only.mp4": partial(write_stamped, num_frames=30, gop=1),
    **{
        f"GOPs of 2 and 3, B-frames.{e}": partial(write_stamped, num_frames=40, gop=3, b_frames=2)
        for e in ("mp4", "mkv")
    },
    "B-frames that others refer to.mp4": x264(
        "b-pyramid=normal:keyint=8:min-keyint=8:scenecut=0:bframes=5:b-adapt=0", 5
    ),
    "one keyframe.mp4": partial(write_stamped, num_frames=90, gop=1000, b_frames=2),
    **{f"one frame.{e}": partial(write_stamped, num_frames=1) for e in ("mp4", "ts", "avi")},
    **{
        f"fragmented, {f}.mp4": partial(
            write_stamped, num_frames=60, gop=10, b_frames=2, container_options={"movflags": f}
        )
        for f in (
            "frag_keyframe+empty_moov",
            "frag_keyframe+empty_moov+default_base_moof",
            "dash",
            "frag_every_frame+empty_moov",
            "cmaf+frag_keyframe",
        )
    },
    "odd size, MPEG-4.avi": partial(write_stamped, num_frames=30, codec="mpeg4", size=(97, 131)),
    "odd size, VP9.webm": partial(write_stamped, num_frames=30, codec="libvpx-vp9", size=(97, 131)),
    "odd size, 4:4:4.mp4": partial(write_stamped, num_frames=30, size=(97, 131), pixel_format="yuv444p"),
    **{f"turned by {r} degrees.mp4": partial(write_stamped, num_frames=20, rotation=r) for r in (90, 180, 270, 37)},
    **{
        f"two files joined.{e}": partial(joined, codec=c)
        for e, c in (
            ("ts", "libx264"),
            ("mpg", "mpeg2video"),
            ("h264", "libx264"),
            ("mjpeg", "mjpeg"),
            ("obu", "libsvtav1"),
            ("mkv", "libx264"),
        )
    },
    **{
        f"size changes.{e}": partial(joined, codec=c, second_size=(144, 192))
        for e, c in (("ts", "libx264"), ("mpg", "mpeg2video"), ("h264", "libx264"), ("mjpeg", "mjpeg"))
    },
    **{
        f"truncated to {share:.0%}.{e}": partial(truncated, share=share)
        for share in (0.97, 0.6)
        for e in ("mp4", "mkv", "ts", "avi", "flv")
    },
    **{f"sound before video.{e}": with_sound for e in ("mp4", "mkv", "ts", "flv")},
    "cover art first.mp4": with_cover,
    **{f"two video streams.{e}": two_videos for e in ("mp4", "mkv", "ts")},
    **{f"title not UTF-8.{e}": strange_title for e in ("mp4", "mkv", "avi")},
    "a stream begins late.ts": late_stream,
    **{f"palette.{e}": palette for e in ("mov", "avi")},
    **{
        f"H.264 yuv444p, no B-frames.{e}": partial(
            write_stamped, num_frames=40, gop=20, options={"tune": "zerolatency"}, pixel_format="yuv444p"
        )
        for e in ("mp4", "avi", "ts", "flv", "h264")
    },
    **{
        f"pts are dts.{e}": partial(retimed, codec="libx264", b_frames=2, pts_of=lambda n, t: n) for e in ("mkv", "mp4")
    },
    **{
        f"times fall back, {c}.{e}": partial(retimed, codec=c, b_frames=0, pts_of=lambda n, t: 100 + n if n < 25 else n)
        for c, e in (("libvpx-vp9", "webm"), ("libvpx", "webm"))
    },
    "interlaced MPEG-4, B-frames.avi": partial(
        write_stamped, num_frames=60, codec="mpeg4", gop=12, b_frames=2, options={"flags": "+ilme+ildct"}
    ),
    "a packet without a picture.mp4": hollow,
    **{f"headers change.{e}": headers_change for e in ("mp4", "mkv")},
    "truncated.rm": partial(cut, codec="rv20"),
    **{
        f"colours in the container, {c}.{e}": partial(only_in_the_container, codec=c)
        for c, endings in (
            ("libvpx", "webm mkv"),
            ("libvpx-vp9", "webm mp4"),
            ("libx265", "mkv mp4"),
            ("libx264", "mkv"),
            ("mpeg2video", "mkv"),
        )
        for e in endings.split()
    },
    **{
        f"mirrored, then turned by {r} degrees.{e}": partial(
            write_stamped, num_frames=20, size=(96, 160), rotation=r, mirrored=True
        )
        for r in (0, 90, 180, 270)
        for e in ("mp4", "mov")
    },
    **{
        f"cropped, {c}.{e}": partial(cropped, codec=c)
        for c, e in (("libx264", "mkv"), ("libx265", "mkv"), ("libvpx-vp9", "webm"), ("libvpx", "webm"))
    },
    **{
        f"cropped by the stream, {p}.mp4": x264(f"crop-rect={rect}", num_frames=20, size=(144, 192), pixel_format=p)
        for p, rect in (("yuv420p", "6,10,22,14"), ("yuv444p", "5,3,7,9"))
    },
    **{
        f"no duration, {c}.{e}": partial(write_stamped, num_frames=40, codec=c, gop=10, container_options={"live": "1"})
        for c, e in (("libvpx-vp9", "webm"), ("libvpx", "webm"), ("libx264", "mkv"))
    },
    **{
        f"{name}.mp4": partial(
            write_stamped,
            num_frames=20,
            codec="libx265",
            pixel_format="yuv420p10le",
            colours=(9, 1, transfer, 9),
        )
        for name, transfer in (("PQ", 16), ("HLG", 18))
    },
}
ZOO = PLAIN | TRAPS


def spatial_layers(path: Path, num_frames: int = 12) -> None:
    """VP9 with three pictures of growing size in each packet, as video calls send it: a superframe, all shown.

    Not in the zoo: FFmpeg shows all of them, where there is one picture in three sizes.
    """
    layers = []
    for video_id, size in enumerate(((48, 64), (96, 128), (192, 256))):
        part = path.with_name(f"layer{video_id}.webm")
        write_stamped(part, num_frames, video_id, "libvpx-vp9", gop=1, size=size)
        with av.open(str(part)) as container:
            layers.append([bytes(packet) for packet in container.demux(video=0) if packet.size])
        part.unlink()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=30)
        stream.height, stream.width, stream.pix_fmt = 192, 256, "yuv420p"
        for number, parts in enumerate(zip(*layers, strict=True)):
            marker = bytes([0b11000000 | 3 << 3 | len(parts) - 1])  # sizes of four bytes
            sizes = b"".join(len(part).to_bytes(4, "little") for part in parts)
            packet = av.Packet(b"".join(parts) + marker + sizes + marker)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 30)
            packet.is_keyframe = True
            container.mux(packet)


def write_all(folder: Path) -> None:
    """Write every video of the zoo into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in ZOO.items():
        make(folder / name)


def table() -> str:
    """Verify every video, and return what was found as a table in Markdown: a row for all containers that agree."""
    endings: dict[tuple[str, ...], list[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, make in ZOO.items():
            make(folder / file)
            index = VideoIndex.scan(folder / file, folder / "index", progress=False)
            found, (title, _, ending) = verify(index, 0), file.rpartition(".")
            cells = (
                title, index.codec(0), index.pixel_format(0), index.made(0), str(found.frames),
                str(len(index.starts(0))),
                "yes" if found.ok else f"no: {len(found.wrong)} wrong, {len(found.missing)} missing",
            )  # fmt: skip
            endings.setdefault(cells, []).append(ending)
    head = ["video", "containers", "codec", "format", "index", "frames", "GOPs", "every frame exact"]
    rows = [head, ["---"] * len(head), *([cells[0], " ".join(e), *cells[1:]] for cells, e in endings.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    if chosen.folder:
        write_all(chosen.folder)
    if chosen.table:
        print(table())
