"""The torchcodec decoder on the CPU: the frames of decoder=pyav, and refusals."""

import builtins

import numpy as np
import pytest
import torch

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.torchcodec import TorchCodecDecoder
from lit_video.index import VideoIndex
from lit_video.planning.planner import GopRead, plan
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError, DeviceError
from tests.fakes import read_of
from tests.zoo import ZOO

SIZE = (96, 96)


@pytest.fixture(scope="module", autouse=True)
def libraries():
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchcodec cannot be loaded: {str(error).splitlines()[0]}")


def decode(decoder, read):
    out = torch.zeros((len(read.frame_indices), 3, *SIZE), dtype=torch.uint8)
    decoder.decode(read, list(out))
    return out


def test_gives_the_frames_of_pyav(index):
    ours, theirs = TorchCodecDecoder(index, SIZE), PyAVDecoder(index, SIZE)
    for read in plan(UniformSampler(index, 1).order(0), index, 20, 50):
        found, expected = decode(ours, read), decode(theirs, read)
        said = [read_stamp(image) for image in found]
        assert said == [(read.video_id, frame) for frame in read.frame_indices]
        # torchcodec scales RGB, PyAV scales luma and chroma: edges of the stamps differ, areas do not.
        assert (found.int() - expected.int()).abs().float().mean() < 6


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_pictures_are_upright(tmp_path, rotation, fit):
    write_stamped(tmp_path / "a.mp4", 12, 5, rotation=rotation, size=(96, 160))
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    found = decode(TorchCodecDecoder(index, SIZE, fit=fit), GopRead(0, 0, (0, 7), ((0,), (1,))))
    assert [read_stamp(image) for image in found] == [(5, 0), (5, 7)]


def test_variable_frame_rate(tmp_path):
    write_stamped(tmp_path / "a.mkv", 20, fps=30, pts=[n * n for n in range(20)])
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    for read in plan(np.random.default_rng(0).permutation(20), index, 1, 0):
        assert read_stamp(decode(TorchCodecDecoder(index, SIZE), read)[0]) == (0, read.frame_indices[0])


# A kind of each container in which torchcodec gave neighbours, or frames that it then refused, in random order.
ODD = [
    "libx264 with B-frames.avi", "libx264 with B-frames.ts", "libx264.mpg", "libx264.h264", "libx264 with B-frames.wmv",
    "libx265 with B-frames.ts", "libx265.flv", "mpeg4 with B-frames.avi", "no timestamps.avi", "mpeg4 with B-frames.ts",
    "timestamps jump.flv", "pts are dts.mkv", "no duration, libvpx-vp9.webm", "no duration, libvpx.webm",
    "no duration, libx264.mkv", "hidden pictures, libvpx-vp9.webm",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_gives_no_neighbour_in_random_order(tmp_path, name):
    ZOO[name](tmp_path / name)
    index = VideoIndex.scan(tmp_path / name, tmp_path / "index", progress=False)
    decoder, expected = TorchCodecDecoder(index, SIZE), PyAVDecoder(index, SIZE)
    for frame in np.random.default_rng(0).permutation(index.num_frames).tolist():
        read = read_of(index, 0, [frame])
        assert read_stamp(decode(decoder, read)[0]) == read_stamp(decode(expected, read)[0])
    decoder.close()
    assert decoder.num_opened > 0


def test_a_gpu_refuses_what_times_do_not_tell_apart(tmp_path):
    ZOO["no timestamps.avi"](tmp_path / "a.avi")
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    decoder = TorchCodecDecoder(index, SIZE)
    decoder.device = torch.device("cuda", 0)  # as if there were one
    with pytest.raises(DeviceError, match=r"(?s)finds frames by their times.*Use decoder=pyav"):
        decode(decoder, read_of(index, 0, [3]))


def test_open_files_are_bounded(index):
    decoder = TorchCodecDecoder(index, SIZE, max_open=1)
    for video_id in (0, 1, 0):
        decode(decoder, GopRead(video_id, 0, (0,), ((0,),)))
    assert decoder.num_opened == 3
    assert len(decoder._files) == 1


def test_frames_of_other_times_are_not_taken_and_come_from_pyav(index):
    decoder, read = TorchCodecDecoder(index, SIZE), GopRead(0, 0, (2, 3, 4), ((0,), (1,), (2,)))

    class Off:
        cpu_fallback = False

        def get_frame_at(self, frame):
            found = TorchCodecDecoder(index, SIZE)._open(0).get_frame_at(frame)
            found.pts_seconds += (frame == 3) / 30
            return found

    decoder._files[0] = Off()
    out = torch.zeros((3, 3, *SIZE), dtype=torch.uint8)
    decoder.decode(read, list(out))
    assert [read_stamp(image) for image in out] == [(0, 2), (0, 3), (0, 4)]
    with pytest.raises(
        DecodeError, match=r"could not decode frames \[3\] of 50 \(torchcodec gave frames of other times"
    ):
        decoder._decode(read, list(out))


def test_a_fall_back_to_the_cpu_is_refused(index):
    decoder = TorchCodecDecoder(index, SIZE)
    decoder.device = torch.device("cuda", 0)  # as if there were one

    class Fell:
        cpu_fallback = True

        def get_frame_at(self, frame):
            return TorchCodecDecoder(index, SIZE)._open(0).get_frame_at(frame)

    decoder._files[0] = Fell()
    with pytest.raises(DeviceError, match="torchcodec decoded on the CPU, not on the GPU"):
        decode(decoder, GopRead(0, 0, (3,), ((0,),)))


def test_no_gpu(index):
    with pytest.raises(DeviceError, match="torch finds no GPU here"):
        TorchCodecDecoder(index, device="cuda")


def test_not_installed(index, monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("torchcodec"):
            raise ImportError("No module named 'torchcodec'")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeviceError, match=r"(?s)cannot be loaded.*pip install -e '\.\[torchcodec\]'"):
        TorchCodecDecoder(index)


@pytest.mark.parametrize("arguments", [{"fit": "stretch"}, {"max_open": 0}, {"size": 0}])
def test_refuses(index, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        TorchCodecDecoder(index, **arguments)
