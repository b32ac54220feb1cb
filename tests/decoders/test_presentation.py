"""Frames as their files want them shown: the container's colours, all orientations, crops; by every decoder alike."""

import shutil
import subprocess

import av
import av.logging as logging
import numpy as np
import pytest
import torch

from lit_video.checks.stamps import draw_stamped, read_stamp, write_stamped
from lit_video.commands.index_summary import print_index
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.torchcodec import TorchCodecDecoder
from lit_video.index import VideoIndex
from tests.fakes import read_of
from tests.zoo import ZOO, cropped

RGB, FULL = (30, 60, 90), 2
DECODERS = {"pyav": PyAVDecoder, "torchcodec": TorchCodecDecoder}


def scan(path):
    return VideoIndex.scan(path, path.with_name(f"index-{path.name}"), progress=False)


def size_of(index):
    size = int(index.columns.height[0]), int(index.columns.width[0])
    return size if index.columns.rotation[0] % 180 == 0 else size[::-1]


def frame(index, frame_index=0, decoder="pyav", size=None, **arguments):
    """The frame as [height, width, 3]; by default as large as the picture that is shown."""
    size = size or size_of(index)
    if decoder == "torchcodec":
        pytest.importorskip("torchcodec", exc_type=(ImportError, RuntimeError))
    out = torch.zeros((3, *size), dtype=torch.uint8)
    made = DECODERS[decoder](index, size, **arguments)
    made.decode(read_of(index, 0, [frame_index]), [out])
    made.close()
    return out.permute(1, 2, 0).numpy().astype(int)


def write_flat(path, codec, matrix, color_range, own=(2, 0), num_frames=4):
    """Pictures of RGB as this matrix and range have it; `own` is what the stream says, and these the container."""
    kr, kb = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    red, green, blue = np.array(RGB) / 255
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    scale, offset, span = (255, 0, 255) if color_range == FULL else (219, 16, 224)
    levels = [round(luma * scale + offset), *(round(value * span + 128) for value in chroma)]
    whole = path.with_name(f"whole-{path.name}")
    with av.open(str(whole), "w") as container:
        stream = container.add_stream(
            codec, rate=25, options={"x265-params": "log-level=none"} if "265" in codec else {}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = own
        picture = av.VideoFrame(96, 64, "yuv420p")
        picture.colorspace, picture.color_range = own
        for plane, level in zip(picture.planes, levels, strict=True):
            np.frombuffer(plane, np.uint8)[:] = level
        for number in range(num_frames):
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        named = stream.codec_context
        named.colorspace, named.color_range, named.color_trc, named.color_primaries = matrix, color_range, 1, 1
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return path


class TestColours:
    @pytest.mark.parametrize(
        ("codec", "ending"),
        [
            ("libvpx", "webm"), ("libvpx", "mkv"), ("libvpx-vp9", "webm"), ("libvpx-vp9", "mp4"), ("libx265", "mkv"),
            ("libx265", "mp4"), ("libx264", "mkv"), ("libx264", "mp4"), ("mpeg2video", "mkv"), ("ffv1", "mkv"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(("matrix", "color_range"), [(1, 2), (1, 1), (9, 2)])
    def test_are_the_containers_where_the_stream_says_nothing(self, tmp_path, codec, ending, matrix, color_range):
        index = scan(write_flat(tmp_path / f"a.{ending}", codec, matrix, color_range))
        assert (index.columns.matrix[0], index.columns.range[0]) == (matrix, color_range)
        for number in (0, 3):
            assert np.abs(frame(index, number) - RGB).max() <= 4  # of what coding loses

    @pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
    def test_are_the_streams_own_where_it_says(self, tmp_path, codec):
        index = scan(write_flat(tmp_path / "a.mkv", codec, 1, 2, own=(5, 1)))
        assert (index.columns.matrix[0], index.columns.range[0]) == (5, 1)

    @pytest.mark.parametrize(
        ("untagged", "size", "matrix"),
        [
            ("bt601", (720, 1280), 5), ("bt709", (64, 64), 1), ("auto", (576, 720), 5), ("auto", (578, 720), 1),
            ("auto", (64, 1280), 1), ("auto", (64, 1278), 5),
        ],
    )  # fmt: skip
    def test_are_by_size_where_nobody_says_and_the_user_wants_that(self, untagged, size, matrix):
        from lit_video.decoders.scaler import matrix_of_untagged

        assert matrix_of_untagged(untagged, size[1], size[0]) == matrix

    def test_auto_reaches_the_frames(self, tmp_path):
        index = scan(write_stamped(tmp_path / "a.mp4", 2, size=(64, 1280)))
        found = {name: frame(index, untagged=name) for name in ("bt601", "bt709", "auto")}
        assert np.array_equal(found["auto"], found["bt709"])
        assert not np.array_equal(found["bt601"], found["bt709"])

    def test_follow_a_stream_that_changes_its_tags(self, tmp_path):
        parts = []
        for number, colours in enumerate([(1, 2, 1, 1), (5, 1, 6, 5)]):
            path = write_stamped(tmp_path / f"part{number}.h264", 10, 1, gop=5, colours=colours)
            parts.append((path.read_bytes(), frame(scan(path), 3)))
        (tmp_path / "a.h264").write_bytes(parts[0][0] + parts[1][0])
        index = scan(tmp_path / "a.h264")
        assert index.num_frames == 20
        for number, (_, expected) in enumerate(parts):
            assert np.array_equal(frame(index, 10 * number + 3), expected)

    @pytest.mark.parametrize(("name", "expected"), [("PQ.mp4", {"pq": 1, "hlg": 0}), ("HLG.mp4", {"pq": 0, "hlg": 1})])
    def test_hdr_is_counted(self, tmp_path, capsys, name, expected):
        ZOO[name](tmp_path / name)
        index = scan(tmp_path / name)
        assert index.num_hdr == expected
        print_index(index)
        assert f"1 of them is HDR ({name.partition('.')[0]})" in capsys.readouterr().out

    def test_hdr_is_not_spoken_of_where_there_is_none(self, index, capsys):
        print_index(index)
        assert "HDR" not in capsys.readouterr().out


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
class TestOrientation:
    @pytest.mark.parametrize("decoder", DECODERS)
    def test_pictures_are_upright(self, tmp_path, decoder, rotation, mirrored):
        path = write_stamped(tmp_path / "a.mp4", 12, 5, size=(96, 160), rotation=rotation, mirrored=mirrored)
        index = scan(path)
        assert (index.columns.rotation[0], index.columns.mirrored[0]) == (rotation, mirrored)
        for number, size in ((0, (96, 96)), (7, size_of(index))):
            assert read_stamp(frame(index, number, decoder, size).transpose(2, 0, 1).astype(np.uint8)) == (5, number)
        shown = draw_stamped(5, 3, size_of(index)).astype(int)
        # Bands run askew: their direction tells a mirrored picture from one that is not, where a grid may not.
        assert np.abs(frame(index, 3, decoder) - shown).mean() < 8

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
    def test_as_ffmpeg_shows_them(self, tmp_path, rotation, mirrored):
        path = write_stamped(tmp_path / "a.mp4", 2, 5, size=(96, 160), rotation=rotation, mirrored=mirrored)
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(path),
            "-frames:v",
            "1",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        ]
        shown = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
        index = scan(path)
        expected = np.frombuffer(shown, np.uint8).reshape(*size_of(index), 3).astype(int)
        assert np.abs(frame(index) - expected).mean() < 2


class TestCrop:
    @pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
    @pytest.mark.parametrize("crop", [(20, 10, 20, 10), (0, 0, 8, 0), (20, 4, 0, 12), (7, 3, 5, 1)], ids=str)
    @pytest.mark.parametrize("decoder", DECODERS)
    def test_of_matroska_is_made(self, tmp_path, codec, crop, decoder):
        cropped(tmp_path / "a.mkv", codec, crop)
        index = scan(tmp_path / "a.mkv")
        left, top, right, bottom = crop
        assert size_of(index) == (144 - top - bottom, 192 - left - right)
        assert index.presentation(0).crop == crop
        with av.open(str(tmp_path / "a.mkv")) as container:
            whole = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
        expected = whole[top : 144 - bottom, left : 192 - right]
        error = np.abs(frame(index, 0, decoder) - expected).mean()
        assert error < (30 if left % 2 or top % 2 else 4)  # of an odd one, a column or row more is left out

    def test_is_none_where_no_container_says_so(self, tmp_path):
        write_stamped(tmp_path / "a.mkv", 3, colours=(6, 1, 1, 1))
        assert scan(tmp_path / "a.mkv").presentation(0).crop == (0, 0, 0, 0)

    def test_leaves_ffmpegs_log_as_it_was(self, tmp_path):
        cropped(tmp_path / "a.mkv")
        assert logging.get_level() is None
        scan(tmp_path / "a.mkv")
        assert logging.get_level() is None

    @pytest.mark.parametrize("decoder", DECODERS)
    @pytest.mark.parametrize(
        ("pixel_format", "rect", "size"),
        [
            ("yuv420p", "6,10,22,14", (120, 148)),
            ("yuv420p", "2,0,0,0", (144, 174)),
            ("yuv420p", "0,2,6,4", (138, 170)),
            ("yuv444p", "5,3,7,9", (132, 164)),
        ],
    )
    def test_of_h264_is_made_to_the_column(self, tmp_path, decoder, pixel_format, rect, size):
        options = {"x264-params": f"crop-rect={rect}", "crf": "10"}
        path = write_stamped(tmp_path / "a.mp4", 4, 5, size=(144, 176), pixel_format=pixel_format, options=options)
        index = scan(path)
        assert size_of(index) == size
        left, top, _, _ = map(int, rect.split(","))
        expected = draw_stamped(5, 2, (144, 176))[top : top + size[0], left : left + size[1]].astype(int)
        assert np.abs(frame(index, 2, decoder) - expected).mean() < 8
