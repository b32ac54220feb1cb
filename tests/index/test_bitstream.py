"""A packet's first bits, as the codecs' specifications have them."""

import av
import pytest

from lit_video.checks.stamps import write_stamped
from lit_video.index.bitstream import has_wrong_checksum, is_clean_start, is_shown, nal_units, rewritten

ANNEX_B = b"\0\0\0\1"
SPS, IDR, SLICE = bytes([0x67, 1, 2]), bytes([0x65, 9, 9]), bytes([0x41, 9, 9])


def recovery(count_bits):
    """An SEI message of a recovery point, behind one of user data."""
    return bytes([0x06, 5, 3, 7, 7, 7, 6, 1, count_bits, 0x80])


def annex_b(*units):
    return b"".join(ANNEX_B + unit for unit in units)


def in_boxes(*units, width=4):
    return b"".join(len(unit).to_bytes(width, "big") + unit for unit in units)


AVCC = bytes([1, 100, 0, 30, 0xFF, 0xE1])  # lengths of 4 bytes
AVCC_2 = bytes([1, 100, 0, 30, 0xFD, 0xE1])  # lengths of 2 bytes


@pytest.mark.parametrize(
    ("packet", "header", "clean"),
    [
        pytest.param(annex_b(SPS, IDR), None, True, id="IDR"),
        pytest.param(in_boxes(SPS, IDR), AVCC, True, id="IDR in boxes"),
        pytest.param(in_boxes(SPS, IDR, width=2), AVCC_2, True, id="IDR in boxes of short lengths"),
        pytest.param(annex_b(recovery(0b1000_0000), SLICE), None, True, id="recovers at once"),
        pytest.param(annex_b(recovery(0b0100_0000), SLICE), None, False, id="recovers after a while"),
        pytest.param(in_boxes(recovery(0b0001_0100), SLICE), AVCC, False, id="intra refresh in boxes"),
        pytest.param(annex_b(SPS, SLICE), None, False, id="a plain picture that is flagged"),
        pytest.param(b"", None, False, id="empty"),
        pytest.param(in_boxes(IDR)[:5], AVCC, True, id="cut off"),
        pytest.param(b"\xff" * 40, AVCC, False, id="garbage"),
    ],
)
def test_h264_starts(packet, header, clean):
    assert is_clean_start("h264", packet, header) is clean


@pytest.mark.parametrize(
    ("kind", "clean"), [(1, False), (9, False), (16, True), (19, True), (20, True), (21, True), (32, False)]
)
def test_hevc_starts(kind, clean):
    unit = bytes([kind << 1, 1, 5, 5])
    assert is_clean_start("hevc", annex_b(unit), None) is clean


def test_others_are_taken_at_their_word():
    assert is_clean_start("mjpeg", b"\xff\xd8", None)
    assert is_clean_start("av1", b"\x12\0", None)


@pytest.mark.parametrize(("first", "shown"), [(0b0001_0000, True), (0b0001_0001, True), (0b0000_0001, False)])
def test_vp8_shows(first, shown):
    assert is_shown("vp8", bytes([first, 0, 0])) is shown


@pytest.mark.parametrize(
    ("packet", "shown"),
    [
        pytest.param([0b10_00_0_0_1_0, 0], True, id="a keyframe that is shown"),
        pytest.param([0b10_00_0_1_0_0, 0], False, id="a hidden picture"),
        pytest.param([0b10_00_1_000, 0], True, id="shows an earlier picture"),
        pytest.param([0b10_11_0_0_0_1, 0], True, id="profile 3, shown"),
        pytest.param([0b10_11_0_0_1_0, 0], False, id="profile 3, hidden"),
        pytest.param([0b10_00_0_1_0_0, 0, 0b110_00_001], True, id="a superframe, whose last picture is shown"),
    ],
)
def test_vp9_shows(packet, shown):
    assert is_shown("vp9", bytes(packet)) is shown


def test_others_show():
    assert is_shown("h264", b"\0")


@pytest.mark.parametrize(("width", "grows"), [(4, True), (2, True), (1, False)])
def test_a_unit_grows_where_its_length_can_say_so(width, grows):
    """ISO/IEC 14496-15 allows lengths of one, two and four bytes."""
    extradata = bytes([1, *[0] * 20, width - 1, 0])
    slice_ = bytes([1 << 1, 1, *range(1, 201)])
    packet = len(slice_).to_bytes(width, "big") + slice_
    found = rewritten("hevc", packet, extradata, bytes(range(1, 255)))
    (unit,) = nal_units("hevc", found, extradata)
    assert (len(unit) > len(slice_)) == grows
    assert bytes(unit[: len(slice_)]) == slice_


class TestFFV1Checksums:
    """Each slice ends in its size, an error status and a CRC, from version 3 on (RFC 9043)."""

    @pytest.fixture
    def packet(self, tmp_path):
        path = tmp_path / "a.mkv"
        write_stamped(path, 2, codec="ffv1", gop=1, options={"level": "3", "slicecrc": "1", "slices": "4"})
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return bytes(next(container.demux(stream))), stream.codec_context.extradata

    def test_are_right_as_they_were_written(self, packet):
        assert not has_wrong_checksum("ffv1", *packet)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
    def test_one_bit_is_seen(self, packet, share):
        data = bytearray(packet[0])
        data[int(share * len(data))] ^= 1
        assert has_wrong_checksum("ffv1", bytes(data), packet[1])

    def test_a_packet_that_is_cut_short_is_seen(self, packet):
        assert has_wrong_checksum("ffv1", packet[0][:-20], packet[1])

    def test_there_are_none_in_files_without_a_header(self, packet):
        assert not has_wrong_checksum("ffv1", packet[0][:-1], None)
