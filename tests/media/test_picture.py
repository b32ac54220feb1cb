"""How pictures are to be shown: orientations by the definition of the matrix, and whose colours count."""

import av
import numpy as np
import pytest

from lit_video.media.picture import AS_STORED, Colours, colours_of, orientation

# a, b, c and d of libavutil/display.h: x' = ax + cy, y' = bx + dy, y downwards. All eight without an odd angle.
SIGNS = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
RIGHT_ANGLES = [(p, 0, 0, q) for p, q in SIGNS] + [(0, p, q, 0) for p, q in SIGNS]


def by_definition(picture, matrix):
    """Move each pixel to where the matrix sends it."""
    a, b, c, d = matrix
    y, x = np.indices(picture.shape[:2])
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    moved = np.zeros((to_y.max() + 1, to_x.max() + 1), picture.dtype)
    moved[to_y, to_x] = picture
    return moved


@pytest.mark.parametrize("matrix", RIGHT_ANGLES, ids=str)
@pytest.mark.parametrize("stretched", [1, 3])
def test_mirrors_and_turns_as_the_matrix_does(matrix, stretched):
    picture = np.arange(6).reshape(2, 3)
    a, b, c, d = (65536 * value for value in matrix)
    rotation, mirrored = orientation(np.array([stretched * a, b, 0, stretched * c, d]))
    found = np.rot90(picture[:, ::-1] if mirrored else picture, rotation // 90)
    assert np.array_equal(found, by_definition(picture, matrix))


@pytest.mark.parametrize("mirrored", [1, -1])
def test_other_angles_are_left_alone(mirrored):
    angle = np.radians(37)
    turn = np.array([mirrored * np.cos(angle), -mirrored * np.sin(angle), 0, np.sin(angle), np.cos(angle)]) * 65536
    assert orientation(turn) == (0, False)


def picture(matrix, color_range, transfer=2):
    made = av.VideoFrame(16, 16, "yuv420p")
    made.colorspace, made.color_range, made.color_trc = matrix, color_range, transfer
    return made


BOTH = Colours(1, 2, 16)


@pytest.mark.parametrize(
    ("codec", "own", "container", "expected"),
    [
        pytest.param("h264", (2, 0), BOTH, (1, 2), id="nothing of its own"),
        pytest.param("h264", (5, 1), BOTH, (5, 1), id="all of its own"),
        pytest.param("h264", (2, 1), BOTH, (1, 1), id="its own range"),
        pytest.param("h264", (9, 0), BOTH, (9, 2), id="its own matrix"),
        pytest.param("hevc", (2, 1), BOTH, (1, 2), id="HEVC says limited where its stream says nothing"),
        pytest.param("hevc", (9, 1), BOTH, (9, 1), id="HEVC that says limited"),
        pytest.param("hevc", (2, 2), Colours(1, 1), (1, 2), id="HEVC that says full"),
        pytest.param("vp9", (2, 1), BOTH, (1, 2), id="VP9 says limited where its stream says nothing"),
        pytest.param("vp9", (5, 1), BOTH, (5, 1), id="VP9 that says"),
        pytest.param("vp8", (5, 1), BOTH, (1, 2), id="VP8 cannot say"),
        pytest.param("vp8", (5, 1), Colours(1, 0), (1, 1), id="VP8, matrix only"),
        pytest.param("vp8", (5, 1), Colours(), (5, 1), id="VP8, nobody says"),
        pytest.param("h264", (2, 0), Colours(), (2, 0), id="nobody says"),
    ],
)
def test_whose_colours_count(codec, own, container, expected):
    found = colours_of(picture(*own), codec, container)
    assert (found.matrix, found.range) == expected
    assert found.transfer == container.transfer


def test_transfer_of_its_own():
    assert colours_of(picture(9, 1, 18), "hevc", BOTH).transfer == 18
    assert colours_of(picture(9, 1, 18), "hevc", AS_STORED.colours).transfer == 18
