"""What may be handed over, whatever the function."""

import numpy as np
import pytest

from lit_video.bias.validation import correlation, law, lengths_in_frames, real, vector, whole


def test_numbers_of_numpy_are_numbers():
    assert whole("k", np.int32(3)) == 3
    assert type(whole("k", np.int64(3))) is int
    assert real("a", np.float32(0.5)) == 0.5
    assert lengths_in_frames("lengths", np.uint8(3)).tolist() == [3]


def test_ends_are_allowed():
    assert whole("k", 2, low=2, high=2) == 2
    assert real("a", 1, 0, 1) == 1
    assert real("a", np.inf) == np.inf


def test_laws_may_have_been_rounded_to_float32():
    rounded = np.random.default_rng(0).dirichlet(np.ones(100_000)).astype(np.float32)
    assert law("q", rounded).dtype == np.float64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: whole("k", 1.5), r"k must be an integer at least 1, got 1\.5", id="half a frame"),
        pytest.param(lambda: whole("k", 4, 1, 3), r"k must be in \[1, 3\], got 4", id="too many"),
        pytest.param(lambda: whole("k", 0), r"k must be at least 1, got 0", id="none"),
        pytest.param(lambda: real("a", np.nan), r"a must be in \[0, inf\], got nan", id="nan"),
        pytest.param(lambda: real("a", 2, 0, 1), r"a must be in \[0, 1\], got 2", id="too much"),
        pytest.param(lambda: vector("q", 3.0), r"one axis and at least one entry, got shape \(\)", id="no axis"),
        pytest.param(lambda: vector("q", [np.inf]), r"q must be finite, got 1 entries", id="infinite"),
        pytest.param(lambda: lengths_in_frames("lengths", [[1]]), r"got int64 of shape \(1, 1\)", id="two axes"),
        pytest.param(lambda: lengths_in_frames("lengths", 2.5), r"lengths must be integers", id="float"),
        pytest.param(lambda: correlation("R", [1.1]), r"R\[0\] must be 1, .* got 1\.1", id="R of 0"),
        pytest.param(lambda: correlation("R", [1.0], 2), r"at least 2 lags, 0 to 1, got 1", id="R too short"),
    ],
)
def test_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
