"""By what a frame is found again: its look, its file as the index knows it, and its place in the file.

A key is 28 bytes: a digest of the look (8), one of the file's identity (16), the frame index (4, the first byte first),
so the frames of one video in one look lie together, in order. Two kinds of shorter keys say in words what the digests
stand for.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from lit_video.index import VideoIndex
from lit_video.index.digest import UNKNOWN
from lit_video.store.packing import Packing

LOOK_BYTES, FILE_BYTES, FRAME_BYTES = 8, 16, 4
KEY_BYTES = LOOK_BYTES + FILE_BYTES + FRAME_BYTES
OF_LOOK, OF_FILE = b"look", b"file"  # of the keys that say in words what a digest stands for

# Of a value, before the packed frame: how it is packed, and a checksum of key and packed frame.
HEAD = struct.Struct(">BI")
NUMBERS = {"raw": 0x11, "lossless": 0x12, "jpeg": 0x13}  # by name of packing; the high half is the format's version


class Record(NamedTuple):
    """What a digest stands for, in words, as it is kept beside the frames."""

    key: bytes
    value: bytes


class Keys:
    """The keys of an index's frames in one look.

    Args:
        index: The frames.
        look: All that determines their pixels beside file and size: a decoder's attribute.
        size: Height and width.
        packing: Exact ones give the same pixels, and share what is kept; of a lossy one, each quality is a look.
    """

    def __init__(self, index: VideoIndex, look: str, size: tuple[int, int], packing: Packing) -> None:
        self._index = index
        self._words = {"look": look, "size": list(size), "packing": "exact" if packing.is_exact else repr(packing)}
        self._look = hashlib.blake2b(json.dumps(self._words).encode(), digest_size=LOOK_BYTES).digest()
        self._prefixes: dict[int, bytes] = {}

    def of(self, frame_ids: Int64[np.ndarray, " n"]) -> list[bytes]:
        """Return the key of each frame."""
        video_ids, frames = self._index.locate(frame_ids)
        tails = frames.astype(">u4").tobytes()
        places = range(0, len(tails), FRAME_BYTES)
        return [
            self.prefix(video_id) + tails[place : place + FRAME_BYTES]
            for video_id, place in zip(video_ids.tolist(), places, strict=True)
        ]

    def prefix(self, video_id: int) -> bytes:
        """Return what the keys of all frames of a video begin with."""
        if video_id not in self._prefixes:
            self._prefixes[video_id] = self._look + _digest(self._index, video_id)
        return self._prefixes[video_id]

    def records(self, video_id: int) -> list[Record]:
        """Return what the digests in a video's keys stand for."""
        path = self._index.path(video_id).encode(errors="surrogateescape")
        file = OF_FILE + self.prefix(video_id)[LOOK_BYTES:]
        return [Record(OF_LOOK + self._look, json.dumps(self._words).encode()), Record(file, path)]


def _digest(index: VideoIndex, video_id: int) -> bytes:
    """Return what names a file and what the index says of it: of a file that changed it is another.

    Its time of change stands for its bytes only where these changed while the index looked at them.
    """
    c = index.columns
    content = c.digest[video_id].tobytes()
    stands = content if content != UNKNOWN else int(c.mtime_ns[video_id])
    facts = repr((stands, int(c.size_bytes[video_id]), int(c.stream[video_id]), index.made(video_id)))
    facts += repr(index.presentation(video_id))
    digest = hashlib.blake2b(index.path(video_id).encode(errors="surrogateescape"), digest_size=FILE_BYTES)
    digest.update(b"\0" + facts.encode() + b"\0")
    digest.update(np.ascontiguousarray(index.pts_of(video_id)).tobytes())
    return digest.digest()
