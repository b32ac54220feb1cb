"""VideoLoader: one rank's epochs as batches, and where in them one is."""

from __future__ import annotations

import multiprocessing
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from lit_video.decoders.base import Decoder, check_codecs
from lit_video.decoders.form import with_form
from lit_video.decoders.geometry import parse_size
from lit_video.decoders.limits import one_of
from lit_video.index import Samples, VideoIndex, as_population
from lit_video.index.far_videos import REMOTE_BYTES
from lit_video.loading.arguments import check_arguments, warn_of_lost_bits, warn_of_short_sight
from lit_video.loading.assembly import Assembly
from lit_video.loading.counters import Counts
from lit_video.loading.epoch import PATIENCE_SECONDS, Batch, Delivery, EpochRun
from lit_video.loading.faults import Fault, Faults
from lit_video.loading.gather import choose_gather
from lit_video.loading.iterator import BatchIterator
from lit_video.loading.memory import Memory
from lit_video.loading.packed import PackedFrames
from lit_video.loading.pages import Pages
from lit_video.loading.processes import Processes, ProcessWorkers
from lit_video.loading.resume import Place, check_place, order_digest
from lit_video.loading.slots import SlotPool
from lit_video.loading.tiers import Tiers
from lit_video.loading.workers import ThreadWorkers, Workers
from lit_video.planning.budget import Budget
from lit_video.planning.planner import Plan, plan
from lit_video.planning.sharding import RankOrder
from lit_video.samplers.base import Sampler
from lit_video.support.machine import num_cores

MakeDecoder = Callable[[VideoIndex, tuple[int, int]], Decoder]


class VideoLoader:
    """The batches of one epoch after another, for one rank. Not a `DataLoader`, which Lightning would take apart.

    A batch is a dict: `image` uint8 [B, 3, H, W] on the decoder's device (of other types and channels where `dtype` and
    `channels` say so); `video_id`, `frame_index` and `position` int64 [B]; `pts_seconds` float64 [B]; `weight` float32
    [B]; and `label` int64 [B] where the data set has labels.
    `position` is the place in the epoch's order, the same for every number of ranks, workers and threads.

    Where samples are clips of T frames, `image` is [B, T, 3, H, W], `frame_index` and `pts_seconds` are [B, T], and
    `is_pad` bool [B, T] says which frames stand for what lies beyond the end of a clip's stretch.

    Args:
        index: The videos, or the samples of them that exist for this run.
        sampler: Says which sample comes at which position.
        decoder: Factory `(index, size) -> Decoder`.
        size: Of the frames, `[height, width]` in pixels; an int is a square.
        batch_size: Of this rank.
        threads: That decode, in each process that does; `auto`: as the decoder likes it, or one for each core.
        num_workers: Processes that decode; 0: this one. They see the frames' memory and not the frames.
        start_method: How these start: `fork`, `forkserver` or `spawn`; by default as the decoder must, or as is usual
            on this system.
        lookahead_bytes: Memory for decoded frames that wait.
        lookahead: Positions that a read looks ahead; by default as far as the memory lasts. It goes on into the next
            epoch.
        keep: How frames wait there: `raw`, in slots; `lossless`, packed; `jpeg`, packed, and no longer the very pixels;
            `auto`: lossless where by measure it pays, else raw.
        jpeg_quality: Of JPEG, from 1 to 100.
        store: A folder where decoded frames are kept, in this epoch and for all others; `auto`: one in the user's
            cache; None: none are.
        store_bytes: Of the store at most; None: what the disk has.
        store_packing: As `keep`, of what is in the store; a store of JPEG is one of its own.
        remote_bytes: Memory for compressed bytes of files far away, asked for before they are needed.
        last_epoch: Number of the last epoch that will come, into which the look-ahead goes on; None: not known.
        drop_last: Leave out the last batch where it is short.
        pad_last: Deliver the last batch whatever is left of it, with `weight` 0 where a rank is given a sample again
            to have as many as the others: for evaluation, where each sample is to count once.
        seed: The run's seed, which the sampler was made with.
        rank: This one, from 0.
        world_size: Number of ranks.
        local_world_size: Those on this machine, who share its cores; None: what the launcher says.
        shard: How positions are dealt to ranks: `gop` or `slot`.
        machines: The machine that each rank is on, from 0, the same on all ranks. Where they are several and a store is
            used, which is each machine's own, a GOP stays with its machine in all epochs; None: one machine.
        on_error: What to do about a frame that cannot be decoded: `raise`; `skip`, and the batch is smaller; or
            `redraw`, and another frame, always the same for this one, comes in its place.
        dtype: Of samples. `uint16`: those of a video with b bits are 0 to 2^b - 1, not scaled, and grey ones the very
            numbers that are in the file.
        channels: 3, or 1 for grey; of colour videos that is luma, with `uint16` as it is in the file.
        device: Where the model is; batches are there. By default where the decoder leaves the frames.

    Attributes:
        counts: What was done so far.
        ledger: Frames that were not delivered so far, and why.

    Raises:
        ValueError: An argument out of range.
        DataError: The decoder says that it does not read some of the videos' codecs.
    """

    batch_sampler = None  # Lightning asks whoever has a sampler for this one too, before it validates

    def __init__(
        self,
        index: Samples,
        sampler: Sampler,
        decoder: MakeDecoder,
        size: int | Sequence[int] = 224,
        batch_size: int = 128,
        threads: int | str = "auto",
        num_workers: int = 0,
        start_method: str | None = None,
        lookahead_bytes: int = 2**30,
        lookahead: int | None = None,
        keep: str = "raw",
        jpeg_quality: int = 95,
        store: str | Path | None = None,
        store_bytes: int | None = None,
        store_packing: str = "lossless",
        remote_bytes: int = REMOTE_BYTES,
        last_epoch: int | None = None,
        drop_last: bool = False,
        pad_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        local_world_size: int | None = None,
        shard: str = "gop",
        machines: Sequence[int] | None = None,
        on_error: str = "raise",
        dtype: str = "uint8",
        channels: int = 3,
        device: torch.device | str | None = None,
    ) -> None:
        self.population, self.sampler, self.seed = as_population(index), sampler, seed
        self.index = self.population.index
        check_arguments(
            size,
            batch_size,
            threads,
            num_workers,
            start_method,
            lookahead_bytes,
            lookahead,
            drop_last,
            shard,
            on_error,
            seed,
            self.population.frames_per_sample,
            keep,
            jpeg_quality,
            store,
            store_bytes,
            store_packing,
            remote_bytes,
            dtype,
            channels,
        )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in [0, {world_size}), got {rank}")
        self.batch_size, self.drop_last, self.shard = batch_size, drop_last, shard
        self.pad_last = pad_last
        self.rank, self.world_size = rank, world_size
        if machines is not None and len(machines) != world_size:
            raise ValueError(f"machines must be one of each of {world_size} ranks, got {len(machines)}")
        stay = machines is not None and store is not None and len(set(machines)) > 1
        self._machines = tuple(machines) if stay and machines is not None else None
        self.size = parse_size(size)
        self.counts = Counts()
        self.ledger: list[Fault] = []
        self.on_error = on_error
        self.num_workers = num_workers
        self._threads, self._start_method = threads, start_method
        self._local_world_size = local_world_size
        decoder = with_form(decoder, dtype, channels)
        self._make_decoder, self._device = decoder, None if device is None else torch.device(device)
        self._lookahead_bytes, self._lookahead, self._last_epoch = lookahead_bytes, lookahead, last_epoch
        self._keep, self._jpeg_quality = keep, jpeg_quality
        self._remote_bytes = remote_bytes
        self._store_arguments = store, store_bytes, store_packing
        self._decoders: list[Decoder] = []
        self._processes: Processes | None = None
        self._pool: SlotPool | None = None
        self._pages: Pages | None = None
        self._plan: Plan | None = None
        self._known_epoch = 0  # the last one of which the plan knows the order
        self._run: EpochRun | None = None
        self._place = Place(0, 0)
        self._under_way = False  # a batch was handed out since the place was set
        check_codecs(decoder, self.population)
        if rank == 0 and dtype == "uint8":
            warn_of_lost_bits(self.index)

    @cached_property
    def memory(self) -> Memory:
        """How frames are kept, and how the memory is divided. Found out by decoding some, where that tells.

        Raises:
            ValueError: It does not hold what must be there at a time.
            DataError: The decoder does not say what its frames look like, so they cannot be kept.
        """
        folder, store_bytes, store_packing = self._store_arguments
        return Memory(
            self.population,
            self._decoder(0),
            self.size,
            batch_size=self.batch_size,
            num_positions=len(self._order(Place(0, 0))),
            num_epochs=2 if self._goes_on(0) else 1,
            memory_bytes=self._lookahead_bytes,
            lookahead=self._lookahead,
            keep=self._keep,
            jpeg_quality=self._jpeg_quality,
            store=folder,
            store_bytes=store_bytes,
            store_packing=store_packing,
            tells=self.rank == 0,
        )

    @cached_property
    def budget(self) -> Budget:
        """How the memory is divided.

        Raises:
            ValueError: It does not hold a batch.
        """
        budget, clip = self.memory.budget, self.population.frames_per_sample
        reach = self.world_size * min(budget.lookahead, budget.held) // clip
        if self.memory.store is None:
            warn_of_short_sight(self.sampler, len(self._order(Place(0, 0))), reach)
        return budget

    @property
    def device(self) -> torch.device:
        """Where the images of a batch are."""
        return self._decoder(0).device if self._device is None else self._device

    @property
    def decodes_beside_the_model(self) -> bool:
        """Whether threads of this process decode on the GPU where the model is."""
        return self.num_workers == 0 and self.device.type == "cuda" and self._decoder(0).device == self.device

    @cached_property
    def threads(self) -> int:
        """Number of threads that decode, in each process that does."""
        if isinstance(self._threads, int):
            return self._threads
        wanted = getattr(self._decoder(0), "default_threads", None) or num_cores(self._local_world_size)
        return max(1, wanted // max(1, self.num_workers))

    @cached_property
    def start_method(self) -> str:
        """How worker processes start.

        Raises:
            ValueError: `fork`, with a decoder that uses CUDA.
        """
        needed = self._decoder(0).start_method
        if needed == "spawn" and self._start_method == "fork":
            raise ValueError(
                "start_method='fork' cannot be used with a CUDA decoder: after cuInit in the parent, cuInit in a forked"
                " child fails with CUDA_ERROR_NOT_INITIALIZED, whatever the child does. Use 'spawn', the default, or"
                " num_workers=0"
            )
        return self._start_method or needed or multiprocessing.get_start_method()

    # Batches.

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return len(self._order(Place(self._place.epoch, 0)).batch_sizes)

    def __iter__(self) -> BatchIterator:
        """Return an iterator over what is left of this epoch; nothing starts before its first batch is asked for.

        The epoch advances after its last batch, and when an iterator is begun while an earlier one was under way.
        """
        return BatchIterator(self._start, self._take)

    def close(self) -> None:
        """End all threads and close all files. The loader can be iterated again."""
        self._stop()
        while self._decoders:
            self._decoders.pop().close()
        if self._processes is not None:
            self._processes.close(PATIENCE_SECONDS)
        self._processes = self._pool = self._pages = None
        if "memory" in vars(self) and self.memory.store is not None:
            self.memory.store.close()

    # Where one is.

    @property
    def place(self) -> Place:
        """The place after the last batch that was handed out."""
        return self._place

    @property
    def next_place(self) -> Place:
        """Where the next iterator begins: at the place, or with the next epoch where one was left under way."""
        return Place(self._place.epoch + 1, 0) if self._under_way else self._place

    def batches_from(self, place: Place) -> int:
        """Return the number of batches from a place to the end of its epoch."""
        return len(self._order(place).batch_sizes)

    def state_dict(self) -> dict[str, int | str]:
        """Return what resuming needs: the place after the last batch that was handed out."""
        return self.state_at(self._place.epoch, self._place.position)

    def state_at(self, epoch: int, position: int) -> dict[str, int | str]:
        """Return the state of a run that has processed `position` positions of an epoch, all ranks together."""
        digest = order_digest(self.population, self.sampler.order(epoch))
        return {
            "seed": self.seed,
            "epoch": epoch,
            "position": position,
            "order_digest": digest,
            "num_frames": self.population.num_samples,
        }

    def load_state_dict(self, state: dict[str, int | str]) -> None:
        """Go to where `state` was taken. Batch size, look-ahead, threads and number of ranks may be others.

        Raises:
            ResumeError: Its data, seed or sampler are not this loader's, and it lies within an epoch.
        """
        self.go_to(self.check_state(state))

    def check_state(self, state: dict[str, int | str]) -> Place:
        """Return the place that `state` names.

        Raises:
            ResumeError: As `load_state_dict`.
        """
        return check_place(state, self.seed, self.population, self.sampler)

    def go_to(self, place: Place) -> None:
        """Have the next iterator begin at `place`, or with the next epoch where what is left makes no batch."""
        if self._under_way or place != self._place:
            self._stop()
        order = self._order(place)
        if place.position and not order.batch_sizes:
            self._note_left_out(order, place.epoch)
            place = Place(place.epoch + 1, 0)
        self._place, self._under_way = place, False

    # How it is done.

    def _order(self, place: Place) -> RankOrder:
        return RankOrder(
            self.sampler.order(place.epoch),
            self.population,
            self.batch_size,
            self.rank,
            self.world_size,
            place.position,
            self.drop_last,
            self.shard,
            (self.seed, place.epoch),
            self.pad_last,
            self._machines,
        )

    # Lightning validates in inference mode. Tensors made in it could not be written to by threads, which are not in it.
    @torch.inference_mode(False)
    def _start(self) -> EpochRun:
        over = self._run if self._run is not None and self._is_next_of(self._run) else None
        self._place, self._under_way = self.next_place, False
        self._stop(keep=over is not None)
        order, budget = self._order(self._place), self.budget
        if self._pool is None:
            shared = self.num_workers > 0
            self._pool = SlotPool(budget.slots + self.memory.spare, self.memory.form, self._decoder(0).device, shared)
            self._pages = Pages(budget.packed_bytes, shared) if budget.packed_bytes else None
        workers = self._start_workers(self._pool)
        assembly = self._assembly(order, workers, self._pool, over)
        self._run = EpochRun(order, assembly, self._pool, workers, self._weigh, self._place.epoch)
        return self._run

    def _assembly(self, order: RankOrder, workers: Workers, pool: SlotPool, over: EpochRun | None) -> Assembly:
        """Return what makes batches: what made those of the epoch before, with what it holds, or a new one."""
        gather = choose_gather(pool.frames.device, self.device)
        trust = getattr(self._decoder(0), "trust_flags", True)
        faults = Faults(self.on_error, self.population, self.seed, self._place.epoch, trust)
        if over is None or self._plan is None:
            self._plan = self._plan_of(order)
            self._known_epoch = self._place.epoch
        # Two ahead: what plans is one task ahead of this epoch's end, and looks an epoch ahead from there.
        while self._known_epoch < self._place.epoch + 2 and self._goes_on(self._known_epoch):
            self._known_epoch += 1
            self._plan.go_on(self._order(Place(self._known_epoch, 0)))
        if over is not None:
            over.assembly.go_on(workers, gather, faults)
            return over.assembly
        waiting = None if self._pages is None else PackedFrames(self._pages, self.memory.packed_bytes)
        clip, admission = self.population.frames_per_sample, self.budget.admission
        return Assembly(self._plan, pool, workers, admission, gather, faults, clip, waiting)

    def _plan_of(self, order: RankOrder) -> Plan:
        budget, memory = self.budget, self.memory
        stored = memory.stored()
        return plan(
            order,
            self.population,
            budget.lookahead,
            budget.held,
            budget.near,
            memory.packing is not None,
            stored,
            memory.hurry,
        )

    def _goes_on(self, epoch: int) -> bool:
        """Tell whether the look-ahead of an epoch goes on into the next one. A store serves that anyway."""
        is_last = self.pad_last or (self._last_epoch is not None and epoch >= self._last_epoch)
        return not is_last and self._store_arguments[0] is None

    def _is_next_of(self, run: EpochRun) -> bool:
        """Tell whether what comes next is the epoch after that of a run which is over."""
        begins = self.next_place == Place(run.epoch + 1, 0)
        return begins and not run.batches_left and self._goes_on(run.epoch) and self._pool is not None

    def _weigh(self, frame_ids: np.ndarray) -> np.ndarray:
        weights = self.sampler.weights(frame_ids)
        assert weights is not None
        return weights

    def _start_workers(self, pool: SlotPool) -> Workers:
        pages = None if self._pages is None else self._pages.memory
        on_device = pool.frames.device.type != "cpu"
        remote_bytes = self._remote_bytes // max(1, self.num_workers)
        memory = self.memory
        tiers = Tiers(pool.frames, pages, memory.packing, memory.store, on_device, pool.form, remote_bytes)
        if self.num_workers == 0:
            if self.index.far is not None:
                self.index.far.limit(remote_bytes)
            return ThreadWorkers([self._decoder(number) for number in range(self.threads)], tiers, self.index.far)
        if self._processes is not None and (death := self._processes.death()) is not None:
            if not self._processes.death_was_raised:
                warnings.warn(f"{death}\nNew worker processes are started.", stacklevel=4)
            self._processes.close(0)
            self._processes = None
        if self._processes is None:
            self._processes = Processes(
                self.num_workers,
                self.start_method,
                self.threads,
                one_of(self._num_decoders, self._make_decoder),
                self.index.for_workers(),
                self.size,
                tiers,
            )
            weakref.finalize(self, self._processes.close, PATIENCE_SECONDS)
        return ProcessWorkers(self._processes)

    def _decoder(self, number: int) -> Decoder:
        while len(self._decoders) <= number:
            self._decoders.append(one_of(self._num_decoders, self._make_decoder)(self.index, self.size))
            if len(self._decoders) == 1:  # what it reads it may know only now
                check_codecs(self._decoders[0], self.population)
        return self._decoders[number]

    @property
    def _num_decoders(self) -> int | None:
        """Decoders of all threads and processes; None where it is for the first one to say how many it likes."""
        known = self._threads != "auto" or self._decoders
        return self.threads * max(1, self.num_workers) if known else None

    def _stop(self, keep: bool = False) -> None:
        """End what is under way, and let go of all frames unless they are kept for the epoch that follows."""
        run, self._run = self._run, None
        if run is None:
            return
        if run.stop():
            assert self._pool is not None
            if not keep:
                self._plan = None
                self._pool.free_all()
                if self._pages is not None:
                    self._pages.free_all()
            return
        # A read that still goes on writes into these slots, with this decoder.
        self._pool, self._pages, self._plan, self._decoders = None, None, None, []
        if self._processes is not None:
            self._processes.close(0)
            self._processes = None

    def _take(self, run: EpochRun, began: float) -> Batch:
        """Return the run's next batch, which was asked for at the time `began`, and keep count."""
        delivery = run.take() if run is self._run else None
        ended = time.perf_counter()
        if delivery is None:
            raise RuntimeError("this iterator was ended: another one of the same loader was begun, or it was closed")
        counts = self.counts
        counts.wait_seconds += ended - began
        counts.first_request = counts.first_request or began
        counts.first_batch = counts.first_batch or ended
        self._count(run, delivery)
        return delivery.batch

    def _count(self, run: EpochRun, delivery: Delivery) -> None:
        counts, costs, faults = self.counts, run.new_costs(), run.new_faults()
        counts.images += delivery.batch["video_id"].numel() * self.population.frames_per_sample
        counts.batches += 1
        counts.skipped_frames += sum(fault.positions for fault in faults)
        if on_cpu := getattr(self._decoder(0), "on_cpu", None):
            counts.images_from_cpu += int(np.isin(delivery.batch["video_id"], list(on_cpu)).sum())
        self.ledger += faults
        counts.reads += costs.reads
        counts.delivered_frames += costs.delivered_frames
        counts.decoded_frames += costs.decoded_frames
        counts.fetched_frames += costs.fetched_frames
        counts.requests += costs.requests
        counts.bytes_fetched += costs.bytes_fetched
        counts.peak_held_frames = max(counts.peak_held_frames, run.pool.peak_held)
        done = min(self._place.position + delivery.num_positions * self.world_size, len(run.order.order))
        self._place, self._under_way = Place(self._place.epoch, done), True
        if not run.batches_left:
            self._note_left_out(run.order, self._place.epoch)
            self._place, self._under_way = Place(self._place.epoch + 1, 0), False

    def _note_left_out(self, order: RankOrder, epoch: int) -> None:
        """Note, on one rank, what no rank delivered because it could not be dealt out evenly."""
        if self.rank == 0 and not self.drop_last:
            for position in order.left_out.tolist():
                samples = np.asarray(order.order[position : position + 1])
                video_ids, frames = self.index.locate(self.population.frames_of(samples)[0][:, 0])
                path, reason = self.index.path(int(video_ids[0])), "the last batch could not be dealt out evenly"
                self.ledger.append(Fault(path, int(frames[0]), epoch, reason))
                self.counts.skipped_frames += 1
