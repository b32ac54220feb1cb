"""The bias report: whole on small stamped videos, and the arithmetic of its parts."""

import inspect
import io
import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lit_video.bias import Recommendation
from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.commands.hydra_front import GROUPS
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.index.copies import first_copies
from lit_video.measuring.page import number
from lit_video.measuring.reads import Read
from lit_video.report.choices import chunked, command, different, list_contenders, overrides, translate, uniform
from lit_video.report.contest import load, together
from lit_video.report.costs import decode_theory, fit_costs
from lit_video.report.document import write_document
from lit_video.report.facts import plain, report
from lit_video.report.features import NUMBERS, Features, last_layer_gradients, make_features
from lit_video.report.inclusion import check_inclusion, holm
from lit_video.report.likeness import correlation_of_all, measure_likeness
from lit_video.report.pilot import Footage, Pilot, take_pilot, window_length
from lit_video.report.setting import Options, Setting
from lit_video.report.worth import design_effects, pick, tied
from lit_video.samplers.chunked import ChunkedSampler
from lit_video.samplers.reservoir import ReservoirSampler
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DataError, LitVideoError, told_in_a_sentence
from tests.fakes import index_of
from tests.programs import REPOSITORY, composed
from tests.programs import run as run_program

NAMES = dict(zip(GROUPS, ("uniform", "pyav", "none"), strict=True))
QUICK = Options(seconds=0.2, images=300, rounds=1, max_lag=8, chunk_lengths=(4, "gop"))
KEYS = {
    "lit_video", "horizons", "recommendation", "contenders", "data", "settings", "options", "machine",
    "correlation", "costs", "deff_by_horizon", "lookahead", "inclusion", "seconds",
}  # fmt: skip
ROW = {
    "name", "family", "arguments", "chunk", "lookahead", "images_per_s", "standard_error", "interval", "deff",
    "deff_low", "deff_high", "effective_images_per_s", "effective_low", "effective_high", "effective_batch_size",
    "decoded_per_image", "decoded_per_image_theory", "reads_per_image", "tv", "chi",
    "largest_weight", "inclusion", "exact_uniform", "epoch_complete", "measured",
}  # fmt: skip


UNIFORM = "uniform lookahead=1", "uniform lookahead=23", "uniform"


def setting_of(index, **changes):
    return Setting(index, UniformSampler, PyAVDecoder, **{"size": 48, "batch_size": 16, "threads": 2, **changes})


@pytest.fixture
def setting(index):
    return setting_of(index)


@pytest.fixture(scope="module")
def run(videos, tmp_path_factory):
    """The report as a user calls it, in a process of its own."""
    folder = tmp_path_factory.mktemp("report")
    short = ["seconds=0.2", "rounds=1", "images=300", "max_lag=8", "chunk_lengths=[4,gop]"]
    arguments = [f"data.root={videos}", f"hydra.run.dir={folder}", "data.size=48", "data.batch_size=16"]
    arguments += ["sampler=reservoir", *(f"report.{option}" for option in short)]
    environment = {"XDG_CACHE_HOME": str(folder / "cache")}
    done = run_program("scripts/bias_report.py", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, json.loads((folder / "report.json").read_text()), (folder / "report.md").read_text()


class TestReport:
    def test_has_the_keys_that_are_documented(self, run):
        report = run[2]
        assert set(report) == KEYS
        assert all(set(row) == ROW for row in report["contenders"])
        documented = (REPOSITORY / "docs" / "bias.md").read_text()
        assert all(f"`{key}`" in documented for key in KEYS | ROW)

    def test_begins_with_the_recommendation_and_its_reason(self, run):
        _, told, report, words = run
        chosen = report["recommendation"]
        taken = " ".join(chosen["overrides"])
        assert words.startswith(f"# Take `{taken}`\n\n```\n{chosen['command']}\n```\n\n- It makes ")
        assert chosen["command"] in " ".join(told.split())
        assert chosen["command"].startswith(f"python train.py {taken}")
        assert chosen["overrides"][0].startswith("sampler=")
        assert "data.batch_size=16" in chosen["command"]
        assert "report." not in chosen["command"]

    def test_table_and_json_say_the_same(self, run):
        _, _, report, words = run
        lines = words.split("## Side by side\n\n")[1].splitlines()[2:]
        table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[: lines.index("")]]
        assert [row[0] for row in table] == [row["name"] for row in report["contenders"]]
        for cells, row in zip(table, report["contenders"], strict=True):
            values = [row["images_per_s"], row["interval"], row["decoded_per_image"]]
            values += [row["decoded_per_image_theory"], *row["deff"].values(), *row["effective_images_per_s"].values()]
            assert cells[1:] == [number(value) for value in values]

    def test_contenders_are_measured(self, run):
        rows = {row["name"]: row for row in run[2]["contenders"]}
        families = ("uniform", "chunked", "reservoir", "sequential")
        assert {row["family"] for row in rows.values()} == set(families)
        assert [name for name in rows if name.startswith("uniform")] == list(UNIFORM)
        for row in rows.values():
            assert row["images_per_s"] > 0
            assert row["measured"]["seconds"] > 0
            wait = row["measured"]["wait_seconds"]
            assert 0 <= wait <= row["measured"]["seconds"] + row["measured"]["first_batch_seconds"]
        alone, all_in_memory = rows["uniform lookahead=1"], rows["uniform"]
        assert alone["decoded_per_image"] == alone["decoded_per_image_theory"]  # (L + 1) / 2: 10 and one of 1, of 2
        assert all_in_memory["decoded_per_image"] == rows["chunked whole GOPs"]["decoded_per_image"] == 1

    def test_effective_images_are_images_over_the_design_effect(self, run):
        for row in run[2]["contenders"]:
            for horizon, deff in row["deff"].items():
                found = row["effective_images_per_s"][horizon]
                assert found is None if deff == 0 else found == pytest.approx(row["images_per_s"] / deff, rel=1e-4)
                low, high = row["effective_low"][horizon], row["effective_high"][horizon]
                assert found is None or low <= found
                assert found is None or high is None or high >= found

    def test_pictures_are_pictures(self, run):
        folder, words = run[0], run[3]
        pictures = sorted(folder.glob("*.png"))
        assert len(pictures) == 4
        for path in pictures:
            assert f"]({path.name})" in words
            with Image.open(path) as image:
                assert image.size == (900, 560)
                assert len(image.convert("RGB").getcolors(2**20)) > 10

    def test_few_videos_are_drawn_in_blocks(self, run):
        correlation, words = run[2]["correlation"], run[3]
        assert correlation["bootstrap"] == "blocks"
        assert "moving-block bootstrap" in words
        assert correlation["pilot"]["whole"]
        assert correlation["pilot"]["frames"] == 93
        assert correlation["features"]["kind"] == "pixels"
        assert correlation["features"]["what"] in words

    def test_every_epoch_has_each_frame_once(self, run):
        inclusion = run[2]["inclusion"]
        assert set(inclusion["each_once"]) == {row["name"] for row in run[2]["contenders"]}
        assert all(inclusion["each_once"].values())
        assert all(test["as_it_should"] for test in inclusion["tests"])
        assert [test["should_fail"] for test in inclusion["tests"]][-1]

    def test_nothing_is_left_half_written(self, run):
        assert not list(run[0].glob("*.part"))


class TestMistakes:
    def test_without_matplotlib_the_way_out_is_told(self, setting, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(LitVideoError, match=r"pip install -e '\.\[report\]'"):
            report(setting, QUICK, tmp_path / "run", NAMES)
        assert not (tmp_path / "run").exists()

    def test_nothing_is_written_where_something_fails(self, setting, tmp_path, monkeypatch):
        def fail(facts):
            raise LitVideoError("no room")

        monkeypatch.setattr("lit_video.report.facts.draw", fail)
        with pytest.raises(LitVideoError, match="no room"):
            report(setting, replace(QUICK, contenders=()), tmp_path / "run", NAMES)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("override", "told"),
        {
            "report.features=colours": "features must be one of",
            "report.max_lag=1": "max_lag must be at least 4, got 1",
            "report.rounds=0": "rounds must be at least 1, got 0",
            "report.seconds=0": "seconds must be above 0, got 0",
            "report.noise_scale=-1": "noise_scale must be above 0, got -1",
            "report.contenders=[uniform,fast]": "contenders must be of",
            "report.chunk_lengths=[0]": "chunk_lengths must be numbers from 1 on or 'gop', got [0]",
            "report.lookaheads=[2]": "lookaheads must be in [0, 1], got [2]",
        }.items(),
    )
    def test_an_option_is_refused_in_a_sentence(self, override, told, capsys):
        config = composed("bias_report", override)
        with pytest.raises(SystemExit), told_in_a_sentence():
            instantiate(config.report)
        assert told in capsys.readouterr().err

    def test_options_in_yaml_are_the_options_in_python(self):
        yaml = instantiate(composed("bias_report").report)
        for name, parameter in inspect.signature(Options).parameters.items():
            value = getattr(yaml, name)
            assert (tuple(value) if isinstance(value, list) else value) == parameter.default

    def test_equal_frames_have_nothing_to_measure(self, setting):
        pilot = pilot_of([np.ones((40, 3))])
        with pytest.raises(DataError, match="are the same"):
            measure_likeness(pilot, QUICK, 0, 41)

    def test_short_videos_have_no_neighbours_to_compare(self):
        with pytest.raises(DataError, match="too short"):
            measure_likeness(pilot_of([np.arange(6.0).reshape(2, 3)] * 3), QUICK, 0, 10)


def stamps(setting):
    """Features that are what the stamps say."""

    def describe(images, frame_ids):
        return np.array([read_stamp(image) for image in images], np.float64)

    return Features("stamps", describe, lambda vectors, frame_ids: vectors, "What the stamps say.")


class TestPilot:
    def test_small_data_is_decoded_whole(self, index):
        setting = setting_of(index, size=96)
        pilot = take_pilot(setting, QUICK, stamps(setting))
        assert pilot.whole
        everything = np.arange(index.num_frames)
        assert np.array_equal(pilot.vectors_of(everything), np.stack(index.locate(everything), axis=1))

    def test_large_data_is_looked_at_in_places(self, index):
        setting, options = setting_of(index, size=96), replace(QUICK, pilot_frames=0, num_windows=12, num_pairs=15)
        pilot = take_pilot(setting, options, stamps(setting))
        assert not pilot.whole
        assert {len(run) for run in pilot.runs} == {16}  # twice the largest lag, for blocks
        assert pilot.pairs.shape == (15, 2)
        for ids in (*pilot.runs, pilot.pairs.ravel()):
            assert np.array_equal(pilot.vectors_of(ids), np.stack(index.locate(ids), axis=1))
            assert len(np.unique(index.locate(ids)[0])) == 1 or ids is not pilot.runs[0]

    def test_windows_may_begin_at_every_place_that_holds_one(self, index):
        from lit_video.report.pilot import _windows

        footage = Footage(index, np.arange(3))
        assert window_length(footage, 20) == 40
        options = replace(QUICK, max_lag=10, num_windows=2000)
        assert window_length(footage, 10) == 20
        starts, counts = np.unique([run[0] for run in _windows(footage, options, 0)], return_counts=True)
        places = [*range(31), *range(50, 62)]  # videos of 50 and 31 frames; one of 12 is too short
        assert starts.tolist() == places
        assert counts.min() >= 2000 // len(places) - 2

    def test_links_and_copies_show_nothing_new(self, tmp_path):
        write_stamped(tmp_path / "a.mp4", 20, video_id=1)
        write_stamped(tmp_path / "b.mp4", 20, video_id=2)
        (tmp_path / "c.mp4").symlink_to("a.mp4")
        (tmp_path / "d.mp4").write_bytes((tmp_path / "b.mp4").read_bytes())
        index = VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)
        assert first_copies(index).tolist() == [0, 1, 0, 1]
        setting = setting_of(index, size=96)
        pilot = take_pilot(setting, QUICK, stamps(setting))
        assert len(pilot.frame_ids) == 40
        assert pilot.vectors_of(np.array([3, 43, 63])).tolist() == [[1, 3], [1, 3], [2, 3]]

    def test_files_of_one_size_are_not_taken_for_copies(self, tmp_path):
        for name, video_id in (("a", 1), ("b", 2)):
            path = write_stamped(tmp_path / f"{name}.mp4", 20, video_id=video_id)
            path.write_bytes(path.read_bytes().ljust(50000, b"\0"))
        assert first_copies(VideoIndex.scan(tmp_path, tmp_path / "index", progress=False)).tolist() == [0, 1]


def pilot_of(videos, whole=True):
    """Return the pilot of videos that are given as vectors."""
    index = index_of([len(video) for video in videos], 10)
    footage = Footage(index, np.arange(len(videos)))
    runs = [np.arange(*index.offset[video : video + 2]) for video in range(len(videos))]
    pairs = np.random.default_rng(0).integers(index.num_frames, size=(2000, 2))
    vectors = np.concatenate(videos).astype(np.float64)
    return Pilot(footage, whole, np.arange(index.num_frames), vectors, runs, pairs)


def walks(rng, num_videos, num_frames, fading=0.9):
    """Return videos whose neighbours are alike."""
    noise = rng.standard_normal((num_videos, num_frames, 6)) * np.sqrt(1 - fading**2)
    noise[:, 0] /= np.sqrt(1 - fading**2)
    for frame in range(1, num_frames):
        noise[:, frame] += fading * noise[:, frame - 1]
    return list(noise)


class TestLikeness:
    def test_of_all_frames_is_the_definition(self):
        videos = walks(np.random.default_rng(1), 3, 12) + walks(np.random.default_rng(2), 1, 7)
        pilot, everything = pilot_of(videos), np.concatenate(videos)
        centred = [video - everything.mean(axis=0) for video in videos]
        variance = np.mean([vector @ vector for video in centred for vector in video])
        R = correlation_of_all(pilot, 15)
        for lag in range(12):
            products = [video[t] @ video[t + lag] for video in centred for t in range(len(video) - lag)]
            assert R[lag] == pytest.approx(np.mean(products) / variance)
        assert R[12:].tolist() == [0, 0, 0]

    def test_copies_count_as_often_as_they_are_there(self):
        one, other = walks(np.random.default_rng(1), 2, 12)
        twice = pilot_of([one, other])
        footage = Footage(index_of([12, 12, 12], 10), np.array([0, 1, 0]))
        with_copy = correlation_of_all(replace(twice, footage=footage), 12)
        assert np.allclose(with_copy, correlation_of_all(pilot_of([one, other, one]), 12))

    def test_many_videos_are_drawn_anew(self):
        options = replace(QUICK, max_lag=16)
        found = measure_likeness(pilot_of(walks(np.random.default_rng(3), 12, 60)), options, 0, 61)
        assert found.block is None
        assert found.bootstrap == "drawing 12 videos anew"
        assert found.num_measured == 17
        assert found.low[1] < found.R[1] < found.high[1]
        assert abs(found.R[5] - 0.9**5) < 0.15

    def test_few_videos_are_drawn_in_blocks_and_the_model_goes_on(self):
        found = measure_likeness(pilot_of(walks(np.random.default_rng(3), 2, 400), whole=False), QUICK, 0, 401)
        assert found.block == 8
        assert "moving-block bootstrap" in found.bootstrap
        assert found.num_measured == 9
        assert np.array_equal(found.R[9:], found.model.R(401)[9:])
        assert not found.exact

    def test_runs_of_nearly_the_whole_video_are_no_bargain(self):
        found = measure_likeness(pilot_of(walks(np.random.default_rng(4), 1, 200)), QUICK, 0, 201)
        assert len(found.for_runs(longest_gop=10)) < 150
        assert len(found.for_runs(longest_gop=150)) >= 150


class TestFeatures:
    @pytest.mark.parametrize("kind", ["pixels", "network", "gradients"])
    def test_each_kind_makes_vectors_of_frames(self, index, kind):
        labelled = index.with_labels({"0.mp4": "b", "1.mp4": "a", "2.mp4": "b"})
        setting = setting_of(labelled)
        features = make_features(setting, kind)
        pilot = take_pilot(setting, QUICK, features)
        assert features.kind == kind
        assert pilot.vectors.shape == (93, NUMBERS)
        assert np.isfinite(pilot.vectors).all()
        assert measure_likeness(pilot, QUICK, 0, 51).R[1] > 0.05
        again = take_pilot(setting, QUICK, make_features(setting, kind))
        assert np.allclose(pilot.vectors, again.vectors, rtol=1e-4, atol=1e-5)

    def test_labels_decide_what_auto_means(self, index, setting):
        assert make_features(setting, "auto").kind == "pixels"
        labelled = index.with_labels({"0.mp4": "b", "1.mp4": "a", "2.mp4": "b"})
        assert make_features(setting_of(labelled), "auto").kind == "gradients"

    def test_gradients_need_labels(self, setting):
        with pytest.raises(ValueError, match="features=gradients needs labels"):
            make_features(setting, "gradients")

    def test_the_network_needs_room(self, index):
        with pytest.raises(ValueError, match="frames of at least 32 pixels"):
            make_features(setting_of(index, size=16), "network")

    def test_features_see_what_the_transform_makes(self, index):
        black = setting_of(index, transform=BlackOut())
        vectors = take_pilot(black, QUICK, make_features(black, "pixels")).vectors
        assert not vectors.any()

    def test_projected_gradients_keep_their_distances(self):
        rng = np.random.default_rng(0)
        features, labels = rng.standard_normal((60, 30)), rng.integers(3, size=60)
        projected = np.mean(
            [np.square(np.diff(last_layer_gradients(features, labels, seed), axis=0)).sum() for seed in range(20)]
        )
        exact = np.square(np.diff(exact_gradients(features, labels), axis=0)).sum()
        assert projected == pytest.approx(exact, rel=0.1)


class BlackOut:
    def __call__(self, images, draws):
        return images * 0


def exact_gradients(features, labels):
    """Return the gradients of the same layer, written out: [n, features × classes]."""
    inputs = (features - features.mean(axis=0)) / features.std(axis=0) / np.sqrt(features.shape[1])
    inputs, wanted = np.c_[inputs, np.ones(len(inputs))], np.eye(3)[labels]
    layer = np.zeros((inputs.shape[1], 3))
    for _ in range(101):
        scores = np.exp(inputs @ layer)
        wrong = scores / scores.sum(axis=1, keepdims=True) - wanted
        gradients = np.einsum("ni,nc->nic", inputs, wrong).reshape(len(inputs), -1)
        layer -= 0.5 * gradients.mean(axis=0).reshape(layer.shape)
    return gradients


class TestContest:
    def test_reads_are_counted_as_the_loader_counts_them(self, setting):
        contender = uniform(setting, 1)
        found = together([load(setting, QUICK, contender, number) for number in range(2)])
        assert found.budget.lookahead == 1
        assert found.reads_per_image == found.wanted_per_image == 1
        assert found.decoded_per_image == pytest.approx(decode_theory(setting, contender, 1), rel=0.3)
        assert all(read.cpu_seconds <= read.seconds * 1.5 + 0.01 for read in found.reads)

    def test_all_frames_with_the_first_batch_are_counted_too(self, index):
        setting = setting_of(index, batch_size=93)
        found = together([load(setting, replace(QUICK, images=1, seconds=1e-6), uniform(setting), 0)])
        assert found.decoded_per_image == 1
        assert found.images_per_s > 0

    def test_what_the_loader_warns_of_is_kept(self, index):
        setting = setting_of(index, lookahead_bytes=3 * 48 * 48 * 24)
        found = together([load(setting, QUICK, chunked(setting, 30, 3), 0)])
        assert "decoded more than once" in found.warnings[0]

    def test_the_named_sampler_competes_unless_it_does_already(self, setting):
        names = [contender.name for contender in list_contenders(setting, QUICK, "mine")]
        assert "mine, as named" not in names
        other = replace(setting, make_sampler=partial(UniformSampler, replacement=True))
        assert list_contenders(other, QUICK, "mine")[0].name == "mine, as named"

    def test_one_order_may_compete_in_look_aheads_alone(self, setting, tmp_path):
        options = replace(QUICK, contenders=("uniform",), lookaheads=(0,))
        facts = report(setting, options, tmp_path / "run", NAMES)
        assert [row["name"] for row in facts["contenders"]] == ["uniform, as named", "uniform lookahead=1"]
        assert [curve["name"] for curve in facts["deff_by_horizon"]] == ["uniform, as named"]
        real = [row["measured"]["deff_batch"] for row in facts["contenders"]]
        assert real[0] == real[1] == facts["deff_by_horizon"][0]["measured"][4]  # of 16 slots, a batch

    def test_look_aheads_are_the_same_order(self, setting):
        contenders = [uniform(setting, 1), uniform(setting), chunked(setting, 4, 16)]
        assert [one.sampler_name for one in different(contenders)] == ["uniform", "chunked chunk_length=4"]


def read_of(seconds, decoded, wanted):
    return Read(0.0, seconds, seconds, decoded, wanted, wanted)


class TestCosts:
    def test_finds_what_reads_were_made_of(self):
        rng = np.random.default_rng(0)
        decoded = rng.integers(1, 30, size=400)
        wanted = rng.integers(1, decoded + 1)
        seconds = 0.012 + 0.006 * decoded + 0.004 * wanted
        held_up = rng.random(400) < 0.2  # by another program, for a while
        seconds = seconds + held_up * rng.exponential(0.3, 400)
        costs = fit_costs(
            [read_of(*row) for row in zip(seconds.tolist(), decoded.tolist(), wanted.tolist(), strict=True)]
        )
        found = costs.seek_seconds, costs.decode_seconds, costs.deliver_seconds
        assert found == pytest.approx((0.012, 0.006, 0.004), rel=0.05)
        assert costs.num_reads == 400
        assert costs.relative_error < 0.01

    def test_no_cost_is_negative(self):
        reads = [read_of(0.01 * decoded - 0.005, decoded, 1) for decoded in range(1, 20)]
        costs = fit_costs(reads)
        assert costs.seek_seconds == costs.deliver_seconds == 0
        assert costs.decode_seconds == pytest.approx(0.0095, rel=0.05)

    def test_an_image_costs_its_share_of_reads_and_frames(self):
        costs = fit_costs([read_of(0.01 + 0.002 * n + 0.001 * w, n, w) for n in range(1, 9) for w in (1, n)])
        assert costs.per_image(decoded=5, wanted=1, reads=0.5) == pytest.approx(0.005 + 0.01 + 0.001)


RECOMMENDED = {
    "look ahead": ("uniform", {"lookahead": 50}, UniformSampler, ["sampler=uniform", f"data.lookahead_bytes={2**30}"]),
    "runs in lanes": (
        "chunked",
        {"k": 7, "whole_gops": False, "lanes": 16},
        partial(ChunkedSampler, chunk_length=7, lanes=13),  # 13 lanes of 7 are what 93 positions reach over
        ["sampler=chunked", "data.sampler.chunk_length=7", "data.sampler.lanes=13"],
    ),
    "whole GOPs in lanes": (
        "chunked",
        {"k": 10, "whole_gops": True, "lanes": 8},
        partial(ChunkedSampler, lanes=8),
        ["sampler=chunked", "data.sampler.lanes=8"],
    ),
    "runs in a buffer": (
        "reservoir",
        {"k": 5, "whole_gops": False, "jitter": 40},
        partial(ReservoirSampler, buffer=20, chunk_length=5),
        ["sampler=reservoir", "data.sampler.buffer=20", "data.sampler.chunk_length=5"],
    ),
    "GOPs in a buffer too long": (
        "reservoir",
        {"k": 10, "whole_gops": True, "jitter": 4000},
        partial(ReservoirSampler, buffer=41),  # (93 − 10) / 2
        ["sampler=reservoir", "data.sampler.buffer=41"],
    ),
}


class TestAdvice:
    @pytest.mark.parametrize("case", RECOMMENDED)
    def test_recommendations_become_samplers(self, case, setting):
        sampler, parameters, make, arguments = RECOMMENDED[case]
        found = translate(Recommendation(sampler, parameters, (), ()), setting, lookahead=93)
        assert found.make(3) == make(setting.index, 3)
        assert list(found.arguments) == arguments

    @pytest.mark.parametrize("case", RECOMMENDED)
    def test_the_command_line_makes_the_same_sampler(self, case, setting):
        contender = translate(Recommendation(*RECOMMENDED[case][:2], (), ()), setting, lookahead=93)
        config = composed("train", *command(contender, ["data.size=48"]).split()[2:])
        assert config.data.size == 48
        assert instantiate(config.data.sampler)(index=setting.index, seed=3) == contender.make(3)

    def test_the_command_keeps_what_was_given(self, setting):
        given = ["data.root=my videos", "report.seconds=1", "sampler=chunked", "data.sampler.lanes=3", "seed=4"]
        memory = f"data.lookahead_bytes={2**30}"
        assert (
            command(uniform(setting), given) == f"python train.py sampler=uniform {memory} 'data.root=my videos' seed=4"
        )
        assert command(uniform(setting, 9), ["data.lookahead=4"]) == "python train.py sampler=uniform data.lookahead=9"

    def test_the_named_sampler_keeps_its_arguments(self, setting):
        own = list_contenders(replace(setting, make_sampler=partial(UniformSampler, replacement=True)), QUICK, "own")[0]
        given = ["sampler=uniform", "data.sampler.replacement=true", "report.seconds=1"]
        assert command(own, given) == "python train.py sampler=uniform data.sampler.replacement=true"
        assert overrides(own, given) == ("sampler=uniform", "data.sampler.replacement=true")

    def test_a_look_ahead_that_was_given_stays(self, setting):
        given = replace(setting, lookahead=50)
        assert command(uniform(given), ["data.lookahead=50"]) == "python train.py sampler=uniform data.lookahead=50"

    def test_picks_the_best_and_of_equals_the_least_clustered(self):
        assert pick([row("one", 90, 1), row("third", 500, 5)])["name"] == "third"
        assert pick([row("one", 97, 1), row("third", 500, 5)])["name"] == "one"
        assert pick([row("one", 97, 1), row("other", 98, 1)])["name"] == "other"
        assert pick([row("one", 10, 1), row("third", 500, 5, fair=False)])["name"] == "one"

    def test_what_the_error_hides_is_told(self):
        rows = [row("best", 100, 1, interval=9), row("near", 400, 4.5, interval=40), row("far", 80, 1, interval=1)]
        assert [one["name"] for one in tied(rows, rows[0])] == ["near"]
        assert not tied(rows[::2], rows[0])


def row(name, images_per_s, deff, fair=True, interval=0):
    """Return what a choice is made by."""
    return {
        "name": name, "images_per_s": images_per_s, "interval": interval, "deff": {"long": deff},
        "effective_images_per_s": {"long": images_per_s / deff if deff else None}, "exact_uniform": fair,
    }  # fmt: skip


class Doubling(UniformSampler):
    """A sampler that claims each frame once and brings the first twice."""

    def order(self, epoch):
        order = np.array(super().order(epoch)[0 : self.index.num_frames])
        order[order == 1] = 0
        return order


class TestInclusion:
    def test_a_sampler_that_repeats_a_frame_is_found_out(self, setting):
        wrong = replace(uniform(setting), name="wrong", make=lambda seed: Doubling(setting.index, seed))
        found = check_inclusion(setting, [uniform(setting), wrong])
        assert found["each_once"] == {"uniform": True, "wrong": False}

    def test_a_sampler_that_prefers_frames_is_found_out(self, setting):
        class Early(UniformSampler):
            def order(self, epoch):
                return np.sort(np.array(super().order(epoch)))

        wrong = replace(uniform(setting), name="wrong", make=lambda seed: Early(setting.index, seed))
        test = check_inclusion(setting, [wrong])["tests"][0]
        assert test["adjusted"] < 1e-9
        assert not test["as_it_should"]

    def test_videos_without_a_window_have_no_example(self):
        found = check_inclusion(setting_of(index_of([3, 4], 2)), [])
        assert [test["should_fail"] for test in found["tests"]] == [False]

    def test_sliding_windows_are_found_out(self, setting):
        test = check_inclusion(setting, [])["tests"][-1]
        assert test["should_fail"]
        assert test["as_it_should"]
        assert float(test["statistic"].removeprefix("z ")) < -10  # edge frames come too rarely

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
    @settings(deadline=None, max_examples=100)
    def test_holm_rejects_step_by_step(self, p_values):
        adjusted = holm(np.array(p_values))
        for level in (0.01, 0.05, 0.3):
            rejected = set()
            for step, place in enumerate(np.argsort(p_values, kind="stable")):
                if p_values[place] * (len(p_values) - step) > level:
                    break
                rejected.add(int(place))
            assert set(np.flatnonzero(adjusted <= level).tolist()) == rejected


class TestWorth:
    def test_a_batch_of_everything_does_not_vary(self, index):
        found = design_effects(UniformSampler(index), np.array([1.0, 0.5]), batch_size=200)
        assert found["batch"] == 0
        assert found["long"] == 1

    def test_short_epochs_are_unrelated_to_each_other(self, index):
        # Of batches of 31, three make an epoch, so a moving average over many epochs hardly varies.
        found = design_effects(UniformSampler(index), np.array([1.0, 0.5]), batch_size=31)
        assert 0 < found["momentum"] < found["batch"] < 1

    def test_numbers_are_plain(self):
        assert plain({"a": np.float64(1 / 3), 2: (np.int64(3), np.inf, None, np.bool_(True))}) == {
            "a": 0.333333,
            "2": [3, None, None, True],
        }


def test_a_picture_may_lack_its_real_orders(run):
    from lit_video.report.pictures import draw

    facts = dict(run[2])
    facts["deff_by_horizon"] = [curve | {"measured": None} for curve in facts["deff_by_horizon"]]
    pictures = draw(facts)
    assert len(pictures) == 4
    assert all(Image.open(io.BytesIO(png)).size == (900, 560) for png in pictures.values())


def test_footage_of_many_kinds_is_told_as_such(run):
    facts = run[2] | {"data": run[2]["data"] | {"codecs": {"h264": 5, "vp9": 2}, "sizes": dict.fromkeys("abcd", 1)}}
    assert "4 sizes from a to d; h264 (5) and vp9 (2); " in write_document(facts, [])
    assert run[2]["data"]["codecs"] == {"h264": 3}
