"""Which stream waits for which, told by what torch is asked to do; that it helps only a GPU can show."""

import pytest
import torch

from lit_video.training.streams import BesideDecoders


class Stream:
    def __init__(self, name, log):
        self.name, self.log = name, log

    def wait_stream(self, other):
        self.log.append(f"{self.name} waits for {other.name}")


@pytest.fixture
def log(monkeypatch):
    told = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("default", told))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("own", told))
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: told.append(f"on {stream.name}"))
    return told


def test_nothing_is_overtaken(log):
    beside = BesideDecoders(torch.device("cuda", 0))
    assert log == ["own waits for default", "on own"]
    beside.end()
    assert log[2:] == ["default waits for own", "on default"]
    beside.end()
    assert len(log) == 4
