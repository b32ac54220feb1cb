"""Proxies have the frames of their originals, at their times, and a run reads them under the originals' names."""

import os
import resource
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.commands import proxy as proxy_command
from lit_video.datamodule import VideoDataModule
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.engines.local import LocalEngine
from lit_video.index import VideoIndex
from lit_video.index.proxied import REPEATED, Notes, scan_proxies
from lit_video.planning.reads import GopRead
from lit_video.proxies import transcode as transcode_module
from lit_video.proxies.make import Original, make_one, make_proxies
from lit_video.proxies.settings import Settings
from lit_video.proxies.transcode import NoProxyError, transcode
from lit_video.support.errors import DataError
from tests import damaged


def index_of(paths, folder):
    return VideoIndex.scan(paths, folder / "index", progress=False)


def stamps_of(index, video_id, size):
    """What each frame says it is."""
    decoder, found = PyAVDecoder(index, size, fit="squash"), []
    for frame in range(int(index.lengths[video_id])):
        start = int(index.start_of(np.array([index.offset[video_id] + frame]))[0])
        out = torch.empty((1, 3, *size), dtype=torch.uint8)
        decoder.decode(GopRead(video_id, start, (frame,), ((0,),)), list(out))
        found.append(read_stamp(out[0])[1])
    decoder.close()
    return found


def times_of(index, video_id):
    return [int(pts) * Fraction(*index.columns.time_base[video_id].tolist()) for pts in index.pts_of(video_id)]


VIDEOS = {
    "plain": ("a.mp4", {}),
    "B-frames": ("a.mp4", {"b_frames": 2}),
    "odd times": ("a.mkv", {"pts": [0, 1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 20]}),
    "late": ("a.mp4", {"fps": Fraction(30000, 1001), "pts": range(7, 19)}),
    "early": ("a.mkv", {"fps": 25}),
    "AVI, MPEG-4 with B-frames": ("a.avi", {"codec": "mpeg4", "b_frames": 2}),
    "transport stream": ("a.ts", {}),
    "turned": ("a.mp4", {"rotation": 90}),
    "mirrored": ("a.mp4", {"rotation": 270, "mirrored": True}),
    "odd size": ("a.mp4", {"codec": "ffv1", "size": (97, 131), "pixel_format": "yuv444p"}),
    "10 bits": ("a.mkv", {"codec": "libx265", "pixel_format": "yuv420p10le"}),
}


class TestTranscoding:
    @pytest.mark.parametrize("name", VIDEOS)
    def test_frames_and_times_are_the_originals(self, name, tmp_path):
        file, options = VIDEOS[name]
        file = file.replace(".mp4", ".mkv") if options.get("codec") == "ffv1" else file
        index = index_of(write_stamped(tmp_path / file, 12, 3, gop=6, **options), tmp_path)
        lost = transcode(index, 0, Settings(), tmp_path / "proxy.mp4")
        proxy = index_of(tmp_path / "proxy.mp4", tmp_path)
        assert lost == ()
        assert times_of(proxy, 0) == times_of(index, 0)
        assert stamps_of(proxy, 0, (96, 128) if "rotation" not in options else (128, 96)) == list(range(12))
        assert proxy.start_frames(0).tolist() == list(range(12))
        assert proxy.presentation(0).rotation == 0
        assert proxy.presentation(0).colours.matrix == 1

    def test_frames_look_like_the_originals(self, tmp_path):
        index = index_of(damaged.whole(tmp_path / "a.mp4", "H.264, B-frames"), tmp_path)
        transcode(index, 0, Settings(crf=12), tmp_path / "proxy.mp4")
        found = []
        for one in (index, index_of(tmp_path / "proxy.mp4", tmp_path)):
            out = torch.empty((3, 192, 256), dtype=torch.uint8)
            PyAVDecoder(one, (192, 256)).decode(GopRead(0, int(one.start_of(np.array([7]))[0]), (7,), ((0,),)), [out])
            found.append(out.double())
        assert 10 * torch.log10(255**2 / ((found[0] - found[1]) ** 2).mean()) > 38

    def test_pixels_keep_their_shape_and_pictures_theirs(self, tmp_path):
        with av.open(str(tmp_path / "a.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
            for number in range(3):
                frame = av.VideoFrame.from_ndarray(np.full((576, 720, 3), 80, np.uint8), format="rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        index = index_of(tmp_path / "a.mp4", tmp_path)
        transcode(index, 0, Settings(), tmp_path / "proxy.mp4")
        proxy = index_of(tmp_path / "proxy.mp4", tmp_path)
        assert (proxy.columns.width[0], proxy.columns.height[0]) == (320, 256)
        assert proxy.columns.aspect[0] == pytest.approx(16 / 11, rel=1e-3)

    @pytest.mark.parametrize(("gop", "starts"), [(5, [0, 5, 10]), (100, [0])])
    def test_keyframes_are_where_they_were_asked_for(self, gop, starts, videos, tmp_path):
        index = index_of(videos / "2.mp4", tmp_path)
        transcode(index, 0, Settings(gop=gop), tmp_path / "proxy.mp4")
        assert index_of(tmp_path / "proxy.mp4", tmp_path).start_frames(0).tolist() == starts

    def test_damaged_frames_are_damaged_in_the_proxy(self, tmp_path):
        source = damaged.overwrite(damaged.whole(tmp_path / "w.mp4", "H.264, CABAC"), tmp_path / "a.mp4", 3)
        index = index_of(source, tmp_path)
        made = make_proxies(index, str(source), tmp_path / "proxies", Settings(), LocalEngine(1))
        proxied = scan_proxies(str(source), tmp_path / "proxies", tmp_path / "index", progress=False)
        known = {frame for run in index.damage(0) for frame in range(run.first, run.last + 1)}
        found = {frame for run in proxied.damage(0) for frame in range(run.first, run.last + 1)}
        assert known
        assert known <= found
        assert len(found) == made.num_lost
        assert {run.why for run in proxied.damage(0)} == {REPEATED}
        assert proxied.num_frames == index.num_frames

    def test_what_differs_is_no_proxy(self, videos, tmp_path, monkeypatch):
        index, encode = index_of(videos / "2.mp4", tmp_path), transcode_module._Encoder.encode
        monkeypatch.setattr(transcode_module._Encoder, "encode", lambda self, frame, pts: encode(self, frame, pts + 1))
        with pytest.raises(NoProxyError, match="its times are others"):
            transcode(index, 0, Settings(), tmp_path / "a.mp4")
        monkeypatch.setattr(
            transcode_module._Encoder, "encode", lambda self, frame, pts: encode(self, frame, pts) if pts else None
        )
        with pytest.raises(NoProxyError, match="it has 11 frames and not 12"):
            transcode(index, 0, Settings(), tmp_path / "a.mp4")

    def test_times_that_do_not_tell_frames_apart_are_refused(self, videos, tmp_path, monkeypatch):
        index = index_of(videos / "2.mp4", tmp_path)
        monkeypatch.setattr(VideoIndex, "pts_of", lambda self, video_id: np.zeros(12, np.int64))
        with pytest.raises(NoProxyError, match="do not tell its frames apart"):
            transcode(index, 0, Settings(), tmp_path / "a.mp4")

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"size": 15}, "even numbers of pixels"),
            ({"crf": 52}, "crf must be from 0 to 51"),
            ({"gop": 0}, "gop must be at least 1"),
            ({"preset": "quick"}, "preset must be one of"),
        ],
    )
    def test_settings_are_checked(self, wrong, told):
        with pytest.raises(ValueError, match=told):
            Settings(**wrong)


@pytest.fixture
def folder(videos, tmp_path):
    folder = Path(shutil.copytree(videos, tmp_path / "videos" / "clips"))
    shutil.copyfile(folder / "0.mp4", folder / "copy.mp4")
    return folder.parent


def make(folder, tmp_path, **settings):
    index = index_of(folder, tmp_path)
    return make_proxies(index, str(folder), tmp_path / "proxies", Settings(**settings), LocalEngine(2))


class TestMaking:
    def test_what_is_there_is_not_made_again(self, folder, tmp_path):
        made = make(folder, tmp_path)
        assert (made.num_there, made.num_made, made.missing) == (4, 4, {})
        proxies = tmp_path / "proxies" / "clips"
        assert sorted(path.name for path in proxies.iterdir()) == [f"{n}.mp4.mp4" for n in (0, 1, 2, "copy")]
        assert (proxies / "0.mp4.mp4").samefile(proxies / "copy.mp4.mp4")
        os.utime(folder / "clips" / "0.mp4", (1, 1))
        before = (proxies / "0.mp4.mp4").stat().st_mtime_ns
        assert make(folder, tmp_path).num_made == 0
        (proxies / "1.mp4.mp4").unlink()
        assert make(folder, tmp_path).num_made == 1
        assert (proxies / "0.mp4.mp4").stat().st_mtime_ns == before

    def test_an_original_that_changed_has_none(self, folder, tmp_path):
        make(folder, tmp_path)
        write_stamped(folder / "clips" / "1.mp4", 9, 6)
        assert make(folder, tmp_path).num_made == 1
        proxied = scan_proxies(str(folder), tmp_path / "proxies", tmp_path / "index", progress=False)
        assert proxied.lengths.tolist() == [50, 9, 12, 50]

    def test_other_settings_are_refused(self, folder, tmp_path):
        make(folder, tmp_path)
        with pytest.raises(DataError, match=r"proxies here are made by --size 256 --crf 23 --gop 1"):
            make(folder, tmp_path, crf=20)

    def test_what_has_none_is_listed_and_the_rest_made(self, folder, tmp_path, monkeypatch):
        index, notes = index_of(folder, tmp_path), Notes(tmp_path / "proxies")
        monkeypatch.setattr(transcode_module, "_difference", lambda *_: "so it is")
        make_one(index, notes, Settings(), Original(0, "a.mp4"))
        notes.close()
        assert [path.name for path in (tmp_path / "proxies").iterdir()] == [".lit_video"]
        monkeypatch.undo()
        made = make(folder, tmp_path)
        assert made.missing == dict.fromkeys(
            [index.path(0), index.path(3)], "its proxy is not true: so it is"
        )  # and its copy
        with pytest.warns(UserWarning, match=r"2 of 4 videos have no proxy in .* so it is"):
            proxied = scan_proxies(str(folder), tmp_path / "proxies", tmp_path / "index", progress=False)
        assert Path(proxied.path(0)) == folder / "clips" / "0.mp4"
        assert Path(proxied.path(1)) == tmp_path / "proxies" / "clips" / "1.mp4.mp4"

    @pytest.mark.parametrize("num_bytes", [100, 8000], ids=["no video", "half a video"])
    def test_a_disk_that_is_full_is_told(self, folder, tmp_path, num_bytes):
        index, notes = index_of(folder, tmp_path), Notes(tmp_path / "proxies")
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limit[1]))
        try:
            with pytest.raises(DataError, match=r"proxies cannot be kept here \(.*File too large"):
                make_one(index, notes, Settings(), Original(0, "a.mp4"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert not list((tmp_path / "proxies").glob("*.part"))


class TestReading:
    def test_names_labels_and_splits_are_the_originals(self, folder, tmp_path):
        make(folder, tmp_path)
        options = {
            "labels": "folder",
            "split": {"train": 0.5, "val": 0.5},
            "index_dir": tmp_path / "index",
            "size": 64,
            "batch_size": 8,
            "progress": False,
        }
        found = []
        for more in ({}, {"proxy": tmp_path / "proxies"}):
            data = VideoDataModule(folder, **options, **more)
            data.setup()
            samples = data.population("val")
            found.append(
                [list(data.index.known_paths), data.index.classes, samples.frames_of(np.arange(5))[0].tolist()]
            )
            batch = next(iter(data.train_dataloader()))
            assert [read_stamp(image)[1] for image in batch["image"]] == batch["frame_index"].tolist()
            data.close()
        assert found[0] == found[1]
        assert data.index.path(0).endswith("proxies/clips/0.mp4.mp4")

    def test_no_proxy_at_all_is_told(self, folder, tmp_path):
        with pytest.raises(DataError, match="no proxy of any of the 4 videos"):
            scan_proxies(str(folder), tmp_path / "proxies", tmp_path / "index", progress=False)

    def test_a_worker_has_the_names_too(self, folder, tmp_path):
        import pickle

        make(folder, tmp_path)
        index = scan_proxies(str(folder), tmp_path / "proxies", tmp_path / "index", progress=False)
        assert pickle.loads(pickle.dumps(index)).known_paths == index.known_paths


def test_the_command(folder, tmp_path, capsys):
    words = [
        str(folder),
        str(tmp_path / "proxies"),
        "--size",
        "48x64",
        "--index-dir",
        str(tmp_path),
        "engine.num_cpus=2",
    ]
    with pytest.raises(SystemExit) as ended:
        proxy_command.main(words)
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "4 of 4 videos have a proxy" in told
    assert f"data.proxy={tmp_path / 'proxies'}" in told
    with pytest.raises(SystemExit) as ended:
        proxy_command.main([str(folder)])
    assert "name the videos and, last, the folder" in capsys.readouterr().err
