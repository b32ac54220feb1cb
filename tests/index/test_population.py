"""Which samples exist, against what a loop over all frames finds."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_video.index.columns import columns_of
from lit_video.index.damage import Run
from lit_video.index.intervals import Stretches
from lit_video.index.population import Population, as_population
from lit_video.index.scan import Entry
from lit_video.index.table import VideoIndex
from lit_video.index.truth import Start
from lit_video.media.container import Seek
from lit_video.support.errors import DataError
from tests.fakes import index_of
from tests.programs import REPOSITORY, run


def index_with(videos):
    """The index of videos that are given as (timestamps, time base, GOP, damaged runs)."""
    entries = [
        Entry(
            stream=0, time_base=base, width=64, height=48, rotation=0, aspect=1.0, codec="h264",
            pixel_format="yuv420p", matrix=2, range=0, made="exact", pts=np.array(pts, np.int64),
            starts=[Start(frame, Seek.TIME, frame) for frame in range(0, len(pts), gop)], damage=damage,
        )
        for pts, base, gop, damage in videos
    ]  # fmt: skip
    return VideoIndex(*columns_of([(f"/x/{n}.mp4", n, n) for n in range(len(videos))], entries))


def stretches_of(rows, unit="seconds"):
    """Stretches that are given as (video id, begin, end)."""
    videos, begin, end = (np.array(column) for column in zip(*rows, strict=True))
    return Stretches(videos, begin.astype(float), end.astype(float), unit, np.arange(len(rows)), None, [])


def anchors(population):
    """Video id and frame index of the first frame of every sample."""
    frames, _ = population.frames_of(np.arange(population.num_samples))
    return list(zip(*(column.tolist() for column in population.index.locate(frames[:, 0])), strict=True))


timestamps = st.lists(st.integers(1, 9), min_size=0, max_size=40).map(lambda gaps: np.cumsum([7, *gaps]).tolist())
bases = st.sampled_from([Fraction(1, 30), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 1000)])
videos = st.lists(st.tuples(timestamps, bases, st.integers(1, 12), st.just(())), min_size=1, max_size=4)
rates = st.sampled_from(["1", "6", "25", "29.97", "30000/1001", "100", "0.5", "7"])


def nearest(pts, base, fps):
    """The frames nearest to the multiples of 1/fps seconds, by looking at all of them."""
    times = [(p - pts[0]) * base for p in pts]
    wanted, found = Fraction(0), []
    while wanted <= times[-1]:
        found.append(min(range(len(times)), key=lambda frame: (abs(times[frame] - wanted), frame)))
        wanted += 1 / fps
    return sorted(set(found))


class TestFrames:
    @settings(max_examples=60, deadline=None)
    @given(videos, rates)
    def test_fps_takes_the_frame_nearest_to_each_multiple(self, videos, fps):
        if max((pts[-1] - pts[0]) * base * Fraction(fps) for pts, base, *_ in videos) > 5000:
            return
        exact = Fraction(fps).limit_denominator(1001)
        expected = [(v, f) for v, (pts, base, *_) in enumerate(videos) for f in nearest(pts, base, exact)]
        assert anchors(Population(index_with(videos), fps=fps)) == expected
        assert anchors(Population(index_with(videos), every_seconds=1 / exact)) == expected

    def test_a_rate_of_numbers_is_the_fraction_that_is_meant(self):
        index = index_with([(np.arange(300).tolist(), Fraction(1001, 30000), 30, ())])
        assert anchors(Population(index, fps=29.97002997)) == anchors(Population(index))
        assert anchors(Population(index_of([300], 12), fps=6)) == [(0, frame) for frame in range(0, 300, 5)]

    @settings(max_examples=60, deadline=None)
    @given(videos, st.integers(1, 9))
    def test_stride(self, videos, stride):
        expected = [(v, f) for v, video in enumerate(videos) for f in range(0, len(video[0]), stride)]
        assert anchors(Population(index_with(videos), stride=stride)) == expected

    @settings(max_examples=40, deadline=None)
    @given(videos, st.integers(1, 3))
    def test_keyframes(self, videos, stride):
        expected = [(v, f) for v, video in enumerate(videos) for f in range(0, len(video[0]), stride * video[2])]
        assert anchors(Population(index_with(videos), keyframes_only=True, stride=stride)) == expected

    @settings(max_examples=60, deadline=None)
    @given(videos, st.data())
    def test_intervals(self, videos, data):
        limit = int(max((pts[-1] - pts[0]) * base for pts, base, *_ in videos)) + 1
        edges = st.fractions(0, limit, max_denominator=1000).map(lambda f: round(float(f), 6))
        stretch = st.tuples(st.integers(0, len(videos) - 1), edges, edges).filter(lambda s: s[1] < s[2])
        rows = sorted(data.draw(st.lists(stretch, min_size=1, max_size=6)))
        expected = [
            (v, f, row)
            for row, (v, begin, end) in enumerate(rows)
            for f, p in enumerate(videos[v][0])
            if Fraction(str(begin)) <= (p - videos[v][0][0]) * videos[v][1] < Fraction(str(end))
        ]
        stretches = stretches_of(rows)
        if not expected:
            with pytest.raises(DataError, match="No frame is left"):
                Population(index_with(videos), intervals=stretches)
            return
        population = Population(index_with(videos), intervals=stretches)
        found = population.intervals_of(np.arange(population.num_samples)).tolist()
        assert [(*pair, row) for pair, row in zip(anchors(population), found, strict=True)] == expected

    def test_damage_and_ends_are_left_out(self):
        damaged = (Run(3, 4, "why"), Run(8, 8, "why"))
        index = index_with([(range(10), Fraction(1, 10), 5, ()), (range(20), Fraction(1, 10), 5, damaged)])
        kept = [(0, f) for f in range(10)] + [(1, f) for f in range(20) if f not in (3, 4, 8)]
        assert anchors(Population(index, exclude={"damage": True})) == kept
        ends = Population(index, exclude={"damage": True, "first_seconds": 0.2, "last_seconds": 0.3})
        assert anchors(ends) == [(0, f) for f in range(2, 7)] + [(1, f) for f in (2, 5, 6, 7, *range(9, 17))]

    @pytest.mark.parametrize("videos", [[1, 2], [False, True, True], ["nowhere/1.mp4", "2.mp4"], np.array([2, 1])])
    def test_videos(self, videos):
        assert anchors(Population(index_of([3, 2, 1], 2), videos=videos)) == [(1, 0), (1, 1), (2, 0)]

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"stride": 0}, "stride must be at least 1, got 0"),
            ({"fps": -1}, "fps must be a number above 0, got -1"),
            ({"fps": 2, "keyframes_only": True}, "give one of fps, every_seconds and keyframes_only, got fps and key"),
            ({"clip_length": 0}, "clip_length must be at least 1, got 0"),
            ({"clip_length": 2, "ends": "wrap"}, "ends must be one of inside, pad, circular, got 'wrap'"),
            ({"clip_length": 2, "clip_stride": 2, "clip_fps": 3}, "give clip_stride or clip_fps, not both"),
            ({"exclude": {"dammage": True}}, "exclude must have keys among damage, first_seconds, last_seconds"),
            ({"videos": [True]}, "videos must be a mask of 3 videos, got one of 1"),
            ({"videos": [3]}, r"videos must be ids in \[0, 3\), got \[3, 3\]"),
        ],
    )
    def test_mistakes_are_told(self, options, told):
        with pytest.raises(ValueError, match=told):
            Population(index_of([3, 2, 1], 2), **options)

    def test_nothing_left_is_told(self):
        with pytest.raises(DataError, match=r"No clip of 9 frames \(inside\) is left of 3 of 3 videos, of 3 frames"):
            Population(index_of([3, 2, 1], 2), clip_length=9)


def clips_of(length, shape, stride):
    """Frames and padding of all clips of a video of so many frames, by the words of the documentation."""
    clip, step, ends = shape
    reach = (clip - 1) * step
    first = {"inside": range(0, length - reach, stride), "pad": range(-reach, length, stride)}
    for anchor in first.get(ends, range(0, length, stride)):
        wanted = [anchor + place * step for place in range(clip)]
        if ends == "circular":
            yield [frame % length for frame in wanted], [False] * clip
        else:
            yield [min(max(f, 0), length - 1) for f in wanted], [not 0 <= f < length for f in wanted]


class TestClips:
    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(st.integers(1, 30), min_size=1, max_size=4),
        st.tuples(st.integers(1, 6), st.integers(1, 4), st.sampled_from(["inside", "pad", "circular"])),
        st.integers(1, 5),
    )
    def test_of_strides(self, lengths, shape, stride):
        index = index_of(lengths, 4)
        expected = [
            ((index.offset[v] + frames).tolist(), padding)
            for v, length in enumerate(lengths)
            for frames, padding in clips_of(length, shape, stride)
        ]
        options = dict(zip(("clip_length", "clip_stride", "ends"), shape, strict=True))
        if not expected:
            with pytest.raises(DataError):
                Population(index, stride=stride, **options)
            return
        population = Population(index, stride=stride, **options)
        frames, padding = population.frames_of(np.arange(population.num_samples))
        assert list(zip(frames.tolist(), padding.tolist(), strict=True)) == expected

    @pytest.mark.parametrize("ends", ["pad", "circular"])
    def test_each_frame_comes_as_often_as_any_other(self, ends):
        population = Population(index_of([13, 5, 2], 4), clip_length=4, clip_stride=2, ends=ends)
        frames, padding = population.frames_of(np.arange(population.num_samples))
        assert np.bincount(frames[~padding]).tolist() == [4] * 20

    @settings(max_examples=60, deadline=None)
    @given(videos, rates, st.integers(2, 5))
    def test_of_frame_rates_take_the_frame_nearest_in_time(self, videos, fps, length):
        index = index_with(videos)
        expected = []
        for v, (pts, base, *_) in enumerate(videos):
            times = [p * base for p in pts]
            for begin in times:
                wanted = [begin + place / Fraction(fps).limit_denominator(1001) for place in range(length)]
                if wanted[-1] <= times[-1]:
                    found = [min(range(len(times)), key=lambda f: (abs(times[f] - at), f)) for at in wanted]
                    expected.append((index.offset[v] + found).tolist())
        if not expected:
            with pytest.raises(DataError):
                Population(index, clip_length=length, clip_fps=fps)
            return
        population = Population(index, clip_length=length, clip_fps=fps)
        assert population.frames_of(np.arange(population.num_samples))[0].tolist() == expected

    def test_of_frame_rates_pad_and_wrap(self):
        index = index_with([([0, 2, 3, 7, 8], Fraction(1, 2), 5, ())])  # seconds 0, 1, 1.5, 3.5, 4
        padded = Population(index, clip_length=2, clip_fps="1/2", ends="pad")  # two seconds apart
        frames, padding = padded.frames_of(np.arange(padded.num_samples))
        assert (frames[-2:].tolist(), padding[-2:].tolist()) == ([[3, 4], [4, 4]], [[False, True], [False, True]])
        assert np.bincount(frames[~padding], minlength=5).min() >= 1
        around = Population(index, clip_length=2, clip_fps="1/2", ends="circular")
        assert around.frames_of(np.array([4]))[0].tolist() == [[4, 2]]

    def test_of_a_stretch_stay_in_it(self):
        stretches = stretches_of([(0, 2, 6), (0, 10, 13)], "frames")
        population = Population(index_of([20], 5), intervals=stretches, clip_length=3)
        assert population.frames_of(np.arange(3))[0].tolist() == [[2, 3, 4], [3, 4, 5], [10, 11, 12]]


SOME = [
    {},
    {"stride": 3},
    {"fps": 7},
    {"keyframes_only": True},
    {"videos": [0, 2]},
    {"clip_length": 4, "ends": "pad"},
    {"fps": 7, "clip_length": 3, "clip_stride": 2},
    {"exclude": {"damage": True}, "stride": 2},
]


@pytest.mark.parametrize("options", SOME, ids=str)
class TestEvery:
    @pytest.fixture
    def index(self):
        return index_with(
            [
                (range(31), Fraction(1, 30), 7, ()),
                (range(0, 40, 2), Fraction(1, 30), 5, (Run(4, 9, "why"),)),
                ([0, 1, 5, 6, 7, 20, 21, 22], Fraction(1, 30), 3, ()),
            ]
        )

    def test_keyframes_are_where_samples_of_another_gop_begin(self, index, options):
        population = Population(index, **options)
        rows, frames = population._anchors.at(np.arange(population.num_samples))
        begins = population._spans.video_id[rows]
        starts = [
            np.searchsorted(index.start_frames(v), frame, side="right")
            for v, frame in zip(begins.tolist(), frames, strict=True)
        ]
        runs = np.stack([rows, starts], axis=1)
        expected = np.flatnonzero((np.diff(runs, axis=0, prepend=-1) != 0).any(axis=1))
        assert population.keyframes.tolist() == [*expected.tolist(), population.num_samples]
        if not options or set(options) == {"videos"}:
            assert population.num_gops == len(expected)
        assert population.num_gops <= 1.5 * len(expected)  # about as many where they are cut

    def test_frames_of_a_gop_are_found(self, index, options):
        population = Population(index, **options)
        wanted = np.unique(population.frames_of(np.arange(population.num_samples))[0])
        for first, end in zip(index.keyframes[:-1].tolist(), index.keyframes[1:].tolist(), strict=True):
            exact = wanted[(wanted >= first) & (wanted < end)].tolist()
            found = population.frames_in(first, end).tolist()
            if "clip_length" in options:  # as many at most: ends of clips are not looked at
                assert set(exact) <= set(found) <= set(range(first, end))
            else:
                assert found == exact

    def test_pickled_it_is_the_same(self, index, options):
        population = Population(index, **options)
        again = pickle.loads(pickle.dumps(population))
        assert again.digest() == population.digest()
        everything = np.arange(population.num_samples)
        assert (again.frames_of(everything)[0] == population.frames_of(everything)[0]).all()

    def test_thinned_it_is_spread_evenly(self, index, options):
        population = Population(index, **options)
        few = population.thinned(5)
        chosen = np.arange(5) * population.num_samples // 5
        assert (few.frames_of(np.arange(5))[0] == population.frames_of(chosen)[0]).all()
        assert few.num_samples == 5
        assert few.digest() != population.digest()
        assert population.thinned(10**6) is population

    def test_a_digest_of_its_own(self, index, options):
        others = [Population(index, **other).digest() for other in SOME if other != options]
        assert Population(index, **options).digest() not in others

    def test_groups_cover_all_samples(self, index, options):
        population = Population(index, **options)
        groups = population.groups("video")
        assert groups.offset[-1] == population.num_samples
        of_each = np.repeat(groups.group, np.diff(groups.offset))
        assert (of_each == population.videos_of(np.arange(population.num_samples))).all()


def test_as_many_samples_as_frames_are_not_all_frames():
    index = index_of([10, 10], 5)
    twice = Population(index, intervals=stretches_of([(0, 0, 10), (0, 0, 10)], "frames"))
    assert twice.num_samples == index.num_frames
    assert twice.digest() != index.digest()


def test_all_frames_are_the_index_itself():
    index = index_of([5, 3], 2)
    population = as_population(index)
    assert population.digest() == index.digest()
    assert as_population(population) is population
    assert population.keyframes.tolist() == index.keyframes.tolist()
    assert population.offset.tolist() == index.offset.tolist()


def test_the_picture_in_the_docs_and_the_costs_are_made_by_a_script(tmp_path):
    done = run("scripts/populations.py", "--out", tmp_path / "populations.png", "--videos", 2)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "populations.png").read_bytes().startswith(b"\x89PNG")
    assert 10_000 < (REPOSITORY / "docs" / "images" / "populations.png").stat().st_size < 100_000
    rows = [line for line in done.stdout.splitlines() if line.startswith("│ stride=30")]
    assert [cell.strip() for cell in rows[0].strip("│").split("│")] == ["stride=30", "40", "80", "40", "1.00"]
