"""Stored picture -> frame on the CPU: cropped, scaled, turned and converted to RGB by FFmpeg's own filters."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from jaxtyping import UInt
from torch import Tensor

from lit_video.decoders.geometry import fit_picture
from lit_video.decoders.sdr import STORED_FORMAT, to_sdr
from lit_video.media.picture import AS_STORED, FULL_RANGE, HLG, LIMITED_RANGE, PQ, Presentation, colours_of, rows_of

# FFmpeg's numbers of colour matrices (AVColorSpace). What swscale lacks is taken as not tagged, and BT.2020 of constant
# luminance as the other one.
BT2020 = 9
MATRICES = frozenset({1, 4, 5, 6, 7, BT2020})
BT2020_CONSTANT_LUMINANCE = 10
BT601, BT709 = 5, 1
UNTAGGED = ("bt601", "bt709", "auto")

# Two files rarely differ in more than size; a stream that changes at every picture must not pile graphs up.
MAX_GRAPHS = 8

MIRRORING = {False: [], True: [("hflip", "")]}
TURNS = {0: [], 1: [("transpose", "dir=cclock")], 2: [("hflip", ""), ("vflip", "")], 3: [("transpose", "dir=clock")]}

# Bits of a sample that FFmpeg has grey and colours of, in planes.
DEPTHS = (8, 9, 10, 12, 14, 16)

# Planes of FFmpeg's format gbrp, in the order red, green, blue.
RGB_PLANES = (2, 0, 1)


def matrix_of_untagged(untagged: str, width: int, height: int) -> int:
    """Return the colour matrix of a picture that does not say, of so many stored pixels.

    `auto` is BT.709 from high definition on, and BT.601 below, as libplacebo and mpv have it.
    """
    if untagged == "auto":
        return BT709 if width >= 1280 or height > 576 else BT601
    return BT709 if untagged == "bt709" else BT601


class Scaler:
    """Writes pictures into frames, with one filter graph for each kind of picture that comes along.

    Args:
        size: Height and width of a frame, in pixels.
        fit: As in `geometry`.
        interpolation: As in `geometry`.
        untagged: The colour matrix of pictures that do not say, as in `matrix_of_untagged`.
        hdr: `sdr` has pictures of PQ and HLG mapped to SDR; `as_stored` has them look flat.
        dtype: Of samples. `uint8` cuts pictures of more bits; `uint16` leaves samples as wide as they are stored, 0 to
            2^b - 1 of b bits: grey ones are the very numbers in the file where a frame is as large as its picture.
        channels: 3, or 1 of grey. Of a colour picture grey is luma; as `uint16` its very numbers, of whatever range.
    """

    def __init__(
        self,
        size: tuple[int, int],
        fit: str,
        interpolation: str,
        untagged: str,
        hdr: str = "as_stored",
        dtype: str = "uint8",
        channels: int = 3,
    ) -> None:
        self._size, self._fit, self._interpolation = size, fit, interpolation
        self._untagged, self._hdr, self._is_deep, self._channels = untagged, hdr, dtype == "uint16", channels
        self._graphs: OrderedDict[tuple, tuple[Graph, FilterContext, FilterContext]] = OrderedDict()

    def write(
        self, picture: VideoFrame, out: UInt[Tensor, "channels height width"], presentation: Presentation = AS_STORED
    ) -> None:
        """Scale and convert one picture into `out`, as its file wants it shown."""
        transfer = self._tag(picture, presentation)
        is_mapped = self._hdr == "sdr" and transfer in (PQ, HLG)
        _, source, sink = self._graph(picture, presentation, is_mapped)
        source.push(picture)
        frame = sink.pull()
        assert isinstance(frame, VideoFrame)
        if is_mapped:
            frame = to_sdr(frame, transfer, int(picture.color_primaries))
        rows = out.numpy()  # torch would divide a copy of this size between threads that wait for each other
        planes = frame.planes
        for channel, plane in enumerate(RGB_PLANES if frame.format.is_rgb else [0] * self._channels):
            np.copyto(rows[channel], self._samples(frame, planes[plane]))

    def _samples(self, frame: VideoFrame, plane: Any) -> UInt[np.ndarray, "height width"]:
        if self._is_deep and frame.format.components[0].bits > 8:
            return rows_of(plane, 2).view(np.uint16)
        return rows_of(plane, 1)

    def _tag(self, picture: VideoFrame, presentation: Presentation) -> int:
        """Have the picture say explicitly how it is to be taken, and return its transfer."""
        colours = colours_of(picture, presentation.codec, presentation.colours)
        if picture.format.is_rgb:
            return colours.transfer
        if colours.matrix in MATRICES:
            picture.colorspace = colours.matrix
        elif colours.matrix == BT2020_CONSTANT_LUMINANCE:
            picture.colorspace = BT2020
        else:
            picture.colorspace = matrix_of_untagged(self._untagged, picture.width, picture.height)
        # Of one range to the same one nothing is scaled.
        is_left = self._is_deep and self._channels == 1
        full = is_left or colours.range == FULL_RANGE or picture.format.name.startswith(("yuvj", "gray"))
        picture.color_range = FULL_RANGE if full else LIMITED_RANGE
        return colours.transfer

    def _graph(
        self, picture: VideoFrame, presentation: Presentation, is_mapped: bool
    ) -> tuple[Graph, FilterContext, FilterContext]:
        matrix, color_range = int(picture.colorspace), int(picture.color_range)
        shape = presentation.rotation, presentation.mirrored, presentation.crop
        key = picture.width, picture.height, picture.format.name, matrix, color_range, *shape, is_mapped
        if key not in self._graphs:
            self._graphs[key] = self._build(*key)
            if len(self._graphs) > MAX_GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def _format(self, pixel_format: str) -> str:
        """Return the format that a picture is made into: grey or planes of colours, of 8 bits or of as many as it has.

        Grey stays one plane, which is written as often as there are channels: no arithmetic touches its numbers.
        """
        bits = max(component.bits for component in VideoFormat(pixel_format).components) if self._is_deep else 8
        is_grey = self._channels == 1 or (self._is_deep and pixel_format.startswith("gray"))
        deep = next((depth for depth in DEPTHS if depth >= bits), DEPTHS[-1])
        return ("gray" if is_grey else "gbrp") + (f"{deep}le" if deep > 8 else "")

    def _build(
        self,
        width: int,
        height: int,
        pixel_format: str,
        matrix: int,
        color_range: int,
        rotation: int,
        mirrored: bool,
        cut_off: tuple[int, int, int, int],
        is_mapped: bool,
    ) -> tuple[Graph, FilterContext, FilterContext]:
        g = fit_picture((height, width), rotation, self._size, self._fit, mirrored, cut_off)
        # Explicit, since the defaults differ between swscale's interfaces: full chroma and exact rounding keep within
        # one level of arithmetic in floating point.
        scale = f"{g.width}:{g.height}:flags={self._interpolation}+accurate_rnd+full_chroma_int:out_range=pc"
        graph = Graph()
        graph.threads = 1
        source = graph.add(
            "buffer",
            f"video_size={width}x{height}:pix_fmt={pixel_format}:time_base=1/1:colorspace={matrix}:range={color_range}",
        )
        sink = graph.add("buffersink")
        crop = ("crop", f"{g.box_width}:{g.box_height}:{g.left}:{g.top}:exact=1")
        stored = ("format", STORED_FORMAT if is_mapped else self._format(pixel_format))
        steps = [crop, ("scale", scale), stored, *MIRRORING[g.mirrored], *TURNS[g.quarter_turns]]
        graph.link_nodes(source, *(graph.add(name, arguments or None) for name, arguments in steps), sink)
        graph.configure()
        return graph, source, sink
