"""Frames that wait packed, and frames from a store, are the very frames: same order, same pixels, same faults."""

import itertools
import os
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lit_video.checks.stamps import write_stamped
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import Population, VideoIndex
from lit_video.loading.keep import Sizes, measure, packing_pays
from lit_video.loading.memory import taker
from lit_video.loading.pages import PAGE_BYTES, Pages, read_pages, write_pages
from lit_video.planning.budget import least_slots
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.reservoir import ReservoirSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.samplers.weighted import WeightedSampler
from lit_video.store.packing import make_packing
from lit_video.support.errors import DataError, DecodeError
from tests.fakes import index_of
from tests.loading.test_faults import INDEX as PRETENDED
from tests.loading.test_faults import Damaged
from tests.loading.test_loader import FRAME_BYTES, SIZE, SlowDecoder, loader_of

SAMPLERS = [UniformSampler, ChunkedSampler, ReservoirSampler, partial(WeightedSampler, by="video")]
FEW = (least_slots(4) + 8) * FRAME_BYTES  # no room for the 93 frames, unless they are small
pytestmark = pytest.mark.filterwarnings("ignore:The sampler spreads each chunk")


class Remembered(SlowDecoder):
    """Says what its pixels depend on, and counts what it decodes."""

    look = "remembered"


class RememberedAndDamaged(Damaged):
    look = "damaged"


def epochs(index, count=2, world_size=1, **arguments):
    """Return all batches of some epochs, all ranks one after another, and what their decoders decoded by epoch."""
    found, decoded = [], []
    for rank in range(world_size):
        loader = loader_of(index, batch_size=4, rank=rank, world_size=world_size, **arguments)
        for _ in range(count):
            found += list(loader)
            decoded.append(loader.counts.decoded_frames - sum(decoded))
        assert loader.counts.peak_held_frames <= loader.budget.slots
        loader.close()
    return found, decoded


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def expected(index):
    return {sampler: epochs(index, sampler=sampler, lookahead=1, last_epoch=0)[0] for sampler in SAMPLERS}


WAYS = [
    {"keep": "lossless"},
    {"keep": "lossless", "threads": 1, "lookahead": 7},
    {"keep": "lossless", "num_workers": 2, "start_method": "fork"},
    {"store": "here"},
    {"store": "here", "store_packing": "raw", "threads": 3},
    {"store": "here", "num_workers": 2, "start_method": "fork"},
    {"store": "here", "store_bytes": 200_000, "keep": "lossless"},
    {"store": "here", "store_bytes": 200_000},
]


@pytest.mark.filterwarnings("ignore:.*bytes are used up")
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_very_frames(index, expected, sampler, way, tmp_path):
    way = way | ({"store": tmp_path / "store"} if "store" in way else {})
    found, _ = epochs(index, sampler=sampler, lookahead_bytes=FEW, **way)
    assert_same(found, expected[sampler])
    if "store" in way:
        assert_same(epochs(index, sampler=sampler, lookahead_bytes=FEW, **way)[0], expected[sampler])


@pytest.mark.parametrize("way", [{"keep": "lossless"}, {"store": "here"}], ids=str)
@pytest.mark.parametrize("shard", ["gop", "slot"])
def test_ranks_and_clips(index, way, shard, tmp_path):
    way = way | ({"store": tmp_path / "store"} if "store" in way else {})
    clips = Population(index, clip_length=3, ends="pad")
    for samples in (index, clips):
        few = 3 * FEW
        plain, _ = epochs(samples, world_size=2, shard=shard)
        assert_same(epochs(samples, world_size=2, shard=shard, lookahead_bytes=few, **way)[0], plain)


def test_jpeg_keeps_the_order_and_says_other_pixels(index, expected):
    found, _ = epochs(index, keep="jpeg", lookahead_bytes=FEW, jpeg_quality=95)
    plain = expected[UniformSampler]
    for one, other in zip(found, plain, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one if name != "image")
    errors = torch.cat([(a["image"].double() - b["image"].double()) ** 2 for a, b in zip(found, plain, strict=True)])
    assert 0 < errors.mean() < 255**2 / 10**3  # 30 dB: bars of black and white are the worst there is


class TestStore:
    def test_decodes_once_and_then_nothing(self, index, tmp_path):
        _, decoded = epochs(index, 3, store=tmp_path / "store")
        assert decoded == [93, 0, 0]
        _, decoded = epochs(index, 1, store=tmp_path / "store")
        assert decoded == [0]

    def test_another_choice_of_frames_finds_what_is_there(self, index, tmp_path):
        epochs(index, 1, store=tmp_path / "store")
        for samples in (Population(index, stride=3), Population(index, clip_length=4), Population(index, videos=[1])):
            _, decoded = epochs(samples, 1, store=tmp_path / "store", lookahead_bytes=3 * FEW)
            assert decoded == [0]

    def test_another_look_does_not(self, index, tmp_path):
        epochs(index, 1, store=tmp_path / "store")
        _, decoded = epochs(index, 1, store=tmp_path / "store", decoder=partial(PyAVDecoder, fit="squash"))
        assert decoded == [93]

    def test_a_changed_file_is_decoded_anew(self, tmp_path):
        write_stamped(tmp_path / "a.mp4", 20, 1, gop=10)
        first = VideoIndex.scan(tmp_path / "a.mp4", tmp_path / "index", progress=False)
        epochs(first, 1, store=tmp_path / "store")
        write_stamped(tmp_path / "a.mp4", 20, 2, gop=10)
        os.utime(tmp_path / "a.mp4", ns=(1, 1))
        second = VideoIndex.scan(tmp_path / "a.mp4", tmp_path / "index", progress=False)
        found, decoded = epochs(second, 1, store=tmp_path / "store")
        assert decoded == [20]
        assert_same(found, epochs(second, 1)[0])

    def test_deleted_in_the_middle_of_an_epoch_it_is_done_without(self, index, expected, tmp_path):
        epochs(index, 1, store=tmp_path / "store")
        loader = loader_of(index, batch_size=4, store=tmp_path / "store", lookahead_bytes=FEW)
        batches = iter(loader)
        found = [next(batches) for _ in range(3)]
        loader.memory.store.close()  # as a process has it that was just started
        shutil.rmtree(tmp_path / "store")
        found += list(batches)
        assert_same(found, expected[UniformSampler][: len(found)])
        loader.close()

    def test_what_is_damaged_there_is_decoded_anew(self, index, expected, tmp_path):
        before, _ = epochs(index, 1, store=tmp_path / "store")
        data = tmp_path / "store" / "data.mdb"
        content, pack = data.read_bytes(), make_packing("lossless").pack
        for image in before[-1]["image"].numpy():
            packed = pack(image)
            assert packed in content
            content = content.replace(packed, packed[:-1] + bytes([packed[-1] ^ 255]))
        data.write_bytes(content)
        with pytest.warns(UserWarning, match="damaged in the store"):
            found, decoded = epochs(index, 1, store=tmp_path / "store", lookahead_bytes=FEW)
        assert_same(found, expected[UniformSampler][: len(found)])
        assert decoded[0] > 0

    def test_two_runs_at_a_time(self, index, expected, tmp_path):
        loaders = [loader_of(index, batch_size=4, store=tmp_path / "store", lookahead_bytes=FEW) for _ in range(2)]
        found = ([], [])
        for batches in itertools.zip_longest(*loaders):
            for mine, batch in zip(found, batches, strict=True):
                mine.append(batch)
        for mine, loader in zip(found, loaders, strict=True):
            assert_same(mine, expected[UniformSampler][: len(mine)])
            loader.close()

    def test_resumes_where_it_was(self, index, expected, tmp_path):
        arguments = {"batch_size": 4, "store": tmp_path / "store", "keep": "lossless", "lookahead_bytes": FEW}
        loader = loader_of(index, **arguments)
        list(itertools.islice(loader, 5))
        state = loader.state_dict()
        loader.close()
        again = loader_of(index, **arguments)
        again.load_state_dict(state)
        assert_same(list(again), expected[UniformSampler][5:24])
        again.close()

    def test_takes_the_same_share_in_every_epoch(self, index):
        population = Population(index)
        gops = [
            (int(index.locate(np.array([k]))[0][0]), int(index.locate(np.array([k]))[1][0]))
            for k in index.keyframes[:-1]
        ]
        taken = {share: {gop for gop in gops if taker(population, share)(*gop)} for share in (0, 0.3, 0.6, 1)}
        assert taken[0] == set()
        assert taken[0.3] <= taken[0.6] <= taken[1] == set(gops)
        big = Population(VideoIndex(PRETENDED.columns, PRETENDED.names))
        many = [taker(big, 0.4)(0, start) for start in range(10_000)]
        assert 0.37 < np.mean(many) < 0.43  # 6 standard deviations

    def test_says_how_much_fits(self, index, tmp_path, capsys):
        loader = loader_of(index, batch_size=4, store=tmp_path / "store", store_bytes=250_000)
        next(iter(loader))
        loader.close()
        said = capsys.readouterr().err
        assert said.startswith("Store: 93 frames, lossless about ")
        assert "% fit." in said

    def test_counts_what_it_has_of_these_samples(self, index, tmp_path, capsys):
        epochs(Population(index, videos=[0]), 1, store=tmp_path / "store")
        for video_id, there in ((0, 50), (1, 0)):
            loader = loader_of(Population(index, videos=[video_id]), batch_size=4, store=tmp_path / "store")
            assert loader.memory._num_there == there
            assert ("50 of them are there" in capsys.readouterr().err) == bool(there)
            loader.close()

    def test_takes_no_more_than_the_disk_has(self, index, tmp_path, monkeypatch):
        usage = SimpleNamespace(disk_usage=lambda path: SimpleNamespace(free=100_000))
        monkeypatch.setattr("lit_video.loading.memory.shutil", usage)
        loader = loader_of(index, batch_size=4, store=tmp_path / "store")
        assert 0 < loader.memory.share < 1
        loader.close()

    def test_a_decoder_must_say_what_its_pixels_depend_on(self, tmp_path):
        loader = loader_of(PRETENDED, decoder=SlowDecoder, store=tmp_path / "store")
        with pytest.raises(DataError, match="SlowDecoder does not say what its pixels depend on"):
            next(iter(loader))
        assert not (tmp_path / "store").exists()


class TestFaults:
    """What cannot be decoded is told, left out or replaced as ever."""

    @pytest.mark.parametrize("policy", ["skip", "redraw"])
    @pytest.mark.parametrize("way", [{}, {"keep": "lossless"}, {"store": "here"}], ids=str)
    def test_of_two_epochs(self, policy, way, tmp_path):
        way = way | ({"store": tmp_path / "store"} if "store" in way else {})
        plain = loader_of(PRETENDED, decoder=RememberedAndDamaged, on_error=policy, lookahead=1)
        expected = [*plain, *plain]
        loader = loader_of(PRETENDED, decoder=RememberedAndDamaged, on_error=policy, **way)
        found = [*loader, *loader]
        for one, other in zip(found, expected, strict=True):
            assert all(torch.equal(one[name], other[name]) for name in one if name != "image")
            assert torch.equal(one["image"][:, :, 0, 0], other["image"][:, :, 0, 0])
        assert sorted(loader.ledger) == sorted(plain.ledger)
        loader.close()

    @pytest.mark.parametrize("way", [{"keep": "lossless"}, {"store": "here"}], ids=str)
    def test_raised(self, way, tmp_path):
        way = way | ({"store": tmp_path / "store"} if "store" in way else {})
        with pytest.raises(DecodeError, match="damaged"):
            list(loader_of(PRETENDED, decoder=RememberedAndDamaged, **way))


class TestNextEpoch:
    def test_what_fits_is_decoded_once(self, index):
        _, decoded = epochs(index, 4)
        assert decoded == [93, 0, 0, 0]

    def test_not_beyond_the_last_epoch(self, index):
        loader = loader_of(index, batch_size=4, last_epoch=1)
        for expected in (93, 93, 186):  # an epoch after the last begins anew
            list(loader)
            assert loader.counts.decoded_frames == expected
        loader.close()

    def test_of_frames_that_do_not_fit_less_is_decoded(self):
        def decoded(**arguments):
            loader = loader_of(
                PRETENDED, decoder=Remembered, batch_size=4, lookahead_bytes=40 * FRAME_BYTES, **arguments
            )
            for _ in range(6):
                list(loader)
            return loader.counts.decoded_frames

        assert decoded() < 0.95 * decoded(last_epoch=0)

    def test_an_epoch_left_in_its_middle_lets_go_of_all(self, index):
        loader = loader_of(index, batch_size=4)
        list(itertools.islice(loader, 3))
        found = list(loader)  # epoch 1
        expected = loader_of(index, batch_size=4, lookahead=1)
        expected.load_state_dict(expected.state_at(1, 0))
        assert_same(found, list(expected))
        loader.close()


class TestPages:
    def test_hold_frames_of_any_size(self):
        pages = Pages(10 * PAGE_BYTES)
        memory, draw = pages.memory.numpy(), np.random.default_rng(0)
        for size in (1, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 5 * PAGE_BYTES - 3):
            packed = draw.bytes(size)
            taken = pages.reserve(size + 700)
            assert write_pages(memory, taken, packed)
            kept = pages.keep(taken, size)
            assert len(kept) == pages.num_held == -(-size // PAGE_BYTES)
            assert bytes(read_pages(memory, kept, size)) == packed
            pages.free(kept)
        assert pages.num_held == 0

    def test_refuse_what_has_no_room(self):
        pages = Pages(3 * PAGE_BYTES)
        assert not write_pages(pages.memory.numpy(), pages.reserve(PAGE_BYTES), bytes(PAGE_BYTES + 1))
        assert pages.reserve(2 * PAGE_BYTES + 1) == ()
        assert len(pages.reserve(2 * PAGE_BYTES)) == 2

    def test_frames_larger_than_expected_are_decoded_again(self, index, expected, monkeypatch):
        monkeypatch.setattr("lit_video.loading.tiers.write_pages", lambda *_: False)
        found, decoded = epochs(index, keep="lossless", lookahead_bytes=FEW)
        assert_same(found, expected[UniformSampler])
        assert decoded[0] > 93

    def test_are_given_back(self, index):
        loader = loader_of(index, batch_size=4, keep="lossless", lookahead_bytes=FEW, last_epoch=0)
        for _ in range(3):
            list(loader)
            assert loader._pages.num_held == 0
            assert loader._pool.num_held == 0
        loader.close()


class TestAuto:
    """Packing is chosen where a decode costs more than packing saves."""

    population = Population(index_of([600] * 200, 30))

    @pytest.mark.parametrize(("decode", "pays"), [(5.9e-3, True), (1e-5, False)])
    def test_by_what_was_measured(self, decode, pays):
        sizes = Sizes(decode, 660e-6, (77_000,) * 8)
        assert packing_pays(sizes, self.population, 2**30, 150_528) == pays

    def test_never_where_all_fits(self, index):
        loader = loader_of(index, keep="auto")
        assert loader.memory.keep == "raw"
        assert loader.memory._measurements == {}

    def test_says_so(self, index, capsys, monkeypatch):
        monkeypatch.setattr("lit_video.loading.memory.packing_pays", lambda *_: True)
        loader = loader_of(index, batch_size=4, keep="auto", lookahead_bytes=FEW)
        assert loader.memory.keep == "lossless"
        assert "Frames wait packed without loss" in capsys.readouterr().err
        facts = loader.memory.facts()
        assert (facts["keep"], facts["store"]) == ("lossless", None)

    def test_measures_the_same_frames_every_time(self, index):
        decoder, packing = PyAVDecoder(index, SIZE), make_packing("lossless")
        found = [measure(Population(index), decoder, SIZE, packing) for _ in range(2)]
        assert found[0].num_bytes == found[1].num_bytes
        decoder.close()

    def test_of_nothing_that_can_be_decoded_it_keeps_raw(self):
        class Gone(Remembered):
            def decode(self, read, out):
                raise DecodeError("/nowhere/0.mp4", read.frame_indices, 60, "gone")

        loader = loader_of(PRETENDED, decoder=Gone, batch_size=4, keep="lossless", lookahead_bytes=FEW)
        assert loader.memory.keep == "raw"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"keep": "small"}, "keep must be one of"),
        ({"store_packing": "png"}, "store_packing must be one of"),
        ({"jpeg_quality": 0}, "jpeg_quality must be from 1 to 100, got 0"),
        ({"store_bytes": 0}, "store_bytes must be a whole number of at least 1"),
        ({"store": ""}, "store must be a folder"),
    ],
    ids=str,
)
def test_refuses(index, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        loader_of(index, **arguments)


def test_too_little_memory_is_told_in_frames(index):
    loader = loader_of(index, batch_size=4, keep="lossless", lookahead_bytes=72 * FRAME_BYTES - 1)
    with pytest.raises(ValueError, match=r"lookahead_bytes must hold 72 frames of 96x96 where frames are packed"):
        next(iter(loader))
