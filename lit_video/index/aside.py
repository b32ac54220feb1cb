"""What lies beside recordings and is none: what systems keep for themselves, and cameras' small copies.

Systems leave previews, deleted files and snapshots in folders of certain names, cameras small copies and thumbnails: in
such folders, or beside a recording under a name like its own.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache

from lit_video.index.endings import is_video

# Of Synology, QNAP, NetApp, Windows, Linux and macOS.
OF_SYSTEMS = frozenset([
    "@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin", "@synoeastream", "@synoresource",
    "@recycle", "@recently-snapshot", "@__thumb", "@transcode",
    "~snapshot", "$recycle.bin", "recycler", "system volume information",
    "lost+found", "network trash folder", "temporary items",
])  # fmt: skip
# Of Sony and Panasonic, by the folder around them; and of Sony's XDCAM, by the folder of recordings beside them.
OF_CAMERAS = frozenset({
    ("m4root", "sub"), ("m4root", "thmbnl"), ("xdroot", "sub"), ("xdroot", "thmbnl"), ("contents", "proxy"),
    ("contents", "icon"),
})  # fmt: skip
XDCAM, BESIDE = frozenset({"sub", "proxy"}), "clip"
PROXY = "proxy"  # of Blackmagic and Resolve, where all in it are copies of what is beside it

LRV, OF_WHICH = ".lrv", (".mp4", ".360", ".insv")  # GoPro's, and newer Insta360's
LOW, FULL = "LRV_", "VID_"  # how Insta360's names begin

NamesIn = Callable[[str], Collection[str]]  # of the files and folders in a folder


# Names in a folder.


def names_on_disk(folder: str) -> Collection[str]:
    """Return the names in a folder; none where it cannot be read, as will be told elsewhere."""
    with suppress(OSError):
        return os.listdir(folder)
    return ()


def names_among(files: Iterable[str]) -> NamesIn:
    """Return what tells the names in a folder by the paths of all files that there are."""

    @cache
    def tree() -> dict[str, set[str]]:
        names: defaultdict[str, set[str]] = defaultdict(set)
        for file in files:
            folder, _, name = file.rpartition("/")
            while name not in names[folder]:
                names[folder].add(name)
                folder, _, name = folder.rpartition("/")
        return names

    return lambda folder: tree().get(folder, ())


# Folders.


def is_side_folder(around: str, name: str, names_in: NamesIn) -> bool:
    """Tell whether the folder of this name in another one is no place for recordings."""
    low = name.lower()
    if low in OF_SYSTEMS or (around.rpartition("/")[2].lower(), low) in OF_CAMERAS:
        return True
    if low not in XDCAM:
        return False
    beside = names_in(around)
    return BESIDE in map(str.lower, beside) or (low == PROXY and _are_copies(names_in(f"{around}/{name}"), beside))


def _are_copies(names: Iterable[str], of: Iterable[str]) -> bool:
    copies, originals = _stems(names), _stems(of)
    return bool(copies) and copies <= originals


def _stems(names: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[0].lower() for name in names if is_video(name)}


def side_folder_around(folder: str, named: Collection[str], names_in: NamesIn) -> str:
    """Return the path of the side folder, or hidden one, that a folder is or is in, or nothing.

    Args:
        folder: Its path.
        named: The parts of the path or pattern that the user gave: what they name is no side folder.
        names_in: What else there is.
    """
    parts = folder.split("/")
    for place, name in enumerate(parts):
        around = "/".join(parts[:place])
        if name not in named and (is_hidden(name, named) or (place and is_side_folder(around, name, names_in))):
            return f"{around}/{name}"
    return ""


# Files.


def is_hidden(name: str, named: Collection[str] = ()) -> bool:
    """Tell whether a name begins with a dot, and nobody named it, nor gave a pattern with a dot for it."""
    if not name.startswith("."):
        return False
    return not any(pattern.startswith(".") and fnmatchcase(name, pattern) for pattern in named)


def num_hidden(names: Iterable[str]) -> int:
    """Return how many of the names are hidden, without `._clip.mov`, which macOS leaves beside clips on many disks."""
    return sum(is_hidden(name) and not name.startswith("._") for name in names)


def previews_among(names: Collection[str]) -> set[str]:
    """Return which of the names in a folder are those of small copies of recordings beside them.

    >>> sorted(previews_among(["GX01.MP4", "GL01.LRV", "VID_1_00_7.insv", "LRV_1_11_7.insv", "LRV_2_11_8.insv"]))
    ['GL01.LRV', 'LRV_1_11_7.insv']
    """
    found = {name for name in names if name.lower().endswith(LRV)}
    if found and not any(name.lower().endswith(OF_WHICH) for name in names):
        found = set()
    if low := [name for name in names if name[:4].upper() == LOW]:
        shots = {_shot(name) for name in names if name[:4].upper() == FULL and is_video(name)}
        found.update(name for name in low if _shot(name) in shots)
    return found


def _shot(name: str) -> tuple[str, ...]:
    """Return what Insta360 numbers recordings by: time and number, without the lens, of which a preview has another."""
    *time, _, number = ["", *name.rpartition(".")[0].upper().split("_")[1:]]
    return *time, number
