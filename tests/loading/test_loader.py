import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError, ResumeError
from tests.fakes import index_of

SIZE = (96, 96)
FRAME_BYTES = 3 * 96 * 96


def loader_of(index, seed=0, sampler=UniformSampler, decoder=PyAVDecoder, **arguments):
    arguments = {"size": SIZE, "batch_size": 16, "threads": 2} | arguments
    return VideoLoader(index, sampler(index, seed), decoder, seed=seed, **arguments)


def ids(batches, index):
    return [
        int(index.offset[video_id] + frame_index)
        for batch in batches
        for video_id, frame_index in zip(batch["video_id"], batch["frame_index"], strict=True)
    ]


class SlowDecoder:
    """Writes video id and frame index into the first pixels, after a while; no file is needed."""

    device = torch.device("cpu")
    start_method = None
    made = 0

    def __init__(self, index, size, seconds=0.0, fail_at=None, random_seconds=0.0):
        self.seconds, self.fail_at, self.random_seconds = seconds, fail_at, random_seconds
        self.rng = np.random.default_rng(id(self) % 2**32)

    def decode(self, read, out):
        time.sleep(self.seconds + self.random_seconds * self.rng.random())
        failed = [frame for frame in read.frame_indices if (read.video_id, frame) == self.fail_at]
        for frame, image in zip(read.frame_indices, out, strict=True):
            if frame not in failed:
                image[:, 0, 0] = torch.tensor([read.video_id, frame // 256, frame % 256], dtype=torch.uint8)
        if failed:
            raise DecodeError("/nowhere/0.mp4", failed, 60)

    def close(self):
        pass


def said(batch):
    """What SlowDecoder wrote."""
    pixels = batch["image"][:, :, 0, 0].long()
    return pixels[:, 0].tolist(), (256 * pixels[:, 1] + pixels[:, 2]).tolist()


def our_threads():
    """Threads of loaders; those that fetch are an index's, and end when they have had nothing to do for a while."""
    names = {thread: thread.name for thread in threading.enumerate()}
    return [thread for thread, name in names.items() if name.startswith("lit_video") and "fetch" not in name]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    deadline = time.monotonic() + 3
    while our_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not our_threads()


class TestBatches:
    def test_contents(self, index):
        batch = next(iter(loader_of(index)))
        assert {key: (value.dtype, tuple(value.shape)) for key, value in batch.items()} == {
            "image": (torch.uint8, (16, 3, 96, 96)),
            "video_id": (torch.int64, (16,)),
            "frame_index": (torch.int64, (16,)),
            "pts_seconds": (torch.float64, (16,)),
            "position": (torch.int64, (16,)),
            "weight": (torch.float32, (16,)),
        }
        assert batch["position"].tolist() == list(range(16))
        assert batch["pts_seconds"].tolist() == pytest.approx((batch["frame_index"] / 30).tolist(), abs=1e-3)

    def test_images_are_what_the_rest_of_the_batch_says(self, index):
        for batch in loader_of(index):
            said = [read_stamp(image) for image in batch["image"]]
            assert said == list(zip(batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True))

    def test_an_epoch_is_every_frame_once_in_the_samplers_order(self, index):
        assert ids(loader_of(index), index) == UniformSampler(index, 0).order(0).tolist()

    @pytest.mark.parametrize(("threads", "lookahead"), list(itertools.product((1, 2, 4), (None, 1, 5, 40))))
    def test_neither_threads_nor_lookahead_change_it(self, index, threads, lookahead):
        found = list(loader_of(index, threads=threads, lookahead=lookahead))
        expected = list(loader_of(index, threads=1))
        assert all(torch.equal(a["image"], b["image"]) for a, b in zip(found, expected, strict=True))
        assert ids(found, index) == ids(expected, index)

    def test_reads_may_end_in_any_order(self):
        index = index_of([60] * 4, 6)
        loader = loader_of(
            index, decoder=partial(SlowDecoder, random_seconds=0.01), threads=8, lookahead_bytes=40 * FRAME_BYTES
        )
        for batch in loader:
            assert said(batch) == (batch["video_id"].tolist(), batch["frame_index"].tolist())

    def test_what_ended_stays_ended(self):
        loader = loader_of(index_of([60], 6), decoder=partial(SlowDecoder, fail_at=(0, 7)))
        batches = iter(loader)
        with pytest.raises(DecodeError):
            list(batches)
        with pytest.raises(RuntimeError, match="this iterator was ended"):
            next(batches)
        assert our_threads() == []

    def test_the_clock_starts_with_the_request(self):
        """What is done before a batch can be waited for, such as making the order, is waited for too."""
        index = index_of([60], 6)

        class Thinking(UniformSampler):
            def order(self, epoch):
                time.sleep(0.2 if epoch == loader._place.epoch and loader._run is None else 0)
                return super().order(epoch)

        loader = loader_of(index, sampler=Thinking, decoder=SlowDecoder)
        list(loader)
        assert loader.counts.wait_seconds > 0.2
        assert loader.counts.first_batch - loader.counts.first_request > 0.2

    def test_an_epoch_that_is_left_counts_what_was_done(self):
        index, done = index_of([600], 6), []

        class Noting(SlowDecoder):
            def decode(self, read, out):
                super().decode(read, out)
                done.append(read)

        loader = loader_of(index, decoder=partial(Noting, seconds=0.01), threads=1, lookahead=30)
        batches = iter(loader)
        next(batches)
        loader.close()
        assert 0 < loader.counts.reads <= len(done) < 100
        assert loader.counts.decoded_frames <= sum(read.num_decoded for read in done)

    @pytest.mark.parametrize("extra", [1, 2, 5])
    def test_slots_barely_above_a_batch_make_progress(self, extra):
        index = index_of([60] * 4, 6)
        loader = loader_of(index, decoder=SlowDecoder, threads=4, lookahead_bytes=(16 + extra) * FRAME_BYTES)
        assert ids(loader, index) == UniformSampler(index, 0).order(0).tolist()
        assert loader.counts.peak_held_frames <= loader.budget.slots == 16 + extra

    @pytest.mark.parametrize("frames", [17, 20, 40, 100, 1000])
    @pytest.mark.parametrize("lookahead", [None, 1, 30])
    def test_frames_held_never_exceed_the_slots(self, frames, lookahead):
        index = index_of([60] * 4, 6)
        loader = loader_of(index, decoder=SlowDecoder, lookahead_bytes=frames * FRAME_BYTES, lookahead=lookahead)
        list(loader)
        assert loader.counts.peak_held_frames <= loader.budget.slots <= frames

    def test_repeated_frames(self):
        index = index_of([12], 6)
        sampler = partial(UniformSampler, replacement=True, num_samples=200)
        loader = loader_of(index, sampler=sampler, decoder=SlowDecoder, batch_size=50)
        batches = list(loader)
        assert ids(batches, index) == sampler(index, 0).order(0)[0:200].tolist()
        assert [said(batch)[1] for batch in batches] == [batch["frame_index"].tolist() for batch in batches]
        assert loader.counts.decoded_frames == 12

    @pytest.mark.parametrize(("drop_last", "sizes"), [(False, [16] * 5 + [13]), (True, [16] * 5)])
    def test_the_last_batch(self, index, drop_last, sizes):
        loader = loader_of(index, drop_last=drop_last)
        assert len(loader) == len(sizes)
        assert [len(batch["image"]) for batch in loader] == sizes

    def test_a_batch_is_the_consumers_own(self, index):
        """Nothing writes into a batch that was handed out."""
        batches = []
        for batch in loader_of(index, lookahead_bytes=20 * FRAME_BYTES):
            batches.append((batch["image"], batch["image"].clone()))
        assert all(torch.equal(a, b) for a, b in batches)

    def test_labels_come_along_where_there_are_any(self):
        index = index_of([12, 12], 6).with_labels({"0.mp4": "b", "1.mp4": "a"})
        batch = next(iter(loader_of(index, decoder=SlowDecoder)))
        assert batch["label"].tolist() == [1 if video == 0 else 0 for video in batch["video_id"]]


class TestCounts:
    def test_count_what_the_reads_decode(self, index):
        loader = loader_of(index, lookahead=1)
        list(loader)
        frames = np.arange(index.num_frames)
        expected = (index.locate(frames)[1] - index.start_of(frames) + 1).sum()
        counts = loader.counts
        assert (counts.decoded_frames, counts.delivered_frames, counts.images) == (expected, 93, 93)
        assert (counts.reads, counts.batches) == (93, 6)

    def test_everything_in_memory_is_decoded_once(self, index):
        loader = loader_of(index)
        list(loader)
        assert loader.counts.decoded_frames == loader.counts.delivered_frames == 93
        assert loader.counts.reads == 11

    def test_files_opened_are_at_most_one_per_video_and_thread(self, index):
        made = []

        def make(index, size):
            made.append(PyAVDecoder(index, size))
            return made[-1]

        loader = loader_of(index, decoder=make, threads=2)
        for _ in range(3):
            list(loader)
        assert len(made) == 2
        assert sum(decoder.num_opened for decoder in made) <= 2 * 3


class TestEpochs:
    def test_advance_after_the_last_batch(self, index):
        loader = loader_of(index)
        orders = [ids(loader, index) for _ in range(3)]
        assert orders == [UniformSampler(index, 0).order(epoch).tolist() for epoch in range(3)]

    def test_iter_alone_changes_nothing(self, index):
        loader = loader_of(index)
        iter(loader), iter(loader), iter(loader)
        assert loader.state_dict()["epoch"] == 0
        assert not our_threads()
        assert ids(loader, index) == UniformSampler(index, 0).order(0).tolist()

    def test_an_epoch_that_was_broken_off_is_over(self, index):
        loader = loader_of(index)
        next(iter(loader))
        assert ids(loader, index) == UniformSampler(index, 0).order(1).tolist()

    def test_an_iterator_that_another_one_replaced_says_so(self, index):
        loader = loader_of(index)
        first = iter(loader)
        next(first)
        next(iter(loader))
        with pytest.raises(RuntimeError, match="another one of the same loader was begun"):
            next(first)
        loader.close()


class TestResume:
    @pytest.mark.parametrize("done", [0, 1, 3, 5, 6])
    def test_goes_on_at_the_very_next_frame(self, index, done):
        whole = loader_of(index)
        expected = [ids(whole, index) for _ in range(2)]
        first = loader_of(index)
        seen = ids(itertools.islice(iter(first), done), index)
        second = loader_of(index, threads=1, lookahead=3, batch_size=7)
        second.load_state_dict(first.state_dict())
        rest = ids(second, index)
        assert seen + rest in (expected[0], expected[0] + expected[1])
        first.close()

    def test_state_is_made_of_primitives(self, index):
        loader = loader_of(index)
        next(iter(loader))
        state = loader.state_dict()
        assert set(state) == {"seed", "epoch", "position", "order_digest", "num_frames"}
        assert all(isinstance(value, int | str) for value in state.values())
        assert (state["epoch"], state["position"], state["num_frames"]) == (0, 16, 93)

    @pytest.mark.parametrize(
        ("other", "told"),
        [
            ({"seed": 1}, "with seed 0, and this run has seed 1"),
            ({"sampler": SequentialSampler}, "with other videos, another sampler or other arguments of it"),
        ],
    )
    def test_refuses_another_seed_or_sampler(self, index, other, told):
        loader = loader_of(index)
        next(iter(loader))
        with pytest.raises(ResumeError, match=f"position 16 of epoch 0 {told}"):
            loader_of(index, **other).load_state_dict(loader.state_dict())

    def test_refuses_other_data(self):
        loader = loader_of(index_of([60], 6), decoder=SlowDecoder)
        next(iter(loader))
        with pytest.raises(ResumeError, match="on 60 frames, and the videos now have 61"):
            loader_of(index_of([61], 6), decoder=SlowDecoder).load_state_dict(loader.state_dict())
        with pytest.raises(ResumeError, match="with other videos"):
            loader_of(index_of([30, 30], 6), decoder=SlowDecoder).load_state_dict(loader.state_dict())

    def test_a_state_at_the_beginning_imposes_nothing(self, index):
        state = loader_of(index, seed=5).state_dict()
        loader = loader_of(index, seed=6)
        loader.load_state_dict(state)
        assert ids(loader, index) == UniformSampler(index, 6).order(0).tolist()


class TestErrors:
    def test_surface_in_the_consumer_with_the_files_name(self):
        loader = loader_of(index_of([60], 6), decoder=partial(SlowDecoder, fail_at=(0, 33)))
        with pytest.raises(DecodeError, match=r"/nowhere/0\.mp4: could not decode frames \[33\] of 60"):
            list(loader)

    def test_a_decoder_that_cannot_be_made(self, index):
        def broken(index, size):
            raise RuntimeError("no such decoder")

        with pytest.raises(RuntimeError, match="no such decoder"):
            next(iter(loader_of(index, decoder=broken)))

    def test_after_an_error_the_loader_can_be_iterated_again(self):
        index = index_of([60], 6)
        failing = [(0, 33), None]

        def make(index, size):
            return SlowDecoder(index, size, fail_at=failing[0])

        loader = loader_of(index, decoder=make)
        with pytest.raises(DecodeError):
            list(loader)
        loader.close()
        failing[0] = None
        assert len(ids(loader, index)) == 60


class TestEnds:
    def test_an_abandoned_iterator_leaves_no_thread(self, index):
        loader = loader_of(index)
        iterator = iter(loader)
        next(iterator)
        assert our_threads()
        del iterator
        gc.collect()
        assert not our_threads()

    def test_a_broken_off_loop_leaves_no_thread(self, index):
        loader = loader_of(index)
        for _ in loader:
            break
        gc.collect()
        assert not our_threads()

    def test_the_last_batch_ends_the_threads(self, index):
        iterator = iter(loader_of(index, batch_size=93))
        next(iterator)
        assert not our_threads()
        with pytest.raises(StopIteration):
            next(iterator)

    def test_close_in_mid_epoch(self, index):
        loader = loader_of(index)
        iterator = iter(loader)
        next(iterator)
        loader.close()
        assert not our_threads()
        with pytest.raises(RuntimeError, match="or it was closed"):
            next(iterator)

    def test_close_while_another_thread_waits(self):
        loader = loader_of(index_of([60], 6), decoder=partial(SlowDecoder, seconds=1.0), threads=1)
        ended = []

        def consume():
            try:
                list(loader)
            except RuntimeError as error:
                ended.append(error)

        thread = threading.Thread(target=consume)
        thread.start()
        time.sleep(0.2)
        loader.close()
        thread.join(5)
        assert not thread.is_alive()

    def test_a_slow_read_does_not_hold_up_close(self):
        loader = loader_of(index_of([60], 6), decoder=partial(SlowDecoder, seconds=4.0), threads=2)

        def consume():
            with contextlib.suppress(RuntimeError):
                list(loader)

        threading.Thread(target=consume, daemon=True).start()
        time.sleep(0.2)
        began = time.monotonic()
        loader.close()
        assert time.monotonic() - began < 3.5
        time.sleep(4)  # let the threads end before the next test

    def test_ctrl_c_ends_a_program_within_seconds(self, videos):
        program = (
            "import sys\n"
            "from lit_video.index import VideoIndex\n"
            "from lit_video.loading.loader import VideoLoader\n"
            "from lit_video.samplers.uniform import UniformSampler\n"
            "from lit_video.decoders.pyav import PyAVDecoder\n"
            "index = VideoIndex.scan(sys.argv[1], sys.argv[2], progress=False)\n"
            "while True:\n"
            "    for batch in VideoLoader(index, UniformSampler(index, 0), PyAVDecoder, batch_size=4):\n"
            "        print('batch', flush=True)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(videos), str(videos / "index")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells ignore it in the background
        )
        try:
            assert process.stdout.readline() == b"batch\n"
            time.sleep(0.3)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=10)
            assert time.monotonic() - began < 4
            assert b"KeyboardInterrupt" in stderr
            assert process.returncode in (1, 130, -signal.SIGINT)
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"lookahead": 0}, "lookahead must be at least 1, got 0"),
        ({"size": 0}, "size must be a number of pixels"),
        ({"threads": 0}, "threads must be 'auto' or at least 1, got 0"),
        ({"threads": "many"}, "threads must be 'auto' or at least 1, got 'many'"),
        ({"shard": "video"}, "shard must be one of gop, slot, got 'video'"),
        (
            {"lookahead_bytes": 16 * FRAME_BYTES},
            "lookahead_bytes must hold more than a batch of 16 frames of 96x96, which is",
        ),
        ({"rank": 1}, r"rank must be in \[0, 1\), got 1"),
    ],
)
def test_refuses(index, arguments, told):
    with pytest.raises(ValueError, match=told):
        loader_of(index, **arguments)


def test_auto_is_a_thread_for_each_core(index):
    assert loader_of(index, threads="auto").threads == len(os.sched_getaffinity(0))


def test_bits_that_frames_do_not_keep_are_told_once(tmp_path):
    write_stamped(tmp_path / "a.mp4", 4)
    write_stamped(tmp_path / "b.mp4", 4, codec="libx265", pixel_format="yuv420p10le")
    index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
    with pytest.warns(UserWarning, match=r"1 of 2 videos have more than 8 bits .* first is .*b\.mp4 \(yuv420p10le\)"):
        VideoLoader(index, UniformSampler(index, 0), PyAVDecoder, size=32, batch_size=2)
    VideoLoader(index, UniformSampler(index, 0), PyAVDecoder, size=32, batch_size=2)  # a warning is an error here
