"""What a data set asks of machines: the law's numbers, times the constants'."""

import pytest

from lit_video.bias import planner_lookahead, planner_sliding
from lit_video.commands import plan_capacity
from lit_video.measuring.capacity import MANY_GOPS, Constants, Wanted, amplification, ways
from lit_video.support.errors import DataError

EXERCISE = Wanted(files=200, frames=120_000, images_per_s=1000, epochs=10)


def by_name(wanted):
    return {way.name: way for way in ways(wanted, Constants())}


class TestAmplification:
    def test_is_the_planners(self):
        held = 2**30 // (3 * 224**2)
        cost = planner_sliding([30] * 4000, planner_lookahead(held, 4000))
        assert amplification(EXERCISE) == (cost.decoded, cost.opens)

    def test_is_one_where_all_fits(self):
        assert amplification(Wanted(files=1, frames=600)) == (1.0, 1 / 30)

    def test_of_more_gops_than_are_counted_one_by_one(self):
        # Ten times the data and ten times the memory: the same.
        few = amplification(Wanted(files=1, frames=30 * MANY_GOPS, lookahead_bytes=2**40))
        many = amplification(Wanted(files=1, frames=300 * MANY_GOPS, lookahead_bytes=10 * 2**40))
        assert many == pytest.approx(few, rel=1e-3)

    def test_ranks_share_what_they_hold(self):
        assert amplification(Wanted(files=1, frames=10**7, ranks=8)) == pytest.approx(
            amplification(Wanted(files=1, frames=10**7, lookahead_bytes=8 * 2**30)), rel=1e-3
        )


class TestWays:
    def test_chunks_are_decoded_once(self):
        way = by_name(EXERCISE)["originals, chunks"]
        c = Constants()
        assert way.decoded == 1
        assert way.cores == pytest.approx(1000 * (c.decode_seconds + c.deliver_seconds + c.seek_seconds / 30))
        assert way.requests_per_s == pytest.approx(1000 / 30)
        assert way.price == pytest.approx(120_000 * 10 / 30 * 0.4 / 1e6)

    def test_proxies_cost_a_disk_and_once(self):
        way, c = by_name(EXERCISE)["proxies, uniform"], Constants()
        assert way.disk_bytes == 120_000 * c.proxy_bytes
        assert way.cores == pytest.approx(1000 * c.proxy_seconds)
        assert way.once_core_hours * 3600 > 120_000 * c.decode_seconds

    def test_pictures_cost_by_their_pixels(self):
        small = by_name(Wanted(files=200, frames=120_000, height=540, width=960))["originals, chunks"]
        large = by_name(Wanted(files=200, frames=120_000))["originals, chunks"]
        assert 3.5 < large.cores / small.cores <= 4

    @pytest.mark.parametrize("wrong", [{"files": 0}, {"images_per_s": -1.0}, {"frames": 10}])
    def test_what_is_wanted_is_checked(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Wanted(**({"files": 200, "frames": 120_000} | wrong))


class TestConstants:
    def test_are_kept_in_a_file(self, tmp_path):
        Constants(decode_seconds=0.5, where="here").write(tmp_path / "costs.json")
        assert Constants.read(tmp_path / "costs.json") == Constants(decode_seconds=0.5, where="here")

    def test_a_file_of_something_else_is_told(self, tmp_path):
        (tmp_path / "costs.json").write_text("[]")
        with pytest.raises(DataError, match="Measure them: lit-video doctor --costs"):
            Constants.read(tmp_path / "costs.json")

    @pytest.mark.slow
    def test_are_measured(self, tmp_path):
        from lit_video.checks.costs import measure_costs

        found = measure_costs(tmp_path)
        assert 0 < found.proxy_seconds < found.decode_seconds + found.deliver_seconds
        assert found.fetch_seconds > 0
        assert 1000 < found.proxy_bytes < 100_000


def test_the_command_prints_what_to_type(capsys):
    numbers = {"files": 10**6, "frames": 3 * 10**8, "images-per-s": 1e6, "ranks": 1000, "epochs": 3}
    plan_capacity.main([f"--{name}={number}" for name, number in numbers.items()])
    told = capsys.readouterr().out
    assert "300,000,000 frames of 1,000,000 files" in told
    assert "lit-video proxy ROOT PROXIES" in told
