"""What samplers and decoders promise, tried: the machinery of `lit_video.testing`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from lit_video.checks.simulated_variance import check_variance
from lit_video.checks.stamps import read_stamp, write_stamped
from lit_video.checks.trial_run import check_run
from lit_video.decoders.base import Decoder
from lit_video.index import Samples, VideoIndex
from lit_video.planning.planner import GopRead
from lit_video.samplers.base import Sampler
from lit_video.samplers.laws import objective_of
from lit_video.support.errors import DecodeError
from lit_video.support.rng import rng

EPOCHS = 400  # that are looked at
LEAST_FRAMES = 60  # from which on laws of variance are close


def check_sampler(sampler: Sampler, index: Samples) -> None:
    """Check what every sampler promises (`lit_video.samplers.base`): its orders, that its laws are theirs, and a run.

    Args:
        sampler: One that was made for `index`.
        index: Small: orders are looked at whole, several hundred of them. Variances are looked at where at least 60
            samples are drawn. Its files need not exist: in the run, nothing is decoded.

    Raises:
        AssertionError: A promise is broken; the message says which.
    """
    n = index.num_samples
    _check_order(sampler, n)
    _check_law(sampler, n)
    _check_variance(sampler, n)
    orders = np.array([sampler.order(epoch)[0 : len(sampler.order(epoch))] for epoch in range(EPOCHS)])
    _check_slots(sampler, n, orders)
    is_random = not np.array_equal(orders[0], orders[1])
    if np.count_nonzero(sampler.inclusion_probability()) >= LEAST_FRAMES and is_random:
        check_variance(sampler, index, orders)
    check_run(sampler, index)


def _check_order(sampler: Sampler, n: int) -> None:
    order = sampler.order(0)
    whole = np.asarray(order[0 : len(order)])
    assert whole.dtype == np.int64, f"order must give int64 frame ids, got {whole.dtype}"
    assert len(whole) == len(order) > 0, "an order gives as many frame ids as it is long, at least one"
    assert whole.min() >= 0, "frame ids begin at 0"
    assert whole.max() < n, f"frame ids end below {n}, got {whole.max()}"
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    assert np.array_equal(whole, sampler.order(0)[0 : len(order)]), "an order is a function of its epoch alone"
    assert np.array_equal(before, np.random.get_state()[1]), "the global generator must not be used"  # type: ignore[index]
    for begin, end in ((0, 1), (1, len(order)), (len(order) // 3, 2 * len(order) // 3), (len(order), len(order))):
        assert np.array_equal(whole[begin:end], order[begin:end]), f"positions [{begin}, {end}) differ from the whole"
    if sampler.epoch_complete:
        assert np.array_equal(np.sort(whole), np.arange(n)), "an epoch that is complete has each frame exactly once"
    if sampler.exact_uniform and n > 5:
        other = np.asarray(sampler.order(1)[0 : len(order)])
        assert not np.array_equal(whole, other), "another epoch has another order"


def _check_law(sampler: Sampler, n: int) -> None:
    q = sampler.inclusion_probability()
    assert q.shape == (n,), f"one probability for each of {n} frames, got {q.shape}"
    assert q.min() >= 0, "probabilities are not negative"
    assert abs(q.sum() - 1) < 1e-9, f"probabilities sum to 1, got {q.sum()}"
    inclusion = sampler.epoch_inclusion()
    assert np.allclose(inclusion, q * len(sampler.order(0))), "an epoch includes a frame q times its length"
    objective = objective_of(sampler, n)
    assert objective.shape == (n,), f"an objective for each of {n} frames, got {objective.shape}"
    assert objective.min() >= 0, "an objective is a law: not negative"
    assert abs(objective.sum() - 1) < 1e-9, f"an objective is a law: it sums to 1, got {objective.sum()}"
    _check_never(sampler, np.flatnonzero((q == 0) & (objective > 0)), n)
    _check_weights(sampler, q, objective)


def _check_never(sampler: Sampler, never: Int64[np.ndarray, " never"], n: int) -> None:
    """Refuse a sampler that never draws what its loss is to be a mean over: a run would die, or be biased."""
    if not len(never):
        return
    told = "it gives weights all the same, which cannot be right"
    try:
        sampler.weights(np.arange(n))
    except ValueError as error:
        told = f"its weights raise ValueError, and so a run dies at its first batch: {error}"
    raise AssertionError(
        f"{len(never)} of {n} frames are never drawn, the first of them {never[0]}; {told}\nLeave frames out before the"
        " sampler, by a Population, or derive from PermutedSampler or another class with an objective of its own"
    )


def _check_weights(
    sampler: Sampler, q: Float64[np.ndarray, " frames"], objective: Float64[np.ndarray, " frames"]
) -> None:
    drawn = np.flatnonzero(q)
    weights = sampler.weights(drawn)
    assert weights is not None, "weights of given frames are numbers"
    assert weights.shape == drawn.shape, f"one weight for each frame id, got {weights.shape}"
    assert np.allclose(weights * q[drawn], objective[drawn]), "weights are 1 / (N q), or p / q for an objective p"
    few = drawn[:: max(1, len(drawn) // 3)][::-1]
    again = sampler.weights(few)
    assert again is not None, "weights of given frames are numbers"
    assert np.array_equal(again, weights[np.searchsorted(drawn, few)]), "weights are of the frames given"
    if sampler.exact_uniform:
        assert np.allclose(q, 1 / len(q)), "where slots are uniform every probability is 1/N"
        assert sampler.weights() is None, "where slots are uniform no weights are needed"


def _check_variance(sampler: Sampler, n: int) -> None:
    R = 0.1 + 0.5 * 0.9 ** np.arange(4 * n + 200.0)
    R[0] = 1
    correlation = sampler.slot_correlation(R, 20)
    assert correlation.shape == (21,), f"a correlation for each distance from 0 to 20, got {correlation.shape}"
    assert correlation[0] == 1, "a slot is the same as itself"
    assert np.abs(correlation).max() <= 1 + 1e-9, "correlations lie in [-1, 1]"
    for horizon in ("batch", "momentum", "long", 7):
        found = sampler.design_effect(R, 4, horizon)
        assert np.isfinite(found), f"the design effect over horizon {horizon!r} is a number, got {found}"
    assert abs(sampler.design_effect(R, 1, "batch") - sampler.design_effect(R, 1, 1)) < 1e-9, "a batch is its slots"


def _check_slots(sampler: Sampler, n: int, orders: Int64[np.ndarray, "epochs positions"]) -> None:
    """Compare what many epochs show in some slots, and in one drawn for each epoch, with the laws that are stated."""
    length = orders.shape[1]
    draw = rng(0, "check_sampler")
    for slot in sorted({0, length // 2, length - 1, *draw.integers(length, size=3).tolist()}):
        law = sampler.slot_law(slot)
        if law is not None:
            assert abs(law.sum() - 1) < 1e-9, f"the law of slot {slot} sums to 1, got {law.sum()}"
            _check_counts(f"slot {slot}", orders[:, slot], law)
    drawn = orders[np.arange(len(orders)), draw.integers(length, size=len(orders))]
    _check_counts("a slot drawn at random", drawn, sampler.inclusion_probability())


def _check_counts(what: str, found: Int64[np.ndarray, " epochs"], law: Float64[np.ndarray, " frames"]) -> None:
    n = len(law)
    bins = min(n, 20)
    binned = np.bincount(found * bins // n, minlength=bins)
    expected = len(found) * np.bincount(np.arange(n) * bins // n, law, minlength=bins)
    assert (binned[expected == 0] == 0).all(), f"{what} shows frames that its law excludes"
    some = expected > 0
    distance = ((binned[some] - expected[some]) ** 2 / expected[some]).sum()
    # At most 19 degrees of freedom: exceeded once in a million.
    assert distance < 65, f"{what} does not follow its law: chi-square {distance:.0f} of {some.sum()} bins"


def check_decoder(
    make_decoder: Callable[[VideoIndex, tuple[int, int]], Decoder], codecs: Sequence[str] = ("libx264",)
) -> None:
    """Check what every decoder promises (`lit_video.decoders.base`), on videos that say in every picture which it is.

    Args:
        make_decoder: The factory.
        codecs: FFmpeg's names of encoders; the decoder must be able to read each, but for what its own `codecs` leave
            out.

    Raises:
        AssertionError: A promise is broken; the message says which.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, codec in enumerate(codecs):
            for video_id, b_frames in ((2 * number, 0), (2 * number + 1, 2)):
                path = folder / f"{video_id:03}.mp4"
                write_stamped(path, 40, video_id, codec, gop=10, b_frames=b_frames, size=(192, 256))
        index = VideoIndex.scan(folder, folder / "index", progress=False)
        decoder = make_decoder(index, (64, 96))
        readable = _readable(decoder, index)
        try:
            for video_id in readable:
                _check_video(decoder, index, video_id)
            _check_damage(make_decoder, folder, codecs[readable[0] // 2])
        finally:
            decoder.close()
        _check_video(decoder, index, readable[0])  # a closed decoder opens files again
        decoder.close()


def _readable(decoder: Decoder, index: VideoIndex) -> list[int]:
    """Return the videos whose codecs a decoder declares, and hold what it declares to what it may be."""
    declared = getattr(decoder, "codecs", None)
    if declared is None:
        return list(range(index.num_videos))
    assert isinstance(declared, frozenset), f"codecs are a frozenset of FFmpeg's names, or None, got {declared!r}"
    readable = [video_id for video_id in range(index.num_videos) if index.codec(video_id) in declared]
    found = sorted({index.codec(video_id) for video_id in range(index.num_videos)})
    assert readable, f"the decoder declares {', '.join(sorted(declared))}, and is to be tried with one, not {found}"
    return readable


# Wanted frames within one GOP of 10, and the GOP: alone, at both ends, in the middle, all, and again from further back.
READS = ((0, (0,)), (3, (9,)), (1, (3, 4, 7)), (0, (0, 9)), (2, tuple(range(10))), (2, (9,)), (2, (1,)), (1, (8,)))


def _check_video(decoder: Decoder, index: VideoIndex, video_id: int) -> None:
    first = int(index.offset[video_id])
    for gop, wanted in READS:
        frames = tuple(10 * gop + frame for frame in wanted)
        start = int(index.start_of(np.array([first + frames[0]]))[0])
        assert start == 10 * gop, f"{index.path(video_id)}: keyframe expected at {10 * gop}, the index says {start}"
        out = torch.zeros((len(frames), 3, 64, 96), dtype=torch.uint8, device=decoder.device)
        read = GopRead(video_id, start, frames, tuple((place,) for place in range(len(frames))))
        decoder.decode(read, list(out))
        for frame, image in zip(frames, out, strict=True):
            found = read_stamp(image)
            assert found == (video_id, frame), f"asked for video and frame {(video_id, frame)}, got {found}"
        if not out.is_cuda:
            one_by_one = OneByOne(torch.zeros_like(out))
            decoder.decode(read, one_by_one)
            same = torch.equal(one_by_one.finish(), out)
            assert same, "a tensor of `out` is taken when its frame is there, and written before the next is taken"


class OneByOne:
    """Gives a decoder the same memory for each frame, and keeps what it wrote when it takes the next one.

    Args:
        out: Where frames are kept, `[n, 3, height, width]`.
    """

    def __init__(self, out: UInt8[Tensor, "n 3 height width"]) -> None:
        self._out, self._memory = out, torch.zeros_like(out[0])
        self._taken, self._place = set[int](), -1

    def __len__(self) -> int:
        return len(self._out)

    def __getitem__(self, place: int) -> UInt8[Tensor, "3 height width"]:
        if place >= len(self._out):
            raise IndexError(place)
        self.finish()
        assert place not in self._taken, f"a tensor of `out` is taken once, and that of place {place} was taken again"
        self._taken.add(place)
        self._place = place
        return self._memory

    def finish(self) -> UInt8[Tensor, "n 3 height width"]:
        """Keep what was written last, and return all frames."""
        if self._place >= 0:
            self._out[self._place].copy_(self._memory)
            self._memory.zero_()
            self._place = -1
        return self._out


def _check_damage(make_decoder: Callable[[VideoIndex, tuple[int, int]], Decoder], folder: Path, codec: str) -> None:
    path = write_stamped(folder / "gone.mp4", 20, codec=codec, size=(192, 256))
    index = VideoIndex.scan(path, folder / "index-gone", progress=False)
    path.unlink()
    decoder = make_decoder(index, (64, 96))
    out = torch.zeros((1, 3, 64, 96), dtype=torch.uint8, device=decoder.device)
    try:
        decoder.decode(GopRead(0, 0, (0,), ((0,),)), list(out))
        told = ""
    except DecodeError as error:
        told = str(error)
    finally:
        decoder.close()
    assert str(path) in told, f"a file that is gone must raise DecodeError, which names it; told: {told!r}"
