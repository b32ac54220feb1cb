"""The cuvid decoder on a stand-in driver: the real PyAV and FFmpeg, and pictures that say which they are.

What this does not prove is said in tests/driver/README.md; test_gpu.py has that, for a machine with a GPU.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import psutil
import pytest
import torch

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders.cuvid import CuvidDecoder
from lit_video.decoders.gpu_codecs import GpuCodec, OnGpu
from lit_video.decoders.nvdec import Capabilities, capabilities
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.supported import in_words, refused_videos
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.planning.planner import GopRead, plan
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError, DeviceError
from tests.driver import (
    CHIPS,
    bind_thread,
    built,
    call,
    colour_of_packet,
    colour_of_timestamp,
    counters,
    environment,
    plane_to_tensor,
)
from tests.fakes import index_of as index_of_many
from tests.zoo import ZOO, cropped

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


def mapped_for(folder, frame, video_id, skips):
    """Return pictures decoded and mapped for one frame, and whether it was the right one."""
    index = index_of(folder)
    decoder, out = RAW(index, (8, 8)), torch.zeros((3, 8, 8), dtype=torch.uint8)
    if not skips:
        GpuCodec.skip = lambda self, unless_referred_to: None
    decoder.decode(GopRead(video_id, 0, (frame,), ((0,),)), [out])
    counts, found = counters(), tuple(out[:, 0, 0].tolist())
    decoder.close()
    right = tuple(expected_colours(folder, "hwaccel")[int(index.offset[video_id]) + frame])
    return counts.pictures_decoded, counts.frames_mapped, found == right


def test_pictures_that_nobody_wants_are_not_mapped(driver, tmp_path):
    """For frame 20 of a GOP of 30 with three B-frames: 18 without skipping, 10 with it. Of HEVC all are."""
    write_stamped(tmp_path / "a.mp4", 30, 1, gop=30, b_frames=3, size=(152, 176))
    write_stamped(tmp_path / "b.mp4", 30, 1, "libx265", gop=30, b_frames=3, size=(152, 176))
    VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    found = {
        (video_id, skips): call(mapped_for, str(tmp_path), 20, video_id, skips, env=driver)
        for video_id in (0, 1)
        for skips in (False, True)
    }
    assert all(is_right for _, _, is_right in found.values())
    mapped = {key: number for key, (_, number, _) in found.items()}
    assert mapped[0, False] >= 18
    assert mapped[0, True] <= 12
    assert mapped[1, False] == mapped[1, True]


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


def cropped_boxes(folder, route, size):
    """Return shape and first luma sample of what is cut out of the first picture of each video, unscaled."""
    index, seen = index_of(folder), []

    class Spy(CuvidDecoder):
        def _write(self, boxes, targets, look):
            seen.extend((tuple(box.luma.shape[1:3]), int(box.luma.flatten()[0])) for box in boxes)

    for video_id in range(index.num_videos):
        decoder = Spy(index, size, route=route, fit="squash", device_ops=StandInOps())
        decoder.decode(GopRead(video_id, 0, (0,), ((0,),)), [torch.zeros((3, *size), dtype=torch.uint8)])
        decoder.close()
    return seen


class TestCrop:
    """x + 3 y of the first sample that is cut out of a coded picture tells where the box begins."""

    @pytest.mark.parametrize("route", ["hwaccel", "cuvid"])
    @pytest.mark.parametrize(
        ("rect", "size"),
        [
            ((16, 8, 0, 0), (152, 176)),
            ((6, 10, 22, 14), (136, 164)),
            ((0, 0, 0, 8), (152, 192)),
            ((2, 0, 0, 0), (160, 190)),
        ],
        ids=str,
    )
    def test_of_the_stream(self, driver, tmp_path, route, rect, size):
        left, top, right, bottom = rect
        options = {"x264-params": f"crop-rect={left},{top},{right},{bottom}"}
        write_stamped(tmp_path / "a.mp4", 4, 5, size=(160, 192), options=options)
        index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
        assert (index.columns.height[0], index.columns.width[0]) == size, "as the CPU has it"
        found = call(cropped_boxes, str(tmp_path), route, size, env=driver | {"STANDIN_RAMP": "1"})
        assert found == [(size, left + 3 * top)]

    @pytest.mark.parametrize("route", ["hwaccel", "cuvid"])
    def test_of_the_container_and_the_stream(self, driver, tmp_path, route):
        cropped(tmp_path / "a.mkv", "libx264", (20, 10, 4, 6))
        index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
        size = int(index.columns.height[0]), int(index.columns.width[0])
        assert size == (144 - 16, 192 - 24)
        found = call(cropped_boxes, str(tmp_path), route, size, env=driver | {"STANDIN_RAMP": "1"})
        assert found == [(size, 20 + 3 * 10)]

    def test_1080_of_1088_rows(self, driver, tmp_path):
        write_stamped(tmp_path / "a.mp4", 2, 5, size=(1080, 1920))
        VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
        found = call(cropped_boxes, str(tmp_path), "hwaccel", (1080, 1920), env=driver | {"STANDIN_RAMP": "1"})
        assert found == [((1080, 1920), 0)]


def write_kinds(folder):
    """A short video of each kind that GPUs differ in, and the index of all."""
    kinds = {
        "0-h264": ("libx264", "yuv420p"),
        "1-high10": ("libx264", "yuv420p10le"),
        "2-h264-422": ("libx264", "yuv422p"),
        "3-hevc": ("libx265", "yuv420p"),
        "4-hevc-12": ("libx265", "yuv420p12le"),
        "5-hevc-444": ("libx265", "yuv444p"),
        "6-hevc-422-10": ("libx265", "yuv422p10le"),
        "7-av1-10": ("libsvtav1", "yuv420p10le"),
        "8-vp9": ("libvpx-vp9", "yuv420p"),
        "9-ffv1": ("ffv1", "yuv420p"),
    }
    for number, (name, (codec, pixel_format)) in enumerate(kinds.items()):
        write_stamped(folder / f"{name}.mkv", 4, number, codec, 4, size=(152, 176), pixel_format=pixel_format)
    write_stamped(folder / "odd-vp9.mkv", 4, 10, "libvpx-vp9", 4, size=(151, 177))
    write_stamped(folder / "small-hevc.mkv", 4, 11, "libx265", 4, size=(120, 128))
    VideoIndex.scan(folder, folder / "index", progress=False)
    return str(folder)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return write_kinds(tmp_path_factory.mktemp("kinds"))


def refused_by_gpu(folder):
    bind_thread()
    index = index_of(folder)
    return {Path(index.path(video_id)).stem: why for video_id, why in refused_videos(index).items()}


def make_decoder(folder, arguments):
    WHOLE(index_of(folder), (8, 8), **arguments).close()


def decode_all_kinds(folder, arguments):
    """Return the warnings, the first frame of each video, and how many frames came from the CPU."""
    index = index_of(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoder = WHOLE(index, (96, 96), **arguments)
    frames = []
    for video_id in range(index.num_videos):
        out = torch.zeros((3, 96, 96), dtype=torch.uint8)
        decoder.decode(GopRead(video_id, 0, (0,), ((0,),)), [out])
        frames.append(out.numpy())
    decoder.close()
    return [str(warning.message) for warning in caught], frames, decoder.num_from_cpu, decoder.default_threads


REFUSED_BY = {
    "hopper": {"1-high10", "2-h264-422", "5-hevc-444", "6-hevc-422-10", "7-av1-10"},
    "ada": {"1-high10", "2-h264-422", "5-hevc-444", "6-hevc-422-10"},
    "blackwell": {"2-h264-422", "5-hevc-444", "6-hevc-422-10"},
}
REFUSED_BY_ALL = {"9-ffv1", "odd-vp9", "small-hevc"}


class TestWhatTheGpuDecodes:
    """Asked of the driver for all videos before the first frame. The stand-in's chips are those of NVIDIA's table."""

    @pytest.mark.parametrize("chip", CHIPS)
    def test_by_chip(self, kinds, chip):
        found = call(refused_by_gpu, kinds, env=environment(built(), chip=chip))
        assert set(found) == REFUSED_BY[chip] | REFUSED_BY_ALL
        assert found["9-ffv1"] == "NVDEC does not decode ffv1"
        assert found["odd-vp9"] == "FFmpeg and NVDEC take odd sizes of vp9 differently (177 × 151)"
        assert found["small-hevc"] == "this GPU decodes hevc from 144 × 144 to 8192 × 8192 (128 × 120)"
        # All of these decode 4:4:4 in HEVC, but FFmpeg's pictures of it are no tensors.
        assert found["5-hevc-444"] == "PyAV hands pictures in 4:4:4 to nobody on a GPU"
        if chip == "hopper":
            assert found["7-av1-10"] == "this GPU does not decode av1 of 10 bits in 4:2:0"

    def test_is_told_in_a_sentence_with_the_files(self, kinds):
        with pytest.raises(DeviceError) as caught:
            call(make_decoder, kinds, {}, env=environment(built()))
        told = str(caught.value).splitlines()
        assert told[0].startswith("8 of 12 videos are not decoded by this GPU (")
        assert "this GPU does not decode av1 of 10 bits in 4:2:0: " in told[0]
        assert all(f"{name}.mkv" in told[0] for name in REFUSED_BY["hopper"] | REFUSED_BY_ALL)
        assert "data.decoder.fallback=cpu" in told[1]

    def test_long_lists_are_cut_short(self):
        many = index_of_many([10] * 30, 5)
        words = in_words(many, dict.fromkeys(range(25), "so") | {25: "no"})
        assert words.startswith("so: /nowhere/0.mp4, ")
        assert words.endswith("/nowhere/9.mp4 and 15 more; no: /nowhere/25.mp4")

    def test_setup_tells(self, kinds, tmp_path):
        with pytest.raises(DeviceError, match="8 of 12 videos are not decoded by this GPU"):
            call(set_up, kinds, env=environment(built()))

    def test_the_rest_is_decoded_on_the_cpu_if_that_is_wanted(self, kinds):
        told, frames, num_from_cpu, threads = call(
            decode_all_kinds, kinds, {"fallback": "cpu"}, env=environment(built())
        )
        (words,) = told
        assert words.startswith("8 of 12 videos are not decoded by this GPU (")
        assert words.endswith("they are decoded on the CPU, and 32 of 48 frames of an epoch are copied to the GPU.")
        assert num_from_cpu == 8
        names = [Path(path).stem for path in index_of(kinds).paths]
        for number, (name, frame) in enumerate(zip(names, frames, strict=True)):
            if name in REFUSED_BY["hopper"] | REFUSED_BY_ALL:  # the rest are pictures of one colour
                assert read_stamp(frame) == (number, 0)
            else:
                assert (frame == frame[:, :1, :1]).all()
        assert threads == 14

    def test_what_the_cpu_decodes_is_counted(self, kinds):
        assert call(count_from_cpu, kinds, env=environment(built())) == (48, 32)

    @pytest.mark.parametrize(("chip", "threads"), [("hopper", 14), ("ada", 6), ("blackwell", 2)])
    def test_two_threads_for_each_engine(self, files, chip, threads):
        assert call(threads_of, files, env=environment(built(), chip=chip)) == threads

    def test_all_codecs_that_it_has(self, tmp_path):
        write_stamped(tmp_path / "a.mkv", 8, 1, "libsvtav1", 4, size=(152, 176))
        VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
        assert call(one_frame, str(tmp_path), env=environment(built(), chip="ada")).any()


def count_from_cpu(folder):
    """Load an epoch; return images, and those that the CPU decoded."""
    index, decoder = index_of(folder), partial(WHOLE, fallback="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = VideoLoader(index, UniformSampler(index, 0), decoder, size=16, batch_size=20, threads=2)
        images = sum(len(batch["image"]) for batch in loader)
    loader.close()
    return images, loader.counts.images_from_cpu


def threads_of(folder):
    return WHOLE(index_of(folder), (8, 8)).default_threads


def set_up(folder):
    from lit_video.datamodule import VideoDataModule  # with all of Lightning, which no other call needs

    data = VideoDataModule(folder, decoder=WHOLE, size=8, index_dir=f"{folder}/index", progress=False)
    data.prepare_data()
    data.setup()


def decode_known_damage(folder):
    """Return which frames of each read of a damaged video are refused, by the GPU's decoder and by the CPU's."""
    index, found = index_of(folder), []
    for make in (WHOLE, PyAVDecoder):
        decoder, refused = make(index, (8, 8)), []
        for frame in range(int(index.lengths[0])):
            try:
                decoder.decode(GopRead(0, frame // 12 * 12, (frame,), ((0,),)), [torch.zeros((3, 8, 8)).byte()])
            except DecodeError as error:
                refused.append((frame, error.cause))
        decoder.close()
        found.append(refused)
    return found


def test_what_the_index_knows_as_damaged_is_refused(driver, tmp_path):
    path = write_stamped(tmp_path / "a.mp4", 36, 1, gop=12, size=(152, 176))
    data, packet = bytearray(path.read_bytes()), packets_of(str(path))[17]
    data[packet.pos + 8 : packet.pos + packet.size] = bytes(packet.size - 8)
    path.write_bytes(data)
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    assert index.num_damaged(0) == 7
    on_gpu, on_cpu = call(decode_known_damage, str(tmp_path), env=driver)
    assert on_gpu == on_cpu
    assert [frame for frame, _ in on_gpu] == list(range(17, 24))


def what_is_copied(folder):
    """Return reorder depth and header of the stream of each file, and of the decoder that was made for it."""
    made, make = [], OnGpu.__call__

    def spy(self, stream, video_id):
        context, source = make(self, stream, video_id), stream.codec_context
        made.append([(c.reorder_depth, bytes(c.extradata), c.width, c.height) for c in (source, context)])
        return context

    OnGpu.__call__ = spy
    for video_id in range(2):
        decoder = RAW(index_of(folder), (8, 8))
        decoder.decode(GopRead(video_id, 0, (0,), ((0,),)), [torch.zeros((3, 8, 8), dtype=torch.uint8)])
        decoder.close()
    return made


def test_a_hardware_decoder_knows_what_the_container_says(driver, files):
    """How many pictures are held back, too: else some of H.264 come out of order, until the stream says."""
    made = call(what_is_copied, files, env=driver)
    assert all(source == context for source, context in made)
    assert [source[0] for source, _ in made] == [0, 2]


def look_at_twelve_bits(folder):
    """As PyAV 19 would give them, by its sources."""
    decoder = RAW(index_of(folder), (8, 8))
    picture = SimpleNamespace(format=SimpleNamespace(name="cuda"), sw_format=SimpleNamespace(name="p012le"))
    decoder._look(picture, GopRead(0, 0, (0,), ((0,),)))


def test_pictures_of_no_known_layout_are_refused(driver, files):
    with pytest.raises(DeviceError, match=r"0\.mkv: its pictures are p012le on the GPU, which this version of PyAV"):
        call(look_at_twelve_bits, files, env=driver)


class OrderOps(StandInOps):
    """Notes in what order the device is used."""

    def __init__(self):
        self.order = []

    def decoding(self, device):
        return self._noted()

    @contextmanager
    def _noted(self):
        self.order.append("begin")
        yield
        self.order.append("end")

    def plane_to_tensor(self, plane):
        self.order.append("plane")
        return super().plane_to_tensor(plane)

    def synchronize(self):
        self.order.append("wait")


def order_of_use(folder):
    ops = OrderOps()
    decoder = CuvidDecoder(index_of(folder), (8, 8), device_ops=ops)
    ops.order.clear()
    decoder.decode(GopRead(0, 0, (1, 2), ((0,), (1,))), list(torch.zeros((2, 3, 8, 8), dtype=torch.uint8)))
    decoder.close()
    return ops.order


def test_planes_are_read_on_the_stream_of_nvdecs_pictures_and_waited_for_there(driver, files):
    assert call(order_of_use, files, env=driver) == ["begin", *["plane"] * 4, "wait", "end"]


class TestRefusals:
    def test_no_gpu(self, index):
        with pytest.raises(DeviceError, match=r"(?s)needs an NVIDIA GPU.*no NVIDIA driver.*decoder=pyav"):
            CuvidDecoder(index)

    @pytest.mark.parametrize("route", ["hwaccel", "cuvid"])
    def test_no_memory_is_called_that(self, driver, files, route):
        for video_id in (0, 2):
            with pytest.raises(DeviceError, match=r"(?s)out of memory for pictures, or out of dec.*max_decoders"):
                call(one_frame, files, route, video_id, env=driver | {"STANDIN_MOST_DECODERS": "0"})

    def test_no_frame_of_such_a_file_is_drawn_anew(self, driver, files):
        with pytest.raises(DeviceError, match="out of memory for pictures"):
            call(load_redrawing, files, env=driver | {"STANDIN_MOST_DECODERS": "0"})

    def test_a_driver_without_its_video_library(self, driver, files):
        library = built() / "libnvcuvid.so.1"
        target = library.readlink()
        library.unlink()
        try:
            for video_id in (0, 2):
                with pytest.raises(DeviceError, match=r"libnvcuvid.so.1.\n.*NVIDIA_DRIVER_CAPABILITIES"):
                    call(one_frame, files, "hwaccel", video_id, env=driver)
        finally:
            library.symlink_to(target)

    def test_frames_that_were_counted_are_not_found_by_another_parser(self, driver, tmp_path):
        write_stamped(tmp_path / "a.ts", 20, gop=10, size=(152, 176))
        VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
        assert call(one_frame, str(tmp_path), "hwaccel", env=driver).shape == (3, 8, 8)
        with pytest.raises(DeviceError, match=r"route=cuvid finds frames by timestamps"):
            call(one_frame, str(tmp_path), "cuvid", env=driver)

    def test_fork(self, index):
        loader = VideoLoader(index, UniformSampler(index, 0), RAW, size=16, num_workers=1, start_method="fork")
        with pytest.raises(ValueError, match=r"cuInit in the parent.*CUDA_ERROR_NOT_INITIALIZED.*Use 'spawn'"):
            next(iter(loader))

    def test_spawn_is_the_default(self, index):
        loader = VideoLoader(index, UniformSampler(index, 0), RAW, size=16, num_workers=1)
        assert loader.start_method == "spawn"
        assert loader.threads == 2

    @pytest.mark.parametrize(
        "arguments",
        [
            {"route": "nvdec"},
            {"fit": "stretch"},
            {"max_open": 0},
            {"max_decoders": 0},
            {"untagged": "x"},
            {"fallback": "gpu"},
        ],
    )
    def test_arguments(self, index, arguments):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            RAW(index, **arguments)
