"""Decoded frames kept on disk, by frame of a file and by look: has, put, get."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from lit_video.index import VideoIndex
from lit_video.store.environment import (
    MAP_BYTES,
    NO_MORE_IS_KEPT,
    Environment,
    StoreFullError,
    close_environment,
    open_environment,
)
from lit_video.store.keys import FRAME_BYTES, HEAD, NUMBERS, Keys
from lit_video.store.packing import QUALITY, Buffer, make_packing
from lit_video.store.prefetch import prefetch
from lit_video.support.errors import StoreError

PACKING_OF = {number: make_packing(name) for name, number in NUMBERS.items()}

# What LMDB takes beside the values: a few pages a transaction, and about this much for each key.
PAGES_OF_TREE, BYTES_OF_KEY = 16, 96


class StoreWarning(UserWarning):
    """A store that is out of use, or takes no more frames, or holds damaged ones."""


class FrameStore:
    """Frames of an index that were decoded once and are kept in a folder, for all runs that want them in this look.

    Everything is found by file and look: other frames of the folder are never in the way, and a file that changed is
    another. Raw and lossless frames are the very pixels, and one is served where the other was asked for; JPEG ones are
    only served to those who keep JPEG of the same quality.

    Any number of processes may use a folder at the same time. One that is killed leaves whole frames and no others.
    Nothing that a disk does raises an error: the store is out of use, wholly or for new frames, `problem` says why, and
    a warning says so once. Frames are checked against their checksum the first time that a process reads them.

    Picklable; opened late, in the process that uses it, and once for each folder.

    Args:
        folder: On a local disk; made where it is missing. It may hold other data sets and looks.
        index: The frames that there are.
        look: What determines their pixels beside file and size: the attribute `look` of a decoder.
        size: Of a frame, height and width.
        packing: How frames are kept: `raw`, `lossless` or `jpeg`.
        num_bytes: Of the folder's data file at most, all data sets and looks together; None: what the disk has.
        quality: Of JPEG, from 1 to 100.

    Attributes:
        index: The frames that there are.
        folder: Where it lies.
        packing: As `make_packing` made it; `put` takes what its `pack` gives.
        problem: Why the store, or only `put`, is out of use in this process, with what to do about it; or None.

    Raises:
        ValueError: An argument out of range.
    """

    def __init__(
        self,
        folder: str | Path,
        index: VideoIndex,
        look: str,
        size: tuple[int, int],
        packing: str = "lossless",
        num_bytes: int | None = None,
        quality: int = QUALITY,
    ) -> None:
        if num_bytes is not None and num_bytes < 1:
            raise ValueError(f"num_bytes must be at least 1, or None for what the disk has, got {num_bytes}")
        self._arguments = Path(folder), index.for_workers(), look, size, packing, num_bytes, quality
        self._folder, self._index, self._num_bytes = Path(folder), index, num_bytes
        self.index, self.folder = index, Path(folder)
        self.packing = make_packing(packing, quality)
        self._keys = Keys(index, look, size, self.packing)
        self._forget()

    def __reduce__(self) -> tuple:
        return FrameStore, self._arguments

    # What is there.

    def has(self, frame_ids: Int64[np.ndarray, " n"] | None = None) -> Bool[np.ndarray, " n"]:
        """Return for each of these frames whether it is there; None: for all frames of the index."""
        found = np.zeros(self._index.num_frames if frame_ids is None else len(frame_ids), bool)
        environment = self._here()
        if environment is None:
            return found
        try:
            with environment.transaction() as transaction:
                if frame_ids is None:
                    self._list(transaction, found)
                else:
                    found[:] = [transaction.get(key) is not None for key in self._keys.of(frame_ids)]
        except StoreError as error:
            self._give_up(error)
            return np.zeros_like(found)
        bad = np.array(sorted(self._bad), np.int64)
        found[bad if frame_ids is None else np.isin(frame_ids, bad)] = False
        return found

    def _list(self, transaction: Any, found: Bool[np.ndarray, " frames"]) -> None:
        """Mark the frames whose keys are there, video by video."""
        with transaction.cursor() as cursor:
            for video_id in range(self._index.num_videos):
                prefix, tails = self._keys.prefix(video_id), bytearray()
                if cursor.set_range(prefix):
                    for key in cursor.iternext(values=False):
                        if key[:-FRAME_BYTES] != prefix:
                            break
                        tails += key[-FRAME_BYTES:]
                found[int(self._index.offset[video_id]) + np.frombuffer(tails, ">u4").astype(np.int64)] = True

    @property
    def room(self) -> int:
        """Bytes that may still be added, as far as `num_bytes` says; 0 where nothing is taken any more."""
        environment = self._here()
        if environment is None or not self._takes:
            return 0
        return max(0, (MAP_BYTES if self._num_bytes is None else self._num_bytes) - environment.num_bytes)

    @property
    def num_bytes_used(self) -> int:
        """Of the folder's data file, all data sets and looks together."""
        environment = self._here()
        return 0 if environment is None else environment.num_bytes

    # Keeping and serving.

    def put(self, frame_ids: Sequence[int] | Int64[np.ndarray, " n"], packed: Sequence[Buffer]) -> int:
        """Keep frames, all of them in one transaction, and return how many of them are there now.

        Those that are there already stay as they are. What there is no room for is left out.

        Args:
            frame_ids: Of the frames.
            packed: Each as `self.packing.pack` gave it.
        """
        ids, environment = np.asarray(frame_ids, np.int64), self._here()
        if environment is None or not len(ids):
            return 0
        if not self._takes:
            return int(self.has(ids).sum())
        try:
            with environment.transaction(write=True) as transaction:
                there = self._put(transaction, ids, packed, self.room, environment.page_bytes)
        except StoreError as error:
            self._give_up(error)
            return 0
        self._bad.difference_update(there)
        if len(there) < len(ids):
            self._note(
                f"{self._folder}: the store's {self._num_bytes:,} bytes are used up; {NO_MORE_IS_KEPT}.\n"
                "Give it more: data.store_bytes"
            )
        return len(there)

    def _put(
        self, transaction: Any, frame_ids: Int64[np.ndarray, " n"], packed: Sequence[Buffer], room: int, page_bytes: int
    ) -> list[int]:
        """Write what is missing and has room, and return the frames that are there then."""
        there, number, room = list[int](), NUMBERS[self.packing.name], room - PAGES_OF_TREE * page_bytes
        for frame_id, key, one in zip(frame_ids.tolist(), self._keys.of(frame_ids), packed, strict=True):
            if frame_id not in self._bad and transaction.get(key) is not None:
                there.append(frame_id)
                continue
            # A value has pages of its own unless it is very small; what LMDB says before it takes 16 bytes.
            room -= (needed := -(-(len(one) + HEAD.size + 16) // page_bytes) * page_bytes + BYTES_OF_KEY)
            if room < 0:
                room += needed
                continue
            checksum = zlib.crc32(one, zlib.crc32(key))
            transaction.put(key, b"".join((HEAD.pack(number, checksum), one)))
            self._checked[frame_id >> 3] &= ~(1 << (frame_id & 7)) & 255
            there.append(frame_id)
        self._say_whose(transaction, there)
        return there

    def _say_whose(self, transaction: Any, frame_ids: Sequence[int]) -> None:
        """Keep in words what the digests in the keys stand for, once for each video."""
        video_ids = set(self._index.locate(np.array(frame_ids, np.int64))[0].tolist()) if frame_ids else set()
        for video_id in video_ids - self._said:
            for record in self._keys.records(video_id):
                transaction.put(record.key, record.value, overwrite=False)
        self._said |= video_ids

    def get(
        self, frame_ids: Sequence[int] | Int64[np.ndarray, " n"], out: UInt8[np.ndarray, "n channels height row"]
    ) -> Bool[np.ndarray, " n"]:
        """Write frames into `out`, and return which of them were there and whole.

        The others' rows may hold anything.
        """
        ids, environment = np.asarray(frame_ids, np.int64), self._here()
        served = np.zeros(len(ids), bool)
        if environment is None or not len(ids):
            return served
        try:
            with environment.transaction() as transaction:
                keys = self._keys.of(ids)
                values = [transaction.get(key) for key in keys]
                prefetch(value for value in values if value is not None)
                kinds = self._kinds(ids.tolist(), keys, values, environment.has_locks)
                self._unpack(ids, kinds, values, out, served)
        except StoreError as error:
            self._give_up(error)
            served[:] = False
        self._tell_bad()
        return served

    def _kinds(self, frame_ids: list[int], keys: list[bytes], values: list[Any], is_once_enough: bool) -> list[int]:
        """Return for each value how it is packed, or 0 where it is missing or not what was written."""
        kinds, checked, bad = [], self._checked, self._bad
        for frame_id, key, value in zip(frame_ids, keys, values, strict=True):
            if value is None or frame_id in bad:
                kinds.append(0)
            elif is_once_enough and checked[frame_id >> 3] >> (frame_id & 7) & 1:
                kinds.append(value[0])
            elif is_whole(key, value):
                checked[frame_id >> 3] |= 1 << (frame_id & 7)  # another thread's bit may get lost: it is checked again
                kinds.append(value[0])
            else:
                bad.add(frame_id)
                kinds.append(0)
        return kinds

    def _unpack(
        self,
        frame_ids: Int64[np.ndarray, " n"],
        kinds: list[int],
        values: list[Any],
        out: UInt8[np.ndarray, "n channels height row"],
        served: Bool[np.ndarray, " n"],
    ) -> None:
        """Unpack what is whole, neighbours that are packed alike as one block."""
        for kind, group in groupby(range(len(kinds)), kinds.__getitem__):
            if not kind:
                continue
            places = list(group)
            blocks = [places] if self._unpack_block(kind, places, values, out) else [[place] for place in places]
            for block in blocks:
                served[block[0] : block[-1] + 1] = len(blocks) == 1 or self._unpack_block(kind, block, values, out)
            self._bad.update(frame_ids[place] for place in places if not served[place])

    @staticmethod
    def _unpack_block(
        kind: int, places: list[int], values: list[Any], out: UInt8[np.ndarray, "n channels height row"]
    ) -> bool:
        """Tell whether frames could be unpacked: a whole value may be a frame of another make of lit_video."""
        try:
            PACKING_OF[kind].unpack([values[place][HEAD.size :] for place in places], out[places[0] : places[-1] + 1])
        except ValueError:
            return False
        return True

    def close(self) -> None:
        """Close the files, if nobody else in this process uses them. Opened again when asked for frames."""
        if self._environment is not None and self._process == os.getpid():
            close_environment(self._environment)
        self._environment = None

    def __del__(self) -> None:
        with suppress(Exception):  # of what is half made, or half gone with the interpreter
            self.close()

    # This process, and what is wrong in it.

    @property
    def problem(self) -> str | None:
        """Why the store, or only `put`, is out of use in this process; None: it is not."""
        return self._problem if self._process == os.getpid() else None

    @property
    def takes(self) -> bool:
        """Whether new frames are taken in this process, as far as is known."""
        return self._takes if self._process == os.getpid() else True

    @property
    def num_bad(self) -> int:
        """Frames that this process found damaged, and that were not put anew since."""
        return len(self._bad)

    def _forget(self) -> None:
        """Begin anew, as in a process that was forked."""
        self._process = os.getpid()
        self._environment: Environment | None = None
        self._problem: str | None = None
        self._serves = self._takes = True
        self._checked = bytearray(self._index.num_frames // 8 + 1)  # a bit for each frame whose checksum was right
        self._bad: set[int] = set()
        self._told_bad = False
        self._said: set[int] = set()

    def _here(self) -> Environment | None:
        """Return the open files of this process, or None where the store is out of use."""
        if self._process != os.getpid():
            self._forget()
        if self._environment is None and self._serves:
            try:
                self._environment = open_environment(self._folder)
            except StoreError as error:
                self._give_up(error, wholly=True)
                return None
            if self._environment.problem is not None:
                self._takes = False
                self._note(self._environment.problem)
        return self._environment if self._serves else None

    def _give_up(self, error: StoreError, wholly: bool | None = None) -> None:
        self._takes = False
        if wholly or not isinstance(error, StoreFullError):
            self._serves = False
            self.close()
        self._note(str(error))

    def _note(self, problem: str) -> None:
        """Keep the first problem, and warn of it."""
        if self._problem is None:
            self._problem = problem
            warnings.warn(problem, StoreWarning, stacklevel=3)

    def _tell_bad(self) -> None:
        if self._bad and not self._told_bad:
            self._told_bad = True
            warnings.warn(
                f"{self._folder}: {len(self._bad)} frames that were asked for are damaged in the store, and are decoded"
                " anew.\nCount and remove all that are: lit-video store verify FOLDER --mend",
                StoreWarning,
                stacklevel=3,
            )


def is_whole(key: Buffer, value: Buffer) -> bool:
    """Tell whether a value is what was written under this key, as its checksum says."""
    if len(value) <= HEAD.size:
        return False
    number, checksum = HEAD.unpack_from(value)
    return number in PACKING_OF and zlib.crc32(memoryview(value)[HEAD.size :], zlib.crc32(key)) == checksum
