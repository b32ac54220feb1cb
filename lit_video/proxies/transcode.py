"""One video -> its proxy: each frame as the decoder hands it out, encoded small, at the very time it had."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.index.scan import Entry, NotAVideo, scan_file
from lit_video.media.picture import LIMITED_RANGE
from lit_video.planning.reads import GopRead, in_runs, reads_in_order
from lit_video.proxies.settings import Settings
from lit_video.support.errors import DecodeError

BT709 = 1  # FFmpeg's number of the matrix, which every reader is told
MOST_UNITS = 2**31 - 1  # a second, in MP4
Runs = tuple[tuple[int, int], ...]


class NoProxyError(Exception):
    """That a video has no proxy that is true, and why."""


def transcode(index: VideoIndex, video_id: int, settings: Settings, path: Path) -> Runs:
    """Write the proxy of a video, check it, and return the runs of frames in it, first and last, that are none.

    These could not be decoded; the frame before, or the first one behind, is in their place. Pictures are upright, cut
    as the container says, in BT.709 of limited range; pixels have the shape that they had. There is no sound.

    Raises:
        NoProxyError: The video's times cannot be kept, nothing of it can be decoded, or the file is not as it must be.
        OSError: It cannot be written.
    """
    numerator, denominator = index.columns.time_base[video_id].tolist()
    pts = index.pts_of(video_id) * numerator
    if (np.diff(pts) <= 0).any():
        raise NoProxyError("its times do not tell its frames apart, and those of a proxy must")
    if denominator > MOST_UNITS:
        raise NoProxyError(f"MP4 keeps no times in units of 1/{denominator} s")
    c = index.columns
    size = settings.size_of(int(c.height[video_id]), int(c.width[video_id]), int(c.rotation[video_id]))
    decoder = PyAVDecoder(
        index, size, settings.fit if not isinstance(settings.size, int) else "squash", "area", settings.untagged,
        settings.hdr, max_open=1, max_decoders=1,
    )  # fmt: skip
    with contextlib.closing(decoder), _Encoder(path, index, video_id, settings, size) as encoder:
        writer = _Writer(pts, size, encoder.encode)
        for read in reads_in_order(index, video_id, np.arange(len(pts))):
            writer.decode(decoder, read)
        lost = writer.finish()
    _check(path, pts, denominator, settings)
    return lost


class _Writer:
    """Where a decoder writes frames, each handed to an encoder in order; for one that is missing, the one before.

    A decoder takes each tensor when its frame is there, and has written it when it takes the next.
    """

    def __init__(
        self,
        pts: np.ndarray,
        size: tuple[int, int],
        encode: Callable[[UInt8[np.ndarray, "3 height width"], int], None],
    ) -> None:
        self._pts, self._size, self._encode = pts, size, encode
        self._wanted: tuple[int, ...] = ()
        self._waiting: dict[int, np.ndarray] = {}  # frames that came before one that is due
        self._taken: tuple[int, Tensor] | None = None
        self._last: np.ndarray | None = None
        self._next = 0
        self._lost: list[int] = []

    def __len__(self) -> int:
        return len(self._wanted)

    def __getitem__(self, place: int) -> Tensor:
        self._write()
        tensor = torch.empty((3, *self._size), dtype=torch.uint8)
        self._taken = self._wanted[place], tensor
        return tensor

    def decode(self, decoder: PyAVDecoder, read: GopRead) -> None:
        """Have a read decoded."""
        self._wanted = read.frame_indices
        with contextlib.suppress(DecodeError):  # what does not come is noticed
            decoder.decode(read, self)
        self._write()
        for frame in sorted(self._waiting):
            self._put(frame, self._waiting.pop(frame))

    def finish(self) -> Runs:
        """Return the runs of frames that are missing."""
        if self._last is None:
            raise NoProxyError("none of its frames could be decoded")
        self._repeat_till(len(self._pts))
        return in_runs(np.array(self._lost, np.int64))

    def _write(self) -> None:
        """Hand on what was taken last, as far as all before it is there."""
        if self._taken is not None:
            frame, tensor = self._taken
            self._taken, self._waiting[frame] = None, tensor.numpy()
        while self._next in self._waiting:
            self._put(self._next, self._waiting.pop(self._next))

    def _put(self, frame: int, pixels: np.ndarray) -> None:
        self._last = pixels if self._last is None else self._last
        self._repeat_till(frame)
        self._last = pixels
        self._encode(pixels, int(self._pts[frame]))
        self._next = frame + 1

    def _repeat_till(self, end: int) -> None:
        assert self._last is not None
        for frame in range(self._next, end):
            self._lost.append(frame)
            self._encode(self._last, int(self._pts[frame]))


class _Encoder:
    """x264 in MP4, by PyAV."""

    def __init__(self, path: Path, index: VideoIndex, video_id: int, settings: Settings, size: tuple[int, int]) -> None:
        c = index.columns
        numerator, self._units = c.time_base[video_id].tolist()
        pts = index.pts_of(video_id)
        # Else times are kept in thousandths of a second where the first is not 0, or moved where it is less.
        options = {"movie_timescale": str(self._units), "avoid_negative_ts": "disabled"}
        if pts[0] < 0:
            options |= {"movflags": "delay_moov", "frag_duration": "10000000"}
        else:
            options |= {"movflags": "faststart"}
        self._container = av.open(str(path), "w", format="mp4", options=options)
        step = float(np.median(np.diff(pts))) * numerator if len(pts) > 1 else self._units / 25
        rate = Fraction(self._units / step).limit_denominator(1001)
        quality = {"crf": str(settings.crf), "preset": settings.preset, "tune": "fastdecode", "bf": "0"}
        keys = {"g": str(settings.gop), "keyint_min": str(settings.gop), "sc_threshold": "0", "threads": "1"}
        stream: Any = self._container.add_stream("libx264", rate=max(rate, Fraction(1, 1001)), options=quality | keys)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, self._units)
        aspect = Fraction(float(c.aspect[video_id])).limit_denominator(255)
        turned = int(c.rotation[video_id]) % 180
        context = stream.codec_context
        if aspect > 0 and isinstance(settings.size, int):
            context.sample_aspect_ratio = 1 / aspect if turned else aspect
        self._transfer = int(c.transfer[video_id]) if settings.hdr == "as_stored" else BT709
        context.colorspace, context.color_range, context.color_trc = BT709, LIMITED_RANGE, self._transfer
        self._stream = stream

    def __enter__(self) -> _Encoder:
        return self

    def encode(self, frame: UInt8[np.ndarray, "3 height width"], pts: int) -> None:
        """Encode a frame for a time, in units of the video's."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.transpose(1, 2, 0)), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE)
        picture.color_trc = self._transfer
        picture.pts, picture.time_base = pts, Fraction(1, self._units)
        self._container.mux(self._stream.encode(picture))

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def _check(path: Path, pts: np.ndarray, units: int, settings: Settings) -> None:
    """Index the proxy, and compare."""
    try:
        entry = scan_file(path)
    except NotAVideo as error:
        raise NoProxyError(f"its proxy cannot be read: {error}") from error
    if difference := _difference(entry, pts, units, settings):
        raise NoProxyError(f"its proxy is not true: {difference}")


def _difference(entry: Entry, pts: np.ndarray, units: int, settings: Settings) -> str:
    if len(entry.pts) != len(pts):
        return f"it has {len(entry.pts)} frames and not {len(pts)}"
    numerator, denominator = entry.time_base.as_integer_ratio()
    if any(a * numerator * units != b * denominator for a, b in zip(entry.pts.tolist(), pts.tolist(), strict=True)):
        return "its times are others"
    if entry.made != "exact" or entry.damage:
        return "its packets do not tell its frames"
    if [start.frame for start in entry.starts] != list(range(0, len(pts), settings.gop)):
        return "its keyframes are not where they must be"
    return ""
