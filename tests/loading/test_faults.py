"""Damaged data: the policy is kept, batches stay right, and the ledger tells."""

import errno
import itertools
import os
import shutil
from collections import Counter
from functools import partial

import av
import numpy as np
import pytest

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.decoders import one_file
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import Population, VideoIndex, changes
from lit_video.loading.faults import MOST_REDRAWS
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DecodeError, MachineError
from tests.fakes import index_of
from tests.loading.test_loader import SlowDecoder, ids, loader_of, said
from tests.test_train import report_of, train


class Damaged(SlowDecoder):
    """Cannot decode every frame whose index ends in 3, nor any of the second video."""

    def decode(self, read, out):
        bad = [frame for frame in read.frame_indices if frame % 10 == 3 or read.video_id == 1]
        super().decode(read, out)
        if bad:
            raise DecodeError(f"/nowhere/{read.video_id}.mp4", bad, 60, "damaged")


class Gone(SlowDecoder):
    """Cannot decode anything."""

    def decode(self, read, out):
        raise DecodeError("/nowhere/0.mp4", read.frame_indices, 60, "gone")


INDEX = index_of([60, 7, 60], 6)


def is_bad(frame_id):
    (video_id,), (frame,) = INDEX.locate(np.array([frame_id]))
    return frame % 10 == 3 or video_id == 1


BAD = [frame_id for frame_id in range(127) if is_bad(frame_id)]


def test_raise_is_the_default():
    with pytest.raises(DecodeError, match="damaged"):
        list(loader_of(INDEX, decoder=Damaged))


class TestSkip:
    def test_leaves_the_bad_frames_out_and_no_other(self):
        loader = loader_of(INDEX, decoder=Damaged, on_error="skip")
        batches = list(loader)
        order = UniformSampler(INDEX, 0).order(0).tolist()
        assert ids(batches, INDEX) == [frame for frame in order if not is_bad(frame)]
        positions = np.concatenate([batch["position"] for batch in batches])
        assert [order[p] for p in positions] == ids(batches, INDEX)
        for batch in batches:
            assert said(batch) == (batch["video_id"].tolist(), batch["frame_index"].tolist())

    def test_keeps_the_number_of_batches(self):
        assert len(list(loader_of(INDEX, decoder=Damaged, on_error="skip"))) == 8

    def test_tells(self):
        loader = loader_of(INDEX, decoder=Damaged, on_error="skip")
        list(loader)
        assert loader.counts.skipped_frames == len(BAD)
        told = {(fault.path, fault.frame_index) for fault in loader.ledger}
        assert told == {(INDEX.path(int(v)), int(f)) for v, f in zip(*INDEX.locate(np.array(BAD)), strict=True)}
        assert all(f.reason == "damaged" and f.epoch == 0 and f.replaced_by is None for f in loader.ledger)

    def test_frees_what_it_leaves_out(self):
        loader = loader_of(INDEX, decoder=Damaged, on_error="skip", lookahead_bytes=18 * 3 * 96 * 96)
        for _ in range(3):
            list(loader)
        assert loader.counts.peak_held_frames <= loader.budget.slots == 18

    def test_resumes_at_the_right_position(self):
        whole = ids(loader_of(INDEX, decoder=Damaged, on_error="skip"), INDEX)
        first = loader_of(INDEX, decoder=Damaged, on_error="skip")
        seen = ids(itertools.islice(iter(first), 3), INDEX)
        assert first.state_dict()["position"] == 48
        second = loader_of(INDEX, decoder=Damaged, on_error="skip", threads=1)
        second.load_state_dict(first.state_dict())
        assert seen + ids(second, INDEX) == whole
        first.close()


class TestRedraw:
    def load(self, **arguments):
        loader = loader_of(INDEX, decoder=Damaged, on_error="redraw", **arguments)
        batches = list(loader)
        loader.close()
        return batches, loader

    def test_batches_stay_full_and_say_what_they_show(self):
        batches, _ = self.load()
        assert [len(batch["image"]) for batch in batches] == [16] * 7 + [15]
        for batch in batches:
            assert said(batch) == (batch["video_id"].tolist(), batch["frame_index"].tolist())
        assert not any(map(is_bad, ids(batches, INDEX)))

    def test_only_bad_frames_are_replaced(self):
        batches, loader = self.load()
        order = UniformSampler(INDEX, 0).order(0).tolist()
        replaced = [(a, b) for a, b in zip(order, ids(batches, INDEX), strict=True) if a != b]
        assert sorted(a for a, _ in replaced) == BAD
        told = {(f.path, f.frame_index): f.replaced_by for f in loader.ledger}
        for bad, instead in replaced:
            (v, w), (f, g) = INDEX.locate(np.array([bad, instead]))
            assert told[INDEX.path(int(v)), int(f)] == (INDEX.path(int(w)), int(g))

    @pytest.mark.parametrize(
        "arguments",
        [
            {"threads": 1},
            {"threads": 5},
            {"lookahead": 1},
            {"lookahead": 30},
            {"num_workers": 2, "start_method": "fork"},
            {"lookahead_bytes": 18 * 3 * 96 * 96},
        ],
        ids=str,
    )
    def test_the_same_frame_comes_in_whatever_way(self, arguments):
        expected, _ = self.load()
        found, _ = self.load(**arguments)
        assert ids(found, INDEX) == ids(expected, INDEX)

    def test_ranks_stay_in_step_and_agree(self):
        expected, _ = self.load()
        at = dict(zip(itertools.count(), ids(expected, INDEX)))
        parts = [self.load(batch_size=8, rank=rank, world_size=2)[0] for rank in range(2)]
        assert len(parts[0]) == len(parts[1])
        for a, b in zip(*parts, strict=True):
            assert len(a["image"]) == len(b["image"])
        for batches in parts:
            positions = np.concatenate([batch["position"] for batch in batches]).tolist()
            assert ids(batches, INDEX) == [at[p] for p in positions]

    def test_another_epoch_draws_others(self):
        loader = loader_of(INDEX, decoder=Damaged, on_error="redraw")
        drawn = []
        for epoch in range(2):
            list(loader)
            drawn.append({(f.path, f.frame_index): f.replaced_by for f in loader.ledger if f.epoch == epoch})
        assert drawn[0].keys() == drawn[1].keys()
        assert drawn[0] != drawn[1]

    def test_replacements_are_uniform_over_what_can_be_decoded(self):
        loader, counts = loader_of(INDEX, decoder=Damaged, on_error="redraw"), np.zeros(127)
        for _ in range(60):
            list(loader)
        for fault in loader.ledger:
            path, frame = fault.replaced_by
            counts[INDEX.offset[INDEX.paths.index(path)] + frame] += 1
        good = np.setdiff1d(np.arange(127), BAD)
        assert counts[BAD].sum() == 0
        expected = counts.sum() / len(good)
        assert expected > 10
        # 108 degrees of freedom: exceeded 2 times in a million.
        assert ((counts[good] - expected) ** 2 / expected).sum() < 188

    def test_gives_up_where_nothing_can_be_decoded(self):
        with pytest.raises(DecodeError, match="gone"):
            list(loader_of(INDEX, decoder=Gone, on_error="redraw", lookahead=1))
        assert MOST_REDRAWS == 32


def test_a_batch_of_which_nothing_is_left_raises_under_skip():
    with pytest.raises(DecodeError, match="gone"):
        list(loader_of(INDEX, decoder=Gone, on_error="skip"))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_batch_of_which_nothing_is_left_shows_another_frame(batch_size):
    """One damaged frame alone in its batch does not end a run."""
    loader = loader_of(INDEX, decoder=Damaged, on_error="skip", batch_size=batch_size)
    batches, order = list(loader), UniformSampler(INDEX, 0).order(0).tolist()
    assert len(batches) == -(-127 // batch_size)
    shown = [batch for batch in batches if is_bad(order[int(batch["position"][0])])]
    for batch in shown:
        assert not any(is_bad(frame) for frame in ids([batch], INDEX))
    assert shown
    for batch in batches:
        assert said(batch) == (batch["video_id"].tolist(), batch["frame_index"].tolist())
    assert loader.counts.skipped_frames == len(BAD)
    assert all(fault.replaced_by is None for fault in loader.ledger)


@pytest.mark.parametrize("lookahead", [1, 20, 3000])
def test_each_position_is_counted(lookahead):
    """A frame that comes five times and cannot be had is five frames that did not come."""
    sampler = partial(UniformSampler, replacement=True, num_samples=400)
    loader = loader_of(INDEX, sampler=sampler, decoder=Damaged, on_error="skip", lookahead=lookahead)
    images = sum(len(batch["image"]) for batch in loader)
    assert loader.counts.skipped_frames == sum(fault.positions for fault in loader.ledger) == 400 - images
    assert images == sum(not is_bad(frame) for frame in loader.sampler.order(0)[0:400].tolist())


@pytest.mark.parametrize("clip", [{}, {"clip_length": 3}], ids=["frames", "clips"])
@pytest.mark.parametrize("policy", ["skip", "redraw"])
@pytest.mark.parametrize(("lookahead", "batch_size"), [(1, 16), (5, 5), (17, 16), (40, 64), (130, 64)])
def test_frames_that_come_again_in_the_same_batch(lookahead, batch_size, policy, clip):
    """All frames fit, so that each is held from one position to the next, in whatever batch that is."""
    population = Population(INDEX, **clip)
    sampler = partial(UniformSampler, replacement=True, num_samples=200)
    arguments = {"sampler": sampler, "decoder": Damaged, "on_error": policy, "batch_size": batch_size}
    loader = loader_of(population, lookahead=lookahead, lookahead_bytes=600 * 3 * 96 * 96, **arguments)
    plain = loader_of(population, lookahead=1, lookahead_bytes=70 * 3 * 3 * 96 * 96, **arguments)
    for _ in range(2):
        for batch, expected in zip(loader, plain, strict=True):
            assert batch["image"][..., 0, 0].equal(expected["image"][..., 0, 0])
            assert batch["position"].equal(expected["position"])
    assert loader.counts.skipped_frames == plain.counts.skipped_frames
    assert _lost(loader) == _lost(plain)


def _lost(loader):
    lost = Counter()
    for fault in loader.ledger:
        lost[fault.path, fault.frame_index, fault.epoch, fault.replaced_by] += fault.positions
    return lost


def test_an_error_that_is_not_the_datas_is_raised_under_every_policy():
    class Bug(SlowDecoder):
        def decode(self, read, out):
            raise ZeroDivisionError("a bug")

    for policy in ("raise", "skip", "redraw"):
        with pytest.raises(ZeroDivisionError):
            list(loader_of(INDEX, decoder=Bug, on_error=policy))


def spied(function, calls):
    def spy(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return spy


@pytest.fixture
def damaged_folder(tmp_path):
    """Two videos; ten coded pictures of the first are zeroed out."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(2):
        write_stamped(folder / f"{number}.mp4", 40, number, gop=10)
    path = folder / "0.mp4"
    with av.open(str(path)) as container:
        spoilt = [packet for packet in container.demux(video=0) if packet.size][20:30]
    data = bytearray(path.read_bytes())
    for packet in spoilt:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    return folder


class TestRealFiles:
    def test_redraw_on_a_damaged_file(self, damaged_folder, tmp_path):
        index = VideoIndex.scan(damaged_folder, tmp_path / "index", progress=False)
        loader = loader_of(index, decoder=PyAVDecoder, on_error="redraw")
        for batch in loader:
            shown = [read_stamp(image) for image in batch["image"]]
            assert shown == list(zip(batch["video_id"].tolist(), batch["frame_index"].tolist(), strict=True))
        assert sorted(f.frame_index for f in loader.ledger) == list(range(20, 30))

    def test_a_file_deleted_during_the_run(self, damaged_folder, tmp_path):
        index = VideoIndex.scan(damaged_folder, tmp_path / "index", progress=False)
        loader = loader_of(index, decoder=PyAVDecoder, on_error="skip")
        list(loader)
        loader.close()
        (damaged_folder / "1.mp4").unlink()
        assert len(ids(loader, index)) == 30
        gone = [fault for fault in loader.ledger if fault.epoch == 1 and fault.path.endswith("1.mp4")]
        assert len(gone) == 40
        assert {fault.reason for fault in gone} == {"No such file or directory"}

    @pytest.mark.parametrize("name", ["a.avi", "a.ts", "a.mkv"])
    @pytest.mark.parametrize("way", ["by rename", "in place"])
    def test_a_file_replaced_during_the_run_is_never_read_as_if_it_were_the_old_one(self, tmp_path, name, way):
        write_stamped(tmp_path / name, 60, 1, gop=10)
        index = VideoIndex.scan(tmp_path / name, tmp_path / "index", progress=False)
        (tmp_path / "other").mkdir()
        write_stamped(tmp_path / "other" / name, 60, 2, gop=12)
        loader = loader_of(index, decoder=PyAVDecoder, lookahead=1, batch_size=4, threads=1)
        batches = iter(loader)
        next(batches)
        if way == "by rename":
            (tmp_path / "other" / name).replace(tmp_path / name)
        else:
            (tmp_path / name).write_bytes((tmp_path / "other" / name).read_bytes())
        seen = []
        with pytest.raises(DecodeError, match="the file changed after it was indexed"):
            seen.extend(read_stamp(image)[0] for batch in batches for image in batch["image"])
        assert set(seen) <= {1}

    @pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
    @pytest.mark.parametrize("how", ["touched", "replaced by a copy"])
    def test_a_time_of_change_that_moves_does_not_end_a_run(self, tmp_path, name, how):
        path = write_stamped(tmp_path / name, 60, 1, gop=10)
        index = VideoIndex.scan(path, tmp_path / "index", progress=False)
        loader = loader_of(index, decoder=PyAVDecoder, lookahead=1, batch_size=4, threads=2)

        def seen():
            for number, batch in enumerate(loader):
                if how == "touched":
                    os.utime(path, (number, number))
                else:
                    shutil.copyfile(path, tmp_path / "copy")
                    (tmp_path / "copy").replace(path)
                yield batch

        with pytest.warns(UserWarning, match="its bytes are the same") as told:
            found = ids(seen(), index)
        assert len(told) == 1
        assert sorted(found) == list(range(60))

    def test_other_bytes_of_the_same_size_end_it(self, tmp_path):
        path = write_stamped(tmp_path / "a.mkv", 60, 1, gop=10)
        index = VideoIndex.scan(path, tmp_path / "index", progress=False)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
        with pytest.raises(DecodeError, match="the file changed after it was indexed"):
            list(loader_of(index, decoder=PyAVDecoder, threads=1))

    def test_an_open_file_is_looked_at_once_a_read(self, tmp_path, monkeypatch):
        path, looks = write_stamped(tmp_path / "a.mp4", 60, 1, gop=10), []
        index = VideoIndex.scan(path, tmp_path / "index", progress=False)
        monkeypatch.setattr(changes, "_stands", spied(changes._stands, looks))
        loader = loader_of(index, decoder=PyAVDecoder, lookahead=1, batch_size=4, threads=1)
        list(loader)
        assert len(looks) == loader.counts.reads + 1

    @pytest.mark.parametrize("policy", ["raise", "skip", "redraw"])
    def test_what_the_machine_lacks_is_no_damage(self, damaged_folder, tmp_path, monkeypatch, policy):
        def refuse(*_, **__):
            raise OSError(errno.EMFILE, "Too many open files")

        healthy = damaged_folder / "1.mp4"  # of damage that the index knows, `raise` tells before anything is opened
        index = VideoIndex.scan(healthy, tmp_path / "index", progress=False)
        monkeypatch.setattr(one_file, "open_video", refuse)
        with pytest.raises(MachineError, match=r"mp4: too many open files.\nLower data.decoder.max_open"):
            list(loader_of(index, decoder=PyAVDecoder, on_error=policy))

    @pytest.mark.parametrize("b_frames", [0, 2])
    def test_which_frames_are_damaged_does_not_depend_on_what_else_is_wanted(self, tmp_path, b_frames):
        """Every tenth packet is spoilt; each frame, alone or with others, can be had in all cases or in none."""
        path = write_stamped(tmp_path / "a.mp4", 60, 0, gop=12, b_frames=b_frames)
        with av.open(str(path)) as container:
            spoilt = [packet for packet in container.demux(video=0) if packet.size][7::10]
        data = bytearray(path.read_bytes())
        for packet in spoilt:
            data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
        path.write_bytes(data)
        index, missing = VideoIndex.scan(path, tmp_path / "index", progress=False), []
        for lookahead in (1, 7, 60):
            loader = loader_of(index, decoder=PyAVDecoder, on_error="skip", lookahead=lookahead)
            for batch in loader:
                assert [read_stamp(image)[1] for image in batch["image"]] == batch["frame_index"].tolist()
            missing.append(sorted({fault.frame_index for fault in loader.ledger}))
            loader.close()
        assert missing[0] == missing[1] == missing[2] != []

    def test_the_ledger_is_in_the_report_and_printed(self, damaged_folder, tmp_path):
        done = train(tmp_path / "run", f"data.root={damaged_folder}", "data.on_error=redraw")
        assert done.returncode == 0, done.stderr
        report = report_of(tmp_path / "run")
        assert report["images"] == 80
        (row,) = report["ledger"]
        assert (row["rank"], row["first"], row["last"], row["epoch"]) == (0, 20, 29, 0)
        assert report["skipped_frames"] == row["frames"] == row["positions"] == row["replaced"] == 10
        assert report["index"]["damaged_frames"] == 10
        assert row["path"].endswith("0.mp4")
        assert len(row["replaced_by"]) == 2
        assert "not delivered" in done.stdout

    def test_by_default_the_run_ends_in_a_sentence(self, damaged_folder, tmp_path):
        done = train(tmp_path / "run", f"data.root={damaged_folder}")
        assert done.returncode == 1
        assert "0.mp4: could not decode frames" in done.stderr
        assert "ffmpeg -v error -i" in done.stderr
        assert "Traceback" not in done.stderr
