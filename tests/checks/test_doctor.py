"""The doctor tells the truth, and its exit code with it."""

import pytest

from lit_video.checks import doctor
from lit_video.commands import doctor as command
from lit_video.support.errors import DeviceError, LitVideoError
from tests.programs import run


def test_a_machine_where_all_is_well():
    done = run("scripts/doctor.py", timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All that can run here passed." in done.stdout
    rows = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in done.stdout.splitlines() if "│" in line}
    for name in ("FFmpeg", "torch", "decode: pyav", "workers: spawn", "colours: torch, swscale", "frames/s: pyav"):
        assert rows[name] == "ok", name
    for name in ("GPU", "CUDA after fork", "decode: cuvid", "copies: cuvid"):
        assert rows[name] in ("ok", "skipped"), name


def test_a_gpu_that_refuses_is_a_failure(monkeypatch):
    def check():
        raise DeviceError("NVDEC on this GPU does not decode it")

    assert doctor._find("a check", check, needs_gpu=True).status == "skipped"
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: True)
    assert doctor._find("a check", check, needs_gpu=True).status == "failed"
    assert doctor._find("a check", check).status == "skipped"


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (doctor.Skip("no GPU"), "skipped", "no GPU"),
        (DeviceError("no driver\nUse another"), "skipped", "no driver"),
        (LitVideoError("a bad file\nLook at it"), "failed", "a bad file"),
        (AssertionError("another frame"), "failed", "AssertionError: another frame (test_doctor.py:"),
    ],
)
def test_what_goes_wrong_is_told_as_what_it_is(error, status, told):
    def check():
        raise error

    found = doctor._find("a check", check)
    assert found.status == status
    assert found.text.startswith(told)


def test_one_failure_is_a_failure(monkeypatch, capsys):
    findings = [doctor.Finding("a", "ok", ""), doctor.Finding("b", "failed", "x"), doctor.Finding("c", "skipped", "")]
    monkeypatch.setattr(doctor, "examine", lambda folder: iter(findings))
    with pytest.raises(SystemExit) as ended:
        command.main([])
    assert ended.value.code == 1
    assert "Failed: b." in capsys.readouterr().out
