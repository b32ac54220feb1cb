"""What the management library is asked, with the real library on a machine without a driver, and with a willing one.

What the decoding library is asked runs on the stand-in driver, in tests/decoders/test_cuvid.py.
"""

import sys
from types import SimpleNamespace

import pynvml
import pytest
import torch

from lit_video.decoders import nvdec


@pytest.fixture
def willing(monkeypatch):
    """Have the library answer for one GPU, by its name."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=f"uuid-of-{device}"))
    for name, answer in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByUUID": {"GPU-uuid-of-1": "handle"}.__getitem__,
        "nvmlDeviceGetDecoderUtilization": {"handle": [83, 16000]}.__getitem__,
    }.items():
        assert hasattr(pynvml, name), "the real library has what is asked for"
        monkeypatch.setattr(pynvml, name, answer)


def test_tells_how_busy_the_decoders_are(willing):
    assert nvdec.decoder_utilization(1) == 83


def test_is_silent_where_a_gpu_does_not_tell(willing, monkeypatch):
    def refuse(handle):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetDecoderUtilization", refuse)
    assert nvdec.decoder_utilization(1) is None


def test_is_silent_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvdec.decoder_utilization(0) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a driver")
def test_is_silent_without_a_driver():
    assert nvdec.decoder_utilization(0) is None
    assert nvdec.capabilities("h264") is None
