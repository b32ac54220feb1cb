"""Frame-exact on whatever people have: every frame of every kind of video, by random access, sample by sample."""

import shutil
import subprocess
import warnings

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.checks.verify import verify
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.reader import OpenVideos
from lit_video.decoders.torchcodec import TorchCodecDecoder
from lit_video.index import VideoIndex
from lit_video.media.container import open_video
from lit_video.media.picture import checksum
from lit_video.planning.planner import GopRead
from lit_video.support.errors import LitVideoError
from tests.zoo import PLAIN, TRAPS, WITH_B_FRAMES, ZOO, spatial_layers

PROMISED = {
    "mp4", "mov", "m4v", "mkv", "webm", "avi", "ts", "m2ts", "mpg", "flv", "ogg", "wmv", "3gp", "gif", "mjpeg", "h264",
    "hevc", "ivf",
}  # fmt: skip


def scan(path):
    return VideoIndex.scan(path, path.with_name(f"index-{path.name}"), progress=False)


def independent_truth(path, stream_index):
    """What `av` gives anybody who decodes the file from beginning to end, threads and all."""
    sums = []
    with open_video(path) as container:
        try:
            for packet in container.demux(container.streams[stream_index]):
                try:
                    sums.extend(map(checksum, packet.decode()))
                except av.FFmpegError:
                    continue
        except (av.FFmpegError, IndexError):
            pass
    return sums


@pytest.mark.parametrize("name", ZOO)
def test_every_frame_is_exact(name, tmp_path):
    path = tmp_path / name
    ZOO[name](path)
    index = scan(path)
    found = verify(index, 0)
    assert found.ok, found
    pictures = len(independent_truth(path, int(index.columns.stream[0])))
    if not found.damaged and not index.left_out(0):
        assert found.frames == pictures
    # A picture that is cut off may be none to others; one that nobody refers to is not decoded if it is damaged.
    assert found.frames - len(found.damaged) <= pictures <= found.frames + len(index.left_out(0))


@pytest.mark.parametrize(
    "name", ["libx264 with B-frames.mp4", "open GOPs, HEVC.mkv", "intra refresh.mp4", "no timestamps.avi"]
)
def test_pixels_are_those_of_a_sequential_decode_by_anyone(name, tmp_path):
    path = tmp_path / name
    ZOO[name](path)
    index = scan(path)
    expected = independent_truth(path, 0)
    videos = OpenVideos(index, 1)
    for frame in np.random.default_rng(0).permutation(len(expected)).tolist():
        start = int(index.start_of(np.array([frame]))[0])
        ((found, picture),) = videos.read(GopRead(0, start, (frame,), ((0,),)))
        assert (found, checksum(picture)) == (frame, expected[frame])
    videos.close()


@pytest.mark.parametrize("ending", ["webm", "mkv", "mp4"])
def test_of_spatial_layers_the_largest_is_the_picture(ending, tmp_path):
    spatial_layers(tmp_path / f"a.{ending}")
    index = scan(tmp_path / f"a.{ending}")
    assert (index.num_frames, int(index.columns.height[0]), int(index.columns.width[0])) == (12, 192, 256)
    assert verify(index, 0).ok
    for decoder in (PyAVDecoder(index, (192, 256)), TorchCodecDecoder(index, (192, 256))):
        for frame in (5, 0, 11, 6):
            out = torch.zeros(3, 192, 256, dtype=torch.uint8)
            decoder.decode(GopRead(0, int(index.start_of(np.array([frame]))[0]), (frame,), ((0,),)), [out])
            assert read_stamp(out) == (2, frame)
        decoder.close()


@pytest.mark.parametrize("name", ["libx264 with B-frames.avi", "mpeg4 with B-frames.avi", "two files joined.ts"])
def test_time_never_runs_backwards(name, tmp_path):
    ZOO[name](tmp_path / name)
    index = scan(tmp_path / name)
    assert (np.diff(index.pts_seconds(np.arange(index.num_frames))) >= 0).all()


def test_the_zoo_has_every_container_and_codec_that_the_docs_promise():
    endings = {name.rpartition(".")[2] for name in ZOO}
    assert endings >= PROMISED
    assert len(PLAIN) > 70
    assert len(TRAPS) > 80


class TestWhatTheIndexSays:
    @pytest.mark.parametrize("name", ["libx264 with B-frames.mp4", "begins -3 frames off.mp4"])
    def test_packets_are_believed_where_they_can_be(self, name, tmp_path):
        ZOO[name](tmp_path / name)
        assert scan(tmp_path / name).made(0) == "exact"

    @pytest.mark.parametrize("name", ["libx264 with B-frames.ts", "libx265.flv"])
    def test_some_places_are_tried_where_a_container_does_not_seek_as_it_is_told(self, name, tmp_path):
        ZOO[name](tmp_path / name)
        assert scan(tmp_path / name).made(0) == "tried"

    @pytest.mark.parametrize("name", ["intra refresh.mp4", "mpeg2video.ts", "interlaced H.264.mkv"])
    def test_and_not_where_they_cannot(self, name, tmp_path):
        ZOO[name](tmp_path / name)
        assert scan(tmp_path / name).made(0) == "decoded"

    def test_pictures_before_an_open_gops_keyframe_belong_to_the_gop_before(self, tmp_path):
        TRAPS["open GOPs, H.264.mp4"](tmp_path / "a.mp4")
        index = scan(tmp_path / "a.mp4")
        with av.open(str(tmp_path / "a.mp4")) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        keyframes = [packet.pts for packet in packets if packet.is_keyframe]
        leading = {p.pts for k in keyframes for p in packets[[q.pts for q in packets].index(k) :] if p.pts < k}
        assert leading, "the trap is one"
        for frame, pts in enumerate(index.pts.tolist()):
            start = int(index.pts[index.start_of(np.array([frame]))[0]])
            assert start == max(k for k in keyframes if k <= pts)

    def test_an_edit_list_hides_frames(self, tmp_path):
        TRAPS["begins -7 frames off.mp4"](tmp_path / "a.mp4")
        assert scan(tmp_path / "a.mp4").num_frames == 33

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="VP8 hides pictures in its second pass only: no ffmpeg")
    def test_hidden_pictures_are_not_frames(self, tmp_path):
        write_stamped(tmp_path / "a.mkv", 120, gop=120, size=(144, 176))
        options = ["-c:v", "libvpx", "-b:v", "300k", "-g", "128", "-auto-alt-ref", "1", "-lag-in-frames", "25"]
        for last in (["-pass", "1", "-f", "null", "-"], ["-pass", "2", "a.webm"]):
            command = ["ffmpeg", "-v", "error", "-i", "a.mkv", *options, *last]
            subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
        with av.open(str(tmp_path / "a.webm")) as container:
            packets = sum(1 for packet in container.demux(video=0) if packet.size)
        index = scan(tmp_path / "a.webm")
        assert packets > index.num_frames == 120
        assert index.made(0) == "exact"
        assert verify(index, 0).ok

    def test_of_several_streams_the_one_that_ffmpeg_takes(self, tmp_path):
        TRAPS["two video streams.mkv"](tmp_path / "a.mkv")
        with av.open(str(tmp_path / "a.mkv")) as container:
            best = container.streams.best("video").index
        assert scan(tmp_path / "a.mkv").columns.stream[0] == best

    def test_cover_art_is_not(self, tmp_path):
        TRAPS["cover art first.mp4"](tmp_path / "a.mp4")
        index = scan(tmp_path / "a.mp4")
        assert (index.num_frames, index.columns.width[0]) == (40, 128)

    def test_cover_art_alone_is_a_reason(self, tmp_path):
        with av.open(str(tmp_path / "a.mp4"), "w") as container:
            cover = container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            picture.pts = 0
            container.mux(cover.encode(picture))
            container.mux(cover.encode(None))
        with pytest.raises(LitVideoError, match="cover art only"):
            scan(tmp_path / "a.mp4")

    def test_aspect_of_pixels_is_reported_and_pixels_are_as_stored(self, tmp_path):
        write_stamped(tmp_path / "a.mp4", 5, options={"x264-params": "sar=4/3"})
        index = scan(tmp_path / "a.mp4")
        assert index.columns.aspect[0] == pytest.approx(4 / 3)
        assert index.columns.width[0] == 128

    def test_a_rotation_that_is_no_right_angle_is_not_made(self, tmp_path):
        TRAPS["turned by 37 degrees.mp4"](tmp_path / "a.mp4")
        assert scan(tmp_path / "a.mp4").columns.rotation[0] == 0


@pytest.mark.parametrize("name", ["size changes.ts", "size changes.mjpeg"])
def test_frames_are_of_one_size_where_the_pictures_change_theirs(name, tmp_path):
    TRAPS[name](tmp_path / name)
    index = scan(tmp_path / name)
    decoder, out = PyAVDecoder(index, (64, 64)), torch.zeros((1, 3, 64, 64), dtype=torch.uint8)
    for frame in (0, index.num_frames - 1):
        start = int(index.start_of(np.array([frame]))[0])
        decoder.decode(GopRead(0, start, (frame,), ((0,),)), [out[0]])
        assert out.float().std() > 20
    decoder.close()


encodes = st.fixed_dictionaries(
    {
        "codec": st.sampled_from(["libx264", "libx265", "mpeg4", "mpeg2video", "libvpx-vp9"]),
        "ending": st.sampled_from(["mp4", "mkv", "mov", "ts", "avi"]),
        "gop": st.integers(1, 20),
        "b_frames": st.integers(0, 3),
        "num_frames": st.integers(1, 50),
        "fps": st.sampled_from([24, 25, 30, 60]),
        "size": st.tuples(st.integers(16, 40).map(lambda n: 4 * n), st.integers(16, 40).map(lambda n: 4 * n)),
        "rotation": st.sampled_from([0, 90, 180, 270]),
        "variable": st.booleans(),
    }
)
UNFIT = {("libvpx-vp9", "mov"), ("libvpx-vp9", "ts"), ("libx265", "avi")}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(encodes, st.lists(st.integers(0, 10**6), min_size=1, max_size=12))
def test_any_encode_any_request(tmp_path, encode, requests):
    codec, ending = encode.pop("codec"), encode.pop("ending")
    if (codec, ending) in UNFIT:
        return
    n, variable = encode["num_frames"], encode.pop("variable")
    if variable and ending in ("mp4", "mkv", "mov"):
        encode["pts"] = [k * (k + 3) // 2 for k in range(n)]
    if codec not in WITH_B_FRAMES:
        encode["b_frames"] = 0
    path = tmp_path / f"a.{ending}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_stamped(path, codec=codec, **encode)
    index = scan(path)
    truth = independent_truth(path, 0)
    assert index.num_frames == len(truth) == n
    videos = OpenVideos(index, 1, skip_unwanted=True)
    for request in requests:
        frame = request % n
        start = int(index.start_of(np.array([frame]))[0])
        ((found, picture),) = videos.read(GopRead(0, start, (frame,), ((0,),)))
        assert (found, checksum(picture)) == (frame, truth[frame])
    videos.close()
