"""Escaping of text from files and names for printing: it can neither control a terminal nor fill a screen."""

from __future__ import annotations

MAX_SHOWN = 2000
"""Limit in characters of a shown text; a name in a file may have ten million."""


def escape(text: str, limit: int = MAX_SHOWN) -> str:
    r"""Return the text on one line, with an escape for each character that is not printable: \n, \x1b, \u202e.

    Not printable are control, direction and format characters, separators other than the space, and characters that
    Unicode has not assigned. A byte that is not UTF-8, as `surrogateescape` keeps it, becomes \xff. A text of more than
    `limit` characters is cut, and its length is appended.
    """
    cut = text[:limit]
    shown = cut if cut.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in cut)
    return shown if len(text) <= limit else f"{shown}... ({len(text):,} characters)"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: 1 layer, 2 layers."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _escaped(character: str) -> str:
    is_byte = "\udc80" <= character <= "\udcff"
    return f"\\x{ord(character) - 0xDC00:02x}" if is_byte else character.encode("unicode_escape").decode("ascii")
