"""Entries are kept by file and by content, as they are made, for every request that shares the folder."""

import errno
import io
import os
import shutil
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from lit_video.checks.stamps import write_stamped
from lit_video.commands import index as index_command
from lit_video.engines.local import LocalEngine
from lit_video.index import VideoIndex, crew, digest, lines, progress, store
from lit_video.index import build as build_module
from lit_video.index.entries import Entries, File
from lit_video.index.progress import Tally
from lit_video.index.records import Record, line_of, packed, record_of, unpacked
from lit_video.index.scan import scan_file
from lit_video.support.errors import IndexStoreError, Interrupted
from tests.index.test_index import scan, scans  # noqa: F401  a fixture


@pytest.fixture
def of_some_bytes(monkeypatch):
    """Files are too large for their digests to be of all their bytes."""
    monkeypatch.setattr(digest, "BLOCK_BYTES", 32)
    monkeypatch.setattr(digest, "WHOLE_BYTES", 0)


@pytest.fixture
def folder(videos, tmp_path):
    """A copy of the videos, to move and to change."""
    return Path(shutil.copytree(videos, tmp_path / "videos"))


def touched(folder):
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    return folder


def replaced_by_copies(folder):
    for path in list(folder.iterdir()):
        shutil.copyfile(path, folder / "copy")
        (folder / "copy").replace(path)
    return folder


def moved(folder):
    return folder.rename(folder.with_name("elsewhere"))


def behind_a_link(folder):
    (folder.parent / "link").symlink_to(folder)
    return folder.parent / "link"


def behind_hard_links(folder):
    (folder.parent / "hard").mkdir()
    for path in folder.iterdir():
        os.link(path, folder.parent / "hard" / f"{path.stem}-again.mp4")
    return folder.parent / "hard"


def copied_under_other_names(folder):
    (folder.parent / "copies").mkdir()
    for path in folder.iterdir():
        shutil.copyfile(path, folder.parent / "copies" / f"x{path.name}")
    return folder.parent / "copies"


def by_glob(folder):
    return f"{folder}/*.mp4"


def by_list(folder):
    return sorted(folder.iterdir())


OTHER_NAMES = [
    touched, replaced_by_copies, moved, behind_a_link, behind_hard_links, copied_under_other_names, by_glob, by_list,
]  # fmt: skip


class TestReuse:
    @pytest.mark.parametrize("named", OTHER_NAMES, ids=lambda named: named.__name__)
    def test_the_same_bytes_are_scanned_once(self, folder, tmp_path, scans, named):  # noqa: F811
        before = scan(folder, tmp_path / "index")
        after = scan(named(folder), tmp_path / "index")
        assert (len(scans), after.num_cached) == (3, 3)
        for column in set(before.columns.names_of_columns()) - {"path_offset", "path_bytes", "mtime_ns"}:
            assert np.array_equal(getattr(before.columns, column), getattr(after.columns, column)), column

    @pytest.mark.parametrize(
        "named",
        [name for name in OTHER_NAMES if name is not copied_under_other_names],
        ids=lambda named: named.__name__,
    )
    @pytest.mark.usefixtures("of_some_bytes")
    def test_large_files_too(self, folder, tmp_path, scans, named):  # noqa: F811
        scan(folder, tmp_path / "index")
        assert (scan(named(folder), tmp_path / "index").num_cached, len(scans)) == (3, 3)

    @pytest.mark.parametrize("named", [moved, behind_hard_links], ids=lambda named: named.__name__)
    @pytest.mark.usefixtures("of_some_bytes")
    def test_large_files_whose_time_changed_before(self, folder, tmp_path, scans, named):  # noqa: F811
        for change in (by_glob, touched, named):
            index = scan(change(folder), tmp_path / "index")
        assert (index.num_cached, len(scans)) == (3, 3)

    @pytest.mark.usefixtures("of_some_bytes")
    def test_a_time_that_two_large_files_got_tells_neither(self, folder, tmp_path, scans):  # noqa: F811
        """They may differ where nobody looked; at its own path each is still known."""
        for number, name in enumerate("ab"):
            shutil.copyfile(folder / "0.mp4", folder / f"{name}.mp4")
            os.utime(folder / f"{name}.mp4", (number, number))
        scan(folder, tmp_path / "index")
        assert len(scans) == 5
        os.utime(folder / "a.mp4", (9, 9))
        scan(folder, tmp_path / "index")
        os.utime(folder / "b.mp4", (9, 9))
        assert scan(folder, tmp_path / "index").num_cached == 5
        (folder / "b.mp4").rename(folder / "c.mp4")
        scan(folder, tmp_path / "index")
        assert scans[5:] == ["c.mp4"]

    @pytest.mark.usefixtures("of_some_bytes")
    def test_workers_are_told_of_a_time_that_changed_before(self, folder, tmp_path):
        scan(folder, tmp_path / "index")
        scan(touched(folder), tmp_path / "index")
        there = crew.identify(str(moved(folder) / "0.mp4")).file
        told = Entries(tmp_path / "nowhere", are_kept=False, known=Entries(tmp_path / "index").about(there))
        assert told.known(there, digest.digest_of(there.path, there.size_bytes))

    @pytest.mark.usefixtures("of_some_bytes")
    def test_a_copy_that_may_differ_where_nobody_looked_is_scanned(self, folder, tmp_path, scans):  # noqa: F811
        scan(folder, tmp_path / "index")
        scan(copied_under_other_names(folder), tmp_path / "index")
        assert len(scans) == 6

    def test_two_names_for_the_same_bytes_are_two_videos(self, folder, tmp_path, scans):  # noqa: F811
        shutil.copyfile(folder / "0.mp4", folder / "4.mp4")
        index = scan(folder, tmp_path / "index")
        assert index.lengths.tolist() == [50, 31, 12, 50]
        assert (len(scans), index.num_cached) == (3, 1)

    def test_two_roots_in_one_folder_keep_each_others_entries(self, folder, tmp_path, scans):  # noqa: F811
        write_stamped(tmp_path / "other.mp4", 9, 3)
        for root in (folder, tmp_path / "other.mp4", folder, folder / "1.mp4", folder):
            index = scan(root, tmp_path / "index")
        assert (len(scans), index.num_cached) == (4, 3)
        assert VideoIndex.load(tmp_path / "index").paths == index.paths, "what was asked for last"

    def test_other_bytes_of_the_same_size_are_scanned(self, folder, tmp_path, scans):  # noqa: F811
        scan(folder, tmp_path / "index")
        data = bytearray((folder / "0.mp4").read_bytes())
        data[len(data) // 2] ^= 255
        (folder / "0.mp4").write_bytes(data)
        scan(folder, tmp_path / "index")
        assert scans[3:] == ["0.mp4"]

    def test_what_changes_while_it_is_scanned_is_not_kept(self, folder, tmp_path, monkeypatch):
        read = []

        def growing(path, _):
            read.append(path.name)
            entry = scan_file(path)
            if len(read) == 1:
                with path.open("ab") as file:
                    file.write(b"more")
            return entry

        monkeypatch.setattr(build_module, "scan_file", growing)
        index = scan(folder / "0.mp4", tmp_path / "index")
        assert not index.columns.digest.any()
        assert scan(folder / "0.mp4", tmp_path / "index").columns.digest.any()
        assert len(read) == 2

    def test_another_libavcodec_decodes_anew_what_was_decoded(self, folder, tmp_path, scans, monkeypatch):  # noqa: F811
        write_stamped(folder / "3.ts", 20, 3, "mpeg2video")
        index = scan(folder, tmp_path / "index")
        assert [index.made(video_id) for video_id in range(4)] == ["exact"] * 3 + ["decoded"]
        scans.clear()
        monkeypatch.setitem(av.library_versions, "libavcodec", (99, 0, 0))
        assert scan(folder, tmp_path / "index").num_cached == 3
        assert scans == ["3.ts"]
        monkeypatch.undo()
        assert scan(folder, tmp_path / "index").num_cached == 4, "those of the old one are still there"


class TestKept:
    def test_what_was_done_is_kept_when_the_rest_fails(self, folder, tmp_path, monkeypatch):
        read, others_done = [], threading.Event()

        def failing(path, _):
            read.append(path.name)
            if path.name == "2.mp4" and not others_done.is_set():
                for _ in range(200):
                    if sum(map(len, map(Path.read_bytes, tmp_path.glob("index/entries-*/*")))) and len(read) == 3:
                        break
                    time.sleep(0.05)
                time.sleep(0.5)
                others_done.set()
                raise ZeroDivisionError("a bug")
            return scan_file(path)

        monkeypatch.setattr(build_module, "scan_file", failing)
        with pytest.raises(ZeroDivisionError):
            scan(folder, tmp_path / "index")
        read.clear()
        assert scan(folder, tmp_path / "index").num_cached == 2
        assert read == ["2.mp4"]

    def test_interrupted_it_says_what_is_kept(self, folder, tmp_path, monkeypatch, capsys):
        class Pool(crew.ThreadPool):
            def imap_unordered(self, *arguments):
                yield from list(super().imap_unordered(*arguments))[:2]
                raise KeyboardInterrupt

        monkeypatch.setattr(crew, "ThreadPool", Pool)
        with pytest.raises(Interrupted):
            scan(folder, tmp_path / "index")
        told = capsys.readouterr().err
        assert told == (
            "\nInterrupted: 3 of 3 files are indexed; what is done is kept, and the same command goes on from there.\n"
        )
        monkeypatch.undo()
        assert scan(folder, tmp_path / "index").num_cached == 3

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, Interrupted("told")])
    def test_the_command_ends_with_130(self, folder, monkeypatch, kind, capsys):
        def interrupted(*_, **__):
            raise kind

        monkeypatch.setattr(VideoIndex, "scan", interrupted)
        with pytest.raises(SystemExit) as end:
            index_command.main([str(folder)])
        assert end.value.code == 130
        assert ("Interrupted: what is indexed is kept" in capsys.readouterr().err) == (kind is KeyboardInterrupt)

    @pytest.mark.parametrize("cut", [1, 40])
    def test_a_line_that_is_not_whole_is_left_out(self, folder, tmp_path, scans, cut):  # noqa: F811
        scan(folder, tmp_path / "index")
        (path,) = tmp_path.glob("index/entries-*/*.jsonl")
        path.write_bytes(path.read_bytes()[:-cut])
        shutil.rmtree(VideoIndex.load(tmp_path / "index").folder)
        assert scan(folder, tmp_path / "index").num_cached == (3 if cut == 1 else 2)

    def test_files_that_nobody_writes_to_any_more_become_one(self, videos, tmp_path, monkeypatch):
        monkeypatch.setattr(lines, "MOST_FILES", 3)
        entry = scan_file(videos / "0.mp4")
        for number in range(6):
            some = Entries(tmp_path)
            some.keep(File(f"/nowhere/{number}", number, number), entry)
            some.close()
            for path in tmp_path.glob("entries-*/*") if number == 4 else ():
                os.utime(path, (1, 1))
        assert len(list(tmp_path.glob("entries-*/*"))) == 2
        again = Entries(tmp_path)
        assert all(again.seen(File(f"/nowhere/{number}", number, number)) for number in range(6))

    def test_an_entry_is_the_same_after_it_was_kept(self, tmp_path):
        entry = scan_file(write_stamped(tmp_path / "a.ts", 30, 1, gop=5))
        assert len(entry.starts) > 1
        text = line_of(Record({}, packed(entry)))
        again = unpacked(record_of(text).entry, entry.digest)
        assert np.array_equal(again.pts, entry.pts)
        for name in set(entry.__slots__) - {"pts"}:
            assert list_of(getattr(again, name)) == list_of(getattr(entry, name)), name
        assert record_of(text[:-5]) is None


def list_of(value):
    return list(value) if isinstance(value, list | tuple) else value


def a_part(folder):
    return sorted(folder.iterdir())[1:]


@pytest.fixture
def read_only(monkeypatch):
    """What makes all folders refuse to be written."""

    def refuse(path, request):
        raise store.not_writable(path, OSError(errno.EROFS, "Read-only file system"))

    return lambda: monkeypatch.setattr(build_module, "only_writer", refuse)


def full(path, column):
    raise OSError(errno.ENOSPC, "No space left on device")


class TestWhereItIsKept:
    def test_a_file_system_without_locks(self, videos, tmp_path, monkeypatch):
        def refuse(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr("fcntl.flock", refuse)
        with pytest.warns(UserWarning, match="has no locks") as told:
            assert scan(videos, tmp_path / "index").num_videos == 3
        assert len(told) == 1
        assert scan(videos, tmp_path / "index").num_cached == 3

    def test_a_cache_that_cannot_be_written(self, videos, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        with pytest.warns(UserWarning, match=r"made, and not kept: .* cannot be written here \(Not a directory\)"):
            index = VideoIndex.scan(videos, progress=False)
        assert (index.num_videos, index.folder) == (3, None)

    def test_a_cache_that_cannot_be_written_any_more(self, videos, monkeypatch, scans):  # noqa: F811
        VideoIndex.scan(videos / "0.mp4", progress=False)
        monkeypatch.setattr(np, "save", full)
        with pytest.warns(UserWarning, match="made, and not kept"):
            index = VideoIndex.scan(videos, progress=False)
        assert (index.num_videos, index.folder, len(scans)) == (3, None, 3)

    def test_a_cache_that_can_only_be_read_is_read(self, videos, scans, read_only):  # noqa: F811
        VideoIndex.scan(videos, progress=False)
        read_only()
        assert VideoIndex.scan(videos, progress=False).num_cached == 3
        with pytest.warns(UserWarning, match="made, and not kept"):
            assert VideoIndex.scan(videos / "0.mp4", progress=False).num_cached == 1
        assert len(scans) == 3

    @pytest.mark.parametrize("named", [by_glob, touched, moved, a_part], ids=lambda named: named.__name__)
    def test_a_folder_that_can_only_be_read_serves_who_names_it(self, folder, tmp_path, scans, read_only, named):  # noqa: F811
        scan(folder, tmp_path / "index")
        read_only()
        assert scan(folder, tmp_path / "index").folder is not None
        with pytest.warns(UserWarning, match=r"made, and not kept: .*Read-only file system") as told:
            index = scan(named(folder), tmp_path / "index")
        assert (index.num_cached, index.folder) == (2 if named is a_part else 3, None)
        assert (len(told), len(scans)) == (1, 3)

    @pytest.mark.parametrize("engine", ["auto", LocalEngine(2)], ids=["auto", "local"])
    def test_an_engine_is_not_asked_for_that(self, folder, tmp_path, read_only, engine):
        scan(folder, tmp_path / "index")
        read_only()
        with pytest.warns(UserWarning, match="made, and not kept"):
            assert VideoIndex.scan(touched(folder), tmp_path / "index", False, engine=engine).num_cached == 3

    @pytest.mark.parametrize("engine", [None, "auto", LocalEngine(2)], ids=["threads", "auto", "local"])
    def test_but_not_where_a_file_is_new(self, folder, tmp_path, scans, read_only, engine):  # noqa: F811
        scan(folder, tmp_path / "index")
        write_stamped(folder / "new.mp4", 9, 3)
        read_only()
        with pytest.raises(IndexStoreError, match=r"cannot be written here \(Read-only file system\)"):
            VideoIndex.scan(folder, tmp_path / "index", False, engine=engine)
        assert len(scans) == 3

    def test_a_folder_that_is_full_by_now_serves_too(self, folder, tmp_path, monkeypatch):
        scan(folder, tmp_path / "index")
        monkeypatch.setattr(np, "save", full)
        with pytest.warns(UserWarning, match="made, and not kept: .*No space left"):
            assert scan(a_part(folder), tmp_path / "index").num_cached == 2


class TestProgress:
    def test_a_line_now_and_then_where_there_is_no_terminal(self, monkeypatch, capsys):
        monkeypatch.setattr(progress, "SECONDS", 0.01)
        monkeypatch.setattr(progress, "LONG_SECONDS", 0.0)
        monkeypatch.setenv("FORCE_COLOR", "1")
        tally = Tally(5, 12_000_000, 1)
        with progress.shown(tally, True), tally.working("/a/b.mp4", 10_000_000, 2):
            time.sleep(0.2)
        first = capsys.readouterr().err.splitlines()[0]
        assert first.startswith("Indexing: 1 of 5 files, 0 of 12 MB, 0 s; at /a/b.mp4 for 0 s")
        assert tally.line().startswith("Indexing: 3 of 5 files, 10 of 12 MB")

    def test_nothing_is_said_where_that_was_asked_for(self, monkeypatch, capsys):
        monkeypatch.setattr(progress, "SECONDS", 0.01)
        with progress.shown(Tally(5, 12, 1), False):
            time.sleep(0.05)
        assert capsys.readouterr().err == ""


def test_of_a_large_file_four_mebibytes_are_read(tmp_path, monkeypatch):
    read = []

    class Counted(io.FileIO):
        def read(self, size):
            read.append(super().read(size))
            return read[-1]

    monkeypatch.setattr(os, "fdopen", lambda handle, *_, **__: Counted(handle))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**34)  # of which nothing is on disk
    digest.digest_of(tmp_path / "large", 2**34)
    assert sum(map(len, read)) == digest.WHOLE_BYTES == 2**22


def test_digests_tell_bytes_and_sizes_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "BLOCK_BYTES", 4)
    monkeypatch.setattr(digest, "WHOLE_BYTES", 256)
    small, large = bytes(range(200)), bytes(range(256)) * 4
    path = tmp_path / "a"

    def of(data):
        path.write_bytes(data)
        return digest.digest_of(path, len(data))

    for data, seen in ((small, range(200)), (large, (0, 3, 1020, 1023))):
        original = of(data)
        assert original == of(data) != of(data + b"x")
        for place in seen:
            assert of(data[:place] + b"\xff\xfe"[data[place] == 255 :][:1] + data[place + 1 :]) != original
    with pytest.raises(OSError, match="not a regular file"):
        digest.digest_of("/dev/null", 5)
