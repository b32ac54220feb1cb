"""The upper tail of the chi-square law, which NumPy lacks and which is not worth depending on SciPy for."""

from __future__ import annotations

import math

PRECISION = 1e-14


def chi_square_tail(x: float, degrees: float) -> float:
    """Return the probability that chi² with `degrees` of freedom, a real number above 0, is at least `x`.

    >>> round(chi_square_tail(3.841459, 1), 6)
    0.05
    """
    a, x = degrees / 2, x / 2
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    return 1 - front * _series(a, x) if x < a + 1 else front * _fraction(a, x)


def _series(a: float, x: float) -> float:
    """Return the lower incomplete gamma function over x^a·e^(−x): 1/a + x/(a(a+1)) + ...; quick for x < a + 1."""
    term = total = 1 / a
    while term > total * PRECISION:
        a += 1
        term *= x / a
        total += term
    return total


def _fraction(a: float, x: float) -> float:
    """Return the upper incomplete gamma function over x^a·e^(−x), by Lentz's continued fraction; for x >= a + 1."""
    b = x + 1 - a
    c, d = math.inf, 1 / b
    value, change, i = d, 0.0, 0
    while abs(change - 1) > PRECISION:
        i += 1
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        change = c * d
        value *= change
    return value
