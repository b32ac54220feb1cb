"""How command lines are read: defaults are shown, and for what is not known the nearest name is."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable
from typing import Any, NoReturn


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that there are."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


class Parser(argparse.ArgumentParser):
    """A parser whose help shows defaults, and which offers the nearest name for one that it does not know.

    Args:
        options: Those of `argparse.ArgumentParser`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, allow_abbrev=False, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> argparse.Namespace:  # pyright: ignore
        """Return what was chosen; end the program with code 2, and a sentence, for what is not known."""
        chosen, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parsers = [self, *self._subparsers_by_name().values()]
            known = [name for parser in parsers for name in parser._option_string_actions]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{nearest(unknown[0].partition('=')[0], known)}")
        return chosen

    def error(self, message: str) -> NoReturn:
        """End the program with code 2 and a sentence."""
        wrong = message.partition("invalid choice: ")[2].split("'")[1:2]
        super().error(message + (nearest(wrong[0], self._subparsers_by_name()) if wrong else ""))

    def _subparsers_by_name(self) -> dict[str, argparse.ArgumentParser]:
        actions = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return {name: parser for action in actions for name, parser in action.choices.items()}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` with the known name most like this one, or nothing.

    >>> nearest("--verfy", ["--verify", "--help"])
    '; did you mean --verify?'
    """
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def positive(text: str) -> int:
    """Return a whole number from 1 on."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number
