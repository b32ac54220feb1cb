"""What a data set and a rate ask of machines: cores, NVDEC engines, memory, disk, network and requests.

Arithmetic on a few constants, which `lit-video doctor --costs FILE` measures on a machine. The law of the look-ahead is
F48 of docs/bias.md.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from lit_video.bias import planner_lookahead, planner_sliding
from lit_video.support.errors import DataError

PIXELS = 1920 * 1080  # of the frames that the constants are of
MANY_GOPS = 10**6  # of more, the law is asked with as many and a look-ahead in proportion
DAY = 86_400.0


@dataclass(frozen=True)
class Constants:
    """Seconds of one core, and bytes. The defaults are round: measured where others worked too, or guessed.

    Attributes:
        decode_seconds: To decode a frame of 1080p in order, H.264; others in proportion to their pixels.
        deliver_seconds: To scale a 1080p frame and write it into its slot; likewise.
        seek_seconds: To seek and start a decoder.
        proxy_seconds: To decode and scale one random frame of an all-intra proxy with a short side of 256.
        encode_seconds: To encode one frame of such a proxy.
        proxy_bytes: Of one frame of it.
        fetch_seconds: To read and unpack a stored frame of 224×224, lossless.
        pack_seconds: To pack one and write it.
        store_bytes: Of one.
        index_seconds: To index a short file.
        nvdec_frames_per_s: Of an NVDEC engine at 1080p, H.264: by NVIDIA's tables, and not measured.
        where: What they were measured on.
    """

    decode_seconds: float = 4.4e-3
    deliver_seconds: float = 0.8e-3
    seek_seconds: float = 5e-3
    proxy_seconds: float = 0.43e-3
    encode_seconds: float = 2e-3
    proxy_bytes: float = 6e3
    fetch_seconds: float = 0.3e-3
    pack_seconds: float = 0.7e-3
    store_bytes: float = 80e3
    index_seconds: float = 2.5e-3
    nvdec_frames_per_s: float = 900.0
    where: str = "two cores of a virtual machine"

    @staticmethod
    def read(path: Path | str) -> Constants:
        """Return what `lit-video doctor --costs FILE` wrote.

        Raises:
            DataError: The file is not there, or not of that kind.
        """
        try:
            found = json.loads(Path(path).expanduser().read_text())
            known = {column.name for column in fields(Constants)}
            return Constants(**{name: value for name, value in found.items() if name in known})
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path}: no constants ({error}).\nMeasure them: lit-video doctor --costs {path}"
            ) from error

    def write(self, path: Path) -> None:
        """Write them for `read`."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True)
class Wanted:
    """A data set, and what is asked of it.

    Args:
        files: Videos.
        frames: Of all of them.
        height: Of a picture, in pixels.
        width: Likewise.
        gop: Frames from one keyframe to the next.
        frame_bytes: Of a compressed frame, on average.
        images_per_s: That are asked for, of all ranks together.
        epochs: Of training.
        size: Of an image's side, in pixels.
        ranks: That share the order.
        lookahead_bytes: Memory for frames that wait, of each rank.
        price: Of a million requests.

    Raises:
        ValueError: One out of range.
    """

    files: int
    frames: int
    height: int = 1080
    width: int = 1920
    gop: int = 30
    frame_bytes: float = 25e3
    images_per_s: float = 1000.0
    epochs: float = 1.0
    size: int = 224
    ranks: int = 1
    lookahead_bytes: int = 2**30
    price: float = 0.4

    def __post_init__(self) -> None:
        for column in fields(self):
            if (value := getattr(self, column.name)) <= 0 and column.name != "price":
                raise ValueError(f"{column.name} must be more than 0, got {value}")
        if self.frames < self.files:
            raise ValueError(f"frames must be those of all files, at least {self.files}, got {self.frames}")

    @property
    def seconds(self) -> float:
        """Of training, at the rate asked for."""
        return self.frames * self.epochs / self.images_per_s


@dataclass(frozen=True)
class Way:
    """One way to do it, and what it takes.

    Attributes:
        name: Of it.
        options: To type.
        cores: Busy while training, of all machines together.
        engines: NVDEC engines instead, where they can be.
        memory_bytes: For frames that wait, of all ranks.
        disk_bytes: Beside the originals.
        network_bytes_per_s: From where the files are, if that is elsewhere.
        requests_per_s: Likewise, one for each read.
        price: Of the requests of all epochs.
        once_core_hours: Before the first epoch, or in it.
        decoded: Frames decoded for each image.
    """

    name: str
    options: str
    cores: float
    engines: float | None
    memory_bytes: float
    disk_bytes: float
    network_bytes_per_s: float
    requests_per_s: float
    price: float
    once_core_hours: float
    decoded: float
    notes: list[str] = field(default_factory=list)


def ways(wanted: Wanted, constants: Constants) -> list[Way]:
    """Return the ways there are, in exactly uniform order but for the second."""
    return [
        _of_originals(wanted, constants),
        _in_chunks(wanted, constants),
        _by_proxies(wanted, constants),
        _by_store(wanted, constants),
    ]


def amplification(wanted: Wanted) -> tuple[float, float]:
    """Return frames decoded and reads, each for one image, of exactly uniform order with the memory there is (F48).

    Ranks share decoding by GOP, so together they hold what all their memory holds.
    """
    num_gops = max(1, math.ceil(wanted.frames / wanted.gop))
    held = wanted.ranks * wanted.lookahead_bytes // (3 * wanted.size**2)
    lookahead = planner_lookahead(int(held), num_gops)
    if lookahead >= wanted.frames:
        return 1.0, 1.0 / wanted.gop
    scale = max(1.0, num_gops / MANY_GOPS)
    cost = planner_sliding([wanted.gop] * math.ceil(num_gops / scale), max(1, round(lookahead / scale)))
    return cost.decoded, cost.opens


def _of_originals(wanted: Wanted, c: Constants) -> Way:
    decoded, opens = amplification(wanted)
    return _reading(wanted, c, "originals, uniform", "sampler=uniform", decoded, opens)


def _in_chunks(wanted: Wanted, c: Constants) -> Way:
    return _reading(wanted, c, "originals, chunks", "sampler=chunked", 1.0, 1.0 / wanted.gop)


def _reading(wanted: Wanted, c: Constants, name: str, options: str, decoded: float, opens: float) -> Way:
    share = wanted.height * wanted.width / PIXELS
    seconds = share * (c.decode_seconds * decoded + c.deliver_seconds) + c.seek_seconds * opens
    return Way(
        name,
        f"{options} data.lookahead_bytes={wanted.lookahead_bytes}",
        cores=wanted.images_per_s * seconds,
        engines=wanted.images_per_s * decoded * share / c.nvdec_frames_per_s,
        memory_bytes=wanted.ranks * wanted.lookahead_bytes,
        disk_bytes=0,
        network_bytes_per_s=wanted.images_per_s * opens * wanted.gop * wanted.frame_bytes,
        requests_per_s=wanted.images_per_s * opens,
        price=wanted.frames * wanted.epochs * opens * wanted.price / 1e6,
        once_core_hours=wanted.files * c.index_seconds / 3600,
        decoded=decoded,
    )


def _by_proxies(wanted: Wanted, c: Constants) -> Way:
    share = wanted.height * wanted.width / PIXELS
    once = wanted.frames * (share * (c.decode_seconds + c.deliver_seconds) + c.encode_seconds)
    return Way(
        "proxies, uniform",
        "lit-video proxy ROOT PROXIES, then data.proxy=PROXIES",
        cores=wanted.images_per_s * c.proxy_seconds,
        engines=None,
        memory_bytes=wanted.ranks * wanted.lookahead_bytes,
        disk_bytes=wanted.frames * c.proxy_bytes,
        network_bytes_per_s=wanted.images_per_s * c.proxy_bytes,
        requests_per_s=wanted.images_per_s,
        price=wanted.frames * wanted.epochs * wanted.price / 1e6,
        once_core_hours=(once + 2 * wanted.files * c.index_seconds) / 3600,
        decoded=1.0,
    )


def _by_store(wanted: Wanted, c: Constants) -> Way:
    share, side = wanted.height * wanted.width / PIXELS, (wanted.size / 224) ** 2
    once = share * (c.decode_seconds + c.deliver_seconds) + side * c.pack_seconds
    return Way(
        "store, uniform",
        "data.store=FOLDER, filled before by lit-video store fill, or by the first epoch",
        cores=wanted.images_per_s * side * c.fetch_seconds,
        engines=None,
        memory_bytes=wanted.ranks * wanted.lookahead_bytes,
        disk_bytes=wanted.frames * side * c.store_bytes,
        network_bytes_per_s=0,
        requests_per_s=0,
        price=wanted.frames / wanted.gop * wanted.price / 1e6,
        once_core_hours=(wanted.frames * once + wanted.files * c.index_seconds) / 3600,
        decoded=0.0,
    )
