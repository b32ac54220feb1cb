"""A decoder says what it reads, and files of other codecs are refused before anything is decoded."""

from functools import partial

import pytest
import torch

from lit_video.decoders.base import check_codecs
from lit_video.decoders.pyav import PyAVDecoder
from lit_video.index.population import Population
from lit_video.loading.loader import VideoLoader
from lit_video.samplers.uniform import UniformSampler
from lit_video.support.errors import DataError
from lit_video.testing import check_decoder
from tests.fakes import index_of


class OnlyHevc(PyAVDecoder):
    codecs = frozenset({"hevc"})


class Knowing(PyAVDecoder):
    @property
    def codecs(self):
        return frozenset({"hevc", "vp9"})


class Anything(PyAVDecoder):
    codecs = None


def some_hevc(lengths):
    """Videos of which the last is HEVC."""
    index = index_of(lengths, 10)
    index.columns.codec[-1] = len(index.names)
    object.__setattr__(index, "names", (*index.names, "hevc"))
    return index


@pytest.mark.parametrize("make", [OnlyHevc, partial(OnlyHevc, fit="squash"), partial(partial(OnlyHevc, fit="squash"))])
def test_refused_when_the_loader_is_made(make):
    index = some_hevc([20] * 8)
    with pytest.raises(DataError) as told:
        VideoLoader(index, UniformSampler(index), make, size=16, batch_size=4)
    listed = ", ".join(f"/nowhere/{number}.mp4 (h264)" for number in range(5))
    assert str(told.value) == (
        f"OnlyHevc decodes hevc, which 7 of 8 videos are not: {listed} and 2 more.\n"
        "Use decoder=pyav, which decodes everything that FFmpeg does, or leave them out"
    )


def test_what_only_a_decoder_knows_is_refused_before_it_decodes():
    index = index_of([20], 10)
    loader = VideoLoader(index, UniformSampler(index), Knowing, size=16, batch_size=4, threads=1)
    with pytest.raises(DataError, match=r"Knowing decodes hevc, vp9, which 1 of 1 videos are not: /nowhere/0.mp4"):
        next(iter(loader))
    loader.close()


def test_files_that_are_left_out_are_not_asked_about():
    index = some_hevc([20, 20])
    check_codecs(OnlyHevc, Population(index, videos=[1]))
    with pytest.raises(DataError, match="1 of 2"):
        check_codecs(OnlyHevc, index)


@pytest.mark.parametrize("make", [PyAVDecoder, Anything, lambda index, size: PyAVDecoder(index, size)])
def test_who_says_nothing_reads_anything(make):
    index = index_of([20], 10)
    VideoLoader(index, UniformSampler(index), make, size=16, batch_size=4)


class TestCheckDecoder:
    def test_tries_what_is_declared(self):
        read = []

        class Noting(OnlyHevc):
            def decode(self, read_, out):
                read.append(read_.video_id)
                super().decode(read_, out)

        check_decoder(Noting, codecs=["libx264", "libx265"])
        assert set(read) == {2, 3, 0}  # those of libx265, and the one that is gone, alone in an index of its own
        assert read.count(0) == 1

    def test_says_so_where_nothing_of_it_is_tried(self):
        with pytest.raises(AssertionError, match=r"declares hevc, and is to be tried with one, not \['h264'\]"):
            check_decoder(OnlyHevc)

    def test_refuses_what_is_no_set(self):
        class Listed(PyAVDecoder):
            codecs = ("h264",)

        with pytest.raises(AssertionError, match="codecs are a frozenset"):
            check_decoder(Listed)


def test_torchcodec_on_a_gpu_reads_what_nvdec_does():
    from lit_video.decoders.torchcodec import TorchCodecDecoder

    decoder = TorchCodecDecoder.__new__(TorchCodecDecoder)
    for device, reads_all in (("cpu", True), ("cuda", False)):
        decoder.device = torch.device(device)
        assert (decoder.codecs is None) == reads_all
    assert {"h264", "hevc", "av1"} <= decoder.codecs
    assert "prores" not in decoder.codecs
