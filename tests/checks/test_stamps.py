import os

import pytest

from lit_video.checks.stamps import write_stamped


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="schedulers are asked for as on Linux")
def test_encoding_leaves_the_thread_its_priority(tmp_path):
    """Run by root, the AV1 encoder raises it to the highest of real time: all that came after waited for the tests."""
    before = os.sched_getscheduler(0)
    write_stamped(tmp_path / "0.mp4", 5, codec="libsvtav1")
    assert os.sched_getscheduler(0) == before
