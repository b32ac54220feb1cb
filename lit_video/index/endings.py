"""Which names end like those of videos."""

from __future__ import annotations

# A folder is searched for these endings only; a file or a glob that is named is taken whatever its ending.
SUFFIXES = frozenset([
    ".264", ".265", ".266", ".360", ".3g2", ".3gp", ".amv", ".apng", ".apv", ".asf", ".avi", ".cine", ".cmfv", ".dav",
    ".divx", ".dv", ".f4p", ".f4v", ".flv", ".gif", ".h261", ".h263", ".h264", ".h265", ".h266", ".hevc", ".insv",
    ".ivf", ".lrv", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4p", ".m4s", ".m4v", ".mj2", ".mjpeg", ".mjpg",
    ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpeg4", ".mpg", ".mpv", ".mpv4", ".mts",
    ".mxf", ".nut", ".obu", ".ogg", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".roq", ".swf", ".tod", ".tp", ".trp",
    ".ts", ".vob", ".vro", ".vvc", ".webm", ".wm", ".wmv", ".xvid", ".y4m",
])  # fmt: skip


def is_video(name: str) -> bool:
    """Tell whether a name ends like a video's."""
    return ending(name) in SUFFIXES


def ending(name: str) -> str:
    """Return the ending of a name, in lower case with its dot, as `os.path.splitext`, which takes its time."""
    stem, _, last = name.rpartition(".")
    return f".{last.lower()}" if stem.strip(".") else ""
