"""Frame exactness of the CPU decoder: what a sequential decode gives, at every place, in any order of asking."""

import contextlib
import gc
import os
import resource

import av
import pytest
import torch
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders import one_file, reader
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.scaler import Scaler
from lit_video.index import VideoIndex
from lit_video.media.container import only_stream, open_video
from lit_video.media.picture import Presentation, orientation_of
from lit_video.planning.planner import GopRead, plan
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError, DeviceError
from lit_video.testing import check_decoder
from tests.fakes import read_of

SIZE = (48, 64)


def decode(decoder, read, size=SIZE):
    out = torch.zeros((len(read.frame_indices), 3, *size), dtype=torch.uint8)
    decoder.decode(read, list(out))
    return out


def sequential(path, size=SIZE, fit="crop"):
    """All frames of a file in the order in which one decoder gives them."""
    scaler, frames = Scaler(size, fit, "bilinear", "bt601"), []
    with open_video(path) as container:
        for picture in container.decode(only_stream(container, 0)):
            frames.append(torch.zeros((3, *size), dtype=torch.uint8))
            scaler.write(picture, frames[-1], Presentation(*orientation_of(picture)))
    return torch.stack(frames)


class Packets:
    """Counts what goes into decoders, by the pts of each packet, and what was seeked."""

    def __init__(self, monkeypatch):
        self.fed, self.seeks, self.skipped = [], 0, 0
        decode, seek = one_file.OpenVideo._try_to_decode, one_file.seek

        def spy_decode(video, packet):
            if packet is not None and packet.size:
                self.fed.append(packet.pts)
                self.skipped += video._stream.codec_context.skip_frame == "NONREF"
            return decode(video, packet)

        def spy_seek(*args):
            self.seeks += 1
            return seek(*args)

        monkeypatch.setattr(one_file.OpenVideo, "_try_to_decode", spy_decode)
        monkeypatch.setattr(one_file, "seek", spy_seek)


@pytest.fixture
def packets(monkeypatch):
    return Packets(monkeypatch)


@pytest.mark.parametrize("rotation", [0, 90])
def test_pictures_are_freed_at_once(tmp_path, rotation):
    """A picture in a cycle waits for the garbage collector: hundreds of MiB for each thread at 1080p, once."""
    path = write_stamped(tmp_path / "a.mp4", 40, gop=10, rotation=rotation)
    index = VideoIndex.scan(path, tmp_path / "index", progress=False)
    decoder = PyAVDecoder(index, SIZE)
    gc.collect()
    gc.disable()
    try:
        decode(decoder, read_of(index, 0, (10, 11, 12, 19)))
        pictures = [one for one in gc.get_objects() if type(one) is VideoFrame]
        assert not [picture for picture in pictures if picture.format]  # PyAV's decoder has an empty one at hand
    finally:
        gc.enable()
        decoder.close()


@pytest.mark.parametrize("skip_unwanted", [True, False])
@pytest.mark.parametrize("lookahead", [1, 7, 93])
def test_gives_the_frames_of_a_sequential_decode(index, lookahead, skip_unwanted):
    truth = [sequential(path) for path in index.paths]
    decoder = PyAVDecoder(index, SIZE, skip_unwanted=skip_unwanted)
    for read in plan(UniformSampler(index, 3).order(0), index, lookahead, 93):
        assert torch.equal(decode(decoder, read), truth[read.video_id][list(read.frame_indices)])


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param((0,), id="first"),
        pytest.param((20,), id="keyframe"),
        pytest.param((49,), id="last"),
        pytest.param((29,), id="before a keyframe"),
        pytest.param(tuple(range(30, 40)), id="a whole GOP"),
    ],
)
def test_returns_the_frames_asked_for(index, frames):
    decoder = PyAVDecoder(index, (96, 96))
    for _ in range(2):
        found = [read_stamp(image) for image in decode(decoder, read_of(index, 0, frames), (96, 96))]
        assert found == [(0, frame) for frame in frames]


@given(st.lists(st.tuples(st.integers(0, 4), st.sets(st.integers(0, 9), min_size=1)), min_size=1, max_size=8))
def test_any_sequence_of_reads(index, reads):
    decoder = PyAVDecoder(index, (96, 96))
    for gop, wanted in reads:
        frames = sorted(10 * gop + frame for frame in wanted)
        found = [read_stamp(image) for image in decode(decoder, read_of(index, 0, frames), (96, 96))]
        assert found == [(0, frame) for frame in frames]
    decoder.close()


def test_decoding_stops_at_the_last_wanted_frame(index, packets):
    decode(PyAVDecoder(index, SIZE), read_of(index, 0, (22, 24)))
    pts = index.pts[:50]
    assert packets.fed == pts[20:25].tolist()


def test_goes_on_without_seeking_where_that_is_possible(index, packets):
    decoder = PyAVDecoder(index, SIZE)
    for frames in ((0, 4), (6, 7), (9,), (10, 11)):
        decode(decoder, read_of(index, 0, frames))
    assert packets.seeks == 0
    assert packets.fed == index.pts[:12].tolist()
    decode(decoder, read_of(index, 0, (11,)))
    assert packets.seeks == 1


def test_skips_pictures_that_nobody_needs(index, packets):
    decode(PyAVDecoder(index, SIZE), read_of(index, 1, (9,)))
    assert packets.skipped > 0
    packets.skipped = 0
    decode(PyAVDecoder(index, SIZE, skip_unwanted=False), read_of(index, 1, (9,)))
    assert packets.skipped == 0


def test_never_skips_where_it_was_not_shown_to_be_safe(tmp_path, packets):
    write_stamped(tmp_path / "a.mp4", 20, codec="libx265", b_frames=3, size=(192, 256))
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    decode(PyAVDecoder(index, SIZE), read_of(index, 0, (9,)))
    assert packets.skipped == 0


def test_open_files_are_bounded_and_the_one_used_longest_ago_is_closed(index):
    decoder = PyAVDecoder(index, SIZE, max_open=2)
    for video_id in (0, 1, 0, 1, 2, 1, 2, 0):
        decode(decoder, read_of(index, video_id, (0,)))
        assert len(decoder._videos._videos) <= 2
    assert decoder.num_opened == 4


def test_with_few_file_handles_fewer_files_stay_open(tmp_path):
    write_stamped(tmp_path / "0.mp4", 12, 0, gop=6)
    for number in range(1, 40):
        os.link(tmp_path / "0.mp4", tmp_path / f"{number}.mp4")
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    decoder, (soft, hard) = PyAVDecoder(index, SIZE, max_open=100), resource.getrlimit(resource.RLIMIT_NOFILE)
    begun = 1 + max(map(int, os.listdir("/proc/self/fd")))
    taken = [os.dup(0) for _ in range(begun)]  # numbers that are free below, and some above
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 20, hard))
    try:
        for video_id in [*range(40), *range(40)]:
            assert read_stamp(decode(decoder, read_of(index, video_id, (7,)))[0])[1] == 7
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for handle in taken:
            os.close(handle)
    assert 1 <= len(decoder._videos._videos) <= 20


def test_close_closes_files_and_decoding_opens_them_again(index):
    decoder = PyAVDecoder(index, SIZE)
    first = decode(decoder, read_of(index, 0, (3,)))
    decoder.close()
    assert torch.equal(decode(decoder, read_of(index, 0, (3,))), first)
    assert decoder.num_opened == 2


def test_writes_into_the_slots_it_is_given(index):
    pool = torch.zeros((5, 3, *SIZE), dtype=torch.uint8)
    PyAVDecoder(index, SIZE).decode(read_of(index, 0, (1, 2)), [pool[3], pool[1]])
    assert pool[[0, 2, 4]].sum() == 0
    assert torch.equal(pool[[3, 1]], decode(PyAVDecoder(index, SIZE), read_of(index, 0, (1, 2))))


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_pictures_are_turned_upright(tmp_path, rotation, fit):
    write_stamped(tmp_path / "a.mp4", 12, 5, rotation=rotation, size=(96, 160))
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    found = decode(PyAVDecoder(index, (96, 96), fit=fit), read_of(index, 0, (0, 7)), (96, 96))
    assert [read_stamp(image) for image in found] == [(5, 0), (5, 7)]


class TestFiles:
    @pytest.fixture
    def file(self, tmp_path):
        path = write_stamped(tmp_path / "a.mp4", 40, gop=10)
        return path, VideoIndex.scan(path, tmp_path / "index", progress=False)

    def test_deleted(self, file):
        path, index = file
        path.unlink()
        with pytest.raises(
            DecodeError,
            match=r"(?s)a\.mp4: could not decode frames \[3\] of 40 \(No such file or directory\).\nPut it back",
        ):
            decode(PyAVDecoder(index, SIZE), read_of(index, 0, (3,)))

    def test_replaced(self, file):
        path, index = file
        write_stamped(path, 30, 1, gop=10)
        with pytest.raises(DecodeError, match="the file changed after it was indexed"):
            decode(PyAVDecoder(index, SIZE), read_of(index, 0, (3,)))

    def test_damaged_in_the_middle(self, file, monkeypatch):
        """What is damaged is told, never replaced by a neighbour; what is not damaged is had."""
        path, index = file
        data = bytearray(path.read_bytes())
        with av.open(str(path)) as container:
            spoilt = [p for p in container.demux(video=0) if p.size][20:30]
        for packet in spoilt:
            data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
        path.write_bytes(data)
        for module in (one_file, reader):
            monkeypatch.setattr(module, "check_unchanged", lambda index, video_id: None)
        decoder = PyAVDecoder(index, (96, 96))
        with pytest.raises(DecodeError, match=r"could not decode frames \[21, 25\] of 40") as caught:
            decode(decoder, read_of(index, 0, (21, 25)), (96, 96))
        assert caught.value.missing == [21, 25]
        for frame in (19, 30, 39):
            assert read_stamp(decode(decoder, read_of(index, 0, (frame,)), (96, 96))[0]) == (0, frame)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"fit": "stretch"}, "fit must be one of crop, squash, got 'stretch'"),
        ({"interpolation": "cubic"}, "interpolation must be one of bilinear, area, got 'cubic'"),
        ({"untagged": "bt2020"}, "untagged must be one of bt601, bt709, auto, got 'bt2020'"),
        ({"hdr": "flat"}, "hdr must be one of as_stored, sdr, got 'flat'"),
        ({"max_open": 0}, "max_open must be at least 1, got 0"),
        ({"size": 0}, "size must be a number of pixels"),
    ],
)
def test_refuses(index, arguments, told):
    with pytest.raises(ValueError, match=told):
        PyAVDecoder(index, **arguments)


class TestTheCheck:
    """check_decoder notices each kind of broken promise."""

    class Neighbour(PyAVDecoder):
        def decode(self, read, out):
            shifted = tuple(frame - 1 if frame % 10 else frame for frame in read.frame_indices)
            for image, frame in zip(out, shifted, strict=True):
                super().decode(GopRead(read.video_id, read.start, (frame,), ((0,),)), [image])

    class WrongOrder(PyAVDecoder):
        def decode(self, read, out):
            super().decode(read, list(out)[::-1])

    class SwallowsErrors(PyAVDecoder):
        def decode(self, read, out):
            with contextlib.suppress(DecodeError):
                super().decode(read, out)

    class TakesAllAtOnce(PyAVDecoder):
        def decode(self, read, out):
            super().decode(read, [out[place] for place in range(len(out))])

    class TakesTwice(PyAVDecoder):
        def decode(self, read, out):
            super().decode(read, out)
            super().decode(read, out)

    @pytest.mark.parametrize(
        ("broken", "told"),
        [
            (Neighbour, "asked for"),
            (WrongOrder, "asked for"),
            (SwallowsErrors, "must raise DecodeError"),
            (TakesAllAtOnce, "written before the next is taken"),
            (TakesTwice, "is taken once"),
        ],
    )
    def test_notices(self, broken, told):
        with pytest.raises(AssertionError, match=told):
            check_decoder(broken)


def test_hdr_needs_an_ffmpeg_that_maps(index, monkeypatch):
    monkeypatch.setattr("lit_video.decoders.sdr.TARGET", "out_colours=none")
    with pytest.raises(DeviceError, match=r"(?s)hdr=sdr needs the colour management of FFmpeg 8.*hdr=as_stored"):
        PyAVDecoder(index, hdr="sdr")
    PyAVDecoder(index).close()
