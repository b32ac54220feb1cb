"""PyAV's CUDA decoding on the stand-in: each case below runs in a process of its own."""

import contextlib
import ctypes
import gc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.hwaccel import HWAccel

from lit_video.checks.stamps import priority_kept

from . import (
    bind_thread,
    built,
    call,
    colour,
    colour_of_packet,
    colour_of_timestamp,
    counters,
    environment,
    plane_to_tensor,
)

WIDTH, HEIGHT, NUM_FRAMES = 176, 152, 36  # a height of no whole macroblocks; HEVC on NVDEC begins at 144 x 144
TAGS = "colormatrix=bt709:colorprim=bt709:transfer=bt709"
ENCODERS = {  # encoder, pixel format, options; keyframes every 12 frames, B-frames where the codec has them
    "h264": ("libx264", "yuv420p", {"g": "12", "bf": "3", "x264-params": TAGS}),
    "hevc": ("libx265", "yuv420p", {"x265-params": f"keyint=12:bframes=8:log-level=none:{TAGS}"}),
    "hevc10": ("libx265", "yuv420p10le", {"x265-params": "keyint=12:log-level=none"}),
    "vp9": ("libvpx-vp9", "yuv420p", {"g": "12", "deadline": "realtime", "cpu-used": "8"}),
    "av1": ("libsvtav1", "yuv420p", {"g": "12", "preset": "10", "svtav1-params": "lp=1"}),
}


def write(path: Path, encoder: str, pix_fmt: str, options: dict[str, str], size=(WIDTH, HEIGHT)) -> Path:
    """Write coarse noise, so that no two packets are alike."""
    random = np.random.default_rng(0)
    with priority_kept(), av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for _ in range(NUM_FRAMES):
            blocks = random.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(blocks.repeat(8, 0).repeat(8, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def folder() -> Path:
    """The stand-in, compiled once."""
    return built()


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> dict[str, str]:
    """A small file of every codec."""
    root = tmp_path_factory.mktemp("videos")
    return {name: str(write(root / f"{name}.mp4", *arguments)) for name, arguments in ENCODERS.items()}


def packets(path: str) -> dict[int, tuple[int, int, int]]:
    """Return the colour that each picture has on the hwaccel route, by pts, ascending."""
    with av.open(path) as container:
        return dict(sorted((p.pts, colour_of_packet(p)) for p in container.demux() if p.size))


def keyframes(path: str) -> list[int]:
    """Return the pts of the pictures that decoding can start from, last first."""
    with av.open(path) as container:
        return sorted((packet.pts for packet in container.demux() if packet.is_keyframe), reverse=True)


def hwaccel(device: int = 0, **options: str) -> HWAccel:
    """Decode to the device, in this thread's context, or fail."""
    options = options or {"primary_ctx": "0", "current_ctx": "1"}
    return HWAccel("cuda", device=str(device), is_hw_owned=True, allow_software_fallback=False, options=options)


# ---- Route A: FFmpeg's own decoders with hwaccel.


def native(path: str, seeks: Sequence[int] = (), device: int = 0, bind: bool = True):
    """Decode a file, then again from each pts of `seeks` on; return the (pts, colour) of each run, and the counts."""
    if bind:
        bind_thread(device)
    with av.open(path, hwaccel=hwaccel(device)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.is_hwaccel
        runs = []
        for start in (None, *seeks):
            if start is not None:
                container.seek(start, stream=stream)
            frames = list(container.decode(stream))
            assert {frame.format.name for frame in frames} == {"cuda"}
            assert {(frame.width, frame.height) for frame in frames} == {(WIDTH, HEIGHT)}
            assert frames[0].planes[0].__dlpack_device__() == (2, device)
            runs.append([(frame.pts, colour(frame)) for frame in frames])
        return runs, counters()


@pytest.mark.parametrize("codec", ["h264", "hevc", "hevc10", "vp9"])
def test_hwaccel_returns_every_picture_and_keeps_its_decoder(folder, videos, codec):
    expected = list(packets(videos[codec]).items())
    seeks = keyframes(videos[codec])
    runs, counts = call(native, videos[codec], seeks, env=environment(folder))
    assert runs[0] == expected
    for start, run in zip(seeks, runs[1:], strict=True):
        assert run == [picture for picture in expected if picture[0] >= start]  # none that leads an open GOP
    assert counts.decoders_created == 1
    assert counts.pictures_decoded >= sum(map(len, runs))
    assert counts.live_mapped == 0


def native_av1(path: str):
    """Decode with the decoder named av1; `av.open` takes libdav1d, which has no hwaccel."""
    bind_thread()
    with pytest.raises(RuntimeError, match="no stream is compatible"):
        av.open(path, hwaccel=hwaccel())
    with av.open(path) as container:
        context = av.CodecContext.create("av1", "r", hwaccel=hwaccel())
        context.extradata = container.streams.video[0].codec_context.extradata
        context.pix_fmt = "yuv420p"  # without: get_buffer() fails with errno 22
        frames = [frame for packet in container.demux(video=0) for frame in context.decode(packet)]
        return [frame.pts for frame in frames], len({colour(frame) for frame in frames})


def test_av1_goes_through_a_codec_context(folder, videos):
    # A packet may hold a picture that a later one shows, so a picture cannot be told from its packet's last bytes.
    assert call(native_av1, videos["av1"], env=environment(folder, chip="ada")) == (
        list(packets(videos["av1"])),
        NUM_FRAMES,
    )


# ---- Route B: *_cuvid.


@contextlib.contextmanager
def cuvid(path: str, options: dict[str, str] | None = None, pix_fmt: str | None = "nv12", extradata: bool = True):
    """Open a file, and a `*_cuvid` decoder for its video stream."""
    bind_thread()
    with av.open(path) as container:
        source = container.streams.video[0].codec_context
        context = av.CodecContext.create(f"{source.codec.canonical_name}_cuvid", "r", hwaccel=hwaccel())
        if extradata:
            context.extradata = source.extradata
        if pix_fmt:
            context.pix_fmt = pix_fmt
        context.width, context.height, context.options = source.width, source.height, options or {}
        yield container, context


def drain(container, context):
    """Decode to the end."""
    return [f for packet in container.demux(video=0) for f in context.decode(packet if packet.size else None)]


def in_order(path: str, options: dict[str, str], seeks: Sequence[int] = (), low_delay: bool = False):
    """Decode a file and again from each seek; return the runs, what the first frame looks like, and the counts."""
    with cuvid(path, options) as (container, context):
        if low_delay:
            context.flags |= av.codec.context.Flags.low_delay
        frames = drain(container, context)
        runs = [[(frame.pts, colour(frame)) for frame in frames]]
        assert {frame.format.name for frame in frames} == {"cuda"}
        for start in seeks:
            container.seek(start, stream=container.streams.video[0])
            context.flush_buffers()
            runs.append([(frame.pts, colour(frame)) for frame in drain(container, context)])
        look = frames[0].width, frames[0].height, int(frames[0].colorspace), frames[0].duration, frames[0].dts
        return runs, look, counters()


@pytest.mark.parametrize(
    ("options", "size"),
    [
        pytest.param({}, (WIDTH, HEIGHT), id="plain"),
        pytest.param({"resize": "96x64"}, (96, 64), id="resize"),
        pytest.param({"crop": "8x16x32x48"}, (WIDTH - 32 - 48, HEIGHT - 8 - 16), id="crop"),
        pytest.param({"resize": "64x64", "crop": "0x0x12x12"}, (64, 64), id="crop then resize"),
    ],
)
@pytest.mark.parametrize("codec", ["h264", "hevc", "hevc10"])
def test_cuvid_returns_every_picture_in_order(folder, videos, codec, options, size):
    expected = [(pts, colour_of_timestamp(pts)) for pts in packets(videos[codec])]
    runs, look, counts = call(in_order, videos[codec], options, env=environment(folder))
    assert runs == [expected]
    assert look == (*size, 2 if codec == "hevc10" else 1, 0, None)
    assert counts.decoders_created == 1


@pytest.mark.parametrize("low_delay", [False, True])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_cuvid_makes_a_new_decoder_at_every_flush(folder, videos, codec, low_delay):
    expected = [(pts, colour_of_timestamp(pts)) for pts in packets(videos[codec])]
    seeks = keyframes(videos[codec])
    runs, _, counts = call(in_order, videos[codec], {}, seeks, low_delay, env=environment(folder))
    assert runs[0] == expected
    for start, run in zip(seeks, runs[1:], strict=True):
        assert run == [picture for picture in expected if picture[0] >= start]
    assert counts.decoders_created == 1 + len(seeks)
    assert counts.live_decoders == counts.live_parsers == 1


def held_back(path: str):
    """Feed three packets, flush, feed the others: return the pts that came."""
    with cuvid(path) as (container, context):
        source = [packet for packet in container.demux(video=0) if packet.size]
        assert [context.decode(packet) for packet in source[:3]] == [[], [], []]
        context.flush_buffers()
        frames = [frame for packet in source[3:] for frame in context.decode(packet)]
        return [frame.pts for frame in frames + context.decode(None)]


def test_a_flush_drops_what_waits_and_decoding_starts_at_a_keyframe(folder, videos):
    second = keyframes(videos["h264"])[-2]
    expected = [pts for pts in packets(videos["h264"]) if pts >= second]
    assert call(held_back, videos["h264"], env=environment(folder)) == expected


def unflushed(path: str):
    """Feed some packets, seek to the start without a flush, decode all: return the pts that came."""
    with cuvid(path) as (container, context):
        for _, packet in zip(range(5), container.demux(video=0), strict=False):
            assert context.decode(packet) == []
        container.seek(0, stream=container.streams.video[0])
        return [frame.pts for frame in drain(container, context)]


def test_without_a_flush_the_waiting_pictures_come_first(folder, videos):
    expected = list(packets(videos["h264"]))
    found = call(unflushed, videos["h264"], env=environment(folder))
    assert found[:5] == expected[:5]
    assert found[5:] == expected


def without(path: str, **options: object):
    """Count the frames of a decoder that lacks something."""
    with cuvid(path, **options) as (container, context):
        return len(drain(container, context))


def without_extradata(path: str):
    """Forget the stream's headers."""
    return without(path, extradata=False)


def without_pix_fmt(path: str):
    """Leave PyAV's preset."""
    return without(path, pix_fmt=None)


def test_cuvid_without_extradata_returns_nothing(folder, videos):
    assert call(without_extradata, videos["h264"], env=environment(folder)) == 0


@pytest.mark.skipif(int(av.__version__.split(".")[0]) > 18, reason="only PyAV 18 presets the format cuda")
def test_cuvid_without_pix_fmt_is_taken_for_444(folder, videos):
    with pytest.raises(av.error.ArgumentError, match="h264_cuvid"):
        call(without_pix_fmt, videos["h264"], env=environment(folder))
    assert call(without_pix_fmt, videos["hevc"], env=environment(folder)) == NUM_FRAMES  # NVDEC decodes 4:4:4 HEVC


# ---- Planes to tensors.


def tensors(path: str):
    """Return both planes as tensors, of a frame that is gone; refuse what torch cannot do without CUDA."""
    import torch

    bind_thread()
    assert not torch.cuda.is_available()
    with av.open(path, hwaccel=hwaccel()) as container:
        frame = next(container.decode(video=0))
    del container
    with pytest.raises(RuntimeError):  # with CUDA: NotImplementedError, since torch passes a stream
        torch.from_dlpack(frame.planes[0])
    with pytest.raises(RuntimeError):
        torch.from_dlpack(frame.planes[0].__dlpack__())
    luma, chroma = (plane_to_tensor(plane) for plane in frame.planes)
    pitch, value = frame.planes[0].line_size, colour(frame)
    del frame
    gc.collect()
    assert counters().live_allocations > 0
    assert luma.stride(0) * luma.element_size() == pitch > WIDTH * luma.element_size()
    shapes, numbers = (luma.shape, chroma.shape), (luma.numpy().copy(), chroma.numpy().copy())
    del luma, chroma
    gc.collect()
    assert counters().live_allocations == 0
    return [tuple(shape) for shape in shapes], numbers, value


@pytest.mark.parametrize(("codec", "shift"), [("h264", 0), ("hevc10", 8)])
def test_planes_become_tensors(folder, videos, codec, shift):
    shapes, (luma, chroma), (y, u, v) = call(tensors, videos[codec], env=environment(folder))
    assert shapes == [(HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2, 2)]
    assert luma.dtype == (np.uint16 if shift else np.uint8)
    assert (luma == y << shift).all()
    assert (chroma == np.array([u, v]) << shift).all()
    assert (y, u, v) == next(iter(packets(videos[codec]).values()))


# ---- Processes and threads.


class FirstPicture:
    """A data set of one: the pts and colour of the first picture."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        with av.open(self.path, hwaccel=hwaccel(primary_ctx="0")) as container:
            frame = next(container.decode(video=0))
            return frame.pts, *colour(frame)


def load(path: str, start_method: str):
    """Decode in this process, then in a DataLoader's worker."""
    from torch.utils.data import DataLoader

    here = FirstPicture(path)[0]
    loader = DataLoader(FirstPicture(path), batch_size=None, num_workers=1, multiprocessing_context=start_method)
    return here, *map(tuple, loader)


def test_a_spawned_worker_decodes(folder, videos):
    here, there = call(load, videos["h264"], "spawn", env=environment(folder))
    pts, expected = next(iter(packets(videos["h264"]).items()))
    assert here == there == (pts, *expected)


def test_a_forked_worker_cannot_use_the_driver(folder, videos):
    with pytest.raises(RuntimeError, match="Caught ExternalError in DataLoader worker process 0") as caught:
        call(load, videos["h264"], "fork", env=environment(folder))
    assert "[Errno 542398533]" in str(caught.value)


def many(paths: list[str], num_threads: int):
    """Decode every file in each of several threads; return the runs, and the counts when all is closed."""
    with ThreadPoolExecutor(num_threads) as pool:
        runs = [runs[0] for runs, _ in pool.map(native, paths * num_threads)]
    for path in paths[:2]:
        in_order(path, {})
        held_back(path)
    FirstPicture(paths[0])[0]
    gc.collect()
    return runs, counters()


def test_nothing_is_left_when_all_is_closed(folder, videos):
    paths = [videos["h264"], videos["hevc"], videos["vp9"]]
    runs, counts = call(many, paths, 2, env=environment(folder))
    expected = [list(packets(path).items()) for path in paths]
    assert sorted(runs) == sorted(expected * 2)
    assert counts.live == (0, 0, 0, 0, 0)
    assert counts.decoders_created == counts.decoders_destroyed == 6 + 2 * 3 + 1


def unbound(path: str):
    """Decode in a thread that has no context, though the main thread has one."""
    bind_thread()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(native, path, bind=False).result()


def test_a_thread_without_a_context_fails_at_its_first_packet(folder, videos):
    with pytest.raises(av.error.FFmpegError, match=r"avcodec_send_packet\(\)"):
        call(unbound, videos["h264"], env=environment(folder))


def counted(path: str):
    """Ask for the counts only when FFmpeg has unloaded the driver."""
    FirstPicture(path)[0]
    gc.collect()
    return counters()


def test_the_counts_outlive_the_decoder(folder, videos):
    assert call(counted, videos["h264"], env=environment(folder)).decoders_created == 1


def test_a_second_device(folder, videos):
    runs, _ = call(native, videos["h264"], (), 1, env=environment(folder, num_devices=2))
    assert runs == [list(packets(videos["h264"]).items())]


# ---- Refusals.


def open_only(path: str, **options: str):
    """Open a file in a context of its own, or as PyAV does by default."""
    av.open(path, hwaccel=hwaccel(**options or {"primary_ctx": "0"})).close()


def open_with_primary_context(path: str):
    """Open as PyAV does by default, where torch has the device."""
    bind_thread()
    open_only(path, primary_ctx="1")


def test_no_driver(videos):
    with contextlib.suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        pytest.skip("this machine has a driver")
    with pytest.raises(av.error.PermissionError, match=r"\[Errno 1\] Operation not permitted"):
        call(open_only, videos["h264"], env=environment(None))


def test_no_device(folder, videos):
    with pytest.raises(av.error.ExternalError, match=r"\[Errno 542398533\]"):
        call(open_only, videos["h264"], env=environment(folder, num_devices=0))


def test_the_primary_context_belongs_to_torch(folder, videos):
    with pytest.raises(OSError, match=r"\[Errno 95\] Operation not supported"):
        call(open_with_primary_context, videos["h264"], env=environment(folder))


def test_an_unsupported_codec_looks_like_a_missing_driver_but_later(folder, videos):
    env = environment(folder, unsupported=["hevc"])
    call(open_only, videos["hevc"], env=env)
    with pytest.raises(av.error.PermissionError, match=r"\[Errno 1\] .* 'avcodec_send_packet\(\)'"):
        call(native, videos["hevc"], env=env)
    with pytest.raises(av.error.ArgumentError, match="hevc_cuvid"):
        call(in_order, videos["hevc"], {}, env=env)
    call(native, videos["h264"], env=env)


def test_a_picture_smaller_than_the_engine_takes(folder, tmp_path):
    path = str(write(tmp_path / "small.mp4", *ENCODERS["hevc"], size=(136, 136)))
    with pytest.raises(av.error.PermissionError, match="avcodec_send_packet"):
        call(native, path, env=environment(folder))


def error_texts():
    """Return NVIDIA's name and sentence for some errors, and what an unused function answers."""
    driver = ctypes.CDLL("libcuda.so.1")
    pointer = ctypes.c_char_p()
    texts = {}
    for status in (0, 3, 100, 801):
        assert driver.cuGetErrorName(status, ctypes.byref(pointer)) == 0
        name = pointer.value
        assert driver.cuGetErrorString(status, ctypes.byref(pointer)) == 0
        texts[status] = name.decode(), pointer.value.decode()
    return texts, driver.cuLaunchKernel(), driver.cuMemAlloc_v2(ctypes.byref(pointer), 1)


def test_errors_have_the_real_names(folder):
    texts, unused, before_init = call(error_texts, env=environment(folder))
    assert texts == {
        0: ("CUDA_SUCCESS", "no error"),
        3: ("CUDA_ERROR_NOT_INITIALIZED", "initialization error"),
        100: ("CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"),
        801: ("CUDA_ERROR_NOT_SUPPORTED", "operation not supported"),
    }
    assert (unused, before_init) == (801, 3)
