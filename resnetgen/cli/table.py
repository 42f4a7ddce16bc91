"""Tables and long lines, laid out for the width of the terminal.

Own code instead of rich: importing rich and laying out the 128 rows of `resnetgen list` takes 440 million instructions,
one and a half times as many as all the rest of that command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from resnetgen.cli.output import can_print, print_line
from resnetgen.escape import escape

_MIN_TEXT = 20
"""Width in characters down to which a column of texts may be wrapped."""
_GAP = "  "


def terminal_width() -> int | None:
    """Return the characters in a line: COLUMNS, else the width of the terminal; None in a pipe or a file."""
    with suppress(ValueError):
        if (columns := int(os.environ.get("COLUMNS", ""))) > 0:
            return columns
    with suppress(OSError, ValueError):  # raised if stdout is no terminal
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    return None


def print_wrapped(text: str) -> None:
    """Print lines; one that is wider than the terminal is broken between words, and continued four spaces deeper.

    Raises Failure (exit 5) if they cannot be written.
    """
    width = terminal_width()
    for line in text.split("\n"):
        words = escape(line).lstrip(" ")
        indent = " " * (len(line) - len(line.lstrip(" ")))
        if width is None or _width(indent + words) <= width:
            print_line(indent + words)
            continue
        deeper = f"{indent}    "
        first, *rest = _wrap(words, max(width - len(deeper), _MIN_TEXT))
        for start, piece in ((indent, first), *((deeper, piece) for piece in rest)):
            print_line((start + piece).rstrip())


class Table:
    """Rows of texts under named columns.

    A column whose name begins with > has numbers, which are aligned to the right and never wrapped or cut. If the
    terminal is too narrow, texts are wrapped, down to 20 characters. If that is not enough, columns are left out, in
    the order of `optional`, and a line below the table names them.
    """

    def __init__(self, *columns: str, optional: Sequence[str] = (), footer: Sequence[str] = ()) -> None:
        self.names = [name.removeprefix(">") for name in columns]
        self.numeric = [name.startswith(">") for name in columns]
        self.optional, self.footer = optional, footer
        self.rows: list[Sequence[str]] = []

    def add_row(self, *cells: str) -> None:
        self.rows.append(cells)

    def print(self) -> None:
        """Print the table. Raises Failure (exit 5) if it cannot be written."""
        rows = [[escape(cell) for cell in row] for row in (self.names, *self.rows, *filter(None, [self.footer]))]
        widths = {at: max(map(_width, column)) for at, column in enumerate(zip(*rows, strict=True))}
        limit = terminal_width()
        dropped = self._fit(widths, limit) if limit else []
        print_line(self._line(rows[0], widths))
        rule = "─" if can_print("─") else "-"
        print_line(rule * _total(widths.values()))
        for row in rows[1:]:
            for line in self._lines(row, widths):
                print_line(line)
        if dropped:
            print_wrapped(f"left out at {limit} columns: {', '.join(dropped)}")

    def _fit(self, widths: dict[int, int], limit: int) -> list[str]:
        """Remove columns until the others can fit, narrow those of texts to `limit` in all, and return the removed."""
        dropped = []
        for name in self.optional:
            if _total(self._least(at, width) for at, width in widths.items()) <= limit:
                break
            del widths[self.names.index(name)]
            dropped.append(name)
        while _total(widths.values()) > limit:
            spare = {at: width - self._least(at, width) for at, width in widths.items()}
            widest = max(widths, key=lambda at: (spare[at] > 0, widths[at]))
            if not spare[widest]:
                break
            widths[widest] -= 1
        return dropped

    def _least(self, column: int, width: int) -> int:
        return width if self.numeric[column] else min(width, _MIN_TEXT)

    def _lines(self, row: Sequence[str], widths: dict[int, int]) -> Iterator[str]:
        """Yield the lines of a row: as many as its longest text takes."""
        cells = {at: [row[at]] if self.numeric[at] else _wrap(row[at], width) for at, width in widths.items()}
        for number in range(max(map(len, cells.values()))):
            yield self._line({at: cell[number] if number < len(cell) else "" for at, cell in cells.items()}, widths)

    def _line(self, cells: Sequence[str] | dict[int, str], widths: dict[int, int]) -> str:
        padded = []
        for at, width in widths.items():
            space = " " * (width - _width(cells[at]))
            padded.append(space + cells[at] if self.numeric[at] else cells[at] + space)
        return _GAP.join(padded).rstrip()


def _total(widths: Iterable[int]) -> int:
    return sum(width + len(_GAP) for width in widths) - len(_GAP)


def _width(text: str) -> int:
    """Return the number of a terminal's cells that a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _wrap(text: str, width: int) -> list[str]:
    """Return the lines of a text, broken between words; a word that is wider than `width` is broken, too."""
    if _width(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(" "):
        for piece in _pieces(word, width):
            joined = f"{lines[-1]} {piece}".lstrip()
            if _width(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines


def _pieces(word: str, width: int) -> Iterator[str]:
    """Yield the parts of a word that take at most `width` cells, of which all but the last are as wide as possible."""
    piece = ""
    for character in word:
        if _width(piece + character) > width:
            yield piece
            piece = ""
        piece += character
    yield piece
