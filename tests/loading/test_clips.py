"""Clips: exactly the frames of a sequential decode, whole in one batch of one rank, whatever fails."""

from itertools import chain

import numpy as np
import pytest
import torch

from lit_video.checks.stamps import read_stamp
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import Population
from lit_video.loading.loader import VideoLoader
from lit_video.planning.planner import plan
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.reservoir import ReservoirSampler
from lit_video.samplers.sequential import SequentialSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError
from tests.fakes import index_of
from tests.loading.test_loader import SIZE, SlowDecoder

SHAPES = [
    pytest.param({"clip_length": 4}, id="inside"),
    pytest.param({"clip_length": 3, "clip_stride": 5, "ends": "pad"}, id="pad"),
    pytest.param({"clip_length": 5, "clip_stride": 3, "ends": "circular", "stride": 2}, id="circular"),
    pytest.param({"clip_length": 3, "clip_fps": 7, "ends": "pad", "fps": 4}, id="by time"),
]


def loader_of(population, sampler=UniformSampler, decoder=PyAVDecoder, **arguments):
    arguments = {"size": SIZE, "batch_size": 6, "threads": 2, "lookahead_bytes": 2**24} | arguments
    return VideoLoader(population, sampler(population, 0), decoder, **arguments)


@pytest.fixture(scope="module")
def pictures(index):
    """All frames, as they come one after another."""
    return torch.cat([batch["image"] for batch in loader_of(index, SequentialSampler, batch_size=16)])


@pytest.mark.parametrize("options", SHAPES)
@pytest.mark.parametrize("sampler", [UniformSampler, ChunkedSampler, ReservoirSampler])
def test_frames_are_those_of_a_sequential_decode(index, pictures, sampler, options):
    population = Population(index, **options)
    order = sampler(population, 0).order(0)[:]
    expected, is_pad = population.frames_of(order)
    for batch in (batches := iter(loader_of(population, sampler))):
        at = batch["position"].numpy()
        assert batch["image"].shape[:2] == (len(at), population.clip_length)
        assert torch.equal(batch["image"], pictures[expected[at]])
        videos, frames = index.locate(expected[at])
        assert (batch["frame_index"].numpy() == frames).all()
        assert (batch["video_id"].numpy() == videos[:, 0]).all()
        assert (batch["is_pad"].numpy() == is_pad[at]).all()
        assert (batch["pts_seconds"].numpy() == index.pts_seconds(expected[at])).all()
        assert read_stamp(batch["image"][0, -1]) == (videos[0, -1], frames[0, -1])
    del batches


@pytest.mark.parametrize("shard", ["gop", "slot"])
def test_ranks_share_clips_and_tear_none(shard):
    population = Population(index_of([60, 7, 41], 6), clip_length=4, clip_stride=2, ends="pad")
    loaders = [
        loader_of(population, decoder=SlowDecoder, rank=rank, world_size=2, shard=shard, pad_last=True)
        for rank in range(2)
    ]
    batches = [list(loader) for loader in loaders]
    assert [len(batch["position"]) for batch in batches[0]] == [len(batch["position"]) for batch in batches[1]]
    due = [
        (position, frames)
        for batch in chain(*batches)
        for position, frames, weight in zip(
            *(batch[k].tolist() for k in ("position", "frame_index", "weight")), strict=True
        )
        if weight
    ]
    assert sorted(position for position, _ in due) == list(range(population.num_samples))
    order = UniformSampler(population, 0).order(0)
    for position, frames in due:
        assert frames == population.index.locate(population.frames_of(order[position : position + 1])[0])[1][0].tolist()


def test_goes_on_where_it_was(index):
    population = Population(index, clip_length=4)
    whole = [batch["position"].tolist() for batch in loader_of(population)]
    first = loader_of(population)
    batches = iter(first)
    got = [next(batches)["position"].tolist() for _ in range(3)]
    second = loader_of(population, batch_size=6)
    second.load_state_dict(first.state_dict())
    assert got + [batch["position"].tolist() for batch in second] == whole
    assert first.state_dict()["num_frames"] == population.num_samples


def test_a_gop_that_clips_share_is_read_once():
    population = Population(index_of([600], 12), clip_length=8, stride=2)
    order = np.array([0, 1, 2, 100, 3])  # four clips within frames 0 to 13, and one elsewhere
    reads = list(plan(order, population, 40, 40))
    assert [(read.start, read.frame_indices) for read in reads] == [
        (0, tuple(range(12))),
        (192, tuple(range(200, 204))),
        (204, tuple(range(204, 208))),
        (12, (12, 13)),
    ]


BAD = {(0, 13), (1, 3)}


class Damaged(SlowDecoder):
    """Cannot decode two frames."""

    def decode(self, read, out):
        super().decode(read, out)
        if bad := [frame for frame in read.frame_indices if (read.video_id, frame) in BAD]:
            raise DecodeError(f"/nowhere/{read.video_id}.mp4", bad, 60, "damaged")


class TestFaults:
    population = Population(index_of([60, 7, 41], 6), clip_length=4)

    def hit(self, sample):
        videos, frames = self.population.index.locate(self.population.frames_of(np.array([sample]))[0][0])
        return bool(set(zip(videos.tolist(), frames.tolist(), strict=True)) & BAD)

    def test_raise(self):
        with pytest.raises(DecodeError, match="damaged"):
            list(loader_of(self.population, decoder=Damaged))

    def test_skip_leaves_out_the_clip_and_no_other(self):
        loader = loader_of(self.population, decoder=Damaged, on_error="skip")
        order = UniformSampler(self.population, 0).order(0)
        batches = list(loader)
        came = np.concatenate([batch["position"] for batch in batches]).tolist()
        assert came == [p for p, sample in enumerate(order.tolist()) if not self.hit(sample)]
        for batch in batches:
            said = batch["image"][:, :, 0, 0, 0]
            assert (said == batch["video_id"][:, None]).all()
            assert (batch["image"][:, :, 2, 0, 0] == batch["frame_index"]).all()
        lost = self.population.num_samples - len(came)
        assert lost == 4 + 4
        assert loader.counts.skipped_frames == lost
        assert {(fault.path, fault.frame_index) for fault in loader.ledger} == {
            ("/nowhere/0.mp4", 13),
            ("/nowhere/1.mp4", 3),
        }

    @pytest.mark.parametrize("threads", [1, 3])
    def test_redraw_brings_the_same_clip_whoever_decodes(self, threads):
        def run(**arguments):
            loader = loader_of(self.population, decoder=Damaged, on_error="redraw", **arguments)
            return loader, list(loader)

        loader, batches = run(threads=threads, lookahead_bytes=2**23)
        assert [len(batch["position"]) for batch in batches][:-1] == [6] * (len(batches) - 1)
        shown = [(b["video_id"].tolist(), b["frame_index"].tolist()) for b in batches]
        assert shown == [(b["video_id"].tolist(), b["frame_index"].tolist()) for b in run(threads=2)[1]]
        frames = {(v, f) for videos, clips in shown for v, clip in zip(videos, clips, strict=True) for f in clip}
        assert not frames & BAD
        assert all(fault.replaced_by for fault in loader.ledger)
        for batch in batches:
            assert (batch["image"][:, :, 2, 0, 0] == batch["frame_index"]).all()

    def test_a_batch_of_nothing_but_lost_clips_has_one(self):
        few = Population(index_of([60], 6), clip_length=4, intervals=_Stretches)
        loader = loader_of(few, decoder=Damaged, on_error="skip", batch_size=4)
        with pytest.raises(DecodeError, match="damaged"):
            list(loader)  # there is no clip but those


class _Stretches:
    video_id, row, unit = np.array([0]), np.array([0]), "frames"
    begin, end = np.array([10.0]), np.array([17.0])
