"""`lit-video store` as users call it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from lit_video.checks.stamps import write_stamped
from lit_video.commands.store import main
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index import VideoIndex
from lit_video.store.environment import DATA
from lit_video.store.frames import FrameStore
from tests.programs import REPOSITORY, run

OPTIONS = ("data.size=64", "data.threads=2", "data.progress=false")


def store(*words):
    """Run a command in a process of its own, as users do."""
    return run("scripts/store.py", *words)


@pytest.fixture
def ask(capsys):
    """Run one that needs no options composed in this process, and return its exit code and what it printed."""

    def asked(*words):
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code
        return code, capsys.readouterr().out

    return asked


def test_fill_info_verify_drop(videos, tmp_path, ask):
    folder = tmp_path / "store"
    given = f"data.root={videos}", f"data.store={folder}", "data.store_packing=raw", *OPTIONS
    done = store("fill", *given, "data.stride=2")
    assert done.returncode == 0, done.stderr
    assert "47 frames of 3 videos, 47 of them to decode" in done.stdout  # 25, 16 and 6
    assert "47 frames kept; 47 of 47 are there now" in done.stdout
    done = store("fill", *given)
    assert "93 frames of 3 videos, 46 of them to decode" in done.stdout
    code, told = ask("info", folder)
    assert code == 0
    assert "93" in told
    assert "64×64" in told
    assert "pyav crop bilinear" in " ".join(told.split())
    assert ask("verify", folder) == (0, "93 frames, all whole\n")
    damage_a_frame(VideoIndex.scan(videos, tmp_path / "index", progress=False), folder)
    assert ask("verify", folder)[0] == 1
    assert ask("verify", folder, "--mend") == (1, "1 of 93 frames are damaged; deleted, to be decoded anew\n")
    assert ask("verify", folder) == (0, "92 frames, all whole\n")
    assert ask("drop", folder)[0] == 0
    assert not folder.exists()


def damage_a_frame(index, folder):
    out, kept = np.empty((1, 3, 64, 64), np.uint8), FrameStore(folder, index, PyAVDecoder(index).look, (64, 64))
    assert kept.get([40], out).all()
    kept.close()
    content = bytearray((folder / DATA).read_bytes())
    content[content.index(out.tobytes()) + 5000] ^= 255
    (folder / DATA).write_bytes(content)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("info", "nowhere"), "no store here"),
        (("verify", "nowhere"), "no store here"),
        (("drop", "."), "no store of lit_video's, so nothing is deleted"),
        (("infos",), "did you mean info?"),
        (("fill", "data.store=null", "data.root=docs"), "There is no store to fill"),
    ],
)
def test_mistakes_are_told_in_a_sentence(words, told):
    done = store(*words)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_store_is_told_in_a_sentence(videos, tmp_path):
    given = f"data.root={videos}", f"data.store={tmp_path}", "data.store_bytes=300000", "data.store_packing=raw"
    done = store("fill", *given, *OPTIONS)
    assert done.returncode == 1
    assert "the store's 300,000 bytes are used up" in done.stderr
    assert "Traceback" not in done.stderr
    assert "frames kept" in done.stdout


def test_ctrl_c_keeps_what_is_done(tmp_path, ask):
    (tmp_path / "videos").mkdir()
    first = write_stamped(tmp_path / "videos" / "0.mp4", 100, gop=10, size=(480, 640))
    for number in range(1, 30):
        shutil.copy(first, first.with_name(f"{number}.mp4"))
    words = ["fill", f"data.root={tmp_path / 'videos'}", f"data.store={tmp_path / 'store'}", "data.size=480"]
    command = [sys.executable, "scripts/store.py", *words, "data.threads=1", "data.progress=false"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs behind a shell is deaf to it
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, preexec_fn=heard, **pipes) as process:
        while "3000 of them to decode" not in process.stdout.readline():
            assert process.poll() is None
        while not (tmp_path / "store" / DATA).exists() or (tmp_path / "store" / DATA).stat().st_size < 10**5:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Interrupted: what is done is kept" in told
    assert "Traceback" not in told
    code, told = ask("verify", tmp_path / "store")
    assert code == 0
    assert 0 < int(told.split()[0]) < 3000


def test_what_is_kept_is_what_a_loader_of_the_same_options_asks_for(videos, tmp_path):
    given = f"data.root={videos}", f"data.store={tmp_path / 'store'}", "data.decoder.fit=squash", "data.size=[48,64]"
    assert store("fill", *given, "data.progress=false").returncode == 0
    index = VideoIndex.scan(videos, tmp_path / "index", progress=False)
    for fit, expected in (("squash", 93), ("crop", 0)):
        found = FrameStore(tmp_path / "store", index, PyAVDecoder(index, (48, 64), fit=fit).look, (48, 64))
        assert np.count_nonzero(found.has()) == expected
