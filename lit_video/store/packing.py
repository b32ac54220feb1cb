"""A frame as bytes: raw, without loss, or as JPEG. For frames that wait in memory, and for those kept on disk."""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import simplejpeg  # torchvision's JPEG is deprecated since 0.29, and will be gone
from jaxtyping import UInt8

from lit_video.support.errors import check_choice
from lit_video.support.scratch import Scratch

Buffer = bytes | bytearray | memoryview

PACKINGS = ("raw", "lossless", "jpeg")
QUALITY = 95  # of JPEG, where nobody says

TOGETHER_BYTES = 5 * 2**20  # of frames that are unpacked in one go, 34 of 224×224: more would not stay near the core
FEW = 3  # up to so many frames are summed one by one, which is quicker than row by row


@runtime_checkable
class Packing(Protocol):
    """How a frame becomes bytes and comes back. Picklable, and used by several threads at once.

    Attributes:
        name: One of PACKINGS.
        is_exact: What comes back is the very frame.
    """

    name: ClassVar[str]
    is_exact: ClassVar[bool]

    def pack(self, frame: UInt8[np.ndarray, "channels height row"]) -> bytes:
        """Return a frame as bytes, which keep nothing of its memory."""
        ...

    def unpack(self, packed: Sequence[Buffer], out: UInt8[np.ndarray, "n channels height row"]) -> None:
        """Write as many frames as were packed into `out`, in the same order.

        Raises:
            ValueError: One is no frame of this size. Frames of `out` may have been written all the same.
        """
        ...


@dataclass(frozen=True)
class Raw:
    """The bytes as they are."""

    name: ClassVar[str] = "raw"
    is_exact: ClassVar[bool] = True

    def pack(self, frame: UInt8[np.ndarray, "channels height row"]) -> bytes:
        """Return a copy of the frame's bytes."""
        return frame.tobytes()

    def unpack(self, packed: Sequence[Buffer], out: UInt8[np.ndarray, "n channels height row"]) -> None:
        """Copy them back.

        Raises:
            ValueError: One has another number of bytes.
        """
        shape = out.shape[1:]
        for one, target in zip(packed, out, strict=True):
            np.copyto(target, np.frombuffer(one, np.uint8).reshape(shape))


@dataclass(frozen=True)
class Lossless:
    """Each row less the row above, by Zstandard at its first level: about half of the bytes.

    Eight bytes stand before it: height, and bytes of a row.
    """

    name: ClassVar[str] = "lossless"
    is_exact: ClassVar[bool] = True
    head: ClassVar[struct.Struct] = struct.Struct("<II")

    def pack(self, frame: UInt8[np.ndarray, "channels height row"]) -> bytes:
        """Return the frame compressed."""
        differences = frame.copy()
        np.subtract(frame[:, 1:], frame[:, :-1], out=differences[:, 1:])
        return self.head.pack(*frame.shape[1:]) + _OWN.zstandard.compress(differences, asbytes=True)

    def unpack(self, packed: Sequence[Buffer], out: UInt8[np.ndarray, "n channels height row"]) -> None:
        """Decompress frames, and sum their rows for many frames at once.

        Raises:
            ValueError: One is damaged, or a frame of another size.
        """
        if len(packed) != len(out):
            raise ValueError(f"packed must hold {len(out)} frames, got {len(packed)}")
        together = max(1, TOGETHER_BYTES // max(1, out[:1].nbytes))
        for first in range(0, len(out), together):
            block = out[first : first + together]
            differences = (self._differences(one, block.shape[1:]) for one in packed[first : first + together])
            if len(block) <= FEW:
                for rows, target in zip(differences, block, strict=True):
                    np.add.accumulate(rows, axis=1, dtype=np.uint8, out=target)
            else:
                _sum_rows(differences, block)

    def _differences(self, packed: Buffer, shape: tuple[int, ...]) -> UInt8[np.ndarray, "channels height row"]:
        """Return a frame's rows, each less the row above."""
        size, there = math.prod(shape), memoryview(packed)
        if len(there) < self.head.size or self.head.unpack_from(there) != shape[1:]:
            raise ValueError(f"packed must be a frame of {shape[1]} × {shape[2]} pixels")
        try:
            found = _OWN.zstandard.decompress(there[self.head.size :], size)
        except OSError as error:  # which pyarrow raises for all that Zstandard refuses
            raise ValueError(f"packed is damaged ({error})") from error
        return np.frombuffer(found, np.uint8).reshape(shape)


@dataclass(frozen=True)
class Jpeg:
    """JPEG, chroma at half the size, with the slow and exact transform: a tenth of the bytes, and other pixels.

    Args:
        quality: From 1 to 100.

    Raises:
        ValueError: A quality out of range.
    """

    quality: int = QUALITY
    name: ClassVar[str] = "jpeg"
    is_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be from 1 to 100, got {self.quality}")

    def pack(self, frame: UInt8[np.ndarray, "channels height row"]) -> bytes:
        """Return the frame as a JPEG file."""
        pixels = np.ascontiguousarray(frame.transpose(1, 2, 0))
        return simplejpeg.encode_jpeg(pixels, self.quality, "RGB", "420", fastdct=False)

    def unpack(self, packed: Sequence[Buffer], out: UInt8[np.ndarray, "n channels height row"]) -> None:
        """Decode JPEG files.

        Raises:
            ValueError: One is none, or of another size.
        """
        decode, shape = simplejpeg.decode_jpeg, (*out.shape[2:], 3)
        memory = _SCRATCH.memory(*shape)
        for one, target in zip(packed, out, strict=True):
            try:
                image = decode(one, "RGB", fastdct=False, fastupsample=False, buffer=memory)
            except ValueError as error:
                raise ValueError(f"packed must be a JPEG file of {shape[0]} × {shape[1]} pixels ({error})") from error
            if image.shape != shape:
                raise ValueError(f"packed must be a frame of {shape[0]} × {shape[1]} pixels, got {image.shape[:2]}")
            np.copyto(target, image.transpose(2, 0, 1))


class _Codecs(threading.local):
    """Zstandard of a thread: an object that two may not use at a time."""

    def __init__(self) -> None:
        from pyarrow import Codec  # whose one call takes and gives whole frames, without the interpreter's lock

        self.zstandard = Codec("zstd", compression_level=1)


_OWN = _Codecs()
_SCRATCH = Scratch()


def make_packing(name: str, quality: int = QUALITY) -> Packing:
    """Return the packing of a name.

    Args:
        name: `raw`, `lossless` or `jpeg`.
        quality: Of JPEG, from 1 to 100; the others have none.

    Raises:
        ValueError: There is no such packing, or quality.
    """
    check_choice("packing", name, PACKINGS)
    return {"raw": Raw, "lossless": Lossless, "jpeg": partial(Jpeg, quality)}[name]()


def _sum_rows(differences: Any, out: UInt8[np.ndarray, "n channels height row"]) -> None:
    """Sum the rows of several frames: with a row of all frames side by side, it is one addition a row."""
    n, channels, height, row_bytes = out.shape
    memory = _SCRATCH.memory(height, n, channels, row_bytes)
    for number, rows in enumerate(differences):
        memory[:, number] = rows.transpose(1, 0, 2)
    for row in range(1, height):
        np.add(memory[row], memory[row - 1], out=memory[row])
    np.copyto(out, memory.transpose(1, 2, 0, 3))
