"""An index made by an engine's workers is the index; a file at which they die is listed, and the rest is done."""

import errno
import os
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from lit_video.commands import index as index_command
from lit_video.engines.local import LocalEngine
from lit_video.index import VideoIndex, entries, scanning
from lit_video.index import build as build_module
from lit_video.index.build import _scan
from lit_video.index.records import record_of
from lit_video.index.store import not_writable
from lit_video.support.errors import IndexStoreError, Interrupted, WorkerError


def scanned(paths, folder):
    return VideoIndex.scan(paths, folder, progress=False, engine=LocalEngine(2))


def columns_of(index):
    return {name: np.asarray(getattr(index.columns, name)).tolist() for name in index.columns.names_of_columns()}


def lines_in(folder):
    return [record_of(line) for path in folder.glob("entries-*/*") for line in path.read_bytes().splitlines(True)]


def deadly_for_one(how, path):
    """What reads a file, and dies of the one with this number."""
    if path.endswith("1.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return _scan(how, path)


def on_a_full_disk(how, path):
    """What reads a file, in a worker that can write no more than a part of a line."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    return _scan(how, path)


def not_called(*_):
    raise AssertionError("nothing is to do")


@pytest.fixture
def folder(videos, tmp_path):
    """The videos, a link to one, a copy of another, and one that is none."""
    folder = Path(shutil.copytree(videos, tmp_path / "videos"))
    (folder / "link.mp4").symlink_to("0.mp4")
    shutil.copyfile(folder / "2.mp4", folder / "copy.mp4")
    (folder / "none.mp4").write_bytes(b"no video")
    return folder


class TestByAnEngine:
    def test_is_the_same_index(self, folder, tmp_path):
        before, after = VideoIndex.scan(folder, tmp_path / "a", progress=False), scanned(folder, tmp_path / "b")
        assert columns_of(before) == columns_of(after)
        assert before.skipped == after.skipped
        assert len(after.skipped) == 1
        assert VideoIndex.scan(folder, tmp_path / "b", progress=False).num_cached == 5

    def test_nothing_is_done_where_all_is_known(self, folder, tmp_path, monkeypatch):
        scanned(folder, tmp_path / "index")
        monkeypatch.setattr(LocalEngine, "start", not_called)
        assert scanned([*folder.glob("[01].mp4")], tmp_path / "index").num_cached == 2

    def test_moved_files_are_known_by_their_bytes(self, folder, tmp_path):
        scanned(folder, tmp_path / "index")
        folder.rename(tmp_path / "elsewhere")
        made = sum(bool(line.entry) for line in lines_in(tmp_path / "index"))
        assert scanned(tmp_path / "elsewhere", tmp_path / "index").num_cached == 5
        assert sum(bool(line.entry) for line in lines_in(tmp_path / "index")) == made

    def test_a_file_at_which_workers_die_is_listed_and_not_tried_again(self, folder, tmp_path, monkeypatch):
        monkeypatch.setattr(build_module, "_scan", deadly_for_one)
        index = scanned(folder, tmp_path / "index")
        assert [Path(path).name for path in index.paths] == ["0.mp4", "2.mp4", "copy.mp4", "link.mp4"]
        told = {Path(skipped.path).name: skipped.reason for skipped in index.skipped}
        assert told["1.mp4"] == (
            f"whoever reads it dies (its process ended by SIGSEGV); to have it tried again: touch '{folder / '1.mp4'}'"
        )
        monkeypatch.setattr(LocalEngine, "start", not_called)
        assert scanned(folder, tmp_path / "index").num_videos == 4
        monkeypatch.undo()
        (folder / "1.mp4").touch()
        assert scanned(folder, tmp_path / "index").num_videos == 5

    def test_a_folder_that_cannot_be_written_is_told(self, videos, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(IndexStoreError, match="cannot be written here"):
            scanned(videos, tmp_path / "file" / "index")

    def test_a_disk_that_is_full_in_the_middle_is_told_in_the_same_words(self, videos, tmp_path, monkeypatch):
        monkeypatch.setattr(build_module, "_scan", on_a_full_disk)
        with pytest.raises(WorkerError) as told:
            scanned(videos, tmp_path / "index")
        assert str(told.value) == str(not_writable(tmp_path / "index", OSError(errno.EFBIG, "File too large")))

    def test_interrupted_it_says_how_many_are_kept_now(self, videos, tmp_path, monkeypatch, capsys):
        """Not how many were when the driver looked last."""

        def interrupted(engine, job, items):
            with job.work() as do:
                do(items[0])
            raise KeyboardInterrupt

        monkeypatch.setattr(scanning, "work_off", interrupted)
        with pytest.raises(Interrupted, match="1 of 3 files are indexed; what is done is kept"):
            scanned(videos, tmp_path)
        assert capsys.readouterr().err.count("Interrupted") == 1


class TestEntries:
    def test_what_others_add_is_read_and_what_is_half_written_is_not(self, videos, tmp_path):
        here = entries.Entries(tmp_path)
        VideoIndex.scan(videos, tmp_path, progress=False)
        here.refresh()
        assert here.num_contents == 3
        [written] = tmp_path.glob("entries-*/*")
        half = written.read_bytes().splitlines(True)[0]
        other = written.with_name("other.jsonl")
        for part in (half[:20], half[20:]):
            before = here.num_contents
            with other.open("ab") as file:
                file.write(part)
            here.refresh()
            assert here.num_contents == before  # and nothing is raised
        assert here._lines._read[other] == len(half)


class TestCommand:
    def test_takes_an_engine(self, videos, tmp_path, capsys):
        index_command.main([str(videos), "engine=local", "--index-dir", str(tmp_path), "engine.num_cpus=1"])
        assert "3 videos, 93 frames, 11 GOPs; 3 files, 0 reused" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("word", "told"),
        [
            ("engine=rai", "no engine 'rai'; did you mean ray?; there are local, ray, submitit"),
            ("engine.num_cpu=2", "engine=local has no 'num_cpu'; did you mean num_cpus?"),
        ],
    )
    def test_a_wrong_word_is_answered_with_the_nearest(self, word, told, videos, capsys):
        with pytest.raises(SystemExit) as ended:
            index_command.main([str(videos), word])
        assert ended.value.code == 2
        assert told in capsys.readouterr().err


class TestWhereProcessesAreWorthIt:
    """`engine="auto"`, as the command has it."""

    @pytest.fixture
    def engines(self, monkeypatch):
        """How many were asked for."""
        found = []

        def engine():
            found.append(LocalEngine(2))
            return found[-1]

        monkeypatch.setattr(scanning, "LocalEngine", engine)
        monkeypatch.setattr(scanning, "num_cores", lambda: 2)
        return found

    @pytest.mark.parametrize(("worth", "many"), [(3, 1), (100, 0)])
    def test_many_new_files_are_read_by_processes(self, worth, many, videos, tmp_path, engines, monkeypatch):
        monkeypatch.setattr(scanning, "WORTH_PROCESSES", worth)
        index = VideoIndex.scan(videos, tmp_path, progress=False, engine="auto")
        assert len(engines) == many
        assert index.num_videos > 0
        assert (index.num_cached, index.digest()) == (0, VideoIndex.scan(videos, tmp_path / "b", False).digest())
        engines.clear()
        assert VideoIndex.scan(videos, tmp_path, progress=False, engine="auto").num_cached == index.num_videos
        assert not engines

    def test_where_processes_cannot_live_threads_go_on(self, videos, tmp_path, engines, monkeypatch):
        monkeypatch.setattr(scanning, "WORTH_PROCESSES", 3)

        def die(*_):
            raise WorkerError("no process can be started here")

        monkeypatch.setattr(scanning, "work_off", die)
        assert VideoIndex.scan(videos, tmp_path, progress=False, engine="auto").num_videos > 0
        assert engines
