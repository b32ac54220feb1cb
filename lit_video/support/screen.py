"""The terminal: what is printed there is printed as it is, whatever users call their files."""

from __future__ import annotations

import io
import sys
from typing import Any

from rich.console import Console


def screen(**options: Any) -> Console:
    """Return a console that takes no `[name]` in a path for markup, and does not fail on a name that is no UTF-8."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(markup=False, **options)
