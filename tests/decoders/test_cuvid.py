"""The cuvid decoder on a stand-in driver: the real PyAV and FFmpeg, and pictures that say which they are.

What this does not prove is said in tests/driver/README.md; test_gpu.py has that, for a machine with a GPU.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import av
import numpy as np
import psutil
import pytest
import torch

from lit_video.checks.stamps import write_stamped
from lit_video.decoders.cuvid import CuvidDecoder
from lit_video.decoders.nvdec import NUMBERS, Capabilities, capabilities
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.planning.planner import GopRead, plan
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError, DeviceError
from tests.driver import (
    bind_thread,
    build,
    built,
    call,
    colour_of_packet,
    colour_of_timestamp,
    counters,
    environment,
    plane_to_tensor,
)
from tests.zoo import ZOO

# One of the videos has 10 bits, and the frames that are loaded of it 8.
pytestmark = pytest.mark.filterwarnings("ignore:.* videos have more than 8 bits a sample:UserWarning")


class StandInOps:
    """The device operations of the stand-in, whose device memory is host memory."""

    def resolve(self, device):
        return torch.device("cpu")

    def decoding(self, device):
        return nullcontext()

    def bind(self, device):
        bind_thread()

    def plane_to_tensor(self, plane):
        return plane_to_tensor(plane)

    def synchronize(self):
        pass


class RawDecoder(CuvidDecoder):
    """Leaves out the colour conversion, which would clip: each frame is the picture's Y, U and V."""

    def _write(self, boxes, targets, look):
        for box, target in zip(boxes, targets, strict=True):
            luma, chroma = box.luma[0, 0, 0], box.chroma[0, 0, 0]
            upper = [luma[-1], *chroma[len(luma) - 1 :: len(luma)]]  # bytes
            target.copy_(torch.tensor([int(v) for v in upper], dtype=torch.uint8)[:, None, None].expand_as(target))


RAW = partial(RawDecoder, device_ops=StandInOps())
WHOLE = partial(CuvidDecoder, device_ops=StandInOps())

ENCODERS = {
    "h264": ("libx264", "yuv420p", 0),
    "h264 with B-frames": ("libx264", "yuv420p", 2),
    "hevc with B-frames": ("libx265", "yuv420p", 3),
    "hevc of 10 bits": ("libx265", "yuv420p10le", 0),
}


@pytest.fixture(scope="module")
def driver():
    """The stand-in's environment for a process."""
    return environment(built())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a video of each kind, its index made."""
    folder = tmp_path_factory.mktemp("cuvid")
    for number, (codec, pixel_format, b_frames) in enumerate(ENCODERS.values()):
        path = folder / f"{number}.mkv"
        write_stamped(path, 36, number, codec, 12, b_frames, 25, (152, 176), pixel_format=pixel_format)
    VideoIndex.scan(folder, folder / "index", progress=False)
    return str(folder)


def index_of(folder):
    return VideoIndex.load(f"{folder}/index")


def packets_of(path):
    with av.open(path) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def expected_colours(folder, route):
    """The Y, U and V of each frame id."""
    index, colours = index_of(folder), []
    for video_id, path in enumerate(index.paths):
        packets = {packet.pts: packet for packet in packets_of(path)}
        for pts in index.pts[slice(*index.offset[video_id : video_id + 2])].tolist():
            colours.append(colour_of_timestamp(pts) if route == "cuvid" else colour_of_packet(packets[pts]))
    return np.array(colours)


def load_epochs(folder, route, num_workers, threads=2, epochs=1, max_open=16):
    """Load shuffled epochs; return frame ids, and what the frames say."""
    index = index_of(folder)
    loader = VideoLoader(
        index,
        UniformSampler(index, 0),
        partial(RAW, route=route, max_open=max_open),
        size=(16, 24),
        batch_size=20,
        threads=threads,
        num_workers=num_workers,
        lookahead_bytes=40 * 3 * 16 * 24,
    )
    ids, colours = [], []
    for batch in (batch for _ in range(epochs) for batch in loader):
        assert batch["image"].shape[1:] == (3, 16, 24)
        ids.extend((index.offset[batch["video_id"]] + batch["frame_index"].numpy()).tolist())
        colours.extend(batch["image"][:, :, 7, 11].tolist())
    loader.close()
    return ids, colours, tuple(counters().live) if num_workers == 0 else None


@pytest.mark.parametrize("route", ["hwaccel", "cuvid"])
@pytest.mark.parametrize(("num_workers", "threads"), [(0, 1), (0, 3), (2, 2)])
def test_a_shuffled_epoch_brings_the_very_frames(driver, files, route, num_workers, threads):
    ids, colours, live = call(load_epochs, files, route, num_workers, threads, env=driver, timeout=120)
    index = index_of(files)
    assert ids == UniformSampler(index, 0).order(0).tolist()  # as decoder=pyav has it
    assert np.array_equal(np.array(colours), expected_colours(files, route)[ids])
    assert live in (None, (0,) * 5)


@pytest.mark.parametrize("route", ["hwaccel", "cuvid"])
def test_each_epochs_new_threads_are_bound_to_the_device(driver, files, route):
    """With one file open at a time, threads of later epochs open some too."""
    ids, colours, _ = call(load_epochs, files, route, 0, 2, 3, 1, env=driver, timeout=120)
    index = index_of(files)
    assert ids == [frame for epoch in range(3) for frame in UniformSampler(index, 0).order(epoch).tolist()]
    assert np.array_equal(np.array(colours), expected_colours(files, route)[ids])


class CountedOps(StandInOps):
    """Notes when it is waited for."""

    def __init__(self):
        self.waits = 0

    def synchronize(self):
        self.waits += 1


def half_a_read(folder):
    """Ask for a frame that there is not, beside others; return it, what came, and how often that was waited for."""
    index, ops = index_of(folder), CountedOps()
    decoder = RawDecoder(index, (8, 8), device_ops=ops)
    out = torch.zeros((3, 3, 8, 8), dtype=torch.uint8)
    real = decoder._videos.read

    def read_without_the_second(read):
        for frame, picture in real(read):
            if frame != read.frame_indices[1]:
                yield frame, picture
        raise DecodeError("a.mkv", [read.frame_indices[1]], 36)

    decoder._videos.read = read_without_the_second
    try:
        decoder.decode(GopRead(0, 0, (3, 5, 7), ((0,), (1,), (2,))), list(out))
    except DecodeError as error:
        decoder.close()
        return error.missing, out[:, :, 0, 0].any(dim=1).tolist(), ops.waits
    return None


def test_frames_beside_one_that_failed_are_waited_for(driver, files):
    assert call(half_a_read, files, env=driver) == ([5], [True, False, True], 1)


def seek_storm(folder, route, max_open, max_decoders=8):
    """Read frames from everywhere, one at a time; return what was created, what is live now, and at the end."""
    index = index_of(folder)
    decoder = RAW(index, (8, 8), route=route, max_open=max_open, max_decoders=max_decoders)
    out = torch.zeros((1, 3, 8, 8), dtype=torch.uint8)
    found = []
    for read in plan(UniformSampler(index, 5).order(0), index, 1, 0):
        decoder.decode(read, [out[0]])
        found.append((int(index.offset[read.video_id]) + read.frame_indices[0], out[0, :, 0, 0].tolist()))
    created, live, opened = counters().decoders_created, counters().live_decoders, decoder.num_opened
    decoder.close()
    return found, created, live, opened, counters().live


@pytest.mark.parametrize("route", ["hwaccel", "cuvid"])
def test_seek_storms(driver, files, route):
    found, created, live, opened, at_the_end = call(seek_storm, files, route, 4, env=driver)
    ids, colours = zip(*found, strict=True)
    assert np.array_equal(np.array(colours), expected_colours(files, route)[list(ids)])
    assert opened == 4
    assert live <= 4
    if route == "hwaccel":
        assert created == 4, "one hardware decoder for each kind of file, however many seeks"
    else:
        assert created > 20, "this route makes one at every seek: that is why it is not the default"
    assert not any(at_the_end)


def test_closed_files_leave_their_hardware_decoders(driver, files):
    """To end one may wait for all that the GPU has to do, with the interpreter's lock held."""
    found, created, live, opened, at_the_end = call(seek_storm, files, "hwaccel", 1, env=driver)
    ids, colours = zip(*found, strict=True)
    assert np.array_equal(np.array(colours), expected_colours(files, "hwaccel")[list(ids)])
    assert opened > 50
    assert created == live == 4
    assert not any(at_the_end)


def test_no_more_hardware_decoders_than_asked_for(driver, files):
    found, created, live, opened, at_the_end = call(seek_storm, files, "hwaccel", 64, 2, env=driver)
    ids, colours = zip(*found, strict=True)
    assert np.array_equal(np.array(colours), expected_colours(files, "hwaccel")[list(ids)])
    assert live == 2
    assert 4 < created <= opened
    assert not any(at_the_end)


def threads_over_many_files(folder, num_threads):
    """Read frames of any of many files in threads; return decoders made and ended, pictures wrong, files opened."""
    index, wrong, opened = VideoIndex.load(f"{folder}/index"), [], []
    expected = {packet.pts: colour_of_packet(packet) for packet in packets_of(index.path(0))}
    pts = index.pts_of(0).tolist()

    def work(seed):
        decoder, rng = RAW(index, (8, 8), max_open=8), np.random.default_rng(seed)
        out = torch.zeros((1, 3, 8, 8), dtype=torch.uint8)
        for _ in range(250):
            video_id, frame = int(rng.integers(index.num_videos)), int(rng.integers(len(pts)))
            decoder.decode(GopRead(video_id, frame // 12 * 12, (frame,), ((0,),)), [out[0]])
            if tuple(out[0, :, 0, 0].tolist()) != expected[pts[frame]]:
                wrong.append((video_id, frame))
        opened.append(decoder.num_opened)
        ended.append(counters().decoders_destroyed)
        decoder.close()

    ended = []
    with ThreadPoolExecutor(num_threads) as pool:
        list(pool.map(work, range(num_threads)))
    return counters().decoders_created, ended[0], wrong, opened


@pytest.mark.parametrize("num_threads", [1, 2])
def test_two_hundred_files_encoded_alike_take_one_hardware_decoder_a_thread(driver, tmp_path, num_threads):
    """Of which 8 are open at a time: not one decoder is ended when a file is closed."""
    write_stamped(tmp_path / "000.mp4", 24, 1, gop=12, b_frames=2, size=(152, 176))
    for number in range(1, 200):
        (tmp_path / f"{number:03}.mp4").symlink_to(tmp_path / "000.mp4")
    VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    created, ended, wrong, opened = call(threads_over_many_files, str(tmp_path), num_threads, env=driver)
    assert not wrong
    assert min(opened) > 200
    assert created <= num_threads
    assert ended == 0


def mapped_for(folder, frame, video_id):
    """Return pictures decoded and mapped for one frame, and whether it was the right one."""
    index = index_of(folder)
    decoder, out = RAW(index, (8, 8)), torch.zeros((3, 8, 8), dtype=torch.uint8)
    decoder.decode(GopRead(video_id, 0, (frame,), ((0,),)), [out])
    counts, found = counters(), tuple(out[:, 0, 0].tolist())
    decoder.close()
    right = tuple(expected_colours(folder, "hwaccel")[int(index.offset[video_id]) + frame])
    return counts.pictures_decoded, counts.frames_mapped, found == right


def test_pictures_that_nobody_wants_are_not_mapped(driver, tmp_path):
    """H.264 as x264 makes it by default, GOP 30: for frame 20 there were 23 pictures decoded and 21 mapped."""
    write_stamped(tmp_path / "a.mp4", 30, 1, gop=30, b_frames=3, size=(152, 176))
    write_stamped(tmp_path / "b.mp4", 30, 1, "libx265", gop=30, b_frames=3, size=(152, 176))
    VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    decoded, mapped, is_right = call(mapped_for, str(tmp_path), 20, 0, env=driver)
    assert is_right
    assert mapped <= 12
    assert decoded <= 14
    _, mapped, is_right = call(mapped_for, str(tmp_path), 20, 1, env=driver)
    assert is_right
    assert mapped > 12, "of HEVC none is left out: that was not shown to be safe"


def test_the_last_frames_come_out(driver, files):
    assert call(last_frames, files, env=driver) == [True, True]


def last_frames(folder):
    """Read the last two frames of each video on both routes."""
    index, right = index_of(folder), []
    for route in ("hwaccel", "cuvid"):
        decoder, expected = RAW(index, (8, 8), route=route), expected_colours(folder, route)
        out = torch.zeros((2, 3, 8, 8), dtype=torch.uint8)
        for video_id in range(index.num_videos):
            decoder.decode(GopRead(video_id, 24, (34, 35), ((0,), (1,))), list(out))
            first = int(index.offset[video_id])
            right.append(out[:, :, 0, 0].tolist() == expected[first + 34 : first + 36].tolist())
        decoder.close()
    return [all(right[: len(right) // 2]), all(right[len(right) // 2 :])]


def sizes(folder, route, size):
    """Return shapes of what comes out of NVDEC, and of the frames."""
    index, seen = index_of(folder), []

    class Spy(CuvidDecoder):
        def _look(self, picture, read):
            seen.append((picture.height, picture.width))
            return super()._look(picture, read)

    decoder = Spy(index, size, route=route, device_ops=StandInOps())
    out = torch.zeros((3, *size), dtype=torch.uint8)
    decoder.decode(GopRead(0, 0, (0,), ((0,),)), [out])
    decoder.close()
    return seen, bool(out.any())


@pytest.mark.parametrize(
    ("route", "size", "decoded"),
    [("hwaccel", (20, 30), (152, 176)), ("cuvid", (20, 30), (20, 30)), ("cuvid", (21, 31), (22, 32))],
    ids=["hwaccel", "cuvid", "cuvid, to even numbers"],
)
def test_nvdec_scales_on_the_cuvid_route(driver, files, route, size, decoded):
    assert call(sizes, files, route, size, env=driver) == ([decoded], True)


def one_frame(folder, route="hwaccel", video_id=0):
    """Decode the first frame with colours converted."""
    decoder = WHOLE(index_of(folder), (8, 8), route=route)
    out = torch.zeros((3, 8, 8), dtype=torch.uint8)
    decoder.decode(GopRead(video_id, 0, (0,), ((0,),)), [out])
    decoder.close()
    return out.numpy()


@pytest.mark.parametrize("video_id", [0, 3], ids=["8 bits", "10 bits"])
def test_colours_are_converted_as_on_the_cpu(driver, files, video_id):
    found = call(one_frame, files, "hwaccel", video_id, env=driver)
    y, u, v = expected_colours(files, "hwaccel")[int(index_of(files).offset[video_id])]
    picture = av.VideoFrame(8, 8, "yuv444p")
    for plane, value in zip(picture.planes, (y, u, v), strict=True):
        np.frombuffer(plane, np.uint8)[:] = value
    theirs = picture.to_ndarray(format="rgb24")  # untagged: BT.601, limited
    assert np.abs(found.astype(int) - theirs.transpose(2, 0, 1)).max() <= 2


def test_colours_are_the_containers_where_the_stream_names_none(driver, tmp_path):
    ZOO["colours in the container, libx265.mkv"](tmp_path / "a.mkv")
    VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    found = call(one_frame, str(tmp_path), env=driver)
    y, u, v = (float(value) for value in expected_colours(str(tmp_path), "hwaccel")[0])
    # BT.709, full range.
    red, blue = y + 1.5748 * (v - 128), y + 1.8556 * (u - 128)
    theirs = np.array([red, (y - 0.2126 * red - 0.0722 * blue) / 0.7152, blue]).clip(0, 255)
    assert np.abs(found - theirs[:, None, None]).max() <= 2


def load_redrawing(folder):
    """Load an epoch in which frames that cannot be decoded are drawn anew."""
    index = index_of(folder)
    loader = VideoLoader(index, UniformSampler(index, 0), WHOLE, size=16, batch_size=20, on_error="redraw")
    return sum(len(batch["image"]) for batch in loader)


def tell_capabilities(codecs):
    bind_thread()
    return [capabilities(codec) for codec in codecs]


def test_the_driver_tells_what_it_decodes(driver):
    env = driver | {"STANDIN_UNSUPPORTED": "av1"}
    h264, av1, unknown = call(tell_capabilities, ["h264", "av1", "ffv1"], env=env)
    assert h264 == Capabilities(7, 4096, 4096, 65536, 48, 16)
    assert av1 is unknown is None


def threads_of_an_open_file(folder, route):
    decoder = RAW(index_of(folder), (8, 8), route=route)
    before = len(psutil.Process().threads())
    decoder.decode(GopRead(0, 0, (0,), ((0,),)), [torch.zeros((3, 8, 8), dtype=torch.uint8)])
    after = len(psutil.Process().threads())
    decoder.close()
    return after - before


@pytest.mark.parametrize("route", ["hwaccel", "cuvid"])
def test_an_open_file_has_no_threads_of_its_own(driver, files, route):
    assert call(threads_of_an_open_file, files, route, env=driver) == 0


class TestRefusals:
    def test_no_gpu(self, index):
        with pytest.raises(DeviceError, match=r"(?s)needs an NVIDIA GPU.*no NVIDIA driver.*decoder=pyav"):
            CuvidDecoder(index)

    @pytest.mark.parametrize("route", ["hwaccel", "cuvid"])
    @pytest.mark.parametrize(("lacking", "video_id", "other"), [("hevc", 2, 0), ("h264", 0, 2), ("h264", 1, 3)])
    def test_a_codec_that_this_gpu_lacks(self, driver, files, route, lacking, video_id, other):
        env = driver | {"STANDIN_UNSUPPORTED": lacking}
        assert call(one_frame, files, route, other, env=env).shape == (3, 8, 8)
        with pytest.raises(DeviceError, match=r"NVDEC on this GPU does not decode it: its codec, bit depth or size"):
            call(one_frame, files, route, video_id, env=env)

    def test_no_frame_of_such_a_file_is_drawn_anew(self, driver, files):
        env = driver | {"STANDIN_UNSUPPORTED": "hevc"}
        with pytest.raises(DeviceError, match="NVDEC on this GPU does not decode it"):
            call(load_redrawing, files, env=env)

    def test_a_driver_without_its_video_library(self, files, tmp_path_factory):
        folder = build(tmp_path_factory.mktemp("driver"))
        (folder / "libnvcuvid.so.1").unlink()
        for video_id in (0, 2):
            with pytest.raises(DeviceError, match=r"libnvcuvid.so.1.\n.*NVIDIA_DRIVER_CAPABILITIES"):
                call(one_frame, files, "hwaccel", video_id, env=environment(folder))

    def test_frames_that_were_counted_are_not_found_by_another_parser(self, driver, tmp_path):
        write_stamped(tmp_path / "a.ts", 20, gop=10, size=(152, 176))
        VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
        assert call(one_frame, str(tmp_path), "hwaccel", env=driver).shape == (3, 8, 8)
        with pytest.raises(DeviceError, match=r"route=cuvid finds frames by timestamps"):
            call(one_frame, str(tmp_path), "cuvid", env=driver)

    def test_a_codec_that_nvdec_lacks(self, driver, tmp_path):
        write_stamped(tmp_path / "a.mkv", 5, codec="ffv1", size=(152, 176))
        VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
        with pytest.raises(DeviceError, match=r"(?s)a\.mkv: NVDEC does not decode ffv1.*decoder=pyav"):
            call(one_frame, str(tmp_path), env=driver)
        assert "ffv1" not in NUMBERS

    def test_fork(self, index):
        loader = VideoLoader(index, UniformSampler(index, 0), RAW, size=16, num_workers=1, start_method="fork")
        with pytest.raises(ValueError, match=r"cuInit in the parent.*CUDA_ERROR_NOT_INITIALIZED.*Use 'spawn'"):
            next(iter(loader))

    def test_spawn_is_the_default(self, index):
        loader = VideoLoader(index, UniformSampler(index, 0), RAW, size=16, num_workers=1)
        assert loader.start_method == "spawn"
        assert loader.threads == 2

    @pytest.mark.parametrize("arguments", [{"route": "nvdec"}, {"fit": "stretch"}, {"max_open": 0}, {"untagged": "x"}])
    def test_arguments(self, index, arguments):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            RAW(index, **arguments)
