"""Where frames may lie, and how a worker moves them: decoded into slots, packed into pages and the store, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from lit_video.decoders.base import Decoder, Frames
from lit_video.decoders.form import Form
from lit_video.index.far_videos import REMOTE_BYTES
from lit_video.loading.pages import read_pages, write_pages
from lit_video.media.ranges import NOTHING, Fetched
from lit_video.planning.reads import Fetch, GopRead
from lit_video.store.collected import Collected
from lit_video.store.frames import FrameStore
from lit_video.store.keeper import Keeper
from lit_video.store.packing import Packing
from lit_video.support.errors import DecodeError
from lit_video.support.scratch import Scratch


class Source(NamedTuple):
    """Where a packed frame lies in memory."""

    pages: Sequence[int]
    num_bytes: int


class Job(NamedTuple):
    """A read, the slots for its wanted frames in the order of `read.frame_indices`, and pages for `read.packed`."""

    number: int
    read: GopRead
    slots: Sequence[int]
    pages: Sequence[Sequence[int]] = ()


class FetchJob(NamedTuple):
    """A fetch, slots for its positions, and where each frame lies; None: in the store, if anywhere."""

    number: int
    fetch: Fetch
    slots: Sequence[int]
    sources: Sequence[Source | None]


class Done(NamedTuple):
    """A job that ended; the slots are written unless there was an error.

    Attributes:
        number: Of the job.
        error: What went wrong, if anything did.
        num_bytes: Of each frame of `read.packed`; less than 0 where it has no room, -1 where there is none.
        absent: Places in a fetch that could not be served.
        fetched: What was asked of stores far away since the job before.
    """

    number: int
    error: BaseException | None
    num_bytes: Sequence[int] = ()
    absent: Sequence[int] = ()
    fetched: Fetched = NOTHING


@dataclass(frozen=True)
class Tiers:
    """What workers write frames into and read them from. Picklable, as far as its tensors are shared.

    Attributes:
        slots: uint8 [F, channels, height, bytes of a row].
        pages: uint8 [pages, bytes] for packed frames that wait; None: there are none.
        packing: Of what is in pages.
        store: On disk; None: there is none.
        on_device: The slots are of a GPU: frames that are kept cross the bus, and so do those that are fetched.
        form: What decoders write into a slot; None: uint8 of three channels.
        remote_bytes: Memory of each process for bytes of files far away.
    """

    slots: UInt8[Tensor, "slots channels height row"]
    pages: UInt8[Tensor, "pages bytes"] | None = None
    packing: Packing | None = None
    store: FrameStore | None = None
    on_device: bool = False
    form: Form | None = None
    remote_bytes: int = REMOTE_BYTES

    def slot(self, number: int) -> Tensor:
        """Return a slot for a decoder to write a frame into."""
        return self.slots[number] if self.form is None else self.form.of_bytes(self.slots[number])

    def do(self, job: Job | FetchJob, decoder: Decoder) -> Done:
        """Do a job, and say what came of it."""
        try:
            if isinstance(job, FetchJob):
                return Done(job.number, None, absent=self._fetch(job))
            if not (job.read.packed or job.read.stored):
                decoder.decode(job.read, [self.slot(number) for number in job.slots])
                return Done(job.number, None)
            return _Keeping(self, job).decode(decoder)
        except BaseException as error:  # whatever it is, the consumer raises it; swallowed here, it would wait for ever
            return Done(job.number, error)

    def _fetch(self, job: FetchJob) -> list[int]:
        """Unpack frames into slots, and return the places of those that are not there."""
        slots = job.slots
        lie_together = not self.on_device and slots[-1] - slots[0] == len(slots) - 1  # ascending, then
        shape = (len(slots), *self.slots.shape[1:])
        out = self.slots[slots[0] : slots[-1] + 1].numpy() if lie_together else _SCRATCH.memory(*shape)
        absent = self._unpack(job, out)
        if self.on_device:
            self.slots[torch.tensor(slots)] = torch.from_numpy(out).to(self.slots.device)
            _wait_for(self.slots.device)  # the batch is made on another stream
        elif not lie_together:
            for slot, frame in zip(slots, out, strict=True):
                np.copyto(self.slots[slot].numpy(), frame)
        return absent

    def _unpack(self, job: FetchJob, out: UInt8[np.ndarray, "n channels height row"]) -> list[int]:
        """Unpack frames from memory and from the store, and return the places of those that are in neither."""
        waiting = [place for place, source in enumerate(job.sources) if source is not None]
        if waiting:
            assert self.pages is not None
            assert self.packing is not None
            memory = self.pages.numpy()
            packed = [read_pages(memory, *source) for source in job.sources if source is not None]
            with _rows(out, waiting) as block:
                self.packing.unpack(packed, block)
        others = [place for place, source in enumerate(job.sources) if source is None]
        if not others or self.store is None:
            return others
        with _rows(out, others) as block:
            served = self.store.get([job.fetch.frame_ids[place] for place in others], block)
        return [place for place, found in zip(others, served, strict=True) if not found]


@contextmanager
def _rows(
    out: UInt8[np.ndarray, "n channels height row"], places: Sequence[int]
) -> Iterator[UInt8[np.ndarray, "m channels height row"]]:
    """Give memory for some rows of `out`, written there in the end; for all of them, `out` itself."""
    if len(places) == len(out):
        yield out
        return
    block = np.empty((len(places), *out.shape[1:]), np.uint8)
    yield block
    out[places] = block


class _Keeping:
    """One read, of which frames are kept for later. They are packed one by one, while the decoder goes on.

    Args:
        tiers: Where.
        job: The read.
    """

    def __init__(self, tiers: Tiers, job: Job) -> None:
        self._tiers, self._job, self._read = tiers, job, job.read
        self._frames = sorted({*job.read.frame_indices, *job.read.packed, *job.read.stored})
        self._stored, self._packed = set(job.read.stored), {frame: n for n, frame in enumerate(job.read.packed)}
        self._num_bytes = [-1] * len(job.read.packed)
        self._slot_of = dict(zip(job.read.frame_indices, job.slots, strict=True))
        self._collected = Collected(tiers.store) if tiers.store is not None and tiers.store.takes else None
        self._origin = 0 if tiers.store is None else int(tiers.store.index.offset[job.read.video_id])

    def decode(self, decoder: Decoder) -> Done:
        """Decode the read, and say how many bytes what is kept in memory takes."""
        positions = ((self._read.first_position,),) * len(self._frames)
        everything = GopRead(self._read.video_id, self._read.start, tuple(self._frames), positions)
        decode = self._decode_on_device if self._tiers.on_device else self._decode
        error = decode(decoder, everything)
        if self._collected is not None:
            self._collected.put()
        return Done(self._job.number, self._of_wanted(error), self._num_bytes)

    def _decode(self, decoder: Decoder, read: GopRead) -> DecodeError | None:
        """Decode into slots, and what has none into the memory of one frame."""
        slots, place = self._tiers.slots, {frame: number for number, frame in enumerate(self._frames)}
        out = {place[frame]: self._tiers.slot(slot) for frame, slot in self._slot_of.items()}
        memory = torch.empty_like(self._tiers.slot(0))
        keeper = Keeper(out, memory, len(place), lambda number, frame: self._keep(self._frames[number], frame))
        error = _failed(decoder, read, keeper)
        keeper.finish()
        missing = set() if error is None else set(error.missing)
        self._forget(missing)
        for frame, slot in self._slot_of.items():
            if frame not in missing:
                self._keep(frame, slots[slot].numpy())
        return error

    def _decode_on_device(self, decoder: Decoder, read: GopRead) -> DecodeError | None:
        """Decode all into memory of the device, which writes several at a time, and copy it from there once."""
        slots, wanted = self._tiers.slots, torch.tensor([frame in self._slot_of for frame in self._frames])
        block = torch.empty((len(self._frames), *slots.shape[1:]), dtype=torch.uint8, device=slots.device)
        error = _failed(decoder, read, list(block))
        numbers = [self._slot_of[frame] for frame in self._frames if frame in self._slot_of]
        slots[torch.tensor(numbers, dtype=torch.int64)] = block[wanted]
        host = block.cpu().numpy()  # which waits for the copy before it, too
        missing = set() if error is None else set(error.missing)
        for frame, image in zip(self._frames, host, strict=True):
            if frame not in missing:
                self._keep(frame, image)
        return error

    def _of_wanted(self, error: DecodeError | None) -> DecodeError | None:
        """Return what is wrong with frames that somebody waits for: of others nothing is said before they are due."""
        missing = [] if error is None else [frame for frame in self._read.frame_indices if frame in error.missing]
        return None if error is None or not missing else error.of(missing)

    def _keep(self, frame_index: int, frame: UInt8[np.ndarray, "channels height row"]) -> None:
        tiers, number = self._tiers, self._packed.get(frame_index)
        if number is not None:
            assert tiers.packing is not None
            assert tiers.pages is not None
            packed = tiers.packing.pack(frame)
            is_written = write_pages(tiers.pages.numpy(), self._job.pages[number], packed)
            self._num_bytes[number] = len(packed) if is_written else -len(packed)
        if frame_index in self._stored and self._collected is not None:
            self._collected.add(self._origin + frame_index, frame)

    def _forget(self, frames: set[int]) -> None:
        """Keep nothing of frames that did not come, even if the decoder took memory for them."""
        if self._collected is not None:
            self._collected.forget({self._origin + frame for frame in frames})
        for frame in frames & self._packed.keys():
            self._num_bytes[self._packed[frame]] = -1


def _wait_for(device: torch.device) -> None:
    """Wait until all is done that this thread gave a GPU to do."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def _failed(decoder: Decoder, read: GopRead, out: Frames) -> DecodeError | None:
    """Decode, and return the error that tells of frames which cannot be had, if any."""
    try:
        decoder.decode(read, out)
    except DecodeError as error:
        return error
    return None


_SCRATCH = Scratch()
