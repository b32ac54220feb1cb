"""Decoding on an NVIDIA GPU: NVDEC through PyAV, and frames that never leave the device.

Two routes. `hwaccel`: FFmpeg's own parser with NVDEC behind it, which keeps its hardware decoder over all seeks and
files. `cuvid`: NVIDIA's parser, which makes a new hardware decoder at every seek (50 to 70 ms on an H100) and
scales while it decodes. docs/gpu.md says what was verified on what.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import av
import torch
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from lit_video.decoders.base import Frames
from lit_video.decoders.codecs import Decoder, SharedCodecs
from lit_video.decoders.colour import LUMA_WEIGHTS, Box, cut, write_frames
from lit_video.decoders.device import CudaOps, DeviceOps
from lit_video.decoders.geometry import (
    FITS,
    INTERPOLATIONS,
    Geometry,
    container_left,
    fit_picture,
    parse_size,
)
from lit_video.decoders.gpu_codecs import GpuCodec, OnGpu, OnGpuByCuvid
from lit_video.decoders.limits import files_to_keep
from lit_video.decoders.nvdec import capabilities, is_installed
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.decoders.reader import OpenVideos
from lit_video.decoders.scaler import UNTAGGED, matrix_of_untagged
from lit_video.decoders.supported import in_words, refusal, refused_videos
from lit_video.index import VideoIndex
from lit_video.media.picture import FULL_RANGE, Presentation, colours_of
from lit_video.planning.planner import GopRead
from lit_video.support.errors import DeviceError, check_choice

ROUTES = ("hwaccel", "cuvid")
FALLBACKS = (None, "cpu")

# What PyAV hands over as two planes of luma and chroma. 12 bits are `p016le` to FFmpeg 8.
LAYOUTS = frozenset({"nv12", "p010le", "p016le"})

# Luma samples that are converted together: on the way they take up to some 16 bytes each of GPU memory, in each thread.
TOGETHER = 2**22


class Look(NamedTuple):
    """What pictures have in common that are converted together."""

    geometry: Geometry
    matrix: int
    full_range: bool
    dtype: torch.dtype


class CuvidDecoder:
    """Decodes with NVDEC; frames are converted, scaled and kept on the GPU.

    Args:
        index: The videos.
        size: Of the frames, `[height, width]` in pixels; an int is a square.
        device: Such as `cuda` (the process's current device) or `cuda:1`.
        route: `hwaccel` or `cuvid`.
        fit: `crop` keeps the largest box in the middle that has the frame's shape; `squash` distorts.
        interpolation: `bilinear` or `area`. The cuvid route scales as NVDEC does.
        untagged: The colour matrix of videos that do not say: `bt601` as on the CPU, `bt709` or `auto`.
        max_open: Files that stay open at most; None: as many as file handles and memory allow, 512 at most.
        max_decoders: Hardware decoders that these have at most; files encoded alike share one.
        fallback: `cpu` decodes the videos that this GPU does not on the CPU, and warns of how many there are; None
            refuses to begin.
        device_ops: All that touches CUDA.

    Attributes:
        look: What determines the pixels of a frame beside its file and size.
        max_open: Files that stay open at most.
        max_decoders: Decoders that these have at most.
        on_cpu: Ids of the videos that are decoded on the CPU.
        num_from_cpu: Frames that were decoded on the CPU and copied to the GPU so far.

    Raises:
        DeviceError: There is no such device, or it does not decode some of the videos.
        ValueError: An argument out of range.
    """

    start_method: str | None = "spawn"

    def __init__(
        self,
        index: VideoIndex,
        size: int | Sequence[int] = 224,
        device: str = "cuda",
        route: str = "hwaccel",
        fit: str = "crop",
        interpolation: str = "bilinear",
        untagged: str = "bt601",
        max_open: int | None = None,
        max_decoders: int = 8,
        fallback: str | None = None,
        device_ops: DeviceOps | None = None,
    ) -> None:
        for name, value, allowed in (
            ("route", route, ROUTES),
            ("fit", fit, FITS),
            ("interpolation", interpolation, INTERPOLATIONS),
            ("untagged", untagged, UNTAGGED),
        ):
            check_choice(name, value, allowed)
        if fallback not in FALLBACKS:
            raise ValueError(f"fallback must be cpu or None, got {fallback!r}")
        if max_open is None:  # and as many again on the CPU, where that may come to help
            max_open = max(1, files_to_keep(index) // (1 if fallback is None else 2))
        for name, value in (("max_open", max_open), ("max_decoders", max_decoders)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.max_open, self.max_decoders = max_open, max_decoders
        self._ops = CudaOps() if device_ops is None else device_ops
        self.device = self._ops.resolve(device)
        self._index, self._size, self._route, self._fit = index, parse_size(size), route, fit
        self._interpolation, self._untagged = interpolation, untagged
        options = f"{route} {fit} {interpolation} untagged={untagged} fallback={fallback}"
        self.look = f"cuvid {options}, libavcodec {av.library_versions['libavcodec'][0]}"
        ordinal = self.device.index or 0
        make = OnGpu(index, ordinal) if route == "hwaccel" else OnGpuByCuvid(index, ordinal, self._size, fit)
        self._codecs = SharedCodecs(index, make, num_kept=max_decoders)
        # Pictures that nobody wants or refers to are left out by FFmpeg's parser, as on the CPU.
        skips = route == "hwaccel"
        self._videos = OpenVideos(index, max_open, skips, self._open_codec, max_decoders)
        self._bound = threading.local()  # a decoder outlives the threads that use it: each epoch has new ones
        self.num_from_cpu = 0
        self.on_cpu = self._ask(fallback)
        self._cpu_decoder = None
        if self.on_cpu:
            self._cpu_decoder = PyAVDecoder(index, size, fit, interpolation, untagged, max_open=max_open)

    @property
    def default_threads(self) -> int:
        """Two for each NVDEC engine, of which one has the engine decode while the other waits; 2 where none are told.

        A thread that waits for a picture gives its engine nothing to do.
        """
        return 2 * max(1, self._num_engines())

    @property
    def num_opened(self) -> int:
        """Containers opened so far."""
        return self._videos.num_opened + (self._cpu_decoder.num_opened if self._cpu_decoder else 0)

    def decode(self, read: GopRead, out: Frames) -> None:
        """Write the wanted frames of `read` into `out`; they are there when this returns, for any stream.

        Raises:
            DecodeError: A frame cannot be had exactly.
            DeviceError: The GPU does not decode this file.
        """
        with self._working():
            if read.video_id in self.on_cpu:
                self._copy_from_cpu(read, [out[place] for place in range(len(out))])
            else:
                self._decode(read, out)

    def close(self) -> None:
        """Close all files, and give back all hardware decoders."""
        self._videos.close()
        self._codecs.close()
        if self._cpu_decoder is not None:
            self._cpu_decoder.close()

    # What the GPU decodes.

    def _ask(self, fallback: str | None) -> frozenset[int]:
        """Return the videos that are decoded on the CPU."""
        if not is_installed():
            return frozenset()  # as will be told of the first file, by name
        with self._working():
            refused = refused_videos(self._index)
        if not refused:
            return frozenset()
        words, total = in_words(self._index, refused), self._index.num_videos
        if fallback is None:
            raise DeviceError(
                f"{len(refused)} of {total} videos are not decoded by this GPU ({words}).\n"
                "Use decoder=pyav, leave them out, or have these decoded on the CPU: data.decoder.fallback=cpu"
            )
        frames = int(self._index.lengths[list(refused)].sum())
        warnings.warn(
            f"{len(refused)} of {total} videos are not decoded by this GPU ({words}): they are decoded on the CPU, and"
            f" {frames} of {self._index.num_frames} frames of an epoch are copied to the GPU.",
            stacklevel=3,
        )
        return frozenset(refused)

    def _num_engines(self) -> int:
        if not is_installed():
            return 0
        with self._working():
            codecs = {self._index.names[int(codec)] for codec in set(self._index.columns.codec.tolist())}
            return max((can.num_engines for codec in codecs if (can := capabilities(codec))), default=0)

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._ops.decoding(self.device):
            if not hasattr(self._bound, "device"):
                self._ops.bind(self.device)
                self._bound.device = self.device
            yield

    def _open_codec(self, stream: VideoStream, video_id: int) -> GpuCodec:
        skips = self._route == "hwaccel"
        if not skips and self._index.is_counted(video_id):
            # Its frames were counted as FFmpeg's parser finds them, and NVIDIA's may find others.
            raise DeviceError(
                f"{self._index.path(video_id)}: decoder.route=cuvid finds frames by timestamps alone, which does"
                " not do in this file.\nUse decoder.route=hwaccel, the default"
            )
        return GpuCodec(self._codecs(stream, video_id), partial(refusal, self._index, video_id), skips)

    # Reads.

    def _copy_from_cpu(self, read: GopRead, out: Sequence[Tensor]) -> None:
        assert self._cpu_decoder is not None
        shape = len(out), 3, *self._size
        frames = torch.zeros(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        try:
            self._cpu_decoder.decode(read, list(frames))
        finally:  # where one frame could not be had, the others are delivered
            for target, frame in zip(out, frames, strict=True):
                target.copy_(frame, non_blocking=True)
            self._ops.synchronize()
        self.num_from_cpu += len(out)

    def _decode(self, read: GopRead, out: Frames) -> None:
        place = {frame_index: number for number, frame_index in enumerate(read.frame_indices)}
        boxes, targets, look = list[Box](), list[Tensor](), None
        try:
            for frame_index, picture in self._videos.read(read):
                luma, chroma, its = self._look(picture, read)
                box = cut(luma, chroma, its.geometry)
                if look is not None and (its != look or len(boxes) * box.luma[..., 0].numel() >= TOGETHER):
                    self._write(boxes, targets, look)
                    boxes, targets = [], []
                look = its
                boxes.append(box)
                targets.append(out[place[frame_index]])
        finally:  # where one frame could not be had, the others are delivered
            if look is not None:
                self._write(boxes, targets, look)
            self._ops.synchronize()

    def _write(self, boxes: Sequence[Box], targets: Sequence[Tensor], look: Look) -> None:
        write_frames(boxes, targets, look.geometry, look.matrix, look.full_range, self._interpolation)

    def _look(self, picture: VideoFrame, read: GopRead) -> tuple[Tensor, Tensor, Look]:
        """Return the planes of a picture, and how they are to be taken."""
        if picture.format.name != "cuda":
            cause = f"FFmpeg decoded to {picture.format.name} on the CPU"
            raise refusal(self._index, read.video_id, cause)
        layout = picture.sw_format.name if picture.sw_format else "unknown"
        if layout not in LAYOUTS:
            raise DeviceError(
                f"{self._index.path(read.video_id)}: its pictures are {layout} on the GPU, which this version of PyAV"
                " does not hand over.\nUse decoder=pyav for these videos"
            )
        luma, chroma = (self._ops.plane_to_tensor(plane) for plane in picture.planes)
        presentation = self._index.presentation(read.video_id)
        colours = colours_of(picture, presentation.codec, presentation.colours)
        matrix = colours.matrix
        if matrix not in LUMA_WEIGHTS:
            matrix = matrix_of_untagged(self._untagged, *self._stored_size(picture, read.video_id))
        geometry = self._geometry(picture, read.video_id, presentation)
        return luma, chroma, Look(geometry, matrix, colours.range == FULL_RANGE, luma.dtype)

    def _stored_size(self, picture: VideoFrame, video_id: int) -> tuple[int, int]:
        """Return width and height before NVDEC scaled."""
        if self._route == "hwaccel":
            return picture.width, picture.height
        columns, (left, top, right, bottom) = self._index.columns, self._index.presentation(video_id).crop
        return int(columns.width[video_id]) + left + right, int(columns.height[video_id]) + top + bottom

    def _geometry(self, picture: VideoFrame, video_id: int, p: Presentation) -> Geometry:
        stored = picture.height, picture.width
        if self._route == "cuvid":  # NVDEC has cut and scaled already, but to even numbers
            g = fit_picture(stored, p.rotation, self._size, self._fit, p.mirrored)
            return replace(g, left=0, top=0, box_width=picture.width, box_height=picture.height)
        # What a stream cuts off at its left and top FFmpeg leaves in pictures that lie on a GPU.
        decoder = self._videos.decoder_of(video_id)
        assert isinstance(decoder, Decoder)
        more_left, more_top = picture.width - decoder.context.width, picture.height - decoder.context.height
        _, top, right, bottom = p.crop
        left = container_left(decoder.context.width, int(self._index.columns.width[video_id]), p.crop)
        crop = more_left + left, more_top + top, right, bottom
        return fit_picture(stored, p.rotation, self._size, self._fit, p.mirrored, crop)
