"""Videos far away: the same index as of the files, for a small part of their bytes; and the same frames."""

import dataclasses
import shutil
import time
import zipfile
from itertools import count

import av
import numpy as np
import pytest
import torch

from lit_video import VideoIndex, VideoLoader
from lit_video.bench.far_away import FarAway
from lit_video.checks.doctor import check_far_away
from lit_video.commands.index import main
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.engines.local import LocalEngine
from lit_video.index.proxied import scan_proxies
from lit_video.loading.keep import TRIED_GOPS
from lit_video.media import remote
from lit_video.proxies.make import make_proxies
from lit_video.proxies.settings import Settings
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DataError, DecodeError, RemoteError, WorkerError


@pytest.fixture
def server(videos):
    with FarAway(videos).serving() as far:
        yield far


@pytest.fixture(scope="session")
def bucket(videos):
    """The videos in a bucket of a server that speaks S3."""
    import boto3
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        host, port = moto.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "opensesame",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        for file in videos.iterdir():
            client.upload_file(str(file), "data", f"videos/{file.name}")
        client.put_object(Bucket="data", Key="videos/list.csv", Body=b"path,label\n")
        yield client
        moto.stop()


def scanned(root, folder):
    return VideoIndex.scan(root, folder, progress=False)


def batches(index, **arguments):
    loader = VideoLoader(
        index, UniformSampler(index, seed=0), PyAVDecoder, size=64, batch_size=16, threads=2, **arguments
    )
    found = list(loader)
    loader.close()
    return found, loader.counts


def assert_same_frames(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["frame_index"], other["frame_index"])


def assert_same_index(far, index):
    for column in dataclasses.fields(index.columns):
        if not column.name.startswith("path") and column.name not in ("mtime_ns", "digest"):
            assert np.array_equal(getattr(far.columns, column.name), getattr(index.columns, column.name)), column.name


def test_the_index_is_that_of_the_files(server, index, tmp_path):
    far = scanned([f"{server.url}/{name}.mp4" for name in range(3)], tmp_path)
    assert_same_index(far, index)
    assert far.fetched.requests == 3  # small files: the first block is all of one
    assert scanned([f"{server.url}/{name}.mp4" for name in range(3)], tmp_path).fetched == (0, 0)


@pytest.mark.parametrize(
    "where", ["file://{folder}", "zip://*.mp4::{folder}/all.zip", "s3://data/videos", "s3://data/videos/*.mp4"]
)
def test_whatever_lists_and_opens(where, videos, index, bucket, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(videos.iterdir()):
            shutil.copy(file, tmp_path)
            archive.write(file, file.name)
    far = scanned(where.format(folder=tmp_path), tmp_path / "index")
    assert_same_index(far, index)
    assert_same_frames(batches(far)[0], batches(index)[0])


def test_one_list_names_what_is_near_and_what_is_far(server, videos, tmp_path):
    index = scanned([f"{server.url}/0.mp4", videos / "1.mp4"], tmp_path)
    assert index.paths == [f"{server.url}/0.mp4", str(videos / "1.mp4")]
    batches(index)


def test_what_is_known_of_them_is_taken_over(server, index, tmp_path):
    names = [f"{server.url}/{name}.mp4" for name in range(3)]
    scanned(names[1:], tmp_path)
    server.forget()
    far = scanned(names, tmp_path)
    assert (far.num_cached, far.fetched.requests) == (2, 1)
    assert {asked.name for asked in server.asked if asked.end > 1} == {"0.mp4"}
    assert_same_index(far, index)
    taken = scanned(names[:2], tmp_path)
    assert (taken.num_cached, taken.fetched.requests) == (2, 0)
    assert_same_frames(batches(taken)[0], batches(scanned(index.paths[:2], tmp_path / "near"))[0])


def test_an_index_of_them_is_taken_as_it_is(server, index, tmp_path):
    scanned([f"{server.url}/{name}.mp4" for name in range(3)], tmp_path / "index").save(tmp_path / "saved")
    server.forget()
    far = VideoIndex.load(tmp_path / "saved")
    assert server.asked == []
    assert_same_index(far, index)
    assert_same_frames(batches(far)[0], batches(index)[0])


def test_an_engines_workers_index_them(server, index, tmp_path):
    names = [f"{server.url}/{name}.mp4" for name in range(3)]
    far = VideoIndex.scan(names, tmp_path, progress=False, engine=LocalEngine(2))
    assert_same_index(far, index)
    assert far.fetched == (0, 0)  # here


def test_a_store_that_lets_no_engine_in_is_told_in_a_sentence(server, tmp_path):
    names = [f"{server.url}/{name}.mp4" for name in range(3)]
    server.fault = lambda asked: "403" if asked.name == "1.mp4" and asked.end > 1 else "ok"
    with pytest.raises(WorkerError) as caught:
        VideoIndex.scan(names, tmp_path, progress=False, engine=LocalEngine(2))
    assert str(caught.value).startswith(f"{names[1]}: access is denied.\n")
    assert "Traceback" not in str(caught.value)


def test_proxies_of_them_go_by_their_names(server, index, tmp_path):
    names = [f"{server.url}/{name}.mp4" for name in range(3)]
    far = scanned(names, tmp_path / "index")
    assert make_proxies(far, names, tmp_path / "proxies", Settings(size=32), LocalEngine(2)).num_there == 3
    proxies = scan_proxies(names, tmp_path / "proxies", tmp_path / "index", progress=False)
    assert (list(proxies.known_paths), proxies.far) == (names, None)
    assert np.array_equal(proxies.offset, index.offset)


# Files much larger than their tables.


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """Two files of noise, 6 GOPs of some 200 kB each; the table of one is in front, and that of the other behind."""
    folder, draw = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    pictures = draw.integers(0, 255, (48, 120, 160, 3), np.uint8)
    for name, options in (("front", {"movflags": "+faststart"}), ("behind", {})):
        with av.open(folder / f"{name}.mp4", "w", options=options) as container:
            stream = container.add_stream("libx264", 30, options={"preset": "ultrafast", "crf": "10", "bf": "2"})
            stream.height, stream.width, stream.pix_fmt, stream.gop_size = 120, 160, "yuv420p", 8
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    return folder


@pytest.fixture
def server_of_large(large):
    with FarAway(large).serving() as far:
        yield far


@pytest.fixture
def far(server_of_large, tmp_path):
    index = scanned([f"{server_of_large.url}/{name}.mp4" for name in ("behind", "front")], tmp_path)
    server_of_large.forget()
    yield index
    index.far.forget()


@pytest.fixture(scope="session")
def near(large, tmp_path_factory):
    return scanned(large, tmp_path_factory.mktemp("near"))


def test_the_index_fetches_tables_and_one_keyframe_of_each(far, near):
    assert_same_index(far, near)
    assert far.fetched.num_bytes < 0.25 * near.columns.size_bytes.sum()
    assert far.fetched.requests <= 5


def test_a_read_is_one_request_of_its_gop(far, near, server_of_large):
    found, counts = batches(far, lookahead=1)
    assert_same_frames(found, batches(near, lookahead=1)[0])
    begins, ends = map(set, far.columns.start_bytes.T.tolist())
    of_gops = [asked for asked in server_of_large.asked if asked.begin in begins and asked.end in ends]
    assert len(of_gops) >= len(server_of_large.asked) - 5  # of one, or of several that are wanted at once
    assert counts.reads > 20
    assert counts.requests == len(server_of_large.asked) <= counts.reads + 5  # and what opening reads, once
    assert counts.bytes_fetched == server_of_large.bytes_sent()


def test_reads_are_asked_for_before_they_are_due(far, server_of_large):
    server_of_large.delay_seconds = 0.05
    batches(far, lookahead=1)
    assert server_of_large.most_at_once > 4


@pytest.mark.parametrize(("remote_bytes", "least", "most"), [(2**28, 0.9, 1.1), (600_000, 0.2, 0.6)])
def test_as_much_is_asked_for_as_there_is_memory(far, server_of_large, remote_bytes, least, most):
    sampler = UniformSampler(far, seed=0)
    loader = VideoLoader(far, sampler, PyAVDecoder, size=64, batch_size=2, lookahead=1, remote_bytes=remote_bytes)
    next(iter(loader))
    before = -1
    while before < (sent := server_of_large.bytes_sent()):  # until no more is asked for
        before = sent
        time.sleep(0.3)
    loader.close()
    assert least < sent / far.columns.size_bytes.sum() < most


def test_with_little_memory_all_comes_nevertheless(far, near, server_of_large):
    found, _ = batches(far, remote_bytes=1)
    assert_same_frames(found, batches(near)[0])
    assert server_of_large.most_at_once <= 3  # the two that threads wait for, and a head


@pytest.mark.parametrize("fault", ["drop", "503", "truncate", "stall"])
def test_the_same_frames_come_from_an_unreliable_server(far, near, server_of_large, monkeypatch, fault):
    monkeypatch.setattr(remote, "PAUSES", (0.01, 0.02, 0.04, 0.08))
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(remote, "SLOWEST", 2**24)
    server_of_large.fault = lambda asked: fault if len(server_of_large.asked) % 4 == 1 else "ok"
    assert_same_frames(batches(far)[0], batches(near)[0])


@pytest.mark.parametrize(("fault", "words"), [("503", "answers 503, 2 times"), ("403", "access is denied")])
def test_a_server_that_stays_away_ends_the_run_in_a_sentence(far, server_of_large, monkeypatch, fault, words):
    monkeypatch.setattr(remote, "PAUSES", (0.01,))
    server_of_large.fault = lambda asked: fault
    with pytest.raises(RemoteError, match=f"{server_of_large.url}.*{words}"):
        batches(far, on_error="skip")  # which is for frames, and not for the network


def test_a_file_that_changed_is_not_read(large, far, server_of_large, tmp_path):
    server_of_large.folder = tmp_path
    for file in large.iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    with pytest.raises(DecodeError, match="changed after it was indexed"):
        batches(far)


def test_processes_ask_for_themselves(far, near, server_of_large):
    found, counts = batches(far, num_workers=2)
    assert_same_frames(found, batches(near)[0])
    assert counts.requests == len(server_of_large.asked)
    assert counts.bytes_fetched == server_of_large.bytes_sent()


def test_what_is_stored_is_not_asked_for_again(far, near, server_of_large, tmp_path):
    arguments = {"store": tmp_path / "store", "store_packing": "raw"}
    assert_same_frames(batches(far, **arguments)[0], batches(near)[0])
    server_of_large.forget()
    found, counts = batches(far, **arguments)
    assert_same_frames(found, batches(near)[0])
    assert counts.reads == 0
    assert len(server_of_large.asked) <= TRIED_GOPS  # by which it is measured what packing costs


def test_what_has_no_table_is_fetched_whole_and_announced(large, tmp_path, capsys):
    with av.open(large / "front.mp4") as source, av.open(tmp_path / "a.mkv", "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    with FarAway(tmp_path).serving() as server:
        index = VideoIndex.scan(f"{server.url}/a.mkv", tmp_path / "index")
        assert "Fetched whole" in capsys.readouterr().err
        assert index.fetched.num_bytes > (tmp_path / "a.mkv").stat().st_size
        near = scanned(tmp_path / "a.mkv", tmp_path / "index")
        assert_same_index(index, near)
        found, counts = batches(index, lookahead=1)
        assert_same_frames(found, batches(near, lookahead=1)[0])
        assert counts.requests <= 1.1 * counts.reads


# Who may come in.


@pytest.mark.parametrize("fault", ["503", "drop", "truncate", "stall"])
def test_a_bucket_that_fails_now_and_then_gives_the_same_frames(fault, videos, index, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.01,) * 5)
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(remote, "SLOWEST", 2**24)
    from s3fs import S3FileSystem

    monkeypatch.setattr(S3FileSystem, "cachable", False)  # it would have the server of before
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "flaky").symlink_to(videos)
    with FarAway(tmp_path / "served").serving() as server:
        for name, value in {"AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "opensesame")
        gets = count()
        server.fault = lambda asked: fault if asked.method == "GET" and next(gets) % 3 == 0 else "ok"
        far = scanned([f"s3://flaky/{name}.mp4" for name in range(3)], tmp_path / "index")
        assert_same_index(far, index)
        assert_same_frames(batches(far)[0], batches(index)[0])
        assert next(gets) > 6


def test_what_is_missing_to_come_in_is_told_and_not_shown(bucket, tmp_path, monkeypatch):
    from s3fs import S3FileSystem

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(S3FileSystem, "cachable", False)  # it would have those of before
    with pytest.raises(RemoteError, match=r"s3://data/videos: there are no credentials.*\n.*AWS_PROFILE"):
        scanned("s3://data/videos", tmp_path)


def test_a_bucket_that_is_not_there(bucket, tmp_path):
    with pytest.raises(DataError, match="s3://nowhere/at: nothing is there"):
        scanned("s3://nowhere/at", tmp_path)


def test_a_folder_without_videos(bucket, tmp_path):
    bucket.put_object(Bucket="data", Key="texts/list.csv", Body=b"path,label")
    with pytest.raises(DataError, match="s3://data/texts: no file here or below ends like a video"):
        scanned("s3://data/texts", tmp_path)


# What is told.


def test_the_command_says_what_was_fetched_and_verifies(server_of_large, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main([f"{server_of_large.url}/front.mp4", "--index-dir", str(tmp_path), "--verify"])
    assert end.value.code == 0
    assert "fetched from afar: 0." in capsys.readouterr().out


def test_the_doctor_shows_no_credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASOMEBODY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "opensesame")
    told = check_far_away()
    assert "s3://" in told
    assert "credentials for s3://: env" in told
    assert "opensesame" not in told
    assert "AKIASOMEBODY" not in told
