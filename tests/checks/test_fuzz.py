"""The fuzzer: damaged videos are survived, and it would notice if they were not."""

import os
import signal
import time

import pytest

from lit_video.checks import fuzz
from lit_video.checks.fuzz import KINDS, Outcome, mutate, tell, try_one, write_originals


def test_damaged_videos_are_decoded_or_refused():
    outcomes = fuzz.fuzz(range(120), seconds=120, timeout_seconds=20, keep=None)
    assert len(outcomes) == 120
    assert [o for o in outcomes if o.kind not in ("decoded", "refused")] == []
    assert {o.kind for o in outcomes} == {"decoded", "refused"}


def test_undamaged_videos_are_decoded(tmp_path):
    originals = write_originals(tmp_path)
    assert len(originals) == len(KINDS)
    for path in originals:
        assert try_one(path, tmp_path / "index") == "decoded", path.name


def test_a_mutant_is_a_function_of_its_number():
    data = bytes(range(256)) * 20
    assert mutate(data, 7) == mutate(data, 7)
    assert len({mutate(data, number) for number in range(50)}) > 40


def test_mutants_of_nothing():
    for number in range(50):
        mutate(b"", number)


@pytest.mark.parametrize(("kind", "told"), [("crashed", "exit code -9"), ("hung", "nothing for 1 s")])
def test_a_crash_and_a_hang_are_noticed(tmp_path, kind, told):
    child = fuzz.Child(tmp_path)
    path = write_originals(tmp_path)[0]
    assert child.run(1, path, 60).kind == "decoded"
    if kind == "crashed":
        os.kill(child._process.pid, signal.SIGKILL)
        time.sleep(0.2)
        outcome = child.run(2, path, 20)
    else:
        os.kill(child._process.pid, signal.SIGSTOP)
        outcome = child.run(2, path, 1)
    assert (outcome.kind, outcome.text) == (kind, told)
    child.end()


def test_what_failed_is_told_and_fails(capsys):
    assert tell([Outcome(3, "decoded", "decoded"), Outcome(4, "hung", "nothing for 20 s")]) == 1
    assert "mutant 4 (('libvpx-vp9', 'webm', 0)): hung: nothing for 20 s" in capsys.readouterr().out
    assert tell([Outcome(3, "decoded", "decoded")]) == 0


def test_leaks_are_told(capsys):
    flat = [Outcome(n, "decoded", "decoded", 10**8, 20) for n in range(400)]
    assert tell(flat) == 0
    leaking = [o._replace(open_files=20 + n // 100) for n, o in enumerate(flat)]
    assert tell(leaking) == 1
    growing = [o._replace(resident_bytes=10**8 + n * 10**6) for n, o in enumerate(flat)]
    assert tell(growing) == 1
    assert "MiB more" in capsys.readouterr().out
