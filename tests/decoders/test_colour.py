"""NV12 and P010 on the device against swscale on the CPU: within two levels, everywhere."""

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_video.decoders.colour import LUMA_WEIGHTS, as_levels, planes_to_frame, yuv_to_rgb
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


def test_chroma_spans_224_levels_and_not_219():
    """Pure BT.601 blue is Y 41, U 240, V 110. Chroma scaled by 255/219 instead of 255/224 makes it 2 % too strong."""
    found = yuv_to_rgb(torch.tensor([41.0, 240.0, 110.0])[:, None, None], 5, full_range=False)[:, 0, 0]
    assert found.tolist() == pytest.approx([0, 0, 255], abs=1.5)
    half = yuv_to_rgb(torch.tensor([126.0, 184.0, 128.0])[:, None, None], 5, full_range=False)[2, 0, 0]
    right, slip = 128.1 + 1.772 * 56 * 255 / 224, 128.1 + 1.772 * 56 * 255 / 219
    assert abs(right - slip) > 2
    assert half.item() == pytest.approx(right, abs=0.3)


@pytest.mark.parametrize("full", [False, True])
def test_white_black_and_grey(full):
    levels = torch.tensor([[0.0, 128, 255]] if full else [[16.0, 125.5, 235]])
    yuv = torch.stack([levels, torch.full((1, 3), 128.0), torch.full((1, 3), 128.0)])
    for matrix in LUMA_WEIGHTS:
        assert torch.allclose(
            yuv_to_rgb(yuv, matrix, full)[:, 0], torch.tensor([0, 127.5 + full * 0.5, 255]), atol=0.01
        )


def test_p010_is_nv12_with_more_bits():
    luma, chroma = smooth_planes(64, 96)
    wide = [torch.from_numpy(plane.astype(np.uint16) * 256) for plane in (luma, chroma)]
    geometry = fit_picture(luma.shape, 0, (32, 32), "crop")
    found = planes_to_frame(*wide, geometry, 9, False).numpy()
    assert np.array_equal(found, on_the_device(luma, chroma, 9, LIMITED, (32, 32)))


def test_ten_bits_keep_their_fractions():
    values = torch.tensor([0, 64 << 6, 1023 << 6, 40_000], dtype=torch.int32).to(torch.uint16)
    assert as_levels(values).tolist() == pytest.approx([0, 16, 255.75, 156.25])


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
