"""NV12 and P010 on the device against swscale on the CPU: within two levels, everywhere."""

import time

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from lit_video.decoders.colour import LUMA_WEIGHTS, conversion, convert, cut, planes_to_frame, write_frames
from lit_video.decoders.geometry import fit_picture
from lit_video.decoders.scaler import Scaler
from lit_video.media.picture import AS_STORED, Presentation

LIMITED, FULL = 1, 2


def smooth_planes(height, width, seed=0):
    """Luma and chroma that vary slowly, as 8-bit levels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = []
    for _ in range(3):
        a, b, c, d = rng.uniform(0.3, 1, 4)
        planes.append(128 + 90 * np.sin(3 * a * x + 2 * b * y + 6 * c) * d)
    half = (slice(0, height, 2), slice(0, width, 2))
    return planes[0].round().astype(np.uint8), np.stack([p[half] for p in planes[1:]], axis=-1).round().astype(np.uint8)


def on_the_cpu(luma, chroma, matrix, color_range, size, fit="crop", presentation=AS_STORED):
    """What the CPU decoder makes of the same picture."""
    height, width = luma.shape
    picture = av.VideoFrame(width, height, "nv12")
    for plane, values in zip(picture.planes, (luma, chroma.reshape(chroma.shape[0], -1)), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows[: values.shape[0], : values.shape[1]] = values
    picture.colorspace, picture.color_range = matrix, color_range
    out = torch.zeros((3, *size), dtype=torch.uint8)
    Scaler(size, fit, "bilinear", "bt601").write(picture, out, presentation)
    return out.numpy().astype(int)


def on_the_device(luma, chroma, matrix, color_range, size, fit="crop", p=AS_STORED):
    geometry = fit_picture(luma.shape, p.rotation, size, fit, p.mirrored, p.crop)
    planes = torch.from_numpy(luma), torch.from_numpy(chroma)
    return planes_to_frame(*planes, geometry, matrix, color_range == FULL).numpy().astype(int)


@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize(
    ("stored", "size"),
    [
        ((96, 128), (96, 128)),
        ((216, 384), (64, 64)),
        ((98, 130), (50, 70)),
        ((97, 131), (48, 48)),
        ((64, 64), (100, 100)),
    ],
    ids=["as it is", "smaller", "odd halves", "odd", "larger"],
)
def test_agrees_with_swscale(matrix, color_range, stored, size):
    luma, chroma = smooth_planes(*stored)
    theirs = on_the_cpu(luma, chroma, matrix, color_range, size)
    ours = on_the_device(luma, chroma, matrix, color_range, size)
    assert np.abs(ours - theirs).max() <= 2


@given(st.integers(0, 100))
def test_agrees_with_swscale_on_any_smooth_picture(seed):
    luma, chroma = smooth_planes(72, 96, seed)
    args = luma, chroma, 1, LIMITED, (40, 40)
    assert np.abs(on_the_device(*args) - on_the_cpu(*args)).max() <= 2


def rgb_of(y, u, v, matrix, full_range):
    """Red, green and blue of levels of luma and chroma, neither rounded nor cut off."""
    offset, weights = conversion(matrix, full_range, 1, torch.device("cpu"))
    return ((offset + torch.tensor([y, u, v]) * weights).sum(-1) - 0.5).flatten().tolist()


def test_chroma_spans_224_levels_and_not_219():
    """Pure BT.601 blue is Y 41, U 240, V 110. Chroma scaled by 255/219 instead of 255/224 makes it 2 % too strong."""
    assert rgb_of(41.0, 240.0, 110.0, 5, full_range=False) == pytest.approx([0, 0, 255], abs=1.5)
    right, slip = 128.1 + 1.772 * 56 * 255 / 224, 128.1 + 1.772 * 56 * 255 / 219
    assert abs(right - slip) > 2
    assert rgb_of(126.0, 184.0, 128.0, 5, full_range=False)[2] == pytest.approx(right, abs=0.3)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
def test_white_black_and_grey(matrix, full):
    for level, expected in ((0, 0), (128, 128), (255, 255)) if full else ((16, 0), (125.5, 127.5), (235, 255)):
        assert rgb_of(float(level), 128.0, 128.0, matrix, full) == pytest.approx([expected] * 3, abs=0.01)


def test_p010_is_nv12_with_more_bits():
    luma, chroma = smooth_planes(64, 96)
    wide = [torch.from_numpy(plane.astype(np.uint16) * 256) for plane in (luma, chroma)]
    geometry = fit_picture(luma.shape, 0, (32, 32), "crop")
    found = planes_to_frame(*wide, geometry, 9, False).numpy()
    assert np.array_equal(found, on_the_device(luma, chroma, 9, LIMITED, (32, 32)))


def test_ten_bits_keep_their_fractions():
    geometry = fit_picture((2, 1024), 0, (2, 1024), "crop")
    luma = torch.arange(1024, dtype=torch.int32).mul(64).to(torch.uint16).expand(2, 1024).contiguous()
    chroma = torch.full((1, 512, 2), 128 << 8, dtype=torch.int32).to(torch.uint16)
    found = convert(cut(luma, chroma, geometry), geometry, 1, True, "bilinear")[0, 0] - 0.5
    assert found[:1000].tolist() == pytest.approx([value / 4 for value in range(1000)], abs=1e-3)


def test_rows_may_lie_at_any_pitch():
    luma, chroma = smooth_planes(64, 96)
    padded = torch.zeros((64, 256), dtype=torch.uint8)
    padded[:, :96] = torch.from_numpy(luma)
    wide = torch.zeros((32, 128, 2), dtype=torch.uint8)
    wide[:, :48] = torch.from_numpy(chroma)
    geometry = fit_picture(luma.shape, 0, (32, 32), "crop")
    found = planes_to_frame(padded[:, :96], wide[:, :48], geometry, 1, False).numpy()
    assert np.array_equal(found, on_the_device(luma, chroma, 1, LIMITED, (32, 32)))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_are_mirrored_and_turned_upright(rotation, mirrored):
    luma, chroma = smooth_planes(64, 96)
    upright = on_the_device(luma, chroma, 1, LIMITED, (64, 96), "squash")
    size = (64, 96) if rotation % 180 == 0 else (96, 64)
    presentation = Presentation(rotation=rotation, mirrored=mirrored)
    turned = on_the_device(luma, chroma, 1, LIMITED, size, "squash", presentation)
    assert np.array_equal(turned, np.rot90(upright[:, :, ::-1] if mirrored else upright, rotation // 90, axes=(1, 2)))
    assert np.abs(turned - on_the_cpu(luma, chroma, 1, LIMITED, size, "squash", presentation)).max() <= 2


@pytest.mark.parametrize("crop", [(20, 10, 20, 10), (7, 3, 5, 1), (0, 0, 30, 0)], ids=str)
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_crops_are_those_of_the_cpu(crop, fit):
    luma, chroma = smooth_planes(96, 128)
    presentation = Presentation(crop=crop, rotation=90, mirrored=True)
    args = luma, chroma, 1, LIMITED, (40, 56), fit, presentation
    assert np.abs(on_the_device(*args) - on_the_cpu(*args)).max() <= 2


def test_area_averages():
    luma = np.arange(0, 256, 4, dtype=np.uint8).repeat(4).reshape(16, 16)
    planes = torch.from_numpy(luma), torch.full((8, 8, 2), 128, dtype=torch.uint8)
    found = planes_to_frame(*planes, fit_picture((16, 16), 0, (4, 4), "crop"), 1, True, "area").numpy()
    assert np.abs(found[0].astype(float) - luma.reshape(4, 4, 4, 4).mean(axis=(1, 3))).max() <= 1


def planes_1080p(seed=0, bits=8):
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 256, (1080, 1920), np.uint8), rng.integers(0, 256, (540, 960, 2), np.uint8)
    return [torch.from_numpy(plane if bits == 8 else plane.astype(np.uint16) << 8) for plane in planes]


class Operations(TorchDispatchMode):
    """Notes what torch's dispatcher is asked for: each is some microseconds with the interpreter's lock held."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def write(pictures, geometry, out):
    """As the decoder does it."""
    write_frames([cut(*planes, geometry) for planes in pictures], out, geometry, 1, False)


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("rotation", [0, 90, 180])
def test_few_operations_and_no_matrix_product(bits, rotation):
    geometry = fit_picture((1080, 1920), rotation, (224, 224), "crop", mirrored=True)
    for count, most in ((1, 25), (4, 13)):
        pictures, out = [planes_1080p(n, bits) for n in range(count)], torch.zeros((count, 3, 224, 224)).byte()
        targets = list(out)
        write(pictures, geometry, targets)  # tables are made once
        with Operations() as operations:
            write(pictures, geometry, targets)
        assert len(operations.names) <= most * count, operations.names
        assert not [name for name in operations.names if any(word in name for word in ("mm", "dot", "conv", "einsum"))]


@pytest.mark.parametrize("size", [(224, 224), (1080, 1920)], ids=["scaled", "as it is"])
def test_pixels_do_not_depend_on_the_precision_of_matrix_products(size):
    geometry, found = fit_picture((1080, 1920), 0, size, "crop"), []
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        try:
            found.append(planes_to_frame(*planes_1080p(), geometry, 1, False))
        finally:
            torch.set_float32_matmul_precision("highest")
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_several_at_once_are_the_same_as_one_by_one(bits, rotation):
    pictures, geometry = (
        [planes_1080p(n, bits) for n in range(3)],
        fit_picture((1080, 1920), rotation, (60, 80), "crop"),
    )
    out = torch.zeros((3, 3, 60, 80), dtype=torch.uint8)
    write(pictures, geometry, list(out))
    for planes, frame in zip(pictures, out, strict=True):
        assert torch.equal(frame, planes_to_frame(*planes, geometry, 1, False))


def seconds_of(height, width, size, tries=15):
    """The least time of a core that a picture takes: other programs on the machine do not count."""
    rng, geometry = np.random.default_rng(0), fit_picture((height, width), 0, size, "crop")
    shapes, out = ((height, width), (height // 2, width // 2, 2)), [torch.zeros((3, *size), dtype=torch.uint8)]
    planes = [torch.from_numpy(rng.integers(0, 256, shape, np.uint8)) for shape in shapes]
    write([planes], geometry, out)
    least = float("inf")
    for _ in range(tries):
        began = time.thread_time()
        write([planes], geometry, out)
        least = min(least, time.thread_time() - began)
    return least


def test_a_second_thread_is_not_held_up_by_the_interpreters_lock():
    """It is held while operations are asked for, which a picture of a few pixels shows, and not while they work."""
    torch.set_num_threads(1)
    whole, held = seconds_of(480, 640, (224, 224)), seconds_of(16, 16, (8, 8))
    assert whole / max(whole / 2, held) >= 1.7, "what two threads do in the time of one"
    assert held < 1e-3
