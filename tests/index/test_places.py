"""Places to start from: every keyframe is one, however many there are, few are tried, none gives a wrong picture."""

import subprocess
from collections import Counter
from dataclasses import replace

import av
import numpy as np
import pytest

from lit_video.checks.stamps import write_stamped
from lit_video.checks.verify import verify
from lit_video.decoders.reader import OpenVideos
from lit_video.index import VideoIndex, doubt, pieces, trials, ways
from lit_video.index.columns import MADE
from lit_video.index.pieces import decode_in_pieces
from lit_video.index.truth import OWN, decode_sequentially, watch_packets
from lit_video.media.container import Seek
from lit_video.media.picture import checksum
from lit_video.planning.planner import GopRead
from lit_video.support.errors import DecodeError
from tests.damaged import lose, whole
from tests.zoo import PIXEL_FORMATS, TRAPS, retimed

SIZE = (48, 64)
MANY = 320  # more keyframes than were ever tried


def scan(path):
    return VideoIndex.scan(path, path.with_name(f"index-{path.name}"), progress=False, scan="packets")


def write(path, codec, gop, b_frames=0, frames=None, **arguments):
    pixel_format = PIXEL_FORMATS.get(codec, "yuv420p")
    frames = frames or MANY * gop
    return write_stamped(path, frames, 1, codec, gop, b_frames, 25, size=SIZE, pixel_format=pixel_format, **arguments)


def read(videos, index, *frames):
    """Return the checksums of frames, each read alone."""
    found = []
    for frame in frames:
        start = int(index.start_of(np.array([frame]))[0])
        ((_, picture),) = videos.read(GopRead(0, start, (frame,), ((0,),)))
        found.append(checksum(picture))
    return found


@pytest.fixture
def tried(monkeypatch):
    """Numbers of the keyframes that were tried, each as often as it was."""
    found, own, agrees = [], trials._Trials.own, ways._Trial.agrees

    def spy(self, candidate, way, end):
        found.append(candidate.keyframe.number)
        return own(self, candidate, way, end)

    def spy_told(self, keyframe, frame, end, way):
        found.append(keyframe.number)
        return agrees(self, keyframe, frame, end, way)

    monkeypatch.setattr(trials._Trials, "own", spy)
    monkeypatch.setattr(ways._Trial, "agrees", spy_told)
    return found


@pytest.mark.parametrize(
    ("ending", "codec", "gop", "b_frames", "made"),
    [
        ("avi", "mjpeg", 1, 0, "tried"),
        ("avi", "rawvideo", 1, 0, "decoded"),
        ("avi", "huffyuv", 1, 0, "decoded"),
        ("avi", "ffv1", 1, 0, "decoded"),
        ("avi", "mpeg4", 2, 0, "decoded"),
        ("avi", "libx264", 2, 0, "tried"),
        ("ts", "libx264", 2, 0, "tried"),
        ("ts", "libx264", 4, 2, "tried"),
        ("ts", "libx265", 4, 2, "tried"),
        ("ts", "mpeg2video", 3, 0, "decoded"),
        ("m2ts", "mpeg2video", 4, 2, "decoded"),
        ("mpg", "libx264", 2, 0, "decoded"),
        ("mpg", "mpeg2video", 3, 0, "decoded"),
        ("mpg", "mpeg2video", 4, 2, "decoded"),
        ("flv", "libx264", 2, 0, "tried"),
        ("flv", "libx265", 4, 2, "tried"),
        ("nut", "libx264", 4, 2, "tried"),
    ],
)
def test_every_keyframe_is_a_place(ending, codec, gop, b_frames, made, tmp_path, tried):
    index = scan(write(tmp_path / f"a.{ending}", codec, gop, b_frames))
    starts = index.starts(0)
    assert index.made(0) == made
    assert tried
    assert len(starts) >= MANY - 2
    assert max(np.diff([start.frame for start in starts])) <= 2 * gop
    assert len(set(tried)) <= trials.TRIED + 4
    assert {start.drop for start in starts[1:]} == {OWN}
    assert verify(index, 0).ok
    videos = OpenVideos(index, 1)
    read(videos, index, *range(0, index.num_frames, 7))
    assert videos.num_opened <= 3
    videos.close()


def test_pictures_that_are_all_alike_are_told_apart(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuvj420p"
        for number in range(60):
            still = np.full((*SIZE, 3), 50 + 100 * (number >= 40), np.uint8)
            picture = av.VideoFrame.from_ndarray(still, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    index = scan(path)
    assert len(index.starts(0)) == 60
    assert verify(index, 0).ok


def test_a_place_that_seeking_misses_is_replaced_and_not_tried_again(tmp_path, monkeypatch):
    path = write(tmp_path / "a.avi", "mpeg4", 4, frames=80)
    index, truth = scan(path), decode_sequentially(path, 0).sums
    target, check = index.columns.start_target.copy(), index.columns.start_check.copy()
    target[5], check[6] = target[9], 1  # one leads elsewhere, the packet of the other is not there
    harmed = replace(index, columns=replace(index.columns, start_target=target, start_check=check))
    videos, seeks = OpenVideos(harmed, 1), Counter()
    container = "lit_video.index.landing.seek"
    import lit_video.index.landing as landing

    real = landing.seek

    def seek(container, stream, how, target):
        seeks[target] += 1
        real(container, stream, how, target)

    monkeypatch.setattr(container, seek)
    frames = [22, 26, 21, 27, 20, 24, 79]
    for _ in range(2):
        assert read(videos, harmed, *frames) == [truth[frame] for frame in frames]
    assert seeks[int(check[6])] <= 1
    assert videos._lost[0] == {20, 24}
    videos.close()


@pytest.mark.parametrize("name", ["headers change.mp4", "H.264 yuv444p, no B-frames.ts", "palette.mov"])
def test_where_a_decoder_remembers_files_are_opened_anew(name, tmp_path):
    TRAPS[name](tmp_path / name)
    index = scan(tmp_path / name)
    assert all(start.how.is_anew for start in index.starts(0))
    assert verify(index, 0).ok


@pytest.mark.parametrize(
    ("ending", "codec", "b_frames"),
    [("mkv", "libx264", 0), ("mkv", "libx265", 2), ("mp4", "libx264", 2), ("mp4", "libx265", 2), ("ts", "libx264", 2)],
)
@pytest.mark.parametrize("odd", [21, 24], ids=["behind the keyframe", "in the middle"])
def test_one_repeated_time_harms_its_own_gop_only(ending, codec, b_frames, odd, tmp_path):
    path = tmp_path / f"a.{ending}"
    more = 5 if b_frames else 0  # so that no time comes before that of decoding
    retimed(path, codec, b_frames, lambda number, time: more + time + (1 if number == odd else 0))
    with av.open(str(path)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert len(set(times)) == len(times) - 1
    index = scan(path)
    assert [start.frame for start in index.starts(0)] == [0, 10, 20, 30, 40]
    assert not any(start.how.is_anew for start in index.starts(0)[1:])
    assert verify(index, 0).ok


class TestCuts:
    """Cuts with an edit list: what it hides at the beginning and at the end is decoded, and not shown."""

    @pytest.mark.parametrize(
        ("ending", "codec", "gop", "b_frames"),
        [
            ("mp4", "libx264", 10, 2),
            ("mp4", "libx265", 10, 2),
            ("mp4", "libvpx-vp9", 10, 0),
            ("mp4", "libsvtav1", 10, 0),
            ("mov", "mjpeg", 1, 0),
            ("mov", "prores_ks", 1, 0),
        ],
    )
    @pytest.mark.parametrize("hidden", [3, 7, 13])
    def test_are_indexed_from_their_packets(self, ending, codec, gop, b_frames, hidden, tmp_path):
        path = tmp_path / f"a.{ending}"
        pixel_format = PIXEL_FORMATS.get(codec, "yuv420p")
        whole = tmp_path / f"whole.{ending}"
        cut(write_stamped(whole, 50, 1, codec, gop, b_frames, 25, pixel_format=pixel_format), path, hidden)
        index = scan(path)
        assert (index.made(0), index.num_frames) == ("exact", 50 - hidden)
        assert verify(index, 0).ok
        videos = OpenVideos(index, 1)
        truth = decode_sequentially(path, 0).sums
        order = np.random.default_rng(0).permutation(len(truth)).tolist()
        assert read(videos, index, *order) == [truth[frame] for frame in order]
        assert videos.num_opened == 1
        videos.close()

    @pytest.mark.parametrize("hidden", [3, 7])
    def test_stay_open_where_they_are_decoded(self, hidden, tmp_path):
        path = tmp_path / "a.mp4"
        cut(write_stamped(tmp_path / "whole.mp4", 50, 1, "mpeg4", 10, 2, 25), path, hidden)
        index = scan(path)
        assert (index.made(0), index.num_frames) == ("decoded", 50 - hidden)
        videos, truth = OpenVideos(index, 1), decode_sequentially(path, 0).sums
        order = np.random.default_rng(0).permutation(len(truth)).tolist()
        assert read(videos, index, *order) == [truth[frame] for frame in order]
        assert videos.num_opened == 1
        videos.close()

    @pytest.mark.parametrize("codec", ["prores_ks", "png"])
    def test_a_table_tells_what_is_hidden(self, codec, tmp_path):
        path, pixel_format = tmp_path / "a.mov", PIXEL_FORMATS.get(codec, "yuv420p")
        cut(write_stamped(tmp_path / "b.mov", 30, 1, codec, 1, fps=25, pixel_format=pixel_format), path, 4.5)
        with av.open(str(path)) as container:
            assert sum(packet.is_discard for packet in container.demux(video=0)) == 1
        index = VideoIndex.scan(path, tmp_path / "index", progress=False)
        assert (index.made(0), index.num_frames) == ("table", 25)
        assert np.array_equal(index.pts, scan(path).pts)
        assert verify(index, 0).ok

    def test_pictures_that_refer_to_what_was_cut_off_are_no_frames(self, tmp_path, monkeypatch):
        """HEVC with open GOPs, cut at a keyframe into a container that hides nothing."""
        looked_twice = []
        monkeypatch.setattr(doubt, "_TwoDecoders", lambda *_: looked_twice.append(1))
        options = {"x265-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:scenecut=0:log-level=none"}
        write_stamped(tmp_path / "whole.mkv", 60, 1, "libx265", 10, 3, 25, options=options)
        path = tmp_path / "a.mkv"
        with av.open(str(tmp_path / "whole.mkv")) as one, av.open(str(path), "w") as other:
            stream, begun = other.add_stream_from_template(one.streams.video[0]), False
            for packet in one.demux(video=0):
                begun = begun or (packet.is_keyframe and packet.pts is not None and packet.pts >= 700)
                if packet.size and begun:
                    packet.stream = stream
                    other.mux(packet)
        index = scan(path)
        truth = decode_sequentially(path, 0).sums
        assert (index.made(0), index.num_frames, looked_twice) == ("exact", len(truth), [])
        assert verify(index, 0).ok


@pytest.mark.parametrize(
    ("ending", "codec", "b_frames", "made"),
    [
        ("ts", "libx264", 2, "tried"),
        ("ts", "libx264", 0, "tried"),
        ("mp4", "mpeg4", 0, "decoded"),
        ("mpg", "mpeg2video", 0, "decoded"),
    ],
)
def test_a_file_of_one_gop_stays_open(ending, codec, b_frames, made, tmp_path):
    """Its beginning is sought like any other keyframe."""
    path = write(tmp_path / f"a.{ending}", codec, 40, b_frames, 40)
    index = scan(path)
    assert index.made(0) == made
    videos, truth = OpenVideos(index, 1), decode_sequentially(path, 0).sums
    order = np.random.default_rng(0).permutation(len(truth)).tolist()
    assert read(videos, index, *order) == [truth[frame] for frame in order]
    assert videos.num_opened == 1
    videos.close()


def test_a_clock_that_wraps_does_not_make_a_file_fall_short(tmp_path):
    """A program stream's clock has 33 bits, and FFmpeg gives what was before it began anew a time before 0."""
    path = tmp_path / "a.mpg"
    sources = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=16", "-f", "lavfi", "-i", "sine=d=16"]
    codecs = ["-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-c:a", "mp2", "-output_ts_offset", "95436"]
    subprocess.run(["ffmpeg", "-v", "error", *sources, *codecs, path], check=True)
    with av.open(str(path)) as container:
        times = [packet.dts for packet in container.demux(video=0) if packet.size and packet.dts is not None]
    assert min(times) < 0 < max(times)
    index = scan(path)
    assert (index.num_frames, index.damage(0)) == (400, ())
    assert not any(start.how.is_anew for start in index.starts(0))
    assert verify(index, 0).ok


def cut(source, path, hidden):
    """Copy a video with times that begin before 0: an edit list hides so many pictures."""
    with av.open(str(source)) as one, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as other:
        stream = other.add_stream_from_template(one.streams.video[0], opaque=True)
        for packet in one.demux(video=0):
            if packet.size:
                step = int(1 / (25 * packet.time_base))
                packet.stream = stream
                packet.pts, packet.dts = packet.pts - int(hidden * step), packet.dts - int(hidden * step)
                other.mux(packet)


class TestTold:
    """Files whose packets tell all pictures, in containers that do not seek as they are told."""

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize(("ending", "codec"), [("ts", "libx264"), ("ts", "libx265"), ("flv", "libx264")])
    def test_damage_that_no_packet_shows_gives_no_wrong_picture(self, ending, codec, seed, tmp_path):
        """It is met when it is read: nothing from there to the end of its GOP is delivered, and all else is."""
        path = write(tmp_path / f"a.{ending}", codec, 10, 2, 60)
        data, draw = bytearray(path.read_bytes()), np.random.default_rng(seed)
        with av.open(str(path)) as container:
            ends = [bytes(packet)[-20:-4] for packet in container.demux(video=0) if packet.size]
        whole_ends = [end for end in ends[20:40] if data.count(end) == 1]  # the others are cut by a header
        payload = whole_ends[int(draw.integers(len(whole_ends)))]  # of a picture, behind all headers
        at = data.index(payload)
        data[at : at + len(payload)] = draw.integers(1, 256, len(payload), np.uint8).tobytes()
        path.write_bytes(data)
        index = scan(path)
        found = verify(index, 0)
        assert (found.wrong, found.missing) == ((), ())
        assert len(found.damaged) <= 10 + 3
        assert index.num_frames == 60

    def test_what_only_the_decoder_complains_of_is_delivered_where_that_is_asked_for(self, tmp_path):
        path = write(tmp_path / "a.flv", "libx264", 10, 0, 40, options={"x264-params": "cabac=0"})
        data = bytearray(path.read_bytes())
        with av.open(str(path)) as container:
            packet = [bytes(packet) for packet in container.demux(video=0) if packet.size][24]
        rest = packet[len(packet) // 3 :]
        at = data.index(rest)
        data[at : at + len(rest)] = np.random.default_rng(0).integers(1, 256, len(rest), np.uint8).tobytes()
        path.write_bytes(data)
        index = scan(path)
        told = index.columns.made.copy()
        told[:] = MADE.index("tried")  # as a long file is, whose damaged GOP is not one of those that are tried
        harmed = replace(index, columns=replace(index.columns, made=told, damage_offset=np.zeros(2, np.int64)))
        trusting, others = OpenVideos(harmed, 1), OpenVideos(harmed, 1, trust_flags=False)
        with pytest.raises(DecodeError, match="damaged"):
            read(trusting, harmed, 29)
        with av.open(str(path)) as container:
            sums = [checksum(picture) for picture in container.decode(video=0)]
        given = read(others, harmed, *range(40))  # what is damaged is not the same each time
        assert (given[:24], given[30:]) == (sums[:24], sums[30:])
        assert read(trusting, harmed, 12, 31) == [sums[12], sums[31]]
        for videos in (trusting, others):
            videos.close()

    def test_a_place_where_seeking_ends_elsewhere_is_left_for_an_earlier_one(self, tmp_path):
        path = write(tmp_path / "a.ts", "libx264", 10, 2, 100)
        index, truth = scan(path), decode_sequentially(path, 0).sums
        target = index.columns.start_target.copy()
        target[4] = target[7]
        harmed = replace(index, columns=replace(index.columns, start_target=target))
        videos = OpenVideos(harmed, 1)
        assert read(videos, harmed, 43, 12, 47) == [truth[frame] for frame in (43, 12, 47)]
        videos.close()

    def test_a_time_that_is_another_ends_the_counting(self, tmp_path):
        path = write(tmp_path / "a.ts", "libx264", 10, 0, 40)
        index, truth = scan(path), decode_sequentially(path, 0).sums
        pts = index.columns.pts.copy()
        pts[25] += 1
        harmed = replace(index, columns=replace(index.columns, pts=pts))
        videos = OpenVideos(harmed, 1)
        assert read(videos, harmed, 24) == [truth[24]]
        with pytest.raises(DecodeError):
            read(videos, harmed, 25)
        with pytest.raises(DecodeError):
            read(videos, harmed, 26)
        assert read(videos, harmed, 30) == [truth[30]]
        videos.close()

    def test_where_times_differ_behind_a_seek_all_is_decoded(self, tmp_path, monkeypatch):
        path = write(tmp_path / "a.ts", "libx264", 10, 2, 100)
        assert scan(path).made(0) == "tried"
        begins = ways._Trial.begins_well

        def begin(self, end):
            began = begins(self, end)
            self._times = [None if time is None else time + (number > 50) for number, time in enumerate(self._times)]
            return began

        monkeypatch.setattr(ways._Trial, "begins_well", begin)
        again = tmp_path / "b.ts"
        path.rename(again)
        again.write_bytes(again.read_bytes() + bytes(188))  # another file
        assert scan(again).made(0) == "decoded"


class TestPieces:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch):
        monkeypatch.setattr(pieces, "SHORTEST", 40)
        monkeypatch.setattr(pieces, "SHARED", 24)

    @pytest.mark.parametrize(
        ("ending", "codec", "b_frames"),
        [("ts", "libx264", 2), ("ts", "mpeg2video", 2), ("avi", "mpeg4", 2), ("mpg", "mpeg2video", 0)],
    )
    def test_are_one(self, ending, codec, b_frames, tmp_path, monkeypatch):
        path = write(tmp_path / f"a.{ending}", codec, 10, b_frames, 300)
        packets, truth = watch_packets(path, 0), decode_sequentially(path, 0)
        if ending != "mpg":  # in one piece where times differ after a seek
            monkeypatch.setattr(pieces, "decode_sequentially", None)
        found = decode_in_pieces(path, 0, packets, 3)
        assert found == truth
        assert len(found.sums) == 300

    def test_are_not_made_of_damaged_files(self, tmp_path):
        path = lose(whole(tmp_path / "whole.ts", "MPEG-2"), tmp_path / "a.ts", 3)
        packets = watch_packets(path, 0)
        assert any(packets.why)
        assert not pieces._cuts(packets, 3)
        assert decode_in_pieces(path, 0, packets, 3) == decode_sequentially(path, 0)


def test_seeking_anew_is_told_from_seeking(tmp_path):
    assert [how.is_anew for how in Seek] == [True, False, False, True, True]
    assert (Seek.TIME.anew, Seek.BYTE.anew) == (Seek.TIME_ANEW, Seek.BYTE_ANEW)
