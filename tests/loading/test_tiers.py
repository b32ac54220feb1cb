"""What a worker does where its slots are of a GPU: with memory of the CPU, and a decoder that writes at the end."""

from contextlib import closing

import numpy as np
import pytest
import torch

from lit_video.loading.tiers import FetchJob, Job, Source, Tiers
from lit_video.planning.reads import Fetch, GopRead
from lit_video.store.packing import make_packing
from lit_video.support.errors import DecodeError
from tests.store.frames import SIZE, frames_of, store_of

READ = GopRead(0, 0, (1, 3), ((4,), (2, 7)), packed=(3, 5), packed_uses=(1, 1), stored=(0, 1, 2, 5))


class Together:
    """Writes all frames when the last was decoded, as one does that has several under way."""

    def __init__(self, bad=()):
        self.bad = bad

    def decode(self, read, out):
        images = torch.from_numpy(frames_of(read.frame_indices))
        targets = [out[place] for place in range(len(out))]
        for frame, target, image in zip(read.frame_indices, targets, images, strict=True):
            if frame not in self.bad:
                target.copy_(image)
        if bad := [frame for frame in read.frame_indices if frame in self.bad]:
            raise DecodeError("/nowhere/0.mp4", bad, 60, "damaged")


@pytest.fixture
def tiers(tmp_path):
    with closing(store_of(tmp_path / "store")) as store:
        slots = torch.zeros((6, 3, *SIZE), dtype=torch.uint8)
        pages = torch.zeros((256, 2048), dtype=torch.uint8)
        yield Tiers(slots, pages, make_packing("lossless"), store, on_device=True)


PAGES = [range(100), range(100, 200)]


def test_frames_go_to_slots_pages_and_the_store(tiers):
    done = tiers.do(Job(0, READ, [5, 2], PAGES), Together())
    assert done.error is None
    assert (tiers.slots[[5, 2]].numpy() == frames_of((1, 3))).all()
    assert np.flatnonzero(tiers.store.has()).tolist() == [0, 1, 2, 5]
    sources = [Source(pages, size) for pages, size in zip(PAGES, done.num_bytes, strict=True)]
    fetch = FetchJob(1, Fetch([5, 2, 3, 9], [8, 9, 10, 11]), [0, 1, 3, 4], [sources[1], None, sources[0], None])
    assert tiers.do(fetch, Together()).absent == [3]
    assert (tiers.slots[[0, 1, 3]].numpy() == frames_of((5, 2, 3))).all()


def test_nothing_is_kept_of_what_did_not_come(tiers):
    done = tiers.do(Job(0, READ, [5, 2], PAGES), Together(bad=(1, 5)))
    assert isinstance(done.error, DecodeError)
    assert done.error.missing == [1]
    assert done.num_bytes[1] == -1 < done.num_bytes[0]
    assert np.flatnonzero(tiers.store.has()).tolist() == [0, 2]
    assert (tiers.slots[2].numpy() == frames_of((3,))[0]).all()
