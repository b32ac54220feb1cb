"""What lies beside recordings is left out and said once, and taken where it is named: near, far, by folder, by glob."""

import pytest

from lit_video.index import files
from lit_video.index.files import find_files
from lit_video.media.remote import Remote
from lit_video.support.errors import DataError

FAR = "s3://bucket/cards"


def card(name, take, leave=(), told=()):
    return pytest.param(sorted(take), sorted(leave), list(told), id=name)


CARDS = [
    card(
        "systems",
        ["day 1/clip.mp4"],
        [f"day 1/{folder}/clip.mp4" for folder in ("@__thumb", "~snapshot/hourly.0", "RECYCLER/S-1", "@tmp")]
        + [f"day 1/{folder}/x.mkv" for folder in ("@sharebin", "@SynoEAStream", "#Recycle", "@EADIR/clip.mp4")],
        ["Left out: 8 folders of systems and cameras (#Recycle, @EADIR, @SynoEAStream, @__thumb, @sharebin, @tmp,"
         " RECYCLER, ~snapshot); name one to take it."],
    ),
    card(
        "Insta360",
        ["VID_20240101_1200_00_001.insv", "VID_20240101_1200_10_001.insv", "LRV_20240101_1200_11_002.insv"],
        ["LRV_20240101_1200_11_001.insv", "lrv_20240101_1200_01_001.mp4"],
        ["Left out: 2 previews of recordings beside them; name one to take it."],
    ),
    card("Insta360, in one file", ["VID_1_00_001.mp4", "a/LRV_1_01_001.mp4"], ["LRV_1_01_001.mp4"]),
    card("previews alone", ["LRV_20240101_1200_11_001.insv", "b/GL01.LRV"]),
    card("GoPro", ["GX01.MP4"], ["GL01.LRV"]),
    card("XDCAM", ["x/Clip/C1.MXF", "x/General/y.MXF"], ["x/Sub/C1S01.MP4", "x/PROXY/C1.MP4"]),
    card("no XDCAM", ["x/sub/a.mp4", "x/proxy/b.mp4", "x/Clips/c.mp4"]),
    card("Resolve", ["A001_1.mov", "A001_2.mov"], ["Proxy/A001_1.mp4"],
         ["Left out: 1 folders of systems and cameras (Proxy); name one to take it."]),
    card("Proxy with what is nowhere else", ["A001_1.mov", "Proxy/A001_1.mp4", "Proxy/A001_2.mp4"]),
    card("hidden", ["clip.mp4", "a/b.mp4"], [".clip.mp4.part.mp4", "a/.b.mov"],
         ["Left out: 2 hidden files; name one to take it."]),
    card("of macOS", ["clip.mp4"], ["._clip.mp4"]),
]  # fmt: skip


@pytest.fixture(params=["folder", "glob", "far folder", "far glob"])
def find(request, tmp_path, monkeypatch):
    """Lays out files, finds those that are data and returns their places, and what is told."""

    def near(names):
        for name in names:
            (tmp_path / "cards" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cards" / name).touch()
        root = tmp_path / "cards"
        found = find_files(f"{root}/**/*.*" if request.param == "glob" else root)
        return found, f"{root}/"

    def far(names):
        monkeypatch.setattr(files, "find_all", lambda roots: [[Remote(f"{FAR}/{name}", 1, 1) for name in names]])
        return find_files(f"{FAR}/**/*.*" if request.param == "far glob" else FAR), f"{FAR}/"

    def find(names):
        found, root = (far if request.param.startswith("far") else near)(names)
        return sorted(file.removeprefix(root) for file in found.files), found.told()

    find.hidden_are_found = request.param != "glob"
    return find


@pytest.mark.parametrize(("take", "leave", "told"), CARDS)
def test_data_is_what_was_recorded(find, take, leave, told):
    found, said = find([*take, *leave])
    assert found == take
    if told and ("hidden" not in told[0] or find.hidden_are_found):  # `*` passes them over, as in a shell
        assert said == told


@pytest.mark.parametrize(
    "root",
    ["@tmp/*", "*/@tmp/*.mp4", "@tmp", "**/.x.mp4", ".*.mp4", "Proxy/*", "LRV_*", "LRV_1_01_1.mp4", ".x.mp4"],
)
def test_what_is_named_is_taken(tmp_path, root):
    for name in ("@tmp/a.mp4", "b/@tmp/a.mp4", ".x.mp4", "A.mov", "Proxy/A.mp4", "VID_1_00_1.mp4", "LRV_1_01_1.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_files(str(tmp_path / root))
    assert len(found.files) == 1
    assert found.told() == []


@pytest.mark.parametrize("root", [f"{FAR}/@tmp", f"{FAR}/@tmp/", f"{FAR}/@tmp/*", f"{FAR}/@t*/*.mp4"])
def test_what_is_named_far_away_is_taken(monkeypatch, root):
    monkeypatch.setattr(files, "find_all", lambda roots: [[Remote(f"{FAR}/@tmp/a.mp4", 1, 1)]])
    assert find_files(root).files == [f"{FAR}/@tmp/a.mp4"]


def test_a_folder_of_nothing_else_is_told_with_what_was_left_out(tmp_path):
    (tmp_path / ".a.mp4").touch()
    with pytest.raises(DataError, match=r"(?s)no file here or below ends like a video.*\nLeft out: 1 hidden files;.*"):
        find_files(tmp_path)
