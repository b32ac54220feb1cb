"""Sweeps: jobs one after another as users start them, and their ranking from the folders that they leave."""

import csv
import itertools
import json
import shutil
import sys

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from lit_video.checks.stamps import write_stamped
from lit_video.measuring.canvas import png
from lit_video.support.errors import DataError, LitVideoError, Told, told_in_a_sentence
from lit_video.sweep.callback import others_go_on
from lit_video.sweep.jobs import FAILED, Job, find_jobs, swept
from lit_video.sweep.plot import MOST, draw, make_figure
from lit_video.sweep.ranking import Ranking, Row, rank
from lit_video.sweep.summary import report
from lit_video.sweep.tables import as_csv, as_markdown, label
from tests.programs import composed, run


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Two videos that are long enough to compare neighbours in."""
    folder = tmp_path_factory.mktemp("footage")
    for number in range(2):
        write_stamped(folder / f"{number}.mp4", 40, number, gop=10)
    return folder


def leave(sweep, number, overrides, images_per_s=100.0, failed=None):
    """Leave what a job leaves in its folder."""
    folder = sweep / str(number)
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(composed("train", *overrides), folder / ".hydra" / "config.yaml")
    OmegaConf.save(OmegaConf.create(overrides), folder / ".hydra" / "overrides.yaml")
    if failed is None:
        measured = {
            "images_per_s": images_per_s, "decode_amplification": 1.5, "time_to_first_batch_s": 0.1,
            "wait_seconds": 0.2, "peak_held_frames": 7, "lookahead": 80,
        }  # fmt: skip
        (folder / "throughput.json").write_text(json.dumps(measured))
    elif failed:
        (folder / FAILED).write_text(failed + "\n")


@pytest.fixture(scope="module")
def left(tmp_path_factory, footage):
    """A sweep of four samplers, the fastest of them biased, and of two jobs that failed; not to be written to."""
    folder = tmp_path_factory.mktemp("sweep")
    data = [f"data.root={footage}", "data.size=48", "data.batch_size=16", "data.progress=false"]
    leave(folder, 0, ["sampler=uniform", *data], 100)
    leave(folder, 1, ["sampler=chunked", *data], 120)
    leave(folder, 2, ["sampler=sequential", *data], 500)
    leave(folder, 3, ["sampler=uniform", "data.sampler.per_video=true", *data], 90)
    leave(folder, 10, ["sampler=uniform", "data.lookahead=0", *data], failed="lookahead must be at least 1, got 0")
    leave(folder, 9, ["sampler=reservoir", *data], failed="")
    return folder


@pytest.fixture
def sweep(tmp_path, left):
    """A copy of it."""
    return shutil.copytree(left, tmp_path / "sweep")


@pytest.fixture(scope="module")
def ranking(left):
    return rank(find_jobs(left))


@pytest.fixture
def rows(ranking):
    return {row.job.name: row for row in ranking.rows}


def rows_of(sweep):
    """Return the rows of sweep.csv by job."""
    with (sweep / "sweep.csv").open(newline="") as file:
        return {row["job"]: row for row in csv.DictReader(file)}


class TestJobs:
    def test_are_found_in_the_order_of_their_numbers(self, left):
        assert [job.name for job in find_jobs(left)] == ["0", "1", "2", "3", "9", "10"]

    def test_say_why_they_failed(self, left):
        reasons = {job.name: job.failed for job in find_jobs(left)}
        assert reasons == {
            **dict.fromkeys("0123", ""), "10": "lookahead must be at least 1, got 0", "9": "it did not end",
        }  # fmt: skip

    def test_are_named_by_what_they_differ_in(self, left):
        assert swept(find_jobs(left)) == ["sampler", "data.sampler.per_video", "data.lookahead"]
        row = Row(find_jobs(left)[3], None)
        assert label(row, ["sampler", "data.sampler.per_video", "data.size"]) == "uniform, per_video=true, size=48"
        assert label(row, ["seed", "data.sampler.per_video"]) == "seed=–, per_video=true"
        assert label(row, ["data.a.size", "data.size"]) == "data.a.size=–, data.size=48"

    def test_of_another_folder_are_none(self, tmp_path):
        with pytest.raises(DataError, match=r"no job of a sweep lies here.\nName the folder of one"):
            find_jobs(tmp_path)


class TestRanking:
    def test_the_fastest_is_not_the_best(self, rows):
        assert [rows[name].rank for name in ("2", "1", "0", "3")] == [1, 2, 3, 4]
        assert (rows["0"].effective_rank, rows["2"].effective_rank) == (1, None)

    def test_the_best_comes_first_and_what_failed_last(self, ranking):
        names = [row.job.name for row in ranking.rows]
        assert names[0] == "0"
        assert names[-3:] == ["2", "9", "10"]

    def test_chunks_are_worth_what_their_law_says(self, rows):
        uniform, chunked = rows["0"], rows["1"]
        assert uniform.effective_images_per_s == uniform.images_per_s
        assert chunked.worth.deff["long"] > 2
        assert chunked.effective_images_per_s == pytest.approx(120 / chunked.worth.deff["long"])

    def test_biased_ones_have_no_effective_rate(self, rows):
        assert [rows[name].unbiased for name in ("0", "1", "2", "10")] == ["yes", "yes", "no", ""]
        assert rows["2"].effective_images_per_s is None

    def test_weights_repair_videos_drawn_alike(self, tmp_path):
        for number, num_frames in enumerate((40, 60)):
            write_stamped(tmp_path / f"{number}.mp4", num_frames, number, gop=10)
        overrides = [f"data.root={tmp_path}", "data.sampler.per_video=true", "data.size=48", "data.batch_size=16"]
        leave(tmp_path / "sweep", 0, [*overrides, "data.progress=false"], 100)
        (row,) = rank(find_jobs(tmp_path / "sweep")).rows
        assert row.unbiased == "with weights"
        assert 90 < row.effective_images_per_s < 100  # the weights cost a little (F40)

    def test_short_videos_have_no_effective_rate(self, tmp_path):
        write_stamped(tmp_path / "a.mp4", 3, 0)
        overrides = [f"data.root={tmp_path}", "data.size=48", "data.batch_size=2", "data.progress=false"]
        leave(tmp_path / "sweep", 0, overrides, 100)
        ranking = rank(find_jobs(tmp_path / "sweep"))
        assert ranking.rows[0].effective_rank is None
        assert "too short" in ranking.note
        assert "too short" in as_markdown(ranking, None)


class TestReport:
    def test_files_agree(self, sweep, capsys):
        with pytest.raises(LitVideoError, match=r"2 of 6 jobs failed, job 9 because: it did not end"):
            report(sweep)
        rows = rows_of(sweep)
        assert next(iter(rows)) == "0"
        assert rows["10"]["failed"] == "lookahead must be at least 1, got 0"
        assert float(rows["0"]["effective_images_per_s"]) == 100
        told = (sweep / "sweep.md").read_text()
        assert told.startswith("# Best of 6: uniform")
        assert told.count("failed: ") == 2
        assert (sweep / "sweep.png").read_bytes().startswith(b"\x89PNG")
        assert "effective/s" in capsys.readouterr().out
        assert not list(sweep.glob("*.part"))

    def test_without_matplotlib_there_is_no_picture(self, sweep, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(LitVideoError, match="jobs failed"):
            report(sweep)
        assert not (sweep / "sweep.png").exists()
        assert "sweep.png" not in (sweep / "sweep.md").read_text()
        assert "matplotlib" in capsys.readouterr().out

    def test_nothing_but_failures_is_told(self, tmp_path):
        leave(tmp_path, 0, ["data.lookahead=0"], failed="no")
        ranking = rank(find_jobs(tmp_path))
        assert "No job ended well." in as_markdown(ranking, None)
        assert draw(ranking).startswith(b"\x89PNG")
        assert as_csv(ranking).count("\n") == 2


def ranked(**options):
    """Return a ranking of jobs for all combinations of options, the first the slowest, of worths that nobody knows."""
    config = OmegaConf.create({"data": {"sampler": {"_target_": "lit_video.samplers.uniform.UniformSampler"}}})
    choices = [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    jobs = [Job(str(n), choice, config, {"images_per_s": 100.0 + n}, "") for n, choice in enumerate(choices)]
    return Ranking([Row(job, None) for job in jobs])


def lines_in(figure):
    """Return the words at the left of each line, and what each panel writes beside its bars."""
    words = [label.get_text().split() for label in figure.axes[0].get_yticklabels()]
    return words, [[text.get_text() for text in axes.texts] for axes in figure.axes]


class TestPicture:
    def test_lines_are_the_jobs_that_ended_the_best_on_top(self, ranking, rows):
        figure = make_figure(ranking)
        words, (speeds, worths) = lines_in(figure)
        assert figure.get_suptitle() == "4 of 6 jobs ended well, most effective images/s on top"
        assert words[0] == ["sampler", "per_video", "lookahead"]
        assert words[1:3] == [["uniform", "–", "–"], ["uniform", "true", "–"]]
        assert words[3:] == [["chunked", "–", "–"], ["sequential", "–", "–"]]
        assert speeds == ["100", "90", "120", "500"]
        assert [worths[0], worths[3]] == ["100", "biased"]
        assert float(worths[2]) == pytest.approx(rows["1"].effective_images_per_s, rel=0.01)

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"sampler": ["uniform", "chunked"]}, id="one option"),
            pytest.param({"sampler": ["uniform", "chunked"], "data.threads": "12"}, id="two"),
            pytest.param({"sampler": ["a", "b" * 20], "data.threads": "123", "data.batch_size": "123456"}, id="three"),
            pytest.param({"data.root": ["/videos/" * 9 + end for end in "ab"], "decoder": "xy"}, id="long values"),
            pytest.param({f"data.option_{letter}": "12" for letter in "abcde"}, id="five"),
        ],
    )
    def test_words_lie_within_the_figure_and_beside_each_other(self, options):
        figure = make_figure(ranked(**options))
        png(figure)
        texts = [*figure.axes[0].get_yticklabels(), *figure.axes[0].texts, figure.axes[0].title]
        boxes = [text.get_window_extent() for text in texts]
        assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))

    def test_grows_with_the_jobs_up_to_a_limit(self):
        heights = [make_figure(ranked(seed=list(map(str, range(number))))).get_figheight() for number in (4, 12, 36)]
        assert heights[1] - heights[0] == pytest.approx((heights[2] - heights[1]) / 3)
        figure = make_figure(ranked(**{"data.threads": [str(number) for number in range(60)]}))
        assert figure.get_suptitle() == f"Jobs: 60, most images/s on top, the best {MOST} of 60 lines"
        words, (speeds,) = lines_in(figure)
        assert [word for word, *_ in words] == ["threads", *map(str, range(59, 19, -1))]
        assert speeds == [str(number) for number in range(159, 119, -1)]

    def test_seeds_share_a_line_from_the_lowest_to_the_highest(self):
        figure = make_figure(ranked(**{"data.threads": "12", "seed": "012"}))
        words, (speeds,) = lines_in(figure)
        assert words == [["threads"], ["2"], ["1"]]
        assert speeds == ["104", "101"]
        (whiskers,) = figure.axes[0].collections
        assert [segment[:, 0].tolist() for segment in whiskers.get_segments()] == [[103, 105], [100, 102]]
        assert "lowest to highest" in figure.get_suptitle()

    def test_seeds_alone_are_lines_of_their_own(self):
        assert lines_in(make_figure(ranked(seed="01")))[0] == [["seed"], ["1"], ["0"]]

    def test_a_job_alone_is_named_by_its_number(self):
        assert lines_in(make_figure(ranked()))[0] == [["job"], ["0"]]


class TestMistakes:
    @pytest.fixture
    def run_in(self, monkeypatch, tmp_path):
        """Make a mistake in a job that Hydra runs in some mode."""

        def run(mode):
            hydra = OmegaConf.create({"mode": mode, "runtime": {"output_dir": str(tmp_path)}})
            monkeypatch.setattr(HydraConfig, "get", lambda: hydra)
            with others_go_on(), told_in_a_sentence():
                raise DataError("no videos")

        return run

    def test_one_ends_a_single_run(self, run_in):
        with pytest.raises(Told, match="1"):
            run_in(RunMode.RUN)

    def test_one_is_noted_in_a_sweep(self, run_in, tmp_path):
        run_in(RunMode.MULTIRUN)
        assert (tmp_path / FAILED).read_text() == "no videos\n"


def test_a_sweep_from_the_command_line(footage, tmp_path):
    """Two jobs that end well and one that does not: all run, and all are in the report."""
    overrides = [f"data.root={footage}", "data.size=48", "data.batch_size=16", f"hydra.sweep.dir={tmp_path}"]
    done = run("train.py", "-m", "sampler=uniform,chunked", "data.lookahead=0,80", *overrides, timeout=180)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "2 of 4 jobs failed, job 0 because: lookahead must be at least 1, got 0" in done.stderr
    rows = rows_of(tmp_path)
    assert {name for name, row in rows.items() if not row["failed"]} == {"1", "3"}
    assert (rows["1"]["sampler"], rows["1"]["data.lookahead"]) == ("uniform", "80")
    for name in ("1", "3"):
        measured = json.loads((tmp_path / name / "throughput.json").read_text())
        assert float(rows[name]["images_per_s"]) == measured["images_per_s"]
        assert measured["images"] == 80
    done = run("scripts/sweep.py", tmp_path)
    assert done.returncode == 1
    assert "2 of 4 jobs failed" in done.stderr
