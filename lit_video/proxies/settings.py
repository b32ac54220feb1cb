"""How proxies are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lit_video.decoders.geometry import FITS
from lit_video.decoders.scaler import UNTAGGED
from lit_video.decoders.sdr import HDR
from lit_video.support.errors import check_choice

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
BEST, WORST = 0, 51  # of H.264 in 8 bits


@dataclass(frozen=True)
class Settings:
    """How proxies are made.

    Args:
        size: The short side, in pixels, or `[height, width]`.
        crf: Quality, as x264 takes it: lower is better and larger.
        gop: Frames from one keyframe to the next; 1: each frame decodes alone.
        preset: Of x264: slower is smaller.
        fit: Of a `size` of two sides: `crop` or `squash`, as a decoder takes it.
        untagged: The colour matrix of videos that do not say, likewise.
        hdr: Likewise; `as_stored` keeps the transfer, in 8 bits.

    Raises:
        ValueError: One out of range.
    """

    size: int | Sequence[int] = 256
    crf: int = 23
    gop: int = 1
    preset: str = "medium"
    fit: str = "crop"
    untagged: str = "bt601"
    hdr: str = "as_stored"

    def __post_init__(self) -> None:
        sides = [self.size] if isinstance(self.size, int) else list(self.size)
        if len(sides) > 2 or not sides or any(side < 16 or side % 2 for side in sides):
            raise ValueError(f"size must be one or two even numbers of pixels from 16 on, got {self.size!r}")
        if not BEST <= self.crf <= WORST:
            raise ValueError(f"crf must be from {BEST} to {WORST}, got {self.crf}")
        if self.gop < 1:
            raise ValueError(f"gop must be at least 1, got {self.gop}")
        for name, allowed in (("preset", PRESETS), ("fit", FITS), ("untagged", UNTAGGED), ("hdr", HDR)):
            check_choice(name, getattr(self, name), allowed)

    def told(self) -> dict[str, Any]:
        """Return them by name, as they are kept and typed."""
        size = str(self.size) if isinstance(self.size, int) else "x".join(map(str, self.size))
        return asdict(self) | {"size": size}

    def size_of(self, height: int, width: int, rotation: int) -> tuple[int, int]:
        """Return height and width of the proxy of a video, upright: even, and no larger than the video itself.

        Args:
            height: As stored.
            width: As stored.
            rotation: Degrees that turn it upright.

        >>> Settings(256).size_of(1080, 1920, 90), Settings([128, 160]).size_of(1080, 1920, 0)
        ((456, 256), (128, 160))
        """
        if not isinstance(self.size, int):
            height, width = self.size
            return height, width
        if rotation % 180:
            height, width = width, height
        scale = min(1.0, self.size / min(height, width))
        return _even(height * scale), _even(width * scale)


def _even(side: float) -> int:
    return max(2, 2 * round(side / 2))
