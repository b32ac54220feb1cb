"""Which part of a stored picture becomes a frame: the same for every decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lit_video.media.picture import NO_CROP

FITS = ("crop", "squash")
INTERPOLATIONS = ("bilinear", "area")


@dataclass(frozen=True, slots=True)
class Geometry:
    """From a stored picture to a frame: cut out a box, scale it, mirror it, turn it upright.

    Attributes:
        left: First column of the box in the stored picture. Even, so that chroma is cut between its samples.
        top: First row of the box. Even.
        box_width: Columns of the box.
        box_height: Rows of the box.
        width: Columns after scaling, before turning.
        height: Rows after scaling, before turning.
        quarter_turns: Counter-clockwise, to be made after scaling and mirroring.
        mirrored: Left and right change places after scaling.
    """

    left: int
    top: int
    box_width: int
    box_height: int
    width: int
    height: int
    quarter_turns: int
    mirrored: bool = False


def parse_size(size: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width; an int is a square.

    Raises:
        ValueError: Not one or two numbers, or one under 1.

    >>> parse_size(224), parse_size([128, 160])
    ((224, 224), (128, 160))
    """
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and side >= 1 for side in pair):
        raise ValueError(f"size must be a number of pixels or [height, width], each at least 1, got {size!r}")
    return pair


def fit_picture(
    stored: tuple[int, int],
    rotation: int,
    size: tuple[int, int],
    fit: str,
    mirrored: bool = False,
    crop: tuple[int, int, int, int] = NO_CROP,
) -> Geometry:
    """Return how a picture stored as `stored` (height, width) becomes a frame of `size` (height, width).

    Args:
        stored: As in the file, before rotation.
        rotation: Counter-clockwise degrees that turn it upright.
        size: Of the frame, upright.
        fit: `crop` keeps the largest box in the middle that has the frame's shape; `squash` takes all, and distorts.
        mirrored: Left and right change places before it is turned.
        crop: Left, top, right and bottom of the stored picture that are not to be seen. Left out where nothing is left.

    >>> fit_picture((1080, 1920), 0, (224, 224), "crop")
    Geometry(left=420, top=0, box_width=1080, box_height=1080, width=224, height=224, quarter_turns=0, mirrored=False)
    """
    height, width = size if rotation % 180 == 0 else size[::-1]
    left, top, right, bottom = crop
    if left + right >= stored[1] or top + bottom >= stored[0]:  # a stream whose size changed
        left, top, right, bottom = NO_CROP
    # The box begins at even places. Of an odd crop the first column or row is left out too: it shares its chroma.
    odd_left, odd_top = left % 2, top % 2
    seen_width = max(1, stored[1] - left - right - odd_left)
    seen_height = max(1, stored[0] - top - bottom - odd_top)
    box_height, box_width = seen_height, seen_width
    if fit == "crop":
        box_height = min(box_height, max(2, round(box_width * height / width)))
        box_width = min(box_width, max(2, round(box_height * width / height)))
    return Geometry(
        left=left + odd_left + (seen_width - box_width) // 2 // 2 * 2,
        top=top + odd_top + (seen_height - box_height) // 2 // 2 * 2,
        box_width=box_width,
        box_height=box_height,
        width=width,
        height=height,
        quarter_turns=rotation // 90 % 4,
        mirrored=mirrored,
    )


def container_left(decoded_width: int, index_width: int, crop: tuple[int, int, int, int]) -> int:
    """Return how many columns at the left the container cuts off, of those that the index counts as cut off there.

    The rest the stream itself cuts off and FFmpeg's decoders on the CPU do not, since rows begin at round places there;
    what decodes elsewhere may cut none of them off, or all.

    Args:
        decoded_width: Of a picture as the stream wants it shown.
        index_width: Of a picture as it is shown.
        crop: Left, top, right, bottom, as the index has it.

    >>> container_left(176, 176, (16, 0, 0, 0)), container_left(192, 176, (16, 0, 0, 0))  # the stream; the container
    (0, 16)
    """
    left = decoded_width - crop[2] - index_width
    return left if 0 <= left <= crop[0] else crop[0]  # beyond these: a stream whose size changed
