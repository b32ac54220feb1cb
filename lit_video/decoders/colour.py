"""NV12 and P010 -> RGB frames, in torch, on whatever device pictures are: what swscale does, for those on a GPU.

Pictures are converted several at a time, since every operation of torch's holds the interpreter's lock for some
microseconds, whatever it works on. No matrix product is among them: how exact those are is the model's affair
(`torch.set_float32_matmul_precision`), and a frame's pixels must not depend on it. Decision 17.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, Num, UInt8
from torch import Tensor

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

ROWS, COLUMNS = -3, -2  # axes of samples, of which the bytes come last


class Box(NamedTuple):
    """What is seen of one picture, or of several, turned upright but not mirrored, byte by byte.

    Attributes:
        luma: uint8 [..., 1, rows, columns, b]: the bytes of a sample, b = 1 or 2, the lower one first.
        chroma: uint8 [..., 1, rows / 2, columns / 2, 2b], of both samples.
    """

    luma: UInt8[Tensor, "*n 1 h w b"]
    chroma: UInt8[Tensor, "*n 1 h2 w2 b2"]


class Taps(NamedTuple):
    """For each of the wanted samples the places that it is the mean of, and their weights.

    Attributes:
        places: [wanted, taps] of columns; of rows one after another.
        weights: float32, with ones for what follows the axis.
    """

    places: Int64[Tensor, ...]
    weights: Float[Tensor, "wanted taps *ones"]


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
    return convert(cut(luma, chroma, geometry), geometry, matrix, full_range, interpolation).to(torch.uint8)


def write_frames(
    boxes: Sequence[Box],
    out: Sequence[UInt8[Tensor, "3 height width"]],
    geometry: Geometry,
    matrix: int,
    full_range: bool,
    interpolation: str = "bilinear",
) -> None:
    """Convert what is seen of pictures of one kind into frames, together. The other arguments as `planes_to_frame`."""
    if len(boxes) == 1:  # three operations fewer
        out[0].copy_(convert(boxes[0], geometry, matrix, full_range, interpolation))
        return
    together = Box(torch.stack([box.luma for box in boxes]), torch.stack([box.chroma for box in boxes]))
    frames = convert(together, geometry, matrix, full_range, interpolation)
    for target, frame in zip(out, frames.unbind(), strict=True):
        target.copy_(frame)


def cut(luma: Tensor, chroma: Tensor, geometry: Geometry) -> Box:
    """Return what is seen of a picture, without a copy: only that is converted."""
    g = geometry
    turned = g.quarter_turns % 2 == 1
    # Left and top are even; of an odd box the last chroma sample covers one pixel.
    bottom, right = (g.top + g.box_height + 1) // 2, (g.left + g.box_width + 1) // 2
    return Box(
        _part(luma, g.top, g.left, g.top + g.box_height, g.left + g.box_width, turned),
        _part(chroma, g.top // 2, g.left // 2, bottom, right, turned),
    )


def _part(plane: Tensor, top: int, left: int, bottom: int, right: int, turned: bool) -> UInt8[Tensor, "1 h w b"]:
    size = plane.element_size()
    place, pitch = size * plane.shape[1:].numel() // plane.shape[1], size * plane.stride(0)  # in bytes
    rows = min(bottom, plane.shape[0]) - top, pitch
    columns = min(right, plane.shape[1]) - left, place  # PyAV rounds the size of chroma planes down
    begin = size * plane.storage_offset() + top * pitch + left * place
    (height, down), (width, across) = (columns, rows) if turned else (rows, columns)
    samples = plane if plane.dtype == torch.uint8 else plane.view(torch.uint8)
    # One operation in the place of five: slices, a transposition and a view.
    return samples.as_strided((1, height, width, place), (0, down, across, 1), begin)


def convert(
    box: Box, geometry: Geometry, matrix: int, full_range: bool, interpolation: str
) -> Float[Tensor, "*n 3 height width"]:
    """Scale, convert and mirror what is seen of pictures, in some twenty operations however many they are.

    Returns:
        float32 RGB, half a level too bright, between 0 and 255: `copy_` into uint8 cuts down, and so rounds.
    """
    g = geometry
    chroma_size = (g.top + g.box_height + 1) // 2 - g.top // 2, (g.left + g.box_width + 1) // 2 - g.left // 2
    luma = _scale(box.luma, (g.box_height, g.box_width), g, interpolation)
    chroma = _scale(box.chroma, chroma_size, g, interpolation)
    offset, weights = conversion(matrix, full_range, luma.shape[-1], luma.device)
    return torch.addcmul(offset, torch.cat([luma, chroma], dim=-1), weights).sum(-1).clamp_(0, 255)


def _scale(
    samples: UInt8[Tensor, "*n 1 h w b"], size: tuple[int, int], geometry: Geometry, interpolation: str
) -> Num[Tensor, "*n 1 h2 w2 b"]:
    """Scale what is `size`, height and width, in the stored picture; half of how it is turned was made by `cut`."""
    g = geometry
    rows = size[0], g.height, g.quarter_turns in (2, 3)
    columns = size[1], g.width, g.mirrored != (g.quarter_turns in (1, 2))
    down, across = (columns, rows) if g.quarter_turns % 2 else (rows, columns)
    return _along(COLUMNS, *across, interpolation, _along(ROWS, *down, interpolation, samples))


def _along(
    axis: int, source: int, wanted: int, backwards: bool, interpolation: str, samples: Num[Tensor, "*n h w b"]
) -> Num[Tensor, "*n h2 w2 b"]:
    found = taps(source, samples.shape[axis], wanted, backwards, interpolation, axis, samples.device)
    if found is None:
        return samples
    if axis == ROWS:  # whole rows are copied at once
        spread = samples.index_select(ROWS, found.places).unflatten(ROWS, found.weights.shape[:2])
    else:
        spread = samples[..., found.places, :]
    return (spread * found.weights).sum(axis)


def resize(planes: Float[Tensor, "n h w"], size: tuple[int, int], interpolation: str) -> Float[Tensor, "n h2 w2"]:
    """Scale planes to `size`, height and width: to the same levels as swscale, but for its rounding."""
    samples = planes[..., None]
    for axis, source, wanted in ((ROWS, planes.shape[1], size[0]), (COLUMNS, planes.shape[2], size[1])):
        samples = _along(axis, source, wanted, False, interpolation, samples)
    return samples[..., 0]


@lru_cache(maxsize=256)  # made anew for each picture, they would be copied to the GPU, and that waited for
def taps(
    source: int, present: int, wanted: int, backwards: bool, interpolation: str, axis: int, device: torch.device
) -> Taps | None:
    """Return how `wanted` samples are made of `source` ones, of which so many are present; None: they are the same.

    As libswscale's initFilter has it. Bilinear: a triangle, as wide as two source samples where pictures grow and as
    two of the wanted where they shrink. Area: what of each source sample lies within a wanted one; bilinear where
    pictures grow. Beyond the edges the outermost sample is repeated. Backwards, the last comes first.
    """
    if source == present == wanted and not backwards:
        return None
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
    used = weights.any(dim=0)
    places, weights = places[:, used].clamp(0, present - 1), weights[:, used]
    if backwards:
        places, weights = places.flip(0), weights.flip(0)
    places = places.flatten() if axis == ROWS else places
    return Taps(places.to(device), weights.reshape(*weights.shape, *[1] * (-1 - axis)).to(device))


@lru_cache(maxsize=64)
def conversion(
    matrix: int, full_range: bool, num_bytes: int, device: torch.device
) -> tuple[Float[Tensor, "3 1 1 1"], Float[Tensor, "3 1 1 bytes"]]:
    """Return how the bytes of luma and of both chroma samples become red, green and blue (ITU-T H.273, section 8.3).

    In the limited range luma spans 219 levels from 16 on, and chroma 224 around 128: scaling chroma like luma, a common
    slip, makes colours 2 % too strong.

    Returns:
        The offset, to be added once for each byte, and the weights. A level is 1/255 of white.

    Raises:
        KeyError: An unknown matrix.
    """
    kr, kb = LUMA_WEIGHTS[matrix]
    kg = 1 - kr - kb
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    weights = torch.tensor(
        [
            [luma, 0, 2 * (1 - kr) * chroma],
            [luma, -2 * kb * (1 - kb) / kg * chroma, -2 * kr * (1 - kr) / kg * chroma],
            [luma, 2 * (1 - kb) * chroma, 0],
        ],
        dtype=torch.float64,
    )
    offset = 0.5 - (weights * torch.tensor([black, 128, 128])).sum(1)
    # The lower byte of a sample of 16 bits counts 1/256 of the upper one.
    of_bytes = (weights[:, :, None] * 256.0 ** torch.arange(1 - num_bytes, 1)).flatten(1)
    offset, of_bytes = offset / of_bytes.shape[1], of_bytes[:, None, None]
    return offset.float()[:, None, None, None].to(device), of_bytes.float().to(device)
