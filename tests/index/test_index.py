import json
import os
import pickle
import shutil
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from lit_video.checks.stamps import write_stamped
from lit_video.index import VideoIndex, files
from lit_video.index import build as build_module
from lit_video.index.files import find_files
from lit_video.support.errors import DataError, IndexStoreError


@pytest.fixture
def scans(monkeypatch):
    """Names of the files that were really read."""
    read, scan = [], build_module.scan_file

    def spy(path, *how):
        read.append(path.name)
        return scan(path, *how)

    monkeypatch.setattr(build_module, "scan_file", spy)
    return read


def scan(paths, folder):
    return VideoIndex.scan(paths, folder, progress=False)


def sequential_pts(path):
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=0)]


class TestColumns:
    def test_counts_and_offsets(self, index):
        assert index.offset.tolist() == [0, 50, 81, 93]
        assert (index.num_videos, index.num_frames) == (3, 93)

    def test_pts_are_those_of_a_sequential_decode(self, index):
        for video_id, path in enumerate(index.paths):
            assert index.pts[slice(*index.offset[video_id : video_id + 2])].tolist() == sequential_pts(path)

    def test_start_is_the_keyframe_before(self, index):
        starts = index.start_of(np.arange(93))
        expected = [frame // 10 * 10 for length in (50, 31, 12) for frame in range(length)]
        assert starts.tolist() == expected
        assert starts.dtype == np.int64

    def test_locate_inverts_offset(self, index):
        video_ids, frame_indices = index.locate(np.arange(93))
        assert np.array_equal(index.offset[video_ids] + frame_indices, np.arange(93))
        assert (frame_indices < index.lengths[video_ids]).all()

    def test_gops(self, index):
        assert index.keyframes.tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 81, 91, 93]

    def test_what_is_known_of_a_video(self, index):
        assert (index.codec(0), index.pixel_format(0), index.made(0)) == ("h264", "yuv420p", "exact")
        assert (index.columns.width[0], index.columns.height[0]) == (128, 96)

    def test_pts_seconds(self, index):
        assert index.pts_seconds(np.array([3, 53])) == pytest.approx([0.1, 0.1])

    @pytest.mark.parametrize("rotation", [0, 90, 180, 270])
    def test_rotation(self, tmp_path, rotation):
        write_stamped(tmp_path / "a.mp4", 5, rotation=rotation)
        assert scan(tmp_path, tmp_path / "index").columns.rotation.tolist() == [rotation]

    def test_frame_count_is_counted_whatever_the_header_says(self, tmp_path):
        """At a variable frame rate, duration × fps is another number."""
        write_stamped(tmp_path / "a.mkv", 20, fps=30, pts=[n * n for n in range(20)])
        index = scan(tmp_path, tmp_path / "index")
        assert index.num_frames == 20
        assert index.pts_seconds(np.arange(20)) == pytest.approx([n * n / 30 for n in range(20)], abs=1e-3)


class TestStore:
    def test_load_gives_what_was_scanned(self, index, tmp_path):
        again = VideoIndex.load(index.folder.parent)
        for name in index.columns.names_of_columns():
            assert np.array_equal(getattr(again.columns, name), getattr(index.columns, name)), name
            assert isinstance(getattr(again.columns, name).base, np.memmap)
        assert again.names == index.names

    def test_pickles_as_a_folder_and_not_as_its_frames(self, index):
        text = pickle.dumps(index)
        assert len(text) < 1000
        assert pickle.loads(text).digest() == index.digest()

    @pytest.mark.parametrize("gone", [".", "columns-*", "columns-*/index.json", "columns-*/pts.npy"])
    def test_pickles_whole_what_was_removed_since(self, videos, tmp_path, gone):
        """Workers that are started later find nothing to map."""
        index = scan(videos, tmp_path / "index").with_labels("video")
        [removed] = (tmp_path / "index").glob(gone) if gone != "." else [tmp_path / "index"]
        shutil.rmtree(removed) if removed.is_dir() else removed.unlink()
        again = pickle.loads(pickle.dumps(index))
        for name in index.columns.names_of_columns():
            assert np.array_equal(getattr(again.columns, name), getattr(index.columns, name)), name
        assert (again.folder, again.named_by, again.classes) == (None, index.named_by, index.classes)

    def test_is_mapped_from_whatever_folder(self, videos, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        text = pickle.dumps(scan(videos, "index"))
        monkeypatch.chdir("/")
        assert pickle.loads(text).folder.parent == tmp_path / "index"

    def test_pickles_without_a_folder(self):
        from tests.fakes import index_of

        assert pickle.loads(pickle.dumps(index_of([5, 6], 3))).digest() == index_of([5, 6], 3).digest()

    def test_unchanged_files_are_not_read_again(self, videos, tmp_path, scans):
        first = scan(videos, tmp_path)
        assert (first.num_cached, len(scans)) == (0, 3)
        second = scan(videos, tmp_path)
        assert (second.num_cached, len(scans)) == (3, 3)
        assert second.digest() == first.digest()

    def test_only_changed_and_new_files_are_read_again(self, videos, tmp_path, scans):
        folder = Path(shutil.copytree(videos, tmp_path / "videos"))
        scan(folder, tmp_path / "index")
        scans.clear()
        write_stamped(folder / "1.mp4", 7, 9)
        write_stamped(folder / "3.mp4", 5, 3)
        (folder / "2.mp4").unlink()
        index = scan(folder, tmp_path / "index")
        assert sorted(scans) == ["1.mp4", "3.mp4"]
        assert index.lengths.tolist() == [50, 7, 5]
        assert index.num_cached == 1

    def test_a_file_behind_many_links_is_read_once(self, videos, tmp_path, scans):
        (tmp_path / "links").mkdir()
        for number in range(20):
            (tmp_path / "links" / f"{number}.mp4").symlink_to(videos / "0.mp4")
        assert scan(tmp_path / "links", tmp_path / "index").num_frames == 20 * 50
        assert len(scans) == 1

    def test_default_folder_is_the_users_cache(self, videos, scans):
        first = VideoIndex.scan(videos, progress=False)
        assert Path(os.environ["XDG_CACHE_HOME"]) in first.folder.parents
        assert VideoIndex.scan(str(videos), progress=False).num_cached == 3

    def test_two_processes_at_once_scan_once(self, videos, tmp_path, scans):
        threads = [threading.Thread(target=scan, args=(videos, tmp_path)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(scans) == 3

    @pytest.mark.parametrize(
        "damage", ["cut a column", "empty a column", "cut the header", "remove a column", "another version"]
    )
    def test_a_damaged_index_is_refused_and_made_anew(self, videos, tmp_path, scans, damage):
        index = scan(videos, tmp_path)
        header, column = tmp_path / "index.json", index.folder / "pts.npy"
        match damage:
            case "cut a column":
                column.write_bytes(column.read_bytes()[:200])
            case "empty a column":
                column.write_bytes(b"")
            case "cut the header":
                header.write_text(header.read_text()[:20])
            case "remove a column":
                column.unlink()
            case "another version":
                header.write_text(json.dumps(json.loads(header.read_text()) | {"version": 999}))
        with pytest.raises(IndexStoreError, match=r"it will be made anew: rm -r|no index here"):
            VideoIndex.load(tmp_path)
        assert scan(videos, tmp_path).num_frames == VideoIndex.load(tmp_path).num_frames == 93
        assert len(scans) == 3, "the entries of files are not in what was damaged"

    def test_a_run_killed_while_writing_leaves_the_old_index(self, videos, tmp_path, monkeypatch):
        scan(videos / "0.mp4", tmp_path)
        monkeypatch.setattr(np, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            scan(videos, tmp_path)
        assert VideoIndex.load(tmp_path).num_frames == 50

    def test_a_full_disk_leaves_the_old_index_and_nothing_half_written(self, videos, tmp_path, monkeypatch):
        scan(videos / "0.mp4", tmp_path)
        before = {path.name for path in tmp_path.iterdir()}

        def full(path, array):
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "save", full)
        with pytest.raises(IndexStoreError, match=r"cannot be written here \(No space left on device\)"):
            scan(videos, tmp_path)
        assert all(path.name.startswith("lock-") for path in {*tmp_path.iterdir()} if path.name not in before)
        assert VideoIndex.load(tmp_path).num_frames == 50

    def test_no_index_there(self, tmp_path):
        with pytest.raises(IndexStoreError, match="no index here"):
            VideoIndex.load(tmp_path)

    @pytest.mark.parametrize(("days", "left"), [(20, 2), (40, 1), (200, 0)])
    def test_columns_that_nobody_mapped_for_long_are_removed(self, videos, tmp_path, days, left):
        folder = Path(shutil.copytree(videos, tmp_path / "videos"))
        replaced = scan(folder, tmp_path / "index").folder
        write_stamped(folder / "3.mp4", 5, 3)
        named = scan(folder, tmp_path / "index").folder
        for columns in (replaced, named):
            os.utime(columns, (time.time() - days * 86_400,) * 2)
        last = scan(videos / "0.mp4", tmp_path / "index").folder
        assert [replaced.exists(), named.exists(), last.exists()] == [left > 1, left > 0, True]
        assert scan(folder, tmp_path / "index").num_cached == 4

    def test_mapped_columns_count_as_used(self, videos, tmp_path):
        folder = scan(videos, tmp_path).folder
        os.utime(folder, (1, 1))
        VideoIndex.load(tmp_path)
        assert folder.stat().st_mtime > time.time() - 60


class TestFiles:
    def test_a_folder_is_searched_below(self, videos, tmp_path):
        (tmp_path / "a" / "b").mkdir(parents=True)
        shutil.copy(videos / "0.mp4", tmp_path / "a" / "b" / "X.MP4")
        shutil.copy(videos / "0.mp4", tmp_path / "._junk.mp4")
        (tmp_path / "notes.txt").write_text("no video")
        assert [Path(path).name for path in find_files(tmp_path).files] == ["X.MP4"]

    def test_what_systems_and_cameras_leave_beside_videos_is_no_data(self, tmp_path):
        wanted = ["M4ROOT/CLIP/C1.MP4", "a/a.mp4", "b/sub/b.mp4", "GOPRO/GX01.MP4", "previews/GL01.LRV"]
        aside = [
            "a/@eaDir/a.mp4/SYNO.mp4",
            "#recycle/old.mp4",
            "$RECYCLE.BIN/$R1.mp4",
            "@Recently-Snapshot/GMT/a.mp4",
            "M4ROOT/SUB/C1S03.MP4",
            "p2/CONTENTS/PROXY/1.MP4",
            "lost+found/1.mp4",
            "GOPRO/GL01.LRV",
            ".hidden/a.mp4",
        ]
        for name in (*wanted, *aside, "a/cover.jpg", "a/notes"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = find_files(tmp_path)
        assert found.files == [str(path) for path in sorted(tmp_path / name for name in wanted)]
        assert found.side_folders.keys() == {
            "@eaDir",
            "#recycle",
            "$RECYCLE.BIN",
            "@Recently-Snapshot",
            "SUB",
            "PROXY",
            "lost+found",
        }
        assert (found.passed_over, found.num_previews) == ({".jpg": 1, "": 1}, 1)
        assert len(found.told()) == 3
        by_glob = find_files(f"{tmp_path}/**/*.[mM][pP]4")
        assert by_glob.files == [path for path in found.files if not path.endswith(".LRV")]
        assert find_files(f"{tmp_path}/*/SUB/*").files == [f"{tmp_path}/M4ROOT/SUB/C1S03.MP4"]
        assert find_files(tmp_path / "#recycle").files == [f"{tmp_path}/#recycle/old.mp4"]

    def test_files_are_left_out_by_globs(self, videos):
        found = find_files(videos, ["0.*", f"{videos.name}/2.mp4"])
        assert [Path(path).name for path in found.files] == ["1.mp4"]
        assert found.told() == [f"Left out: {found.num_excluded} files by exclude."]
        with pytest.raises(DataError, match=r"All . files are left out by exclude, such as"):
            find_files(videos, ["*.mp4"])

    def test_a_link_to_a_parent_does_not_loop(self, videos, tmp_path):
        shutil.copy(videos / "0.mp4", tmp_path / "0.mp4")
        (tmp_path / "loop").symlink_to(tmp_path)
        assert len(find_files(tmp_path).files) == 1

    def test_file_glob_and_list(self, videos):
        assert [Path(p).name for p in find_files(videos / "1.mp4").files] == ["1.mp4"]
        assert [Path(p).name for p in find_files(str(videos / "[01].mp4")).files] == ["0.mp4", "1.mp4"]
        assert [Path(p).name for p in find_files([str(videos / "2.mp4"), str(videos / "*.mp4")]).files] == [
            "2.mp4",
            "0.mp4",
            "1.mp4",
        ]

    def test_one_folder_named_twice_is_one_folder(self, videos, tmp_path):
        (tmp_path / "link").symlink_to(videos)
        here = tmp_path / "there" / ".." / "videos"
        (tmp_path / "there").mkdir()
        (tmp_path / "videos").symlink_to(videos)
        assert find_files(here) == find_files(tmp_path / "videos")
        assert find_files([here, tmp_path / "videos"]) == find_files(here)
        above = tmp_path / "link" / ".." / videos.name  # of a link the parent is that of where it leads
        assert find_files(above) == find_files(videos)

    def test_names_with_glob_characters_are_files_first(self, videos, tmp_path):
        shutil.copy(videos / "0.mp4", tmp_path / "a[1].mp4")
        assert [Path(p).name for p in find_files(tmp_path / "a[1].mp4").files] == ["a[1].mp4"]

    def test_names_that_are_not_utf8(self, videos, tmp_path):
        name = os.fsdecode(b"\xff\xfe.mp4")
        shutil.copy(videos / "0.mp4", tmp_path / name)
        index = scan(tmp_path, tmp_path / "index")
        assert Path(index.path(0)).name == name
        assert VideoIndex.load(tmp_path / "index").path(0) == index.path(0)


def truncated(path, videos):
    path.write_bytes((videos / "0.mp4").read_bytes()[:3000])


def audio_only(path, videos):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def folder_of_that_name(path, videos):
    path.mkdir()


def broken_link(path, videos):
    path.symlink_to(path.parent / "gone")


def pipe(path, videos):
    os.mkfifo(path)


BAD_FILES = {
    "text": (lambda path, videos: path.write_text("not a video"), "invalid data"),
    "empty": (lambda path, videos: path.write_bytes(b""), "invalid data"),
    "truncated": (truncated, "invalid data"),
    "audio only": (audio_only, "no video stream"),
    "broken link": (broken_link, "no such file"),
    "pipe": (pipe, "not a regular file"),
}


class TestBadInput:
    @pytest.mark.parametrize("kind", BAD_FILES)
    def test_alone_it_ends_the_run_in_a_sentence(self, kind, videos, tmp_path):
        make, reason = BAD_FILES[kind]
        make(tmp_path / "bad.mp4", videos)
        with pytest.raises(
            DataError, match=rf"(?is)none of the 1 files named holds a usable video.*bad\.mp4.*{reason}"
        ):
            scan(tmp_path / "bad.mp4", tmp_path / "index")

    @pytest.mark.parametrize("kind", BAD_FILES)
    def test_among_others_it_is_listed(self, kind, videos, tmp_path, scans):
        make, reason = BAD_FILES[kind]
        (tmp_path / "in").mkdir()
        make(tmp_path / "in" / "bad.mp4", videos)
        shutil.copy(videos / "0.mp4", tmp_path / "in" / "good.mp4")
        for _ in range(2):
            index = scan(tmp_path / "in", tmp_path / "index")
            assert index.num_videos == 1
            assert [Path(skipped.path).name for skipped in index.skipped] == ["bad.mp4"]
            assert reason in index.skipped[0].reason.lower()
        assert len(scans) == 2, "an unusable file that did not change is not tried again"

    def test_missing(self, tmp_path):
        with pytest.raises(DataError, match="no such file or folder"):
            scan(tmp_path / "gone", tmp_path / "index")

    def test_empty_folder(self, tmp_path):
        with pytest.raises(DataError, match="no file here or below ends like a video"):
            scan(tmp_path, tmp_path / "index")

    def test_empty_list(self, tmp_path):
        with pytest.raises(DataError, match="The list of videos is empty"):
            scan([], tmp_path / "index")

    def test_a_file_that_could_not_be_read_is_looked_at_again_when_it_can(self, videos, tmp_path, scans, monkeypatch):
        (tmp_path / "a.mp4").write_bytes((videos / "0.mp4").read_bytes())
        (tmp_path / "b.mp4").write_bytes((videos / "1.mp4").read_bytes())
        real = build_module._scan  # root may read everything: the right is taken away here
        monkeypatch.setattr(
            build_module, "_scan", lambda how, path: "permission denied" if path.endswith("b.mp4") else real(how, path)
        )
        assert len(scan(tmp_path, tmp_path / "index").skipped) == 1
        monkeypatch.setattr(build_module, "_scan", real)
        assert len(scan(tmp_path, tmp_path / "index").skipped) == 1, "nothing changed, so it is not looked at again"
        (tmp_path / "b.mp4").chmod(0o600)
        index = scan(tmp_path, tmp_path / "index")
        assert (index.num_videos, index.skipped, index.num_cached) == (2, [], 1)

    def test_what_another_ffmpeg_could_not_read_is_looked_at_again(self, videos, tmp_path, scans, monkeypatch):
        (tmp_path / "a.mp4").write_bytes((videos / "0.mp4").read_bytes())
        (tmp_path / "b.mp4").write_text("no video")
        scan(tmp_path, tmp_path / "index")
        scans.clear()
        monkeypatch.setattr(av, "__version__", "99.0")
        scan(tmp_path, tmp_path / "index")
        assert scans == ["b.mp4"]

    def test_a_folder_that_cannot_be_read(self, videos, tmp_path, monkeypatch):
        (tmp_path / "in" / "locked").mkdir(parents=True)
        (tmp_path / "in" / "a.mp4").symlink_to(videos / "0.mp4")
        real = os.scandir

        def scandir(path):
            if "locked" in os.fspath(path):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return real(path)

        monkeypatch.setattr(files.os, "scandir", scandir)
        index = scan(tmp_path / "in", tmp_path / "index")
        assert [(s.path, s.reason) for s in index.skipped] == [
            (str(tmp_path / "in" / "locked"), "a folder that cannot be read")
        ]
        with pytest.raises(DataError, match=r"locked: permission denied.\nSee who may read it: ls -ld"):
            scan(tmp_path / "in" / "locked", tmp_path / "index2")

    def test_a_path_below_what_cannot_be_read(self, tmp_path, monkeypatch):
        def refuse(self):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(files.Path, "stat", refuse)
        with pytest.raises(DataError, match=r"b.mp4: permission denied."):
            find_files(tmp_path / "locked" / "b.mp4")

    def test_index_dir_may_begin_with_the_users_home(self, videos, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert scan(videos, "~/index").folder.is_relative_to(tmp_path)

    def test_glob_that_matches_nothing(self, tmp_path):
        with pytest.raises(DataError, match="matches no file"):
            scan(str(tmp_path / "*.mp4"), tmp_path / "index")

    def test_index_dir_that_cannot_be_written(self, videos, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(IndexStoreError, match=r"(?s)cannot be written here.*data\.index_dir=FOLDER"):
            scan(videos, tmp_path / "file" / "index")
