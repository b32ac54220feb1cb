import sys
import types

import pytest

from lit_video import nvml


class Error(Exception):
    pass


@pytest.fixture
def library(monkeypatch):
    """A management library that tells what it is told to."""
    module = types.ModuleType("pynvml")
    module.NVMLError = Error
    module.nvmlInit = module.nvmlShutdown = lambda: None
    module.nvmlDeviceGetHandleByIndex = lambda device: device
    module.nvmlDeviceGetAttributes_v2 = lambda handle: types.SimpleNamespace(decoderCount=7)
    module.nvmlDeviceGetDecoderUtilization = lambda handle: (83, 16000)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_tells_what_it_is_told(library):
    assert nvml.num_decoders(0) == 7
    assert nvml.decoder_utilization(0) == 83


def test_is_silent_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.num_decoders(0) is None


def test_is_silent_without_a_driver(library):
    def fail():
        raise Error("driver not loaded")

    library.nvmlInit = fail
    assert nvml.decoder_utilization(0) is None


def test_is_silent_where_a_gpu_does_not_tell(library):
    def refuse(handle):
        raise Error("not supported")

    library.nvmlDeviceGetAttributes_v2 = refuse
    assert nvml.num_decoders(0) is None
