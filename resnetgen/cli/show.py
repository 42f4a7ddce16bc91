"""Display of sizes, tables and progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from threading import Timer
from typing import Any

from resnetgen.cli.output import can_print, print_line
from resnetgen.escape import escape

_MAX_CELL = 400
"""Limit in characters of a table's cell."""


def size(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    steps = min(3, (count.bit_length() - 1) // 10)
    return f"{count / 1024**steps:.1f} {('KiB', 'MiB', 'GiB')[steps - 1]}"


_ASCII_LINES = "    \n    \n -- \n    \n    \n    \n    \n    \n"
"""rich's SIMPLE_HEAD with ASCII characters, for terminals whose encoding has no lines."""


class Table:
    """Rows of texts under named columns; columns whose name begins with > hold numbers, which are never wrapped."""

    def __init__(self, *columns: str, footer: Sequence[str] = ()) -> None:
        self.columns, self.footer = columns, footer
        self.rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        self.rows.append(cells)

    def print(self, at_least: int = 0) -> None:
        """Print the table, at least `at_least` characters wide. Raises Failure (exit 5) if it cannot be written."""
        from rich import box, table
        from rich.console import Console

        lines = box.SIMPLE_HEAD if can_print(str(box.SIMPLE_HEAD)) else box.Box(_ASCII_LINES, ascii=True)
        made = table.Table(box=lines, pad_edge=False, show_footer=bool(self.footer))
        for at, name in enumerate(self.columns):
            is_number = name.startswith(">")
            justify: Any = "right" if is_number else "left"
            head, foot = escape(name.removeprefix(">"), _MAX_CELL), self.footer[at] if self.footer else ""
            made.add_column(head, foot, justify=justify, overflow="fold", no_wrap=is_number)
        for row in self.rows:
            made.add_row(*(escape(cell, _MAX_CELL) for cell in row))
        # Not written to stdout by rich itself, which would end the program if the reader has gone.
        console = Console(file=(text := StringIO()), markup=False, highlight=False, emoji=False)
        console.width = max(console.width, at_least) if sys.stdout.isatty() else 200
        console.print(made)
        # Drops the blank lines and trailing spaces that rich adds.
        for line in text.getvalue().splitlines():
            if line.strip():
                print_line(line.rstrip())


_PATIENCE = 1.0
"""Time in seconds before a bar is shown."""


@contextmanager
def progress_bars() -> Iterator[Any]:
    """Show progress bars on a terminal after a second of work, removed when it is done; show nothing in a pipe.

    Waiting for another process that publishes in the same folder is reported in a pipe, too.
    """
    from resnetgen.build.options import Quiet
    from resnetgen.cli.output import say
    from resnetgen.staging import locks

    locks.tell = say
    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    later = Timer(_PATIENCE, bars.start)
    later.start()
    try:
        yield _Bars(bars)
    finally:
        later.cancel()
        later.join()
        bars.stop()


class _Bars:
    def __init__(self, bars: Any) -> None:
        self.bars = bars

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        task = self.bars.add_task(what, total=total or None)
        yield lambda done: self.bars.advance(task, done)
        self.bars.remove_task(task)
