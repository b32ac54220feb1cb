"""Contenders whose videos are far away: on a server of this machine that answers each request after a delay."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lit_video.bench.contenders import Batches, Contest, PerVideo, Setting, ours, per_video
from lit_video.bench.far_away import far_away
from lit_video.index import VideoIndex
from lit_video.index.files import find_files
from lit_video.loading.counters import Counts


def ours_far(setting: Setting) -> Contest:
    """Load with VideoLoader."""
    stack = contextlib.ExitStack()
    far = stack.enter_context(_far(setting))
    batches, counts = ours(far)
    return closing(stack, batches), counts


def torchcodec_far(setting: Setting) -> Contest:
    """Load with torchcodec, which reads files that fsspec opens, as its documentation has it."""
    stack = contextlib.ExitStack()
    far = stack.enter_context(_far(setting))
    counts = Counts()
    return closing(stack, counted(per_video(PerVideoFar(far)), far.paths[0], counts)), counts


class PerVideoFar(PerVideo):
    """torchcodec, asked once a batch for all frames of a video that the batch wants, over fsspec."""

    def source(self, path: str) -> Any:
        """Return a file of fsspec's."""
        from fsspec.core import url_to_fs

        store, name = url_to_fs(path)
        return store.open(name, "rb")


def index_far(root: str, delay_seconds: float) -> dict[str, Any]:
    """Index videos from afar, and return what that took: seconds, requests, and bytes beside those of the files."""
    paths = tuple(str(path) for path in find_files(root).files)
    with (
        tempfile.TemporaryDirectory() as folder,
        _far(Setting(paths, folder, delay_seconds=delay_seconds)) as far,
    ):
        VideoIndex.scan(far.paths[0], f"{folder}/first", progress=False)  # what is loaded once
        began, before = time.perf_counter(), _asked(far.paths[0])
        index = VideoIndex.scan(list(far.paths), f"{folder}/all", progress=False)
        seconds, after = time.perf_counter() - began, _asked(far.paths[0])
    return {
        "videos": index.num_videos,
        "frames": index.num_frames,
        "seconds": seconds,
        "requests": after[0] - before[0],
        "bytes_fetched": after[1] - before[1],
        "bytes_of_files": int(index.columns.size_bytes.sum()),
        "most_at_once": after[2],
    }


@contextmanager
def _far(setting: Setting) -> Iterator[Setting]:
    with far_away("/", setting.delay_seconds) as url:
        paths = tuple(url + quote(str(Path(path).absolute())) for path in setting.paths)
        yield replace(setting, paths=paths, index_dir=f"{setting.index_dir}-far")


def _asked(url: str) -> tuple[int, int, int]:
    with urllib.request.urlopen("/".join(url.split("/")[:3]) + "/?asked") as answer:
        return tuple(json.loads(answer.read()))


def counted(batches: Batches, url: str, counts: Counts) -> Batches:
    """Yield batches, and count what was asked of the server of a URL."""
    with contextlib.closing(batches):
        for batch in batches:
            counts.delivered_frames += len(batch)
            counts.requests, counts.bytes_fetched, _ = _asked(url)
            yield batch


def closing(stack: contextlib.ExitStack, batches: Batches) -> Batches:
    """Yield batches, and close what they come from with them."""
    with stack, contextlib.closing(batches):
        yield from batches
