"""Frames of 16 bits and of one channel: the very numbers that are in the file, through every tier."""

import subprocess
import warnings

import av
import numpy as np
import pytest
import torch

from lit_video import VideoDataModule, VideoIndex, VideoLoader
from lit_video.decoders.cuvid import CuvidDecoder
from lit_video.decoders.form import Form, with_form
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.scaler import Scaler
from lit_video.samplers.uniform import UniformSampler
from lit_video.training.models import as_float
from lit_video.training.transforms import Draws, ExerciseTransform

HEIGHT, WIDTH, NUM_FRAMES = 48, 64, 6


def write(path, codec, pixel_format, options=None):
    """Write frames of noise."""
    random, most = (
        np.random.default_rng(0),
        2 ** max(component.bits for component in av.VideoFormat(pixel_format).components),
    )
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        for number in range(NUM_FRAMES):
            frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
            for plane in frame.planes:
                samples = random.integers(0, most, (plane.height, plane.line_size // 2), np.uint16)
                plane.update(samples.tobytes())
            frame.pts = number
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


def by_ffmpeg(path, pixel_format):
    """Return the frames as ffmpeg writes them: uint16 [n, height, width]."""
    told = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", pixel_format, "-"]
    data = subprocess.run(told, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint16).reshape(NUM_FRAMES, -1, WIDTH)[:, :HEIGHT]


LOSSLESS = {"x265-params": "lossless=1:log-level=none"}
FILES = [
    pytest.param(("ffv1", "gray16le", "mkv", {}), id="FFV1 of 16 bits"),
    pytest.param(("ffv1", "gray12le", "mkv", {}), id="FFV1 of 12 bits"),
    pytest.param(("libx265", "gray12le", "mp4", LOSSLESS), id="HEVC of 12 bits"),
    pytest.param(("libx265", "gray10le", "mp4", LOSSLESS), id="HEVC of 10 bits"),
]


@pytest.fixture(params=FILES)
def deep(request, tmp_path):
    """An index of one video, and its frames as ffmpeg writes them."""
    codec, pixel_format, ending, options = request.param
    path = write(tmp_path / f"deep.{ending}", codec, pixel_format, options)
    return VideoIndex.scan(path, tmp_path / "index", progress=False), by_ffmpeg(path, pixel_format)


def frames_of(index, epochs=1, **options):
    """Return all frames of an index, in order, those of the last epoch."""
    loader = VideoLoader(
        index, UniformSampler(index, seed=0), PyAVDecoder, **{"size": [HEIGHT, WIDTH], "batch_size": 2, **options}
    )
    found = {}
    for _ in range(epochs):
        for batch in loader:
            found |= dict(zip(batch["frame_index"].tolist(), batch["image"].clone(), strict=True))
    loader.close()
    return torch.stack([found[frame] for frame in range(index.num_frames)])


class TestNumbersOfTheFile:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_are_what_ffmpeg_writes(self, deep, channels):
        index, expected = deep
        images = frames_of(index, dtype="uint16", channels=channels)
        assert (images.dtype, tuple(images.shape)) == (torch.uint16, (NUM_FRAMES, channels, HEIGHT, WIDTH))
        for channel in range(channels):
            assert np.array_equal(images[:, channel].numpy(), expected)
        assert len(np.unique(expected)) > 900, "which uint8 cannot tell apart"

    def test_luma_of_limited_range_too(self, tmp_path):
        path = write(tmp_path / "a.mp4", "libx265", "yuv420p12le", LOSSLESS)
        index = VideoIndex.scan(path, tmp_path / "index", progress=False)
        assert index.columns.range[0] != 2
        planes = np.frombuffer(
            subprocess.run(
                ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuv420p12le", "-"],
                capture_output=True,
                check=True,
            ).stdout,
            np.uint16,
        ).reshape(NUM_FRAMES, HEIGHT * 3 // 2, WIDTH)
        images = frames_of(index, dtype="uint16", channels=1)
        assert np.array_equal(images[:, 0].numpy(), planes[:, :HEIGHT])

    def test_colours_have_as_many_bits_as_their_video(self, tmp_path):
        path = write(tmp_path / "a.mp4", "libx265", "yuv444p10le", LOSSLESS)
        index = VideoIndex.scan(path, tmp_path / "index", progress=False)
        deep = frames_of(index, dtype="uint16").float()
        with pytest.warns(UserWarning, match="the rest is cut off"):
            shallow = frames_of(index).float()
        assert 255 < deep.max() <= 1023
        assert (deep * 255 / 1023 - shallow).abs().max() < 2

    def test_a_video_of_8_bits_keeps_its_levels(self, videos, tmp_path):
        index = VideoIndex.scan(videos / "2.mp4", tmp_path / "index", progress=False)
        assert torch.equal(frames_of(index, dtype="uint16").float(), frames_of(index).float())

    def test_a_smaller_frame_is_scaled_in_its_bits(self):
        picture = av.VideoFrame(64, 64, "gray12le")
        picture.planes[0].update(np.full((64, picture.planes[0].line_size // 2), 2049, np.uint16).tobytes())
        out = torch.zeros((1, 16, 16), dtype=torch.uint16)
        Scaler((16, 16), "crop", "bilinear", "bt601", dtype="uint16", channels=1).write(picture, out)
        assert out.unique().tolist() == [2049]


class TestGreyOfEightBits:
    def test_is_brightness(self, videos, tmp_path):
        index = VideoIndex.scan(videos / "2.mp4", tmp_path / "index", progress=False)
        grey, colours = frames_of(index, channels=1), frames_of(index).float()
        luma = 0.299 * colours[:, 0] + 0.587 * colours[:, 1] + 0.114 * colours[:, 2]
        assert grey.dtype == torch.uint8
        assert (grey[:, 0].float() - luma).abs().mean() < 1


class TestTiers:
    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"keep": "lossless"}, id="packed"),
            pytest.param({"store": "store"}, id="stored"),
            pytest.param({"store": "store", "store_packing": "raw"}, id="stored as they are"),
            pytest.param({"num_workers": 1, "start_method": "fork"}, id="processes"),
            pytest.param({"lookahead": 3}, id="little memory"),
        ],
    )
    def test_all_give_the_same(self, tmp_path, options):
        path = write(tmp_path / "a.mkv", "ffv1", "gray16le")
        index, expected = VideoIndex.scan(path, tmp_path / "index", progress=False), by_ffmpeg(path, "gray16le")
        options = {name: tmp_path / "store" if name == "store" else value for name, value in options.items()}
        images = frames_of(index, epochs=2, dtype="uint16", channels=1, **options)
        assert np.array_equal(images[:, 0].numpy(), expected)

    def test_a_store_keeps_forms_apart(self, tmp_path):
        path = write(tmp_path / "a.mkv", "ffv1", "gray16le")
        index, expected = VideoIndex.scan(path, tmp_path / "index", progress=False), by_ffmpeg(path, "gray16le")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of bits that are cut
            frames_of(index, store=tmp_path / "store")
        for channels in (3, 1):
            images = frames_of(index, dtype="uint16", channels=channels, store=tmp_path / "store")
            assert np.array_equal(images[:, -1].numpy(), expected)

    def test_clips(self, tmp_path):
        path = write(tmp_path / "a.mkv", "ffv1", "gray12le")
        data = VideoDataModule(
            path, clip_length=3, dtype="uint16", channels=1, size=[HEIGHT, WIDTH], batch_size=2, index_dir=tmp_path
        )
        data.setup()
        batch = next(iter(data.train_dataloader()))
        data.close()
        assert (batch["image"].dtype, batch["image"].shape) == (torch.uint16, (2, 3, 1, HEIGHT, WIDTH))
        assert np.array_equal(batch["image"][0, :, 0].numpy(), by_ffmpeg(path, "gray12le")[batch["frame_index"][0]])


class TestWords:
    def test_bits_that_are_cut_are_told_of_once(self, tmp_path):
        index = VideoIndex.scan(write(tmp_path / "a.mkv", "ffv1", "gray12le"), tmp_path, progress=False)
        with pytest.warns(UserWarning, match=r"the rest is cut off, but not with data.dtype=uint16"):
            frames_of(index)
        frames_of(index)  # warnings are errors

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"dtype": "float32"}, "dtype must be one of uint8, uint16, got 'float32'"),
            ({"channels": 2}, "channels must be 3, or 1 for grey, got 2"),
            (
                {"dtype": "uint16", "keep": "jpeg"},
                "keep='jpeg' is for dtype='uint8' and channels=3, got 'uint16' and 3",
            ),
            ({"channels": 1, "store_packing": "jpeg"}, "store_packing='jpeg' is for dtype='uint8'"),
            (
                {"dtype": "uint16", "decoder": CuvidDecoder},
                "CuvidDecoder writes frames of dtype='uint8' and channels=3",
            ),
        ],
    )
    def test_what_does_not_go_is_refused_before_files_are_read(self, options, said):
        with pytest.raises(ValueError, match=said):
            VideoDataModule("nowhere", **options)

    def test_hdr_is_mapped_in_8_bits(self, tmp_path, videos):
        index = VideoIndex.scan(videos / "2.mp4", tmp_path, progress=False)
        with pytest.raises(ValueError, match="hdr='sdr' is for dtype='uint8' and channels=3"):
            with_form(PyAVDecoder, "uint16", 3)(index, 32, hdr="sdr")

    def test_augmentation_is_of_colours(self):
        with pytest.raises(ValueError, match=r"images must be uint8 of 3 channels, got torch.uint16 of 1"):
            ExerciseTransform()(torch.zeros((2, 1, 8, 8), dtype=torch.uint16), Draws(0, 0, np.arange(2)))

    def test_models_see_numbers_up_to_one(self):
        assert as_float(torch.tensor([65535], dtype=torch.uint16)).item() == 1
        assert as_float(torch.tensor([255], dtype=torch.uint8)).item() == 1


def test_frames_wait_as_bytes():
    form = Form(4, 6, 1, "uint16")
    kept = torch.zeros((5, *form.shape_in_bytes), dtype=torch.uint8)
    assert (form.num_bytes, kept[0].numel(), tuple(form.of_bytes(kept).shape)) == (48, 48, (5, 1, 4, 6))
