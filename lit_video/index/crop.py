"""What a container cuts off its pictures, of which PyAV tells nothing but in FFmpeg's own description of a file."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import av.logging
from av.container import InputContainer

from lit_video.media.picture import NO_CROP

# A crop in Matroska's list of tracks: the list's number, and then that of PixelCropBottom, -Top, -Left or -Right.
# Only where the bytes look like that is FFmpeg asked, for asking makes it talk: a switch of the whole process.
LOOKS_CROPPED = re.compile(rb"\x16\x54\xae\x6b.{,65536}?\x54[\xaa\xbb\xcc\xdd][\x81-\x88]", re.DOTALL)
CLUSTER = b"\x1f\x43\xb6\x75"  # after it come pictures
LOOKED_AT_BYTES = 2**20  # at either end: an editor puts a list that grew behind the pictures
SAID = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)")  # left, right, top, bottom

_TALKING = threading.Lock()


def crop_of(path: Path, container: InputContainer, stream_index: int) -> tuple[int, int, int, int]:
    """Return the left columns, top rows, right columns and bottom rows that a Matroska file cuts off its pictures.

    FFmpeg's decoders leave that to who shows them. It tells in a description that PyAV takes from FFmpeg's log.
    """
    if "matroska" not in container.format.name or not _looks_cropped(path):
        return NO_CROP
    # What other threads' decoders say meanwhile goes into the outer capture, and nowhere else.
    with _TALKING, av.logging.Capture(local=False):
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            description = container.dumps_format()  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            av.logging.set_level(level)
    own = re.split(r"^  Stream #0:", description, flags=re.MULTILINE)
    found = next((SAID.search(part) for part in own if re.match(rf"{stream_index}\b", part)), None)
    if found is None:
        return NO_CROP
    left, right, top, bottom = map(int, found.groups())
    return left, top, right, bottom


def _looks_cropped(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(LOOKED_AT_BYTES)
        if LOOKS_CROPPED.search(head.partition(CLUSTER)[0]):
            return True
        file.seek(0, 2)
        file.seek(max(0, file.tell() - LOOKED_AT_BYTES))
        return bool(LOOKS_CROPPED.search(file.read()))
