"""HDR -> SDR: frames of PQ and HLG mapped to BT.709 by FFmpeg's own colour management, in swscale.

FFmpeg works the mapping out as a table first, which takes seconds. So there is one for a process, size and kind of
frame, and threads take turns: what is mapped is frames, not pictures, and small.
"""

from __future__ import annotations

import os
import threading

import av
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from lit_video.media.picture import FULL_RANGE
from lit_video.support.errors import DeviceError
from lit_video.support.machine import num_cores

HDR = ("as_stored", "sdr")
STORED_FORMAT = "gbrp16le"  # of the frames that are mapped

# Perceptual: a curve that keeps highlights, where the other intents cut off what is brighter than 203 candela a square
# metre, the white of SDR. Colours that BT.709 lacks move to ones that it has.
TARGET = "out_transfer=bt709:out_primaries=bt709:intent=perceptual"
BT709_PRIMARIES, NO_PRIMARIES, BT2020_PRIMARIES, RGB_MATRIX = 1, 2, 9, 0

_LOCK = threading.Lock()
# By process, too: a forked one must neither use nor free a graph whose threads it does not have.
_GRAPHS: dict[tuple[int, ...], tuple[Graph, FilterContext, FilterContext]] = {}


def _forget_lock() -> None:
    """Have a forked process not wait for a thread that it does not have."""
    global _LOCK
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)


def check_that_ffmpeg_maps() -> None:
    """Try whether this FFmpeg knows how to.

    Raises:
        DeviceError: It does not.
    """
    try:
        Graph().add("scale", f"16:16:{TARGET}")
    except (ValueError, OSError, LookupError) as error:
        raise DeviceError(
            f"decoder.hdr=sdr needs the colour management of FFmpeg 8, and PyAV {av.__version__} here comes with FFmpeg"
            f" {av.ffmpeg_version_info}.\nInstall a newer one: pip install -U av; or use data.decoder.hdr=as_stored"
        ) from error


def to_sdr(frame: VideoFrame, transfer: int, primaries: int) -> VideoFrame:
    """Return a frame of full-range RGB of 16 bits, of this transfer, as SDR of 8 bits."""
    primaries = BT2020_PRIMARIES if primaries == NO_PRIMARIES else primaries
    frame.colorspace, frame.color_range = RGB_MATRIX, FULL_RANGE
    frame.color_trc, frame.color_primaries = transfer, primaries
    key = os.getpid(), frame.width, frame.height, transfer, primaries
    with _LOCK:
        if key not in _GRAPHS:
            _GRAPHS[key] = _build(frame.width, frame.height)
        _, source, sink = _GRAPHS[key]
        source.push(frame)
        mapped = sink.pull()
    assert isinstance(mapped, VideoFrame)
    return mapped


def _build(width: int, height: int) -> tuple[Graph, FilterContext, FilterContext]:
    graph = Graph()
    graph.threads = num_cores()  # that work the table out
    source = graph.add(
        "buffer", f"video_size={width}x{height}:pix_fmt={STORED_FORMAT}:time_base=1/1:colorspace=0:range={FULL_RANGE}"
    )
    sink = graph.add("buffersink")
    # Without what the file says of the display it was made on: of some pictures a file says it, and of others it does
    # not, and which of these a frame is mapped by must not depend on where decoding began.
    steps = [("sidedata", "mode=delete"), ("scale", f"{width}:{height}:{TARGET}:out_range=pc"), ("format", "gbrp")]
    graph.link_nodes(source, *(graph.add(name, arguments) for name, arguments in steps), sink)
    graph.configure()
    return graph, source, sink
