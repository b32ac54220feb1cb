"""The promise that every decoder makes. `lit_video.testing.check_decoder` holds a decoder to it."""

from __future__ import annotations

from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt
from torch import Tensor

from lit_video.index import VideoIndex
from lit_video.index.population import Population, as_population
from lit_video.planning.planner import GopRead
from lit_video.support.errors import DataError

LISTED = 5  # files that a message names


@runtime_checkable
class Frames(Protocol):
    """Where a decoder writes: a list of tensors does, or what has a tensor ready when it is asked for one.

    Nobody looks at a tensor but who will write it: it may be the memory that the frame before was written to.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> UInt[Tensor, "channels height width"]: ...


@runtime_checkable
class Decoder(Protocol):
    """Decodes exactly the frames that it is asked for. Used by one thread at a time; threads have one each.

    Made by a factory `(index, size) -> Decoder`, which opens nothing: files are opened in the thread or process that
    reads them, and at most a fixed number stay open: `lit_video.decoders.limits` says how many to whoever asks while it
    is made, for the loader tells how many decoders share file handles and memory.

    Attributes:
        device: Where the frames are written.
        start_method: How worker processes with this decoder must start: `spawn` where a GPU decodes, else None for any.

    A decoder that cannot read all that FFmpeg can may say so by an attribute `codecs`, a frozenset of FFmpeg's names of
    codecs, of the class or of what is made: `check_codecs` then refuses other files before anything is decoded. None,
    as where there is none, is anything.

    A decoder that can write other frames than uint8 of three channels declares of which types by `dtypes` of its class,
    and takes arguments `dtype` and `channels`, which it has as attributes: `lit_video.decoders.form`.

    A decoder whose frames may be kept in a store names by an attribute `look`, a string, all that determines their
    pixels beside file and size: its options, and the versions of what decodes and scales. Two decoders of one look give
    the very same pixels.
    """

    device: torch.device
    start_method: str | None

    def decode(self, read: GopRead, out: Frames) -> None:
        """Write the wanted frames of `read` into `out`, one tensor a frame, in the order of `read.frame_indices`.

        On the CPU, each tensor of `out` is taken once, in any order, when its frame is there, and written whole before
        the next one is taken: so `out` may be one frame's memory, which is packed and handed out again.

        Raises:
            DecodeError: A frame cannot be had exactly. A neighbour is never given in its place; the others are written,
                and of the missing ones no tensor was taken.
        """
        ...

    def close(self) -> None:
        """Close all files. A closed decoder opens them again when asked for frames."""
        ...

    @classmethod
    def __subclasshook__(cls, subclass: type, /) -> bool:
        """Tell whether a class has these methods: LightningCLI asks it of a `class_path`."""
        # Python itself refuses to answer for a protocol with attributes.
        if cls is not Decoder:
            return NotImplemented
        return hasattr(subclass, "decode") and hasattr(subclass, "close")


def check_codecs(decoder: object, index: VideoIndex | Population) -> None:
    """Check that a decoder reads all videos that there are samples of, as far as it says what it reads.

    Args:
        decoder: It, or its factory: a class or a `functools.partial` of one. What declares no `codecs` passes.
        index: The samples.

    Raises:
        DataError: It does not read some; the message names up to five.
    """
    while isinstance(decoder, partial):
        decoder = decoder.func
    codecs = getattr(decoder, "codecs", None)
    if not isinstance(codecs, frozenset):  # a property of what is yet to be made, too
        return
    samples = as_population(index)
    video_ids, videos = samples.videos_of(samples.offset[:-1]), samples.index
    used, numbers = np.unique(videos.columns.codec[video_ids], return_inverse=True)
    readable = np.array([videos.names[int(number)] in codecs for number in used], bool)
    others = video_ids[~readable[numbers]].tolist()
    if others:
        named = ", ".join(f"{videos.path(video_id)} ({videos.codec(video_id)})" for video_id in others[:LISTED])
        more = f" and {len(others) - LISTED} more" if len(others) > LISTED else ""
        name = decoder.__name__ if isinstance(decoder, type) else type(decoder).__name__
        raise DataError(
            f"{name} decodes {', '.join(sorted(codecs))}, which {len(others)} of {len(video_ids)} videos are not:"
            f" {named}{more}.\nUse decoder=pyav, which decodes everything that FFmpeg does, or leave them out"
        )
