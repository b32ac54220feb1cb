"""Files whose writer left out the list of keyframes: read as if it were there, where that changes nothing else."""

import os
import random
import shutil
import subprocess
from dataclasses import replace
from io import FileIO

import av
import numpy as np
import pytest

from lit_video.bench.far_away import FarAway
from lit_video.checks.verify import verify
from lit_video.decoders.reader import OpenVideos
from lit_video.index import VideoIndex, cues
from lit_video.media.container import open_video
from lit_video.media.picture import checksum
from lit_video.media.spliced import Splice, SplicedFile
from lit_video.planning.planner import GopRead

FRAMES, GOP = 120, 10
QUIET = os.environ | {"SVT_LOG": "1"}


@pytest.fixture(autouse=True)
def _small_files_count(monkeypatch):
    monkeypatch.setattr(cues, "WORTH_BYTES", 0)
    monkeypatch.setattr(cues, "WORTH_FRAGMENTS", 4)


@pytest.fixture
def num_read(monkeypatch):
    """Bytes that FFmpeg took of each spliced file."""
    found, read = [], SplicedFile._at

    def spy(self, place, count):
        data = read(self, place, count)
        found.append(len(data))
        return data

    monkeypatch.setattr(SplicedFile, "_at", spy)
    return found


def scan(path):
    return VideoIndex.scan(path, path.with_name(f"index-{path.name}"), progress=False)


ENCODERS = {
    "libx264": ["-preset", "ultrafast", "-bf", "2", "-sc_threshold", "0", "-keyint_min", f"{GOP}"],
    "libx265": ["-preset", "ultrafast", "-x265-params", "open-gop=0:scenecut=0:log-level=none"],
    "libvpx": ["-deadline", "realtime", "-cpu-used", "8", "-b:v", "4M"],
    "libvpx-vp9": ["-deadline", "realtime", "-cpu-used", "8", "-b:v", "4M"],
    "libsvtav1": ["-preset", "12", "-crf", "20"],
}


def write(path, codec="libx264"):
    """Write noise: a GOP that does not fit what FFmpeg reads at a time."""
    source = ["-f", "lavfi", "-i", f"testsrc2=s=256x192:r=25,noise=alls=60:allf=t,trim=end_frame={FRAMES}"]
    options = ["-c:v", codec, "-g", f"{GOP}", "-pix_fmt", "yuv420p", *ENCODERS[codec]]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, *options, path], check=True, env=QUIET)
    return path


def muxed(source, path, *options):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, "-c", "copy", *options, path], check=True, text=True)
    return path


def live(source, path, *options):
    """Copy a file through a pipe, where a muxer cannot go back to write where keyframes are."""
    with path.open("wb") as file:
        kind = "webm" if path.suffix == ".webm" else "matroska"
        command = ["ffmpeg", "-v", "error", "-i", source, "-map", "0", "-c", "copy", *options, "-f", kind, "pipe:1"]
        subprocess.run(command, check=True, stdout=file)
    return path


def with_sound_first(source, path):
    options = ["-map", "0:a", "-map", "1:v", "-shortest"]
    sound = ["-f", "lavfi", "-i", "sine=d=8"]
    whole = path.with_name("sound.mkv")
    command = ["ffmpeg", "-v", "error", *sound, "-i", source, *options, "-c:a", "aac", "-c:v", "copy", whole]
    subprocess.run(command, check=True)
    return live(whole, path)


def cut_off(source, path):
    """Copy two thirds of a file: its head says where the cues are, behind its end."""
    data = source.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def of_known_size(source, path):
    """Copy a file without its cues, and without a word of them, as `--no-cues` leaves it."""
    data = bytearray(source.read_bytes())
    place = data.rindex(cues.CUES)
    assert data.count(cues.CUES) == 2  # in the list of what there is, and at their own head
    for at in (data.index(cues.CUES), place):
        data[at : at + 4] = b"\x1f\x43\xb6\x76"  # no element that anybody knows
    path.write_bytes(data)
    return path


MATROSKA = {
    "h264": ("libx264", lambda source, path: live(source, path)),
    "hevc": ("libx265", lambda source, path: live(source, path)),
    "vp8": ("libvpx", lambda source, path: live(source, path.with_suffix(".webm"))),
    "vp9": ("libvpx-vp9", lambda source, path: live(source, path.with_suffix(".webm"))),
    "av1": ("libsvtav1", lambda source, path: live(source, path)),
    "short clusters": ("libx264", lambda source, path: live(source, path, "-cluster_time_limit", "100")),
    "long clusters": ("libx264", lambda source, path: live(source, path, "-cluster_time_limit", "5000")),
    "sound first": ("libx264", with_sound_first),
    "cut off": ("libx264", cut_off),
    "of known size": ("libx264", of_known_size),
}
FRAGMENTED = {
    "empty moov": ("libx264", ["-movflags", "frag_keyframe+empty_moov+default_base_moof"]),
    "edit list": ("libx264", ["-movflags", "frag_keyframe+delay_moov"]),
    "hevc": ("libx265", ["-movflags", "frag_keyframe+empty_moov"]),
    "several to a keyframe": ("libx264", ["-movflags", "empty_moov", "-frag_duration", "120000"]),
    "segments": ("libx264", ["-movflags", "frag_keyframe+dash"]),
}


@pytest.mark.parametrize("kind", MATROSKA)
def test_matroska_without_cues(kind, tmp_path, num_read):
    codec, make = MATROSKA[kind]
    path = make(write(tmp_path / "source.mkv", codec), tmp_path / "a.mkv")
    check(path, num_read)


@pytest.mark.parametrize("kind", FRAGMENTED)
def test_fragmented_mp4(kind, tmp_path, num_read):
    codec, options = FRAGMENTED[kind]
    path = muxed(write(tmp_path / "source.mp4", codec), tmp_path / "a.mp4", *options)
    check(path, num_read)


def check(path, num_read):
    """Every frame, in any order, from a file just opened: the right one, for a small part of its bytes."""
    index = scan(path)
    assert index.made(0) == "exact"
    assert index.splice(0) is not None
    assert verify(index, 0).ok
    truth = dict(enumerate(sequential(path)))
    assert len(truth) == index.num_frames
    num_read.clear()
    draw = random.Random(0)
    starts = index.start_frames(0).tolist()
    for start in draw.sample(starts, 8):
        videos = OpenVideos(index, 1)
        ((frame, picture),) = videos.read(GopRead(0, start, (start,), ((0,),)))
        assert checksum(picture) == truth[frame]
        videos.close()
    assert sum(num_read) / 8 < path.stat().st_size / 3


def sequential(path):
    with open_video(path) as container:
        stream = container.streams.best("video")
        stream.thread_count = 1
        return [checksum(picture) for picture in container.decode(stream)]


def test_files_that_have_it_are_left_alone(tmp_path):
    source = write(tmp_path / "a.mkv")
    front = muxed(source, tmp_path / "front.mkv", "-cues_to_front", "1")
    whole = muxed(source, tmp_path / "whole.mp4")
    one_index = muxed(
        source, tmp_path / "sidx.mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof+global_sidx"
    )
    for path in (source, front, whole, one_index):
        assert scan(path).splice(0) is None, path


def test_small_files_are_left_alone(tmp_path, monkeypatch):
    source = write(tmp_path / "source.mkv")
    monkeypatch.undo()
    path = live(source, tmp_path / "a.mkv", "-t", "1")
    assert path.stat().st_size < cues.WORTH_BYTES
    assert scan(path).splice(0) is None


def test_it_is_kept_with_the_entry_and_taken_over(tmp_path):
    source = write(tmp_path / "source.mkv")
    folder = tmp_path / "videos"
    folder.mkdir()
    live(source, folder / "a.mkv")
    shutil.copy(source, folder / "b.mkv")
    muxed(source, folder / "c.mp4", "-movflags", "frag_keyframe+empty_moov")
    first = VideoIndex.scan(folder, tmp_path / "index", progress=False)
    splices = [first.splice(number) for number in range(3)]
    assert [splice is None for splice in splices] == [False, True, False]
    again = VideoIndex.scan([folder / "c.mp4", folder / "a.mkv"], tmp_path / "index", progress=False)
    assert again.num_cached == 2
    assert [again.splice(0), again.splice(1)] == [splices[2], splices[0]]
    (folder / "d.mkv").write_bytes((folder / "a.mkv").read_bytes()[:-1000])
    joined = VideoIndex.scan(folder, tmp_path / "index", progress=False)
    assert [joined.splice(number) for number in range(3)] == splices
    assert joined.splice(3) is not None


def test_one_that_leads_nowhere_is_left_out_when_it_is_met(tmp_path):
    """As after another FFmpeg: the file is read as it is."""
    path = live(write(tmp_path / "source.mkv"), tmp_path / "a.mkv")
    index = scan(path)
    splice = index.splice(0)
    places = bytearray(splice.data)
    for at in range(len(places) - 8, splice.data.index(cues.CUES) + 12, -34):
        places[at + 6 : at + 8] = b"\x00\x07"
    harmed = replace(index, columns=replace(index.columns, cues=np.frombuffer(bytes(places), np.uint8)))
    assert verify(harmed, 0).ok


def test_fragments_whose_times_would_change_are_left_alone(tmp_path):
    """FFmpeg goes by the list's times where it has one; of fragments of a picture each it makes others of them."""
    path = muxed(write(tmp_path / "source.mp4"), tmp_path / "a.mp4", "-movflags", "frag_every_frame+cmaf+delay_moov")
    index = scan(path)
    assert index.splice(0) is None
    assert verify(index, 0).ok


def test_far_away_too(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    path = live(write(tmp_path / "source.mkv"), folder / "a.mkv")
    near = scan(path)
    with FarAway(folder).serving() as server:
        far = VideoIndex.scan(f"{server.url}/a.mkv", tmp_path / "far", progress=False)
        assert far.splice(0) == near.splice(0) is not None
        videos, frame = OpenVideos(far, 1), int(far.start_frames(0)[-2])
        server.forget()
        ((_, picture),) = videos.read(GopRead(0, frame, (frame,), ((0,),)))
        assert checksum(picture) == sequential(path)[frame]
        videos.close()


def test_a_spliced_file_reads_as_one_whose_bytes_were_replaced(tmp_path):
    draw = random.Random(0)
    data = draw.randbytes(1000)
    (tmp_path / "a").write_bytes(data)
    for begin, end, size in [(0, 0, 5), (1000, 1000, 7), (100, 300, 50), (0, 1000, 3), (10, 10, 0), (7, 9, 600)]:
        inserted = draw.randbytes(size)
        expected = data[:begin] + inserted + data[end:]
        file = SplicedFile(FileIO(tmp_path / "a"), Splice(begin, end, inserted))
        assert file.seek(0, 2) == len(expected)
        for _ in range(200):
            place, count = draw.randrange(len(expected) + 5), draw.randrange(1, 400)
            assert file.seek(place) == file.tell() == place
            got = b""
            while len(got) < count and (more := file.read(count - len(got))):
                got += more
            assert got == expected[place : place + count]


def test_no_handle_is_left_open(tmp_path):
    path = live(write(tmp_path / "source.mkv"), tmp_path / "a.mkv")
    index, before = scan(path), len(os.listdir("/proc/self/fd"))
    videos = OpenVideos(index, 1)
    list(videos.read(GopRead(0, 0, (0,), ((0,),))))
    assert len(os.listdir("/proc/self/fd")) == before + 1
    videos.close()
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(FileNotFoundError):
        open_video(tmp_path / "gone.mkv", index.splice(0))


def test_the_elements_are_what_other_readers_take_them_for(tmp_path):
    """FFmpeg finds each keyframe at the cluster that it has it in, and at no other, from a file just opened."""
    path = live(write(tmp_path / "source.mkv"), tmp_path / "a.mkv")
    splice = scan(path).splice(0)
    spliced = tmp_path / "b.mkv"
    data = path.read_bytes()
    spliced.write_bytes(data[: splice.begin] + splice.data + data[splice.end :])
    with av.open(str(spliced)) as container:
        stream = container.streams.video[0]
        container.seek(0, stream=stream)
        found = [entry.timestamp for entry in stream.index_entries]
    assert found == list(range(0, FRAMES * 40, GOP * 40))
