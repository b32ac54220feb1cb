"""In what order the real device is asked for things, told by a torch.cuda that only takes notes."""

from contextlib import contextmanager

import pytest
import torch

from lit_video.decoders import device
from lit_video.decoders.device import CudaOps
from lit_video.support.errors import DeviceError

GPU = torch.device("cuda", 1)


class Stream:
    """Notes whom it waits for."""

    def __init__(self, name, notes):
        self.name, self.notes = name, notes

    def wait_stream(self, other):
        self.notes.append(f"{self.name} waits for {other.name}")


@pytest.fixture
def notes(monkeypatch):
    """Have torch.cuda take notes."""
    notes, current = [], []
    default = Stream("default", notes)

    @contextmanager
    def stream(entered):
        current.append(entered)
        notes.append(f"on {entered.name}")
        yield
        current.pop()
        notes.append(f"on {current[-1].name}")

    class Event:
        def __init__(self, blocking=False):
            self.kind = "asleep" if blocking else "spinning"

        def record(self):
            notes.append(f"event on {current[-1].name}")

        def synchronize(self):
            notes.append(f"waited for, {self.kind}")

    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: default)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: current[-1])
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    return notes, current, default


def test_a_callers_own_stream_is_waited_for_and_left_alone_meanwhile(notes):
    notes, current, _ = notes
    current.append(Stream("callers", notes))
    ops = CudaOps()
    with ops.decoding(GPU):
        notes.append("planes")
        ops.synchronize()
    # What the caller queued may still read or fill the frames; afterwards all is there, for any stream.
    assert notes == [
        "default waits for callers",
        "on default",
        "planes",
        "event on default",
        "waited for, asleep",
        "on callers",
    ]


def test_the_default_stream_does_not_wait_for_itself(notes):
    notes, current, default = notes
    current.append(default)
    with CudaOps().decoding(GPU):
        pass
    assert notes == ["on default", "on default"]


def test_a_driver_without_its_video_library_is_told_at_once(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "is_installed", lambda: False)
    with pytest.raises(DeviceError, match=r"cuda: the driver is there, but not its video library, libnvcuvid"):
        CudaOps().resolve("cuda")
