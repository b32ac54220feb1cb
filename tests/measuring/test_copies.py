import json

import torch

from lit_video.measuring.copies import Copied, count

# As torch 2.14 exports them; of a copy the bytes are among the arguments.
TRACE = """[
    {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy HtoD (Pinned -> Device)", "ts": 1, "dur": 1,
     "args": {"External id": 3, "device": 0, "stream": 7, "bytes": 100, "memory bandwidth (GB/s)": 1.5}},
    {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy HtoD (Pageable -> Device)", "args": {"bytes": 20}},
    {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy DtoH (Device -> Pinned)", "args": {"bytes": 3}},
    {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy DtoD (Device -> Device)", "args": {"bytes": 5000}},
    {"ph": "X", "cat": "gpu_memset", "name": "Memset (Device)", "args": {"bytes": 7000}},
    {"ph": "X", "cat": "kernel", "name": "void at::native::vectorized_elementwise_kernel", "args": {}},
    {"ph": "M", "pid": 3, "args": {"labels": "GPU 0"}}
]"""


def test_counts_what_crosses_and_nothing_else():
    assert count(json.loads(TRACE)) == Copied(120, 3)


def test_a_trace_is_exported_as_it_is_read(tmp_path):
    """Without a GPU there are no copies in it; its shape is the same."""
    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    profiler.start()
    torch.zeros(10).clone()
    profiler.stop()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any(event.get("name") == "aten::clone" for event in events)
    assert count(events) == Copied(0, 0)
