"""What written reports share: numbers, lists and sentences in Markdown, and files that are whole or not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def number(value: float | None) -> str:
    """Return a number as reports write it: three digits, or all of a large one.

    >>> number(0.12345), number(48.712), number(2431.4), number(None)
    ('0.123', '48.7', '2431', '–')
    """
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bullets(sentences: Iterable[str]) -> str:
    """Return sentences as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def paragraph(text: str) -> str:
    """Return `text` on one line."""
    return " ".join(text.split())


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def write_whole(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files into a folder, each whole or not at all, in their order: where the last one is, all are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        part = folder / f"{name}.part"
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(folder / name)
