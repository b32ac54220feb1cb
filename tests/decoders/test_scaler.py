"""Colour and geometry of the CPU path, against arithmetic in floating point."""

import av
import numpy as np
import pytest
import torch

from lit_video.decoders.geometry import fit_picture, parse_size
from lit_video.decoders.scaler import MAX_GRAPHS, Scaler

# Kr and Kb of each matrix as its standard gives them; red, green and blue follow by definition of luma.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
LIMITED, FULL = 1, 2


def flat_picture(y, u, v, pixel_format="yuv444p", matrix=1, color_range=LIMITED, size=(32, 32)):
    picture = av.VideoFrame(size[1], size[0], pixel_format)
    wide = "10" in pixel_format or "16" in pixel_format
    for plane, value in zip(picture.planes, (y, u, v), strict=False):
        array = np.frombuffer(plane, np.uint16 if wide else np.uint8)
        array[:] = value
    picture.colorspace, picture.color_range = matrix, color_range
    return picture


def expected_rgb(y, u, v, kr, kb, full, depth=8):
    scale = 2 ** (depth - 8)
    luma = y / (2**depth - 1) if full else (y - 16 * scale) / (219 * scale)
    span = 2**depth - 1 if full else 224 * scale  # chroma spans 224 levels where luma spans 219
    cb, cr = (u - 128 * scale) / span, (v - 128 * scale) / span
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.array([red, green, blue]) * 255, 0, 255)


def write(picture, size=(16, 16), fit="crop", interpolation="bilinear", untagged="bt601"):
    out = torch.zeros((3, *size), dtype=torch.uint8)
    Scaler(size, fit, interpolation, untagged).write(picture, out)
    return out.numpy()


COLOURS = [
    (16, 128, 128),
    (235, 128, 128),
    (81, 90, 240),
    (145, 54, 34),
    (41, 240, 110),
    (126, 128, 128),
    (90, 160, 100),
]


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_colour_is_the_streams_own(matrix, color_range, colour):
    found = write(flat_picture(*colour, matrix=matrix, color_range=color_range))
    expected = expected_rgb(*colour, *WEIGHTS[matrix], full=color_range == FULL)
    assert np.abs(found - expected[:, None, None]).max() <= 1.5


@pytest.mark.parametrize(("untagged", "matrix"), [("bt601", 5), ("bt709", 1)])
def test_untagged_is_what_the_user_says_and_limited(untagged, matrix):
    found = write(flat_picture(81, 90, 240, matrix=2, color_range=0), untagged=untagged)
    expected = expected_rgb(81, 90, 240, *WEIGHTS[matrix], full=False)
    assert np.abs(found - expected[:, None, None]).max() <= 1.5


def test_yuvj_is_full_range_without_a_tag():
    found = write(flat_picture(81, 90, 240, "yuvj420p", matrix=5, color_range=0))
    expected = expected_rgb(81, 90, 240, *WEIGHTS[5], full=True)
    assert np.abs(found - expected[:, None, None]).max() <= 1.5


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_ten_bits(pixel_format):
    found = write(flat_picture(300, 700, 450, pixel_format, matrix=9, color_range=LIMITED))
    expected = expected_rgb(300, 700, 450, *WEIGHTS[9], full=False, depth=10)
    assert np.abs(found - expected[:, None, None]).max() <= 1.5


@pytest.mark.parametrize("pixel_format", ["rgb24", "gbrp", "bgra"])
def test_rgb_stays_as_it_is(pixel_format):
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
    assert np.array_equal(write(picture), rgb.transpose(2, 0, 1))


def test_grey_of_full_range_stays_as_it_is():
    gray = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    picture = av.VideoFrame.from_ndarray(gray, format="gray")
    picture.color_range = FULL
    assert np.abs(write(picture).astype(int) - gray).max() <= 1


@pytest.mark.parametrize("interpolation", ["bilinear", "area"])
def test_scaling_keeps_brightness_and_place(interpolation):
    ramp = np.broadcast_to(np.linspace(0, 255, 256).astype(np.uint8), (256, 256))
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.stack([ramp] * 3, axis=-1)), format="rgb24")
    found = write(picture, (32, 32), interpolation=interpolation).astype(float)
    expected = ramp.reshape(256, 32, 8).mean(axis=2)[:32].mean(axis=0)
    assert np.abs(found[:, :, 2:-2] - expected[2:-2]).max() <= 2


def quadrants(height, width):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, width // 2 :] = (255, 0, 0)
    picture[height // 2 :, : width // 2] = (0, 255, 0)
    picture[height // 2 :, width // 2 :] = (0, 0, 255)
    return picture


def corners(image):
    return [tuple(int(v > 128) for v in image[:, y, x]) for y in (1, -2) for x in (1, -2)]


def test_crop_takes_the_middle():
    marked = np.zeros((32, 64, 3), np.uint8)
    marked[:, 16:48] = quadrants(32, 32)
    found = write(av.VideoFrame.from_ndarray(marked, format="rgb24"), (32, 32))
    assert corners(found) == [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert np.array_equal(found, quadrants(32, 32).transpose(2, 0, 1))


def test_squash_takes_all():
    found = write(av.VideoFrame.from_ndarray(quadrants(32, 64), format="rgb24"), (16, 16), fit="squash")
    assert corners(found) == [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]


@pytest.mark.parametrize("size", [(17, 31), (224, 224), (1, 1), (300, 20)])
@pytest.mark.parametrize("stored", [(97, 131), (131, 97), (2, 500)])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_any_size_from_any_size(stored, size, fit):
    picture = av.VideoFrame(stored[1], stored[0], "yuv420p")
    for plane, value in zip(picture.planes, (126, 128, 128), strict=True):
        np.frombuffer(plane, np.uint8)[:] = value
    assert np.abs(write(picture, size, fit).astype(int) - 128).max() <= 2


def test_graphs_do_not_pile_up():
    scaler = Scaler((8, 8), "crop", "bilinear", "bt601")
    out = torch.zeros((3, 8, 8), dtype=torch.uint8)
    for width in range(16, 16 + 4 * MAX_GRAPHS, 2):
        scaler.write(av.VideoFrame(width, 16, "yuv420p"), out)
    assert len(scaler._graphs) == MAX_GRAPHS


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(64, 64), (64, 48), (30, 90)])
def test_box_has_the_frames_shape_and_lies_in_the_middle(rotation, size):
    stored = (1080, 1920)
    g = fit_picture(stored, rotation, size, "crop")
    height, width = (g.height, g.width) if rotation % 180 == 0 else (g.width, g.height)
    assert (height, width) == size
    assert g.box_width / g.box_height == pytest.approx(g.width / g.height, rel=0.002)
    assert g.box_width == 1920 or g.box_height == 1080
    assert abs(2 * g.left + g.box_width - 1920) <= 2
    assert abs(2 * g.top + g.box_height - 1080) <= 2
    assert g.left % 2 == g.top % 2 == 0


@pytest.mark.parametrize("size", [0, -1, [0, 5], [1, 2, 3], []], ids=str)
def test_refuses_sizes(size):
    with pytest.raises(ValueError, match=r"size must be a number of pixels or \[height, width\]"):
        parse_size(size)


def pq_of(nits):
    """The inverse of SMPTE ST 2084's curve."""
    y = (np.asarray(nits) / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def hlg_of(nits):
    """The inverse of BT.2100's HLG, on a display of 1,000 candela a square metre: for greys."""
    scene = (np.asarray(nits) / 1000) ** (1 / 1.2)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


@pytest.mark.parametrize(("transfer", "curve", "peak"), [(16, pq_of, 10_000), (18, hlg_of, 1000)], ids=["PQ", "HLG"])
def test_hdr_becomes_sdr(transfer, curve, peak):
    """Each takes seconds, in which FFmpeg works out its table."""
    scaler, out = Scaler((16, 16), "crop", "bilinear", "bt601", "sdr"), torch.zeros((3, 16, 16), dtype=torch.uint8)

    def shown(y, u=512, v=512):
        picture = flat_picture(y, u, v, "yuv444p10le", matrix=9)
        picture.color_trc, picture.color_primaries = transfer, 9
        scaler.write(picture, out)
        return out[:, 8, 8].int().tolist()

    nits = [0, 1, 5, 20, 50, 100, 203, 400, 1000, peak]
    greys = np.array([shown(round(64 + 876 * float(curve(n)))) for n in sorted(set(nits))])
    assert np.ptp(greys, axis=1).max() <= 2, "greys stay grey"
    light = greys.mean(axis=1)
    assert light[0] <= 2
    assert light[-1] >= 253
    assert (np.diff(light) > 0).all()
    # The white of SDR is neither black nor cut off, and no light becomes brighter than where all above 203 is cut off.
    assert 128 < light[nits.index(203)] < 230
    cut_off = 255 * np.minimum(np.array(sorted(set(nits))) / 203, 1) ** (1 / 2.4)
    assert (light <= cut_off + 2).all()
    red = shown(400, 480, 700)
    assert red[0] - max(red[1:]) > 60


def test_hdr_is_as_stored_by_default():
    found = write(picture := flat_picture(573, 512, 512, "yuv444p10le", matrix=9))
    picture.color_trc = 16
    assert np.array_equal(write(picture), found)
