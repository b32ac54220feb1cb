"""What the arguments of this package may be: one check for each kind, one ValueError for each mistake."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Laws that other programs hand over have been rounded to float32 on the way.
SUM_TOLERANCE = 1e-6


def whole(name: str, value: Any, low: int = 1, high: int | None = None) -> int:
    """Return `value` as an int in [low, high], both ends included."""
    allowed = f"at least {low}" if high is None else f"in [{low}, {high}]"
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer {allowed}, got {value!r}") from None
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name} must be {allowed}, got {number}")
    return number


def real(name: str, value: Any, low: float = 0.0, high: float = np.inf) -> float:
    """Return `value` as a float in [low, high], both ends included."""
    number = float(value)
    if not low <= number <= high:  # also false for nan
        raise ValueError(f"{name} must be in [{low:g}, {high:g}], got {number:g}")
    return number


def vector(name: str, values: ArrayLike) -> Floats:
    """Return `values` as a float64 array of one axis, with at least one entry and none of them nan or infinite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must have one axis and at least one entry, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(array))} entries that are not")
    return array


def law(name: str, values: ArrayLike) -> Floats:
    """Return `values` as a probability law: float64 [N], none negative, sum 1."""
    array = vector(name, values)
    if array.min() < 0:
        raise ValueError(f"{name} must not be negative, got a smallest entry of {array.min():g}")
    if abs(array.sum() - 1) > SUM_TOLERANCE:
        raise ValueError(f"{name} must sum to 1, got a sum of {array.sum():.9g}")
    return array


def lengths_in_frames(name: str, values: ArrayLike) -> Integers:
    """Return `values`, one integer or several, as int64 [pieces], each at least 1."""
    array = np.atleast_1d(np.asarray(values))
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be integers, at least one of them, got {array.dtype} of shape {array.shape}")
    if array.min() < 1:
        raise ValueError(f"{name} must be at least 1, got {array.min()}")
    return array.astype(np.int64)


def correlation(name: str, values: ArrayLike, num_lags: int = 1) -> Floats:
    """Return `values` as correlations by lag: float64 [lags], 1 at lag 0, at least `num_lags` of them."""
    array = vector(name, values)
    if abs(array[0] - 1) > SUM_TOLERANCE:
        raise ValueError(f"{name}[0] must be 1, the correlation of a frame with itself, got {array[0]:g}")
    if array.size < num_lags:
        raise ValueError(f"{name} must hold at least {num_lags} lags, 0 to {num_lags - 1}, got {array.size}")
    return array
