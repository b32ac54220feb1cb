"""NV12 and P010 -> RGB frames, in torch, on whatever device a picture is: what swscale does, for those on a GPU."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

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
    """Cut, scale, turn and convert one picture.

    Args:
        luma: [H, W], uint8 of NV12 or uint16 of P010 (whose values fill the high bits), rows at any pitch.
        chroma: [H/2, W/2, 2], likewise.
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
    rows, columns = (
        slice(g.top // 2, (g.top + g.box_height + 1) // 2),
        slice(g.left // 2, (g.left + g.box_width + 1) // 2),
    )
    box_uv = as_levels(chroma)[rows, columns].permute(2, 0, 1)
    size = (g.height, g.width)
    y, uv = resize(box_y[None], size, interpolation), resize(box_uv, size, interpolation)
    rgb = yuv_to_rgb(torch.cat([y, uv]), matrix, full_range)
    return torch.rot90(rgb, g.quarter_turns, (1, 2)).round_().clamp_(0, 255).to(torch.uint8)


def as_levels(plane: Tensor) -> Float[Tensor, ...]:
    """Return the samples of a plane in levels of 8 bits, fractions kept: float32."""
    if plane.dtype == torch.uint8:
        return plane.float()
    # uint16 has few operations in torch: its bits are read as int16, which wraps around above 32767.
    return plane.view(torch.int16).float().remainder_(65536).div_(256)


def resize(planes: Float[Tensor, "n h w"], size: tuple[int, int], interpolation: str) -> Float[Tensor, "n h2 w2"]:
    """Scale planes to `size`, height and width."""
    if tuple(planes.shape[-2:]) == size:
        return planes
    if interpolation == "area":
        return interpolate(planes[None], size, mode="area")[0]
    return interpolate(planes[None], size, mode="bilinear", antialias=True, align_corners=False)[0]


def yuv_to_rgb(yuv: Float[Tensor, "3 h w"], matrix: int, full_range: bool) -> Float[Tensor, "3 h w"]:
    """Convert levels of luma and chroma, 0 to 255, to levels of red, green and blue (ITU-T H.273, section 8.3).

    In the limited range luma spans 219 levels from 16 on, and chroma 224 around 128: scaling chroma like luma, a common
    slip, makes colours 2 % too strong.

    Raises:
        KeyError: An unknown matrix.
    """
    kr, kb = LUMA_WEIGHTS[matrix]
    kg = 1 - kr - kb
    luma, chroma, offset = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    weights = torch.tensor(
        [
            [luma, 0, 2 * (1 - kr) * chroma],
            [luma, -2 * kb * (1 - kb) / kg * chroma, -2 * kr * (1 - kr) / kg * chroma],
            [luma, 2 * (1 - kb) * chroma, 0],
        ],
        dtype=yuv.dtype,
        device=yuv.device,
    )
    zero = torch.tensor([offset, 128, 128], dtype=yuv.dtype, device=yuv.device)
    return torch.einsum("rc,chw->rhw", weights, yuv - zero[:, None, None])
