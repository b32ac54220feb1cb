"""Numbers, lists and tables as the report writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def number(value: float | None) -> str:
    """Return a number as the report writes it: three digits, or all of a large one.

    >>> number(0.12345), number(48.712), number(2431.4), number(None)
    ('0.123', '48.7', '2431', '–')
    """
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table, the first column to the left and the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def paragraph(text: str) -> str:
    """Return `text` on one line."""
    return " ".join(text.split())


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
