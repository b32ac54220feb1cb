"""What all tests share: shapes checked at run time, and a few small videos that say what they are."""

import gc
import os

# Before torch is imported: tests run in as many processes as there are cores, and start programs besides.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Before the package is imported: in the tests alone, shapes and types of arguments are checked as they are annotated.
import jaxtyping
from jaxtyping import install_import_hook

import tests.typechecker  # noqa: F401  jaxtyping looks it up by name

install_import_hook("lit_video", "tests.typechecker.checked")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("lit_video", deadline=None, derandomize=True)
settings.load_profile("lit_video")


def pytest_collectstart():
    """Import what is not ours where tests are collected, so not in the process that hands them out.

    And before any of ours: within a module that is checked, Python looks for the bytecode of all modules under the name
    that is for the checked, and compiles torch anew.
    """
    import lightning  # noqa: F401
    import torch  # noqa: F401


def pytest_collection_finish():
    """Have the garbage collector pass over what there is till now: a million objects, which each worker copies."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def unchecked(monkeypatch):
    """Types are not checked, as for users: for what calls small functions a million times that others call checked."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(autouse=True)
def disturbed_generators():
    """Nothing may depend on the global generators: each test finds them elsewhere."""
    import random

    import torch

    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(int.from_bytes(os.urandom(3), "big"))


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Three stamped videos of unequal length, in ascending order of their ids; the second has B-frames."""
    from lit_video.checks.stamps import write_stamped

    folder = tmp_path_factory.mktemp("videos")
    for video_id, (num_frames, b_frames) in enumerate(((50, 0), (31, 2), (12, 0))):
        write_stamped(folder / f"{video_id}.mp4", num_frames, video_id, gop=10, b_frames=b_frames)
    return folder


@pytest.fixture(scope="session")
def index(videos, tmp_path_factory):
    """The index of `videos`: 93 frames in 11 GOPs."""
    from lit_video.index import VideoIndex

    return VideoIndex.scan(videos, tmp_path_factory.mktemp("index"), progress=False)
