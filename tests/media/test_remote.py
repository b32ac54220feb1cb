"""Files far away, on a server of this machine that is slow and unreliable on purpose."""

import threading
import time

import pytest

from lit_video.bench.far_away import FarAway
from lit_video.media import remote
from lit_video.media.ranges import FarFile, Fetcher
from lit_video.media.remote import ChangedError, Remote, fetch, find_all, shown
from lit_video.support.errors import DataError, RemoteError


@pytest.fixture
def server(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 4000)
    with FarAway(tmp_path).serving() as far:
        yield far


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.01, 0.02, 0.04))
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(remote, "SLOWEST", 2**24)


def the_file(server):
    return find_all([f"{server.url}/a.bin"])[0][0]


def test_the_server_lists_a_folder_as_s3_does(tmp_path):
    s3fs = pytest.importorskip("s3fs")
    for name in ("a.bin", "deep/b.bin", "deep/er/c d.bin"):
        (tmp_path / "bucket" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bucket" / name).write_bytes(name.encode())
    with FarAway(tmp_path).serving() as server:
        store = s3fs.S3FileSystem(anon=True, endpoint_url=server.url, skip_instance_cache=True)
        assert sorted(store.find("bucket")) == ["bucket/a.bin", "bucket/deep/b.bin", "bucket/deep/er/c d.bin"]
        assert sorted(store.ls("bucket/deep")) == ["bucket/deep/b.bin", "bucket/deep/er"]
        assert store.cat_file("bucket/deep/er/c d.bin", start=-5) == b"d.bin"


@pytest.mark.parametrize("fault", ["drop", "503", "truncate", "stall"])
def test_what_failed_is_asked_for_again(server, impatient, fault):
    one, failing = the_file(server), iter([fault, fault])
    server.fault = lambda asked: next(failing, "ok")
    assert fetch(one, 1000, 3000) == (bytes(range(256)) * 4000)[1000:3000]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("drop", "4 times"),
        ("503", "the server answers 503, 4 times"),
        ("truncate", "4 times"),
        ("stall", "no answer in time, 4 times"),
        ("403", "access is denied"),
    ],
)
def test_what_never_comes_is_told_with_its_url(server, impatient, fault, words):
    one = the_file(server)
    server.fault = lambda asked: fault
    began = time.monotonic()
    with pytest.raises(RemoteError, match=f"{one.url}: .*{words}"):
        fetch(one, 0, 10)
    assert time.monotonic() - began < 10


def test_another_object_under_the_same_name_is_noticed(server):
    one = the_file(server)
    (server.folder / "a.bin").write_bytes(bytes(256 * 4000))
    with pytest.raises(ChangedError, match="changed after it was indexed"):
        fetch(one, 0, 10)


def test_what_is_gone_is_no_failure_of_the_network(server, impatient):
    one = the_file(server)
    (server.folder / "a.bin").unlink()
    with pytest.raises(FileNotFoundError):
        fetch(one, 0, 10)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nosuch://a/b.mp4", "Protocol not known"),
        ("https://127.0.0.1:1/a.mp4", "Cannot connect"),
        ("file:///nowhere/at/all", "nothing is there"),
    ],
)
def test_what_cannot_be_opened_is_told_in_a_sentence(impatient, url, words):
    with pytest.raises((DataError, RemoteError), match=f"{url}.*{words}"):
        find_all([url])


def test_a_server_without_ranges_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(b"abc")
    with FarAway(tmp_path, has_ranges=False).serving() as far, pytest.raises(RemoteError, match="parts of files"):
        find_all([f"{far.url}/a.bin"])


def test_no_message_lets_others_in():
    assert shown("https://me:secret@host/a.mp4?X-Amz-Signature=1234") == "https://host/a.mp4"
    assert shown("zip://a.mp4::https://me:secret@host/a.zip?sig=1") == "zip://a.mp4::https://host/a.zip"


# Bytes in memory before they are needed.


def test_many_requests_are_under_way_at_once_and_none_is_made_twice(server):
    server.delay_seconds = 0.05
    far, fetcher = FarFile(the_file(server)), Fetcher(2**30, most_requests=16)
    places = [(begin * 100_000, begin * 100_000 + 1000) for begin in range(10)]
    server.forget()
    for place in places:
        fetcher.expect(far, *place)
    for begin, end in places:
        with fetcher.holding(far, begin, end):
            assert bytes(far.at(begin)[: end - begin]) == (bytes(range(256)) * 4000)[begin:end]
    assert sorted((asked.begin, asked.end) for asked in server.asked) == places
    assert server.most_at_once > 5
    assert fetcher.new() == (10, 10_000)
    assert far.spans == []


def test_near_ranges_are_one_request(server):
    far, fetcher = FarFile(the_file(server)), Fetcher(2**30, most_requests=1)
    server.forget()
    server.delay_seconds = 0.1
    fetcher.expect(far, 500_000, 500_010)  # keeps the only thread busy
    while not server.asked:
        time.sleep(0.001)
    for begin in (0, 2000, 1000):
        fetcher.expect(far, begin, begin + 1000)
    for begin in (0, 1000, 2000):
        with fetcher.holding(far, begin, begin + 1000):
            assert far.at(begin) is not None
    assert [(asked.begin, asked.end) for asked in server.asked] == [(500_000, 500_010), (0, 3000)]


def test_bytes_that_wait_are_bounded(server):
    far, fetcher = FarFile(the_file(server)), Fetcher(25_000, most_requests=8)
    server.forget()
    places = [(begin * 100_000, begin * 100_000 + 10_000) for begin in range(6)]
    for place in places:
        fetcher.expect(far, *place)
    time.sleep(0.2)
    assert len(server.asked) == 2
    for place in places:
        with fetcher.holding(far, *place):
            assert sum(len(span.data) for span in far.spans) <= 25_000
    assert len(server.asked) == 6


def test_what_somebody_waits_for_passes_what_others_hold(server):
    """Else a read that shares its bytes with a later one could stand in its own way."""
    far, fetcher = FarFile(the_file(server)), Fetcher(10_000, most_requests=2)
    fetcher.expect(far, 0, 10_000)
    fetcher.expect(far, 500_000, 510_000)
    fetcher.expect(far, 300_000, 310_000)
    with fetcher.holding(far, 300_000, 310_000):
        assert far.at(300_000) is not None


def test_what_was_expected_in_vain_is_let_go_of(server):
    far, fetcher = FarFile(the_file(server)), Fetcher(10_000, most_requests=2)
    for begin in (0, 200_000, 400_000):
        fetcher.expect(far, begin, begin + 10_000)
    fetcher.forget()
    with fetcher.holding(far, 600_000, 610_000):
        assert [span.begin for span in far.spans] == [600_000]


def test_what_failed_is_raised_where_it_is_needed_and_asked_for_anew(server, impatient):
    far, fetcher = FarFile(the_file(server)), Fetcher(2**30)
    server.fault = lambda asked: "503"
    fetcher.expect(far, 0, 10)
    with pytest.raises(RemoteError, match="503"), fetcher.holding(far, 0, 10):
        raise AssertionError
    server.fault = lambda asked: "ok"
    with fetcher.holding(far, 0, 10):
        assert bytes(far.at(0)[:3]) == b"\0\1\2"


def test_threads_end_when_there_is_nothing_to_do(server, monkeypatch):
    monkeypatch.setattr("lit_video.media.ranges.IDLE_SECONDS", 0.05)
    far, fetcher, others = FarFile(the_file(server)), Fetcher(2**30), set(threading.enumerate())
    for _ in range(2):
        with fetcher.holding(far, 0, 10):
            pass
        deadline = time.monotonic() + 5
        while any(thread.name == "lit_video-fetch" for thread in set(threading.enumerate()) - others):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_an_object_is_another_if_anything_of_it_is():
    digests = {Remote(*of).digest(16) for of in (("a", 1, 2), ("b", 1, 2), ("a", 2, 2), ("a", 1, 3), ("a1", 1, 2))}
    assert len(digests) == 5
