"""NV12 and P010 -> RGB frames, in torch, on whatever device a picture is: what swscale does, for those on a GPU."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import pad

from lit_video.decoders.geometry import Geometry

# Weights of red and blue in luma, by FFmpeg's number of the colour matrix (AVColorSpace): ITU-R BT.709; FCC; BT.470BG
# and SMPTE 170M, which are BT.601; SMPTE 240M; BT.2020.
LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


def planes_to_frame(
    luma: Tensor, chroma: Tensor, geometry: Geometry, matrix: int, full_range: bool, interpolation: str = "bilinear"
) -> UInt8[Tensor, "3 height width"]:
    """Cut, scale, convert, mirror and turn one picture.

    Args:
        luma: [H, W], uint8 of NV12 or uint16 of P010 (whose values fill the high bits), rows at any pitch.
        chroma: [H/2, W/2, 2], likewise; of an odd side the last sample may be missing.
        geometry: What to cut out, and its size.
        matrix: FFmpeg's number of the colour matrix, a key of `LUMA_WEIGHTS`.
        full_range: Luma spans 0 to 255, not 16 to 235.
        interpolation: `bilinear`, with a wider filter where pictures shrink, as swscale and Pillow have it, or `area`.

    Returns:
        uint8 RGB [3, height, width] on the planes' device.
    """
    g = geometry
    box_y = as_levels(luma)[g.top : g.top + g.box_height, g.left : g.left + g.box_width]
    # Left and top are even; of an odd box the last chroma sample covers one pixel.
    bottom, right = (g.top + g.box_height + 1) // 2, (g.left + g.box_width + 1) // 2
    box_uv = as_levels(chroma)[g.top // 2 : bottom, g.left // 2 : right].permute(2, 0, 1)
    missing = (0, right - g.left // 2 - box_uv.shape[2], 0, bottom - g.top // 2 - box_uv.shape[1])
    if any(missing):  # PyAV rounds the size of chroma planes down
        box_uv = pad(box_uv, missing, mode="replicate")
    size = (g.height, g.width)
    y, uv = resize(box_y[None], size, interpolation), resize(box_uv, size, interpolation)
    rgb = yuv_to_rgb(torch.cat([y, uv]), matrix, full_range)
    rgb = rgb.flip(2) if g.mirrored else rgb
    return torch.rot90(rgb, g.quarter_turns, (1, 2)).round_().clamp_(0, 255).to(torch.uint8)


def as_levels(plane: Tensor) -> Float[Tensor, ...]:
    """Return the samples of a plane in levels of 8 bits, fractions kept: float32."""
    if plane.dtype == torch.uint8:
        return plane.float()
    # uint16 has few operations in torch: its bits are read as int16, which wraps around above 32767.
    return plane.view(torch.int16).float().remainder_(65536).div_(256)


def resize(planes: Float[Tensor, "n h w"], size: tuple[int, int], interpolation: str) -> Float[Tensor, "n h2 w2"]:
    """Scale planes to `size`, height and width: to the same levels as swscale, but for its rounding."""
    for axis, wanted in ((1, size[0]), (2, size[1])):
        if planes.shape[axis] != wanted:
            places, weights = taps(planes.shape[axis], wanted, interpolation, planes.device)
            spread = planes.index_select(axis, places.flatten()).unflatten(axis, places.shape)
            planes = torch.einsum("nhtw,ht->nhw" if axis == 1 else "nhwt,wt->nhw", spread, weights)
    return planes


@lru_cache(maxsize=64)
def taps(
    source: int, wanted: int, interpolation: str, device: torch.device
) -> tuple[Int64[Tensor, "wanted taps"], Float[Tensor, "wanted taps"]]:
    """Return for each of `wanted` samples the places among `source` that it is the mean of, and their weights.

    As libswscale's initFilter has it. Bilinear: a triangle, as wide as two source samples where pictures grow and as
    two of the wanted where they shrink. Area: what of each source sample lies within a wanted one; bilinear where
    pictures grow. Beyond the edges the outermost sample is repeated.
    """
    scale = source / wanted
    wide = max(1.0, scale)
    centres = (torch.arange(wanted, dtype=torch.float64) + 0.5) * scale - 0.5
    reach = int(wide) + 2
    places = centres.round().long()[:, None] + torch.arange(-reach, reach + 1)
    distance = (places - centres[:, None]).abs()
    if interpolation == "area" and scale > 1:
        weights = (0.5 + scale / 2 - distance).clamp(0, 1)
    else:
        weights = (1 - distance / wide).clamp(min=0)
    weights = (weights / weights.sum(dim=1, keepdim=True)).float()
    return places.clamp(0, source - 1).to(device), weights.to(device)


def yuv_to_rgb(yuv: Float[Tensor, "3 h w"], matrix: int, full_range: bool) -> Float[Tensor, "3 h w"]:
    """Convert levels of luma and chroma, 0 to 255, to levels of red, green and blue (ITU-T H.273, section 8.3).

    In the limited range luma spans 219 levels from 16 on, and chroma 224 around 128: scaling chroma like luma, a common
    slip, makes colours 2 % too strong.

    Raises:
        KeyError: An unknown matrix.
    """
    weights, zero = conversion(matrix, full_range, yuv.device)
    return torch.einsum("rc,chw->rhw", weights, yuv - zero[:, None, None])


@lru_cache(maxsize=64)  # made anew for each picture, they would be copied to the GPU, and that waited for
def conversion(
    matrix: int, full_range: bool, device: torch.device
) -> tuple[Float[Tensor, "rgb yuv"], Float[Tensor, " yuv"]]:
    """Return the weights of luma and chroma in red, green and blue, and the levels that stand for 0."""
    kr, kb = LUMA_WEIGHTS[matrix]
    kg = 1 - kr - kb
    luma, chroma, offset = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    weights = [
        [luma, 0, 2 * (1 - kr) * chroma],
        [luma, -2 * kb * (1 - kb) / kg * chroma, -2 * kr * (1 - kr) / kg * chroma],
        [luma, 2 * (1 - kb) * chroma, 0],
    ]
    return torch.tensor(weights, device=device), torch.tensor([offset, 128.0, 128.0], device=device)
