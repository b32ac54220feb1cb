"""Indexed from the container's own table: as from all packets where that is whole, and from packets where it is not."""

import struct

import av
import numpy as np
import pytest

from lit_video.checks.stamps import write_stamped
from lit_video.checks.verify import verify
from lit_video.decoders.reader import OpenVideos
from lit_video.index import VideoIndex
from lit_video.planning.planner import GopRead
from lit_video.support.errors import DecodeError
from tests.zoo import PIXEL_FORMATS, SIZES, TRAPS

SIZE = (48, 64)
KINDS = [
    (ending, codec)
    for codec, endings in {
        "mjpeg": "avi mov mp4 mkv",
        "rawvideo": "avi mkv",
        "huffyuv": "avi",
        "ffvhuff": "avi",
        "ffv1": "avi mkv",
        "utvideo": "avi",
        "magicyuv": "avi",
        "prores_ks": "mov mkv",
        "png": "mov avi",
        "v210": "mov",
    }.items()
    for ending in endings.split()
]
MADE_BY_IT = ("made", "start_how", "start_target", "start_drop", "start_check", "start_bytes")


def scan(path, how):
    return VideoIndex.scan(path, path.with_name(f"index-{path.name}-{how}"), progress=False, scan=how)


def write(path, codec, frames=40, gop=1, **arguments):
    pixel_format = PIXEL_FORMATS.get(codec, "yuv422p" if codec == "ffvhuff" else "yuv420p")
    size = SIZES.get(codec, SIZE)
    return write_stamped(path, frames, 1, codec, gop, 0, 25, size=size, pixel_format=pixel_format, **arguments)


def remux(source, path, change=lambda number, packet: packet, **options):
    """Copy packets, each as `change` makes it; None leaves it out."""
    with av.open(str(source)) as read, av.open(str(path), "w", options=options) as out:
        stream = out.add_stream_from_template(read.streams.video[0])
        for number, packet in enumerate(read.demux(video=0)):
            if packet.size and change(number, packet) is not None:
                packet.stream = stream
                out.mux(packet)
    return path


def alone(index, frame):
    """Read one frame alone; return its packet's picture."""
    videos = OpenVideos(index, 1)
    try:
        ((_, picture),) = videos.read(GopRead(0, frame, (frame,), ((0,),)))
        return picture
    finally:
        videos.close()


@pytest.mark.parametrize(("ending", "codec"), KINDS)
def test_the_table_tells_what_packets_tell(ending, codec, tmp_path):
    path = write(tmp_path / f"a.{ending}", codec)
    packets, table, auto = (scan(path, how) for how in ("packets", "table", "auto"))
    assert (packets.made(0) in ("exact", "tried", "decoded"), table.made(0)) == (True, "table")
    assert auto.made(0) == (packets.made(0) if codec == "mjpeg" else "table")
    for name in set(packets.columns.names_of_columns()) - set(MADE_BY_IT):
        assert np.array_equal(getattr(packets.columns, name), getattr(table.columns, name)), name
    assert np.array_equal(packets.keyframes, table.keyframes)
    assert verify(table, 0).ok


def test_a_frame_of_dnxhd(tmp_path):
    path = tmp_path / "a.mov"
    write_stamped(path, 10, 1, "dnxhd", 1, 0, 25, size=(720, 1280), pixel_format="yuv422p", options={"b": "75M"})
    assert scan(path, "auto").made(0) == "table"
    assert verify(scan(path, "auto"), 0).ok


@pytest.mark.parametrize("ending", ["mov", "avi"])
def test_pictures_that_come_irregularly_are_where_the_table_says(ending, tmp_path):
    pts = np.cumsum([0, *[1, 3, 1, 2, 7] * 7]).tolist()
    path = write(tmp_path / f"a.{ending}", "png", frames=len(pts), pts=pts)
    packets, table = scan(path, "packets"), scan(path, "table")
    assert table.made(0) == ("table" if ending == "mov" else packets.made(0))
    assert np.array_equal(packets.pts, table.pts)
    assert verify(table, 0).ok


def _partial_index(path):
    data = bytearray(path.read_bytes())
    place = data.rindex(b"idx1")
    size = struct.unpack("<I", data[place + 4 : place + 8])[0]
    data[place + 4 : place + 8] = struct.pack("<I", size // 32 * 16)
    path.write_bytes(data[: place + 8 + size // 32 * 16])


def _without_index(path):
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"idx1")])


def _cues_of_half(path):
    def only_half(number, packet):
        packet.is_keyframe = number % 2 == 0
        return packet

    remux(path, path.with_name("half.mkv"), only_half).replace(path)


def _one_left_out(path):
    remux(path, path.with_name("short.mkv"), lambda number, packet: None if number == 20 else packet).replace(path)


def _cut_off(path):
    remux(path, path.with_name("cut.mov"), movflags="faststart").replace(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _live(path):
    remux(path, path.with_name("live.mkv"), live="1").replace(path)


@pytest.mark.parametrize(
    ("ending", "harm"),
    [
        pytest.param("avi", _partial_index, id="half of the table"),
        pytest.param("avi", _without_index, id="no table"),
        pytest.param("mkv", _cues_of_half, id="cues of half the pictures"),
        pytest.param("mkv", _one_left_out, id="a gap, which may be a cue that is not there"),
        pytest.param("mkv", _live, id="no cues"),
        pytest.param("mov", _cut_off, id="cut off"),
    ],
)
def test_a_table_that_is_not_whole_has_packets_read(ending, harm, tmp_path):
    path = write(tmp_path / f"a.{ending}", {"avi": "utvideo", "mkv": "ffv1", "mov": "png"}[ending])
    harm(path)
    packets, table = scan(path, "packets"), scan(path, "table")
    assert table.made(0) == packets.made(0) != "table"
    assert np.array_equal(packets.pts, table.pts)


@pytest.mark.parametrize(
    ("name", "codec", "gop"),
    [("a.avi", "ffv1", 5), ("a.mov", "libx264", 1), ("a.mkv", "mpeg4", 1), ("a.mjpeg", "mjpeg", 1)],
)
def test_other_codecs_and_containers_have_packets_read(name, codec, gop, tmp_path):
    assert scan(write(tmp_path / name, codec, gop=gop), "table").made(0) != "table"


def test_files_that_are_told_by_packets_are_named(tmp_path, capsys):
    write(tmp_path / "a.mov", "png")
    write(tmp_path / "b.mp4", "libx264")
    VideoIndex.scan(tmp_path, tmp_path / "index", scan="table")
    assert "The packets of 1 of 2 videos were read, such as" in capsys.readouterr().err


def _edit_rows(path, *edits):
    """Change an AVI's table: frame, place in its row (8: where its packet is, 12: its size), and what to add."""
    data = bytearray(path.read_bytes())
    rows = data.rindex(b"idx1") + 8
    for frame, place, more in edits:
        where = slice(rows + 16 * frame + place, rows + 16 * frame + place + 4)
        data[where] = struct.pack("<I", struct.unpack("<I", data[where])[0] + more)
    path.write_bytes(data)


@pytest.mark.parametrize(("place", "more"), [pytest.param(8, 2, id="place"), pytest.param(12, 2, id="size")])
def test_a_packet_other_than_the_table_says_is_refused(place, more, tmp_path):
    path = write(tmp_path / "a.avi", "utvideo")
    _edit_rows(path, (13, place, more))
    index = scan(path, "auto")
    assert index.made(0) == "table"
    with pytest.raises(DecodeError, match="scan=packets tells more"):
        alone(index, 13)
    assert alone(index, 12).pts == index.pts_of(0)[12]


def test_a_table_that_goes_to_and_fro_in_an_avi_has_packets_read(tmp_path):
    path = write(tmp_path / "a.avi", "rawvideo")
    size = SIZE[0] * SIZE[1] * 3 // 2 + 8
    _edit_rows(path, (13, 8, size), (14, 8, -size))
    assert scan(path, "table").made(0) == "decoded"


def test_zeros_are_seen_when_they_are_read(tmp_path):
    path = write(tmp_path / "a.mov", "mjpeg")
    with av.open(str(path)) as container:
        packet = next(packet for number, packet in enumerate(container.demux(video=0)) if number == 21)
        place, size = packet.pos or 0, packet.size
    with path.open("r+b") as file:
        file.seek(place + size // 2)
        file.write(bytes(128))
    packets, table = scan(path, "packets"), scan(path, "table")
    assert (packets.num_damaged(0), table.num_damaged(0)) == (1, 0)
    for index in (packets, table):
        with pytest.raises(DecodeError):
            alone(index, 21)
        alone(index, 20)


def test_damage_that_the_decoder_sees_is_refused_in_the_same_frames(tmp_path):
    path = write(tmp_path / "a.mkv", "ffv1", options={"slicecrc": "1", "level": "3"})
    data, places = bytearray(path.read_bytes()), np.random.default_rng(0)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for number in (11, 12, 30):
        data[(packets[number].pos or 0) + int(places.integers(8, packets[number].size - 8))] ^= 0x55
    path.write_bytes(data)
    refused = []
    for index in (scan(path, "packets"), scan(path, "table")):
        refused.append([])
        for frame in range(index.num_frames):
            try:
                alone(index, frame)
            except DecodeError:
                refused[-1].append(frame)
    assert refused == [[11, 12, 30]] * 2


def test_what_is_known_of_packets_is_used_for_tables_and_not_the_other_way_round(tmp_path):
    path, folder = write(tmp_path / "a.mov", "mjpeg"), tmp_path / "index"
    made = []
    for how in ("table", "auto", "packets", "table"):
        index = VideoIndex.scan(path, folder, progress=False, scan=how)
        made.append((index.made(0), index.num_cached))
    assert made == [("table", 0), ("exact", 0), ("exact", 1), ("table", 1)]


def test_another_word_is_refused(tmp_path):
    write(tmp_path / "a.mov", "mjpeg")
    with pytest.raises(ValueError, match="scan must be one of auto, packets, table, got 'tables'"):
        VideoIndex.scan(tmp_path, tmp_path / "index", progress=False, scan="tables")


@pytest.mark.parametrize("name", ["palette.avi", "palette.mov", "cover art first.mp4"])
def test_traps_are_as_without_tables(name, tmp_path):
    path = tmp_path / name
    TRAPS[name](path)
    packets, table = scan(path, "packets"), scan(path, "table")
    assert np.array_equal(packets.pts, table.pts)
    assert verify(table, 0).ok
    assert table.made(0) == packets.made(0) or name == "palette.avi"


def test_pictures_that_an_edit_list_hides_are_left_out(tmp_path):
    def earlier(_, packet):
        packet.pts = packet.dts = packet.pts - 5 * 512
        return packet

    path = remux(write(tmp_path / "whole.mov", "png"), tmp_path / "a.mov", earlier)
    packets, table = scan(path, "packets"), scan(path, "table")
    assert np.array_equal(packets.pts, table.pts)
    assert table.num_frames == 35
    assert verify(table, 0).ok
