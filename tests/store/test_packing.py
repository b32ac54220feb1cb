"""Packings give back what they were given, from any thread, and refuse what is no such frame."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lit_video.store import packing as packing_module
from lit_video.store.packing import PACKINGS, make_packing


def frames_of(shape, seed=0):
    """Frames like pictures: neighbours are alike, and sums run over 255."""
    steps = np.random.default_rng(seed).integers(-9, 10, shape)
    return np.cumsum(steps, axis=2).astype(np.uint8)


@pytest.mark.parametrize("num_frames", [1, 3, 4, 40])
@pytest.mark.parametrize("size", [(224, 224), (17, 31), (1, 5), (64, 1)])
@pytest.mark.parametrize("name", ["raw", "lossless"])
def test_exact_packings_give_the_very_pixels(name, size, num_frames):
    packing, frames = make_packing(name), frames_of((num_frames, 3, *size))
    assert packing.is_exact
    packed = [packing.pack(frame) for frame in frames]
    out = np.empty_like(frames)
    packing.unpack([memoryview(one) for one in packed], out)
    assert np.array_equal(out, frames)


def test_blocks_larger_than_what_stays_near_the_core(monkeypatch):
    monkeypatch.setattr(packing_module, "TOGETHER_BYTES", 5 * 3 * 8 * 8)
    packing, frames = make_packing("lossless"), frames_of((13, 3, 8, 8))
    out = np.empty_like(frames)
    packing.unpack([packing.pack(frame) for frame in frames], out)
    assert np.array_equal(out, frames)


def test_a_packed_frame_keeps_nothing_of_the_frames_memory():
    for name in PACKINGS:
        packing, frame = make_packing(name), frames_of((1, 3, 32, 32))[0]
        packed = packing.pack(frame)
        before = bytes(packed)
        frame[:] = 0
        assert bytes(packed) == before


def test_what_is_alike_takes_less():
    frame = np.broadcast_to(np.arange(224, dtype=np.uint8)[:, None], (3, 224, 224)).copy()
    assert len(make_packing("lossless").pack(frame)) < 2000 < frame.nbytes == len(make_packing("raw").pack(frame))


def test_jpeg_is_close_and_better_with_quality():
    rows, columns = np.mgrid[:64, :96]
    frame = np.stack([rows * 3, columns * 2, rows + columns]).astype(np.uint8)
    errors = []
    for quality in (50, 95):
        packing = make_packing("jpeg", quality)
        assert not packing.is_exact
        out = np.empty((1, 3, 64, 96), np.uint8)
        packing.unpack([packing.pack(frame)], out)
        errors.append(np.square(out[0].astype(float) - frame).mean())
    assert errors[1] < errors[0]
    assert 10 * np.log10(255**2 / errors[1]) > 38  # dB


@pytest.mark.parametrize("name", PACKINGS)
def test_what_is_no_such_frame_is_refused(name):
    packing, out = make_packing(name), np.empty((1, 3, 32, 48), np.uint8)
    whole = packing.pack(frames_of((1, 3, 32, 48))[0])
    for wrong in (b"", b"\0", bytes(whole)[:-30], packing.pack(frames_of((1, 3, 48, 40))[0])):
        with pytest.raises(ValueError, match=r"packed|buffer|reshape|element"):
            packing.unpack([wrong], out)
    with pytest.raises(ValueError, match=r"1 frames|shorter|longer"):
        packing.unpack([whole, whole], out)


@pytest.mark.parametrize("name", PACKINGS)
def test_threads_share_a_packing(name):
    packing, frames = pickle.loads(pickle.dumps(make_packing(name))), frames_of((48, 3, 40, 56))
    expected = np.empty_like(frames)
    packing.unpack([packing.pack(frame) for frame in frames], expected)

    def there_and_back(first):
        out = np.empty_like(frames[first : first + 6])
        for _ in range(10):
            packing.unpack([packing.pack(frame) for frame in frames[first : first + 6]], out)
        return np.array_equal(out, expected[first : first + 6])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(0, 48, 6)))


def test_choices_are_checked():
    with pytest.raises(ValueError, match="packing must be one of raw, lossless, jpeg, got 'zip'"):
        make_packing("zip")
    for quality in (0, 101):
        with pytest.raises(ValueError, match=f"quality must be from 1 to 100, got {quality}"):
            make_packing("jpeg", quality)
