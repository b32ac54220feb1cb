"""A stand-in for the NVIDIA driver, so that PyAV's CUDA decoding runs on a machine without a GPU.

`built` compiles it, `environment` puts it in a process's way, `call` runs a function in such a process::

    colours = call(decode_with_cuda, video, env=environment(built()))

README.md says what it proves and what it does not. The other functions are for use inside that process.
"""

import atexit
import ctypes
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tests.driver.zygote import read, write

if TYPE_CHECKING:
    import av
    import torch
    from av.video.plane import VideoPlane

SOURCE = Path(__file__).parent
NAME = "libcuda.so.1"


def build(folder: Path) -> Path:
    """Compile the stand-in into `folder` and return it. Takes about a second; share it over a test session.

    FFmpeg gives up on a driver that lacks one of its symbols, used or not. So every name in PyAV's own libraries that
    looks like one becomes a stub, and the weak stubs give way where driver.c or parser.c has the real thing.
    """
    stubs = folder / "stubs.c"
    stubs.write_text("".join(f"__attribute__((weak)) int {name}(void) {{ return 801; }}\n" for name in _symbols()))
    sources = [SOURCE / "driver.c", SOURCE / "parser.c", stubs]
    # nodelete: FFmpeg unloads the driver with its last decoder, and the counters would start again.
    options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-Wl,-z,nodelete"]
    subprocess.run(["gcc", *options, "-o", folder / NAME, *sources], check=True, timeout=60)
    # The loader knows a file by its inode: two names are one library, with one state.
    (folder / "libnvcuvid.so.1").unlink(missing_ok=True)
    (folder / "libnvcuvid.so.1").symlink_to(NAME)
    return folder


@cache
def built() -> Path:
    """Return the stand-in, compiled once for all tests of this process, which so share a process to fork from."""
    folder = Path(tempfile.mkdtemp(prefix="standin-"))
    atexit.register(shutil.rmtree, folder, True)
    return build(folder)


def _symbols() -> list[str]:
    """Return the names of the driver functions in the FFmpeg libraries that `import av` loads."""
    import av  # noqa: F401

    paths = set(re.findall(r"/\S*/libav(?:codec|util)\S*\.so\S*", Path("/proc/self/maps").read_text()))
    names = {
        name.decode()
        for path in paths
        for name in re.findall(rb"(?<![A-Za-z0-9_])(cu(?:vid)?[A-Z][A-Za-z0-9_]+)\0", Path(path).read_bytes())
    }
    assert {"cuInit", "cuvidCreateDecoder"} <= names, f"no driver functions named in {sorted(paths)}"
    return sorted(names)


CHIPS = ("hopper", "ada", "blackwell")


def environment(
    folder: Path | None,
    *,
    num_devices: int = 1,
    unsupported: Iterable[str] = (),
    chip: str = "hopper",
    most_decoders: int | None = None,
    ramp: bool = False,
) -> dict[str, str]:
    """Return this process's environment with the stand-in of `folder` as the driver, or with none.

    Args:
        folder: What `build` returned; None: no stand-in.
        num_devices: How many devices it pretends to have; 0: CUDA_ERROR_NO_DEVICE.
        unsupported: Codecs it pretends not to decode, out of h264, hevc, vp8, vp9, av1, mpeg1, mpeg2, mpeg4, vc1.
        chip: One of `CHIPS`; each decodes what NVIDIA says of it.
        most_decoders: That it has memory for at a time; None: for any number.
        ramp: Luma says where in the coded picture it is, x + 3 y, and not which picture it is.
    """
    assert chip in CHIPS
    variables = dict(os.environ)
    if folder is not None:
        paths = [str(folder), variables.get("LD_LIBRARY_PATH", "")]
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
    variables |= {"STANDIN_DEVICES": str(num_devices), "STANDIN_UNSUPPORTED": ",".join(unsupported)}
    most = {} if most_decoders is None else {"STANDIN_MOST_DECODERS": str(most_decoders)}
    return variables | {"STANDIN_CHIP": chip} | most | ({"STANDIN_RAMP": "1"} if ramp else {})


def call(function: Callable[..., Any], *arguments: Any, env: Mapping[str, str], timeout: float = 180) -> Any:
    """Call a module-level function in a process of its own and return what it returns, or raise what it raises.

    The process is a fork of one that has the driver in its way and has not touched it: zygote.py. What goes in and out
    is pickled.
    """
    job = function.__module__, function.__qualname__, pickle.dumps(arguments), dict(env), timeout
    code, log, answer = _zygote(env.get("LD_LIBRARY_PATH", ""))(job)
    assert code == 0, f"{function.__qualname__} ended with {code}:\n{log}"
    error, result = pickle.loads(answer)
    if error is not None:
        raise error
    return result


@cache
def _zygote(library_path: str) -> Callable[[tuple], tuple]:
    """Start the process that is forked for each call; the loader reads LD_LIBRARY_PATH when a process starts."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from tests.driver.zygote import serve; serve()"
    environment = os.environ | {"LD_LIBRARY_PATH": library_path, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(_end, process)

    def ask(job: tuple) -> tuple:
        write(process.stdin, job)
        return read(process.stdout)

    return ask


def _end(process: subprocess.Popen) -> None:
    for stream in (process.stdin, process.stdout):
        stream.close()
    process.wait(60)


class Counters(NamedTuple):
    """What the stand-in did in this process; `live_*` return to zero when all is closed."""

    live_allocations: int
    live_contexts: int  # made by cuCtxCreate; the primary context is not counted
    live_decoders: int
    live_parsers: int
    live_mapped: int
    decoders_created: int
    decoders_destroyed: int
    pictures_decoded: int
    frames_mapped: int

    @property
    def live(self) -> tuple[int, ...]:
        """The first five: whatever is still held."""
        return self[:5]


def counters() -> Counters:
    """Return the counts of this process."""
    numbers = (ctypes.c_long * len(Counters._fields))()
    ctypes.CDLL(NAME).standin_counters(numbers)
    return Counters(*numbers)


def bind_thread(device: int = 0) -> None:
    """Make the device's primary context current in this thread, as torch's first operation on it would."""
    driver = ctypes.CDLL(NAME)
    context = ctypes.c_void_p()
    for status in (
        driver.cuInit(0),
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
        driver.cuCtxSetCurrent(context),
    ):
        if status:
            raise RuntimeError(f"CUDA error {status}")


class _HostPlane:
    """A CUDA plane whose DLPack capsule says that it is in host memory, as on the stand-in it is."""

    def __init__(self, plane: "VideoPlane") -> None:
        self.plane = plane

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, *, stream: int | None = None, **_: object) -> Any:
        capsule = self.plane.__dlpack__()
        get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
        get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        # A DLManagedTensor begins with the data pointer, int32 device_type (1: CPU, 2: CUDA) and int32 device_id.
        managed = get_pointer(capsule, b"dltensor")
        device = (ctypes.c_int32 * 2).from_address(managed + ctypes.sizeof(ctypes.c_void_p))
        assert device[0] == 2, f"not a CUDA plane: DLPack device type {device[0]}"
        device[:] = self.__dlpack_device__()
        return capsule


def plane_to_tensor(plane: "VideoPlane") -> "torch.Tensor":
    """Return a CUDA plane as a CPU tensor on the same memory; the tensor keeps the frame alive."""
    import torch

    return torch.from_dlpack(_HostPlane(plane))


def colour(frame: "av.VideoFrame") -> tuple[int, int, int]:
    """Return the (Y, U, V) that fills a CUDA frame, 8 bits each; a frame of several colours is an error."""
    luma, chroma = (np.from_dlpack(_HostPlane(plane)) for plane in frame.planes)
    values = [np.unique(part) for part in (luma, chroma[..., 0], chroma[..., 1])]
    assert all(len(value) == 1 for value in values), f"not one colour: {values}"
    y, u, v = (int(value[0]) >> 8 * (value.itemsize - 1) for value in values)  # P010: the high byte
    return y, u, v


def colour_of_timestamp(timestamp: int) -> tuple[int, int, int]:
    """Return the colour of a picture that a `*_cuvid` decoder makes of a packet with this timestamp."""
    return timestamp & 255, timestamp >> 8 & 255, timestamp >> 16 & 255


def colour_of_packet(packet: "av.Packet") -> tuple[int, int, int]:
    """Return the colour of the picture that FFmpeg's own H.264 or HEVC decoder, with hwaccel, makes of a packet.

    A hash (FNV-1a) of the last 64 bytes of the picture's coded data, which end the packet unless the encoder
    put something behind them, such as filler data or x265's picture hash.
    """
    value = 2166136261
    for byte in bytes(packet)[-64:]:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return 64 + (value & 127), 112 + (value >> 7 & 31), 112 + (value >> 12 & 31)
