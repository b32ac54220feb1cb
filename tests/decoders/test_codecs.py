"""One decoder for all files that it fits: the same pictures as with one each, and fewer decoders."""

import gc
import random
import resource
from contextlib import suppress

import av
import numpy as np
import pytest

from lit_video.checks.stamps import write_stamped
from lit_video.decoders.codecs import SharedCodecs
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.reader import OpenVideos
from lit_video.index import VideoIndex
from lit_video.media.container import seek
from lit_video.media.picture import checksum, colours_of
from lit_video.support import machine
from lit_video.support.errors import DecodeError
from tests.fakes import read_of
from tests.zoo import ZOO

SHARING = [
    ("libx264", "mp4", 0),
    ("libx264", "mp4", 2),
    ("libx265", "mkv", 0),
    ("libx265", "mkv", 2),
    ("libsvtav1", "mp4", 0),
    ("libvpx-vp9", "webm", 0),
    ("libvpx", "webm", 0),
]
ALONE = [("mpeg4", "mp4"), ("mpeg2video", "ts")]


def scan(folder):
    return VideoIndex.scan(folder, folder.with_name("index"), progress=False)


def folder_of(tmp_path, ending, **encode):
    for video_id in range(3):
        write_stamped(tmp_path / "videos" / f"{video_id}.{ending}", 24, video_id, gop=8, **encode)
    return tmp_path / "videos"


@pytest.fixture(autouse=True)
def videos(tmp_path):
    (tmp_path / "videos").mkdir()


def reads_of(index, count):
    """Some frames of a GOP of any file, and then, more often than by chance, of what follows it in the same file."""
    rng, reads, last = random.Random(0), [], None
    for _ in range(count):
        video_id = last if last is not None and rng.random() < 0.3 else rng.randrange(index.num_videos)
        frames = np.arange(index.lengths[video_id])
        starts = index.start_of(index.offset[video_id] + frames)
        gop = frames[starts == rng.choice(starts.tolist())].tolist()
        reads.append(read_of(index, video_id, sorted(rng.sample(gop, rng.randint(1, min(4, len(gop)))))))
        last = video_id
    return reads


def sums_of(videos, read):
    return {frame: checksum(picture) for frame, picture in videos.read(read)}


def decoders_of(videos):
    return {id(video.decoder) for video in videos._videos.values()}


def assert_as_with_one_each(index, reads):
    """The same pictures as from files that each are opened for one read."""
    shared = OpenVideos(index, 64, skip_unwanted=True)
    for read in reads:
        alone = OpenVideos(index, 1, skip_unwanted=True)
        assert sums_of(shared, read) == sums_of(alone, read), (index.path(read.video_id), read)
        alone.close()
    return shared


@pytest.mark.parametrize(("codec", "ending", "b_frames"), SHARING)
def test_files_encoded_alike_share_one_and_give_the_same_pictures(tmp_path, codec, ending, b_frames):
    index = scan(folder_of(tmp_path, ending, codec=codec, b_frames=b_frames))
    assert {index.made(video_id) for video_id in range(3)} == {"exact"}
    shared = assert_as_with_one_each(index, reads_of(index, 40))
    assert shared.num_opened == 3
    assert len(decoders_of(shared)) == 1


@pytest.mark.parametrize(("codec", "ending"), ALONE)
def test_codecs_that_remember_more_have_one_each(tmp_path, codec, ending):
    index = scan(folder_of(tmp_path, ending, codec=codec))
    shared = assert_as_with_one_each(index, reads_of(index, 20))
    assert len(decoders_of(shared)) == 3


def test_so_have_files_whose_decoder_must_know_their_first_packet(tmp_path):
    index = scan(folder_of(tmp_path, "mp4", pixel_format="yuv444p"))
    shared = assert_as_with_one_each(index, reads_of(index, 20))
    assert len(decoders_of(shared)) == 3


def test_files_of_other_parameters_have_others(tmp_path):
    folder = tmp_path / "videos"
    write_stamped(folder / "0.mp4", 24, 0)
    write_stamped(folder / "1.mp4", 24, 1, size=(128, 96))
    write_stamped(folder / "2.mp4", 24, 2, b_frames=2)
    write_stamped(folder / "3.mp4", 24, 3)
    write_stamped(folder / "4.mkv", 24, 4, size=(192, 128), codec="libvpx-vp9")
    write_stamped(folder / "5.mkv", 24, 5, codec="libvpx-vp9")
    index = scan(folder)
    assert len(decoders_of(assert_as_with_one_each(index, reads_of(index, 60)))) == 5


def test_colours_that_only_the_container_names_are_the_files_own(tmp_path):
    """One stream in two containers, one of which says that it is BT.2020: the pictures are taken as each says."""
    write_stamped(tmp_path / "plain.mp4", 12)
    matrices = {"0.mkv": 9, "1.mkv": 5}
    for name, matrix in matrices.items():
        with av.open(str(tmp_path / "plain.mp4")) as source, av.open(str(tmp_path / "videos" / name), "w") as sink:
            stream = sink.add_stream_from_template(source.streams.video[0])
            stream.codec_context.colorspace = matrix
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    sink.mux(packet)
    index = scan(tmp_path / "videos")
    videos = OpenVideos(index, 2)
    for video_id in (0, 1, 0, 1):
        ((_, picture),) = videos.read(read_of(index, video_id, (3,)))
        said = index.presentation(video_id)
        assert colours_of(picture, said.codec, said.colours).matrix == list(matrices.values())[video_id]


def test_decoding_goes_on_where_it_was_unless_another_file_came_between(tmp_path, monkeypatch):
    index = scan(folder_of(tmp_path, "mp4"))
    seeks = []
    monkeypatch.setattr("lit_video.decoders.one_file.seek", lambda *where: seeks.append(where) or seek(*where))
    videos = OpenVideos(index, 3)
    for video_id, frame, expected in ((0, 1, 0), (0, 5, 0), (1, 1, 1), (1, 4, 1), (0, 6, 2), (0, 7, 2)):
        assert list(sums_of(videos, read_of(index, video_id, (frame,)))) == [frame]
        assert len(seeks) == expected, (video_id, frame)


def test_damage_in_one_file_does_not_reach_another(tmp_path):
    folder = folder_of(tmp_path, "mp4")
    with av.open(str(folder / "0.mp4")) as container:
        spoilt = [packet for packet in container.demux(video=0) if packet.size][3::4]
    data = bytearray((folder / "0.mp4").read_bytes())
    for packet in spoilt:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    (folder / "0.mp4").write_bytes(data)
    index = scan(folder)
    assert {index.made(video_id) for video_id in range(3)} == {"exact"}
    shared, damaged = OpenVideos(index, 3), 0
    for read in reads_of(index, 60):
        alone = OpenVideos(index, 1)
        try:
            expected = sums_of(alone, read)
        except DecodeError:
            assert read.video_id == 0
            damaged += 1
            with pytest.raises(DecodeError):
                sums_of(shared, read)
        else:
            assert sums_of(shared, read) == expected
    assert len(decoders_of(shared)) == 1
    assert damaged > 5


def test_no_more_decoders_than_asked_for(tmp_path):
    folder = tmp_path / "videos"
    for video_id in range(6):
        write_stamped(folder / f"{video_id}.mp4", 8, video_id, size=(64 + 16 * video_id, 128))
    index = scan(folder)
    videos, opened = OpenVideos(index, 64, max_decoders=2), 0
    for video_id in (0, 1, 0, 2, 0, 1, 3, 4, 5):
        sums_of(videos, read_of(index, video_id, (1,)))
        assert len(decoders_of(videos)) <= 2
        opened += 1
    assert videos.num_opened == 7 < opened


def test_a_decoder_ends_with_the_last_file_that_uses_it(tmp_path):
    index = scan(folder_of(tmp_path, "mp4"))
    codecs = SharedCodecs(index)
    videos = OpenVideos(index, 2, open_codec=codecs)
    gc.disable()
    try:
        for video_id in (0, 1, 2, 0):
            sums_of(videos, read_of(index, video_id, (1,)))
        assert len(codecs._decoders) == 1
        videos.close()
        assert len(codecs._decoders) == 0
    finally:
        gc.enable()


def test_everything_in_one_dataset(tmp_path):
    """The zoo's videos of these codecs, traps and all, by turns through the decoders that they share."""
    for number, (name, make) in enumerate(ZOO.items()):
        if any(word in name.lower() for word in ("264", "265", "hevc", "vp9", "vp8", "av1", "gop", "frames off")):
            with suppress(av.FFmpegError):
                make(tmp_path / "videos" / f"{number:03} {name}")
    index = scan(tmp_path / "videos")
    shared = assert_as_with_one_each(index, reads_of(index, 400))
    assert len(decoders_of(shared)) < len(shared._videos)


class TestHowManyFilesStayOpen:
    def test_a_quarter_of_the_limit_for_all_cores(self, monkeypatch):
        monkeypatch.setattr(machine, "num_cores", lambda: 16)
        for limit, expected in ((1024, 16), (65536, 64), (resource.RLIM_INFINITY, 64), (20, 1)):
            monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
            assert machine.files_for_each_core(64) == expected

    @pytest.mark.parametrize("name", ["max_open", "max_decoders"])
    def test_none_at_all_is_refused(self, tmp_path, name):
        write_stamped(tmp_path / "videos" / "0.mp4", 8)
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            PyAVDecoder(scan(tmp_path / "videos"), **{name: 0})
