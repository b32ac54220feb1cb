"""Decoding on the CPU: FFmpeg through PyAV, scaled and converted by FFmpeg as close to the decoder as it can be."""

from __future__ import annotations

from collections.abc import Sequence

import av
import torch

from lit_video.decoders.base import Frames
from lit_video.decoders.form import DTYPES, check_form
from lit_video.decoders.geometry import FITS, INTERPOLATIONS, parse_size
from lit_video.decoders.limits import decoders_to_keep, files_to_keep
from lit_video.decoders.reader import OpenVideos
from lit_video.decoders.scaler import UNTAGGED, Scaler
from lit_video.decoders.sdr import HDR, check_that_ffmpeg_maps
from lit_video.index import VideoIndex
from lit_video.planning.planner import GopRead
from lit_video.support.errors import check_choice


class PyAVDecoder:
    """Decodes with FFmpeg's software decoders, one thread per decoder object.

    Args:
        index: The videos.
        size: Of the frames, `[height, width]` in pixels; an int is a square.
        fit: `crop` keeps the largest box in the middle that has the frame's shape; `squash` distorts.
        interpolation: `bilinear`, or `area` for smoother frames from much larger pictures.
        untagged: The colour matrix of videos that do not say: `bt601` as FFmpeg and torchcodec take it, `bt709`, or
            `auto` by their size, as mpv does.
        hdr: `as_stored`: pictures of PQ and HLG look flat; `sdr`: they are mapped to SDR, which takes some seconds
            before the first one.
        skip_unwanted: Do not decode pictures that no other picture refers to and nobody wants (H.264 only, where it
            was shown to be safe). The frames are the same.
        max_open: Files that stay open at most; None: as many as file handles and memory allow, 512 at most.
        max_decoders: Decoders that these have at most, about 18 MiB each at 1080p; files encoded alike share one. None:
            as many as memory allows, 16 at most.
        trust_flags: Take pictures for damaged of which only the decoder says so. False delivers them as a sequential
            decode does, for files that every player plays and whose decoder complains of all.
        dtype: Of samples: `uint8` or `uint16`; the loader's.
        channels: 3 or 1; the loader's.

    Attributes:
        look: What determines the pixels of a frame beside its file and size.
        max_open: Files that stay open at most.
        max_decoders: Decoders that these have at most.
        dtype: Of the samples of frames.
        channels: Of frames.

    Raises:
        DeviceError: FFmpeg cannot map HDR here.
        ValueError: An argument out of range.
    """

    device = torch.device("cpu")
    start_method: str | None = None
    dtypes = frozenset(DTYPES)

    def __init__(
        self,
        index: VideoIndex,
        size: int | Sequence[int] = 224,
        fit: str = "crop",
        interpolation: str = "bilinear",
        untagged: str = "bt601",
        hdr: str = "as_stored",
        skip_unwanted: bool = True,
        max_open: int | None = None,
        max_decoders: int | None = None,
        trust_flags: bool = True,
        dtype: str = "uint8",
        channels: int = 3,
    ) -> None:
        check_choice("fit", fit, FITS)
        check_choice("interpolation", interpolation, INTERPOLATIONS)
        check_choice("untagged", untagged, UNTAGGED)
        check_choice("hdr", hdr, HDR)
        check_form(dtype, channels)
        if hdr == "sdr" and (dtype, channels) != ("uint8", 3):
            raise ValueError(f"hdr='sdr' is for dtype='uint8' and channels=3, got {dtype!r} and {channels}")
        if hdr == "sdr":
            check_that_ffmpeg_maps()
        max_open = files_to_keep(index) if max_open is None else max_open
        max_decoders = decoders_to_keep(index) if max_decoders is None else max_decoders
        for name, value in (("max_open", max_open), ("max_decoders", max_decoders)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.max_open, self.max_decoders = max_open, max_decoders
        self.trust_flags = trust_flags
        versions = " ".join(f"{name} {av.library_versions[name][0]}" for name in ("libavcodec", "libswscale"))
        options = f"{fit} {interpolation} untagged={untagged} hdr={hdr} trust_flags={trust_flags}"
        self.dtype, self.channels = dtype, channels
        form = "" if (dtype, channels) == ("uint8", 3) else f" {dtype} channels={channels}"
        self.look = f"pyav {options}{form}, {versions}"
        self._videos = OpenVideos(index, max_open, skip_unwanted, max_decoders=max_decoders, trust_flags=trust_flags)
        self._index = index
        self._scaler = Scaler(parse_size(size), fit, interpolation, untagged, hdr, dtype, channels)

    @property
    def num_opened(self) -> int:
        """Containers opened so far."""
        return self._videos.num_opened

    def decode(self, read: GopRead, out: Frames) -> None:
        """Write the wanted frames of `read` into `out`.

        Raises:
            DecodeError: A frame cannot be had exactly.
        """
        place = {frame_index: number for number, frame_index in enumerate(read.frame_indices)}
        presentation = self._index.presentation(read.video_id)
        for frame_index, picture in self._videos.read(read):
            self._scaler.write(picture, out[place[frame_index]], presentation)

    def close(self) -> None:
        """Close all files."""
        self._videos.close()
