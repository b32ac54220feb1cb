"""An entry as one line of text, and back: what of it is kept on disk."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from lit_video.index.damage import Run
from lit_video.index.scan import Entry
from lit_video.index.truth import Start
from lit_video.media.container import Seek
from lit_video.media.spliced import Splice

PARTS_OF_START = [part.name for part in fields(Start)]


class Record(NamedTuple):
    """What is known of a file.

    Attributes:
        head: Which file, and by what its entry goes, or why it has none.
        entry: What `packed` made of its entry, as text that nobody reads before it is asked for; empty: not here.
    """

    head: dict[str, Any]
    entry: bytes = b""


def line_of(record: Record) -> bytes:
    """Return a record as a line that shows if it is whole: a checksum before it, its end behind it."""
    text = b"\t".join([json.dumps(record.head, separators=(",", ":")).encode(), record.entry])
    return b"%08x %s\n" % (zlib.crc32(text), text)


def record_of(line: bytes) -> Record | None:
    """Return the record in a line, or None where the line is not whole: its writer was killed, or the disk full."""
    text = line[9:].removesuffix(b"\n")
    if line[:9] != b"%08x " % zlib.crc32(text):
        return None
    head, _, entry = text.partition(b"\t")
    return Record(json.loads(head), entry)


def packed(entry: Entry) -> bytes:
    """Return what stands for an entry in a record; its digest stands there already."""
    row: dict[str, Any] = {part.name: getattr(entry, part.name) for part in fields(entry)}
    del row["digest"]
    starts = [[getattr(start, name) for start in entry.starts] for name in PARTS_OF_START]
    row |= {
        "time_base": entry.time_base.as_integer_ratio(),
        "pts": _text_of(entry.pts),
        "starts": [_text_of(column) for column in starts],
        "left_out": _text_of(entry.left_out),
        "places": [_text_of(column) for column in zip(*entry.places, strict=True)],
        "cues": entry.cues and [entry.cues.begin, entry.cues.end, _text_of_bytes(entry.cues.data)],
    }
    return json.dumps(row, separators=(",", ":"), default=lambda number: number.item()).encode()


def codec_of(text: bytes) -> str:
    """Return FFmpeg's name of the codec in what `packed` made of an entry."""
    return json.loads(text)["codec"]


def unpacked(text: bytes, digest: bytes) -> Entry:
    """Return the entry that `packed` was given."""
    row = json.loads(text)
    columns = [_numbers_of(text).tolist() for text in row["starts"]]
    starts = [Start(frame, Seek(how), *rest) for frame, how, *rest in zip(*columns, strict=True)]
    places, cues = [_numbers_of(text).tolist() for text in row["places"]], row["cues"]
    return Entry(
        **{
            **row,
            "time_base": Fraction(*row["time_base"]),
            "pts": _numbers_of(row["pts"]),
            "starts": starts,
            "damage": [Run(*run) for run in row["damage"]],
            "left_out": _numbers_of(row["left_out"]).tolist(),
            "crop": tuple(row["crop"]),
            "digest": digest,
            "places": list(zip(*places, strict=True)),
            "cues": cues and Splice(cues[0], cues[1], _bytes_of(cues[2])),
        }
    )


def _text_of(numbers: Sequence[int] | Int64[np.ndarray, " n"]) -> str:
    """Return whole numbers as text: their differences, of which timestamps have few, compressed."""
    steps = np.diff(np.asarray(numbers, np.int64), prepend=0)
    return _text_of_bytes(steps.tobytes())


def _numbers_of(text: str) -> Int64[np.ndarray, " n"]:
    return np.cumsum(np.frombuffer(_bytes_of(text), np.int64), dtype=np.int64)


def _text_of_bytes(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 1)).decode()


def _bytes_of(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
