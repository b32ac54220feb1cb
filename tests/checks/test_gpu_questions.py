"""What the doctor asks a GPU, asked of the stand-in driver: that it is asked, not what real hardware answers."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lit_video.checks import gpu
from lit_video.commands import doctor as command
from tests.decoders.test_cuvid import StandInOps
from tests.driver import built, call, environment


def questions(folder):
    """Every question, with small videos, for a moment each, on few threads."""
    gpu.THREADS, gpu.NUM_FILES, gpu.CONVERSIONS = (1, 2), 20, 3
    return list(gpu.ask(gpu.Trial(Path(folder), 0.2, (320, 320), StandInOps())))


def test_every_question_is_answered(tmp_path):
    answers = call(questions, str(tmp_path), env=environment(built(), chip="ada"))
    told = {answer.question: answer for answer in answers}
    assert len(told) == len(answers) == 2 + len(gpu.KINDS) + 2 + 2 * 2 + 4
    assert told["decodes av1, 8 bits"].text == "on 3 engines, up to 8192 × 8192"
    assert told["decodes h264, 10 bits"].text == "no"
    assert told["levels apart by matmul precision"] == ("levels apart by matmul precision", "high 0, medium 0", False)
    rates = [answer for answer in answers if "threads" in answer.question]
    for answer in rates:
        frames, wrong = map(int, re.match(r"(\d+) frames/s, NVDEC 0 %, (\d+) wrong, slowest", answer.text).groups())
        # The stand-in's pictures have no stamps: that they are others than those asked for is noticed.
        assert frames > 0
        assert wrong > 0
        assert answer.failed
    assert {answer.question for answer in answers if answer.failed} == {answer.question for answer in rates}


def refused(folder):
    gpu.THREADS, gpu.NUM_FILES, gpu.CONVERSIONS = (1,), 2, 1
    return list(gpu.ask(gpu.Trial(Path(folder), 0.1, (320, 320), StandInOps())))


def test_a_gpu_that_refuses_is_a_failure(tmp_path):
    env = environment(built(), most_decoders=0)
    answers = {answer.question: answer for answer in call(refused, str(tmp_path), env=env)}
    assert answers["1 threads, H.264 GOP 30"].failed
    assert "out of memory for pictures" in answers["1 threads, H.264 GOP 30"].text


def test_the_ceiling_is_nvidias_scaled_by_clock_engines_and_pixels(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(gpu, "max_video_clock", lambda device: 930)
    monkeypatch.setattr(gpu, "capabilities", lambda codec: SimpleNamespace(num_engines=7))
    device = torch.device("cuda", 0)
    # Half of the clock, seven engines, 15.5 pictures a frame.
    assert gpu._ceiling(device, "h264", (1080, 1920), 30).startswith(f"ceiling {7 * 771 / 2 / 15.5:.0f} by")
    assert gpu._ceiling(device, "hevc", (540, 960), 8).startswith(f"ceiling {4 * 7 * 1316 / 2 / 4.5:.0f} by")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert gpu._ceiling(device, "h264", (1080, 1920), 30) == "NVIDIA's note says nothing of this"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_ends_with_a_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--gpu"])
    assert ended.value.code == 1
    assert "needs an NVIDIA GPU" in capsys.readouterr().err


def test_what_fails_is_named_and_the_exit_code_says_so(monkeypatch, capsys):
    answers = [gpu.Answer("a", "good"), gpu.Answer("b", "3 wrong", failed=True)]
    for number, expected in ((2, 1), (1, 0)):
        monkeypatch.setattr(gpu, "ask", lambda trial, number=number: iter(answers[:number]))
        with pytest.raises(SystemExit) as ended:
            command.main(["--gpu"])
        assert ended.value.code == expected
    told = capsys.readouterr().out
    assert "failed: 3 wrong" in told
    assert "Failed: b." in told
    assert "All was answered. Now: pytest -m gpu" in told
