"""What a store's folder holds, whoever put it there, and whether it is whole; no index is needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from lit_video.store.environment import DATA, FILES, Environment, close_environment, is_store, open_environment
from lit_video.store.frames import is_whole
from lit_video.store.keys import FILE_BYTES, KEY_BYTES, LOOK_BYTES, OF_FILE, OF_LOOK
from lit_video.store.prefetch import prefetch
from lit_video.support.errors import StoreError

TOGETHER = 64  # frames that are read and checked in one go


class Share(NamedTuple):
    """Frames of one look and of the videos of one folder.

    Attributes:
        look: What determines their pixels.
        size: Height and width.
        packing: `exact` for raw and lossless ones, which may lie side by side; or the JPEG's.
        folder: Of the videos.
        num_videos: Of which there are frames.
        num_frames: Of all of them.
        num_bytes: Of these frames, packed.
    """

    look: str
    size: tuple[int, int]
    packing: str
    folder: str
    num_videos: int
    num_frames: int
    num_bytes: int


@contextmanager
def opened(folder: Path) -> Iterator[Environment]:
    """Yield a store that is there.

    Raises:
        StoreError: There is none, or it cannot be used.
    """
    if not (is_store(folder) and (folder / DATA).exists()):
        raise StoreError(
            f"{folder}: no store here.\nFill one: lit-video store fill data.root=VIDEOS data.store={folder}"
        )
    environment = open_environment(folder)
    try:
        yield environment
    finally:
        close_environment(environment)


def shares(folder: Path) -> list[Share]:
    """Return what a store holds, by look and by folder of videos.

    Raises:
        StoreError: There is none, or it cannot be used.
    """
    frames, num_bytes, words = Counter[bytes](), Counter[bytes](), dict[bytes, bytes]()
    with opened(folder) as environment, environment.transaction() as transaction, transaction.cursor() as cursor:
        for key, value in cursor:
            if len(key) == KEY_BYTES:
                of = bytes(key[: LOOK_BYTES + FILE_BYTES])
                frames[of] += 1
                num_bytes[of] += len(value)
            else:
                words[bytes(key)] = bytes(value)
    videos, counted, weighed = Counter[tuple[bytes, str]](), Counter[tuple[bytes, str]](), Counter[tuple[bytes, str]]()
    for of in frames:
        path = words.get(OF_FILE + of[LOOK_BYTES:], b"").decode(errors="surrogateescape")
        its = of[:LOOK_BYTES], str(Path(path).parent)
        videos[its] += 1
        counted[its] += frames[of]
        weighed[its] += num_bytes[of]
    return [
        Share(*_in_words(words.get(OF_LOOK + its[0])), its[1], videos[its], counted[its], weighed[its])
        for its in sorted(counted)
    ]


def _in_words(look: bytes | None) -> tuple[str, tuple[int, int], str]:
    found = {"look": "unknown", "size": (0, 0), "packing": "unknown"} if look is None else json.loads(look)
    return found["look"], tuple(found["size"]), found["packing"]


def verify(folder: Path, mend: bool = False, tell: Callable[[int], None] = lambda num_entries: None) -> tuple[int, int]:
    """Read all frames back, and return how many there are and how many are not what was written.

    Args:
        folder: Of the store.
        mend: Delete those, so that they are decoded anew.
        tell: Called with the number of entries that were looked at since the last time.

    Raises:
        StoreError: There is no store, it cannot be used, or not be mended.
    """
    num_frames, bad = 0, list[bytes]()
    with opened(folder) as environment:
        with environment.transaction() as transaction, transaction.cursor() as cursor:
            entries = iter(cursor)
            while block := list(islice(entries, TOGETHER)):
                prefetch(value for _, value in block)
                framed = [(key, value) for key, value in block if len(key) == KEY_BYTES]
                num_frames += len(framed)
                bad += [bytes(key) for key, value in framed if not is_whole(key, value)]
                tell(len(block))
        if mend and bad:
            if environment.problem is not None:
                raise StoreError(environment.problem)
            with environment.transaction(write=True) as transaction:
                for key in bad:
                    transaction.delete(key)
    return num_frames, len(bad)


def drop(folder: Path) -> list[Path]:
    """Delete a store's own files, and its folder if nothing else is in it; return what was deleted.

    Raises:
        StoreError: There is no store, of no version, or it cannot be deleted.
    """
    if not is_store(folder):
        raise StoreError(f"{folder}: no store of lit_video's, so nothing is deleted.\nName the folder of one")
    gone = [path for name in FILES if (path := folder / name).exists()]
    try:
        for path in gone:
            path.unlink()
    except OSError as error:
        raise StoreError(
            f"{folder}: the store cannot be deleted ({(error.strerror or str(error)).lower()}).\n"
            f"See who may: ls -ld '{folder}'"
        ) from error
    with suppress(OSError):  # not empty
        folder.rmdir()
    return gone
