"""Decoding with torchcodec, on the CPU or a GPU: a third opinion, and the peer that this package is compared with."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from lit_video.decoders.base import Frames
from lit_video.decoders.colour import resize
from lit_video.decoders.geometry import FITS, Geometry, fit_picture, parse_size
from lit_video.decoders.limits import decoders_to_keep, files_to_keep
from lit_video.decoders.nvdec import NUMBERS
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.media.picture import NO_CROP, Presentation
from lit_video.planning.planner import GopRead
from lit_video.support.errors import DecodeError, DeviceError, check_choice

MOST_SECONDS_OFF = 1e-4  # of a frame that is shown when the index says; beyond, torchcodec counted other frames

NOT_THERE = (RuntimeError, IndexError, OSError, ValueError)  # what torchcodec raises for a frame that it cannot give


class TorchCodecDecoder:
    """Decodes with `torchcodec.decoders.VideoDecoder`, told by the index where each file's frames are.

    torchcodec finds frames by their times. Where these do not tell a file's frames apart for certain, as the index
    found out by decoding it, a neighbour would come in a frame's place without a word: such files are decoded as
    `decoder=pyav` does on the CPU, and refused on a GPU.

    Args:
        index: The videos.
        size: Of the frames, `[height, width]` in pixels; an int is a square.
        device: `cpu`, `cuda` (the process's current device) or `cuda:1`.
        fit: `crop` keeps the largest box in the middle that has the frame's shape; `squash` distorts.
        max_open: Files that stay open at most; None: as many as file handles and memory allow, 16 at most.

    Attributes:
        look: What determines the pixels of a frame beside its file and size.

    Raises:
        DeviceError: torchcodec cannot be loaded, or there is no such GPU.
        ValueError: An argument out of range.
    """

    def __init__(
        self,
        index: VideoIndex,
        size: int | Sequence[int] = 224,
        device: str = "cpu",
        fit: str = "crop",
        max_open: int | None = None,
    ) -> None:
        check_choice("fit", fit, FITS)
        if max_open is None:  # each has a decoder, and as many again are PyAV's
            max_open = max(1, min(files_to_keep(index) // 2, decoders_to_keep(index)))
        if max_open < 1:
            raise ValueError(f"max_open must be at least 1, got {max_open}")
        self._make = _load()
        self.device = _resolve(device)
        self.start_method: str | None = "spawn" if self.device.type == "cuda" else None
        self._index, self._size, self._fit, self._max_open = index, parse_size(size), fit, max_open
        self._files: OrderedDict[int, Any] = OrderedDict()
        self._by_pyav = PyAVDecoder(index, size, fit, max_open=max_open)
        self._num_opened = 0
        self.look = f"torchcodec {_versions()} {self.device.type} {fit}; else {self._by_pyav.look}"

    @property
    def num_opened(self) -> int:
        """Containers opened so far."""
        return self._num_opened + self._by_pyav.num_opened

    @property
    def codecs(self) -> frozenset[str] | None:
        """FFmpeg's names of what is decoded: on the CPU everything, on a GPU what NVDEC has hardware for at all."""
        return None if self.device.type == "cpu" else frozenset((*NUMBERS, "mjpeg"))

    @property
    def default_threads(self) -> int | None:
        """Two on a GPU; on the CPU as many as there are cores."""
        return 2 if self.device.type == "cuda" else None

    def decode(self, read: GopRead, out: Frames) -> None:
        """Write the wanted frames of `read` into `out`.

        Raises:
            DecodeError: A frame cannot be had exactly.
            DeviceError: The file would have been decoded on the CPU in the place of the GPU.
        """
        if self._index.is_far(read.video_id) and self.device.type != "cpu":
            raise DeviceError(
                f"{self._index.path(read.video_id)}: torchcodec on a GPU reads no files far away.\n"
                "Use decoder=cuvid or decoder=pyav for these videos, or decoder.device=cpu"
            )
        if self._index.is_counted(read.video_id) and self.device.type != "cpu":
            raise DeviceError(
                f"{self._index.path(read.video_id)}: torchcodec finds frames by their times alone, which does"
                " not do in this file.\nUse decoder=pyav for these videos, or decoder.device=cpu"
            )
        if self.device.type != "cpu":
            self._decode(read, out)
            return
        missing = list(read.frame_indices)
        if not self._is_odd(read.video_id):
            try:
                self._decode(read, out)
            except DecodeError as error:  # what it cannot find may be there all the same
                missing = error.missing
            else:
                return
        self._by_pyav.decode(*_only(missing, read, out))

    def _decode(self, read: GopRead, out: Frames) -> None:
        expected = self._index.pts_seconds(int(self._index.offset[read.video_id]) + np.array(read.frame_indices))
        presentation, missing = self._index.presentation(read.video_id), dict[int, str]()
        for place, (frame_index, seconds) in enumerate(zip(read.frame_indices, expected.tolist(), strict=True)):
            try:
                frame = self._frame(read.video_id, frame_index, seconds)
            except NOT_THERE as error:
                missing[frame_index] = str(error).splitlines()[0]
                continue
            image = self._fit_frame(frame.data, presentation)
            if image.is_cuda:
                out[place].copy_(image)
            else:  # torch would divide a copy of this size between threads that wait for each other
                np.copyto(out[place].numpy(), image.numpy())
        if self.device.type == "cuda":  # where some frames are refused the others are delivered
            torch.cuda.current_stream(self.device).synchronize()
        if missing:
            raise self._error(read, list(missing), next(iter(missing.values())))

    def _is_odd(self, video_id: int) -> bool:
        """Tell whether torchcodec cannot be asked: it goes by times, and goes on with a decoder that met damage.

        Nor is it where an edit list hides the first keyframe, of which a list of frames to show has no row; nor of what
        is far away, whose bytes are in memory for PyAV.
        """
        if self._index.is_far(video_id):
            return True
        hidden = self._index.find_start(video_id, 0).target < self._index.pts_of(video_id)[0]
        return self._index.made(video_id) != "exact" or bool(self._index.damage(video_id)) or bool(hidden)

    def _frame(self, video_id: int, frame_index: int, seconds: float) -> Any:
        """Return one frame: `get_frames_at` would copy each into a tensor of all, which torch divides likewise."""
        decoder = self._open(video_id)
        frame = decoder.get_frame_at(frame_index)
        if abs(frame.pts_seconds - seconds) > MOST_SECONDS_OFF:
            raise ValueError("torchcodec gave frames of other times")
        if self.device.type == "cuda" and bool(decoder.cpu_fallback):
            raise DeviceError(
                f"{self._index.path(video_id)}: torchcodec decoded on the CPU, not on the GPU"
                f" ({decoder.cpu_fallback}).\nUse decoder=pyav, or decoder.device=cpu if that is what you want"
            )
        return frame

    def close(self) -> None:
        """Close all files."""
        self._files.clear()
        self._by_pyav.close()

    def _open(self, video_id: int) -> Any:
        if video_id not in self._files:
            while len(self._files) >= self._max_open:
                self._files.popitem(last=False)
            self._files[video_id] = self._make_file(video_id)
            self._num_opened += 1
        self._files.move_to_end(video_id)
        return self._files[video_id]

    def _make_file(self, video_id: int) -> Any:
        from torchcodec.transforms import CenterCrop, Resize  # pyright: ignore[reportPrivateImportUsage]

        path, columns = self._index.path(video_id), self._index.columns
        os.stat(path)  # what is not there is told by the system's own words
        arguments: dict[str, Any] = {"stream_index": int(columns.stream[video_id]), "device": self.device}
        if self.device.type == "cpu":  # torchcodec does not scale on the GPU
            g, p = self._geometry(video_id), self._index.presentation(video_id)
            arguments["transforms"] = [CenterCrop((g.box_height, g.box_width)), Resize((g.height, g.width))]
            if p.crop != NO_CROP:  # of which torchcodec knows nothing: the whole picture, as the decoder gives it
                left, top, right, bottom = self._crop_of_turned(p)
                height, width = self._upright(video_id)
                arguments["transforms"] = [Resize((height + top + bottom, width + left + right))]
        try:  # told where frames are, torchcodec need not scan the file again
            return self._make(path, custom_frame_mappings=self._mapping(video_id), **arguments)
        except ValueError:  # but what was recorded without a duration it reads only if it scans it
            decoder = self._make(path, seek_mode="exact", **arguments)
        if decoder.metadata.num_frames != self._index.length(video_id):
            raise ValueError(f"torchcodec counts {decoder.metadata.num_frames} frames; use decoder=pyav")
        return decoder

    def _mapping(self, video_id: int) -> str:
        """Return a video's frames as ffprobe lists them, in presentation order."""
        pts = self._index.pts[slice(*self._index.offset[video_id : video_id + 2])]
        duration = np.append(np.diff(pts), 1 if len(pts) == 1 else pts[-1] - pts[-2])
        keyframes = {start.frame for start in self._index.starts(video_id)}
        rows = [
            {"pts": p, "duration": d, "key_frame": int(frame in keyframes)}
            for frame, (p, d) in enumerate(zip(pts.tolist(), duration.tolist(), strict=True))
        ]
        return json.dumps({"frames": rows})

    def _geometry(self, video_id: int) -> Geometry:
        """Return what to cut out of the upright picture, which is what torchcodec gives."""
        return fit_picture(self._upright(video_id), 0, self._size, self._fit)

    def _upright(self, video_id: int) -> tuple[int, int]:
        """Return height and width of the pictures, turned."""
        columns = self._index.columns
        height, width = int(columns.height[video_id]), int(columns.width[video_id])
        return (height, width) if columns.rotation[video_id] % 180 == 0 else (width, height)

    def _fit_frame(self, image: UInt8[Tensor, "3 h w"], p: Presentation) -> Tensor:
        if tuple(image.shape[1:]) != self._size or p.crop != NO_CROP:
            stored = int(image.shape[1]), int(image.shape[2])
            g = fit_picture(stored, 0, self._size, self._fit, crop=self._crop_of_turned(p))
            box = image[:, g.top : g.top + g.box_height, g.left : g.left + g.box_width]
            image = resize(box.float(), self._size, "bilinear").round_().clamp_(0, 255).to(torch.uint8)
        if not p.mirrored:
            return image
        # A matrix that mirrors, torchcodec takes for a turn by another 180 degrees.
        return image.flip(1 if p.rotation % 180 == 0 else 2)

    @staticmethod
    def _crop_of_turned(p: Presentation) -> tuple[int, int, int, int]:
        """Return what is cut off a picture at left, top, right and bottom once torchcodec has turned it."""
        left, top, right, bottom = p.crop
        for _ in range((p.rotation // 90 + 2 * p.mirrored) % 4):
            left, top, right, bottom = top, right, bottom, left
        return left, top, right, bottom

    def _error(self, read: GopRead, frames: Sequence[int], cause: str) -> DecodeError:
        return DecodeError(self._index.path(read.video_id), frames, self._index.length(read.video_id), cause)


def _load() -> Any:
    try:
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportPrivateImportUsage]
    except (ImportError, RuntimeError, OSError) as error:
        raise DeviceError(
            f"decoder=torchcodec cannot be loaded ({str(error).strip().splitlines()[0]}).\n"
            "Install it and FFmpeg's libraries: pip install -e '.[torchcodec]' && apt-get install ffmpeg"
        ) from error
    return VideoDecoder


def _only(frames: Sequence[int], read: GopRead, out: Frames) -> tuple[GopRead, Frames]:
    """Return a read of some of the frames of a read, and their part of `out`, of which no tensor is taken here."""
    places = [read.frame_indices.index(frame) for frame in frames]
    positions = tuple(read.positions[place] for place in places)
    return GopRead(read.video_id, read.start, tuple(frames), positions), _Some(places, out)


class _Some:
    """Some places of frames."""

    def __init__(self, places: Sequence[int], out: Frames) -> None:
        self._places, self._out = places, out

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: int, /) -> UInt8[Tensor, "3 height width"]:
        return self._out[self._places[place]]


def _versions() -> str:
    """Return the version of torchcodec and of the FFmpeg that it found."""
    import torchcodec
    from torchcodec import ffmpeg_major_version  # pyright: ignore[reportPrivateImportUsage]

    return f"{torchcodec.__version__} FFmpeg {ffmpeg_major_version}"  # pyright: ignore[reportPrivateImportUsage]


def _resolve(device: str) -> torch.device:
    found = torch.device(device)
    if found.type != "cuda":
        return found
    if not torch.cuda.is_available():
        raise DeviceError(
            "decoder=torchcodec with device=cuda needs a GPU, and torch finds no GPU here.\n"
            "Use data.decoder.device=cpu, or see what is missing: python scripts/doctor.py"
        )
    return torch.device("cuda", torch.cuda.current_device() if found.index is None else found.index)
