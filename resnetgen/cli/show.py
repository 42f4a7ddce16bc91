"""How values, sizes and long work are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any


def print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2))


def size(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    steps = min(3, (count.bit_length() - 1) // 10)
    return f"{count / 1024**steps:.1f} {('KiB', 'MiB', 'GiB')[steps - 1]}"


def table(*columns: str, **options: Any) -> Any:
    """A rich table with these columns; those that begin with > hold numbers."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, **options)
    for name in columns:
        is_number = name.startswith(">")
        justify: Any = "right" if is_number else "left"
        made.add_column(name.lstrip(">"), justify=justify, overflow="fold", no_wrap=is_number)
    return made


def print_table(table: Any, at_least: int = 0) -> None:
    """Without the lines and the spaces that rich puts around a table; `at_least`: characters in a line."""
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    console.width = max(console.width, at_least) if console.is_terminal else 200
    with console.capture() as printed:
        console.print(table)
    print("\n".join(line.rstrip() for line in printed.get().splitlines() if line.strip()))


_PATIENCE = 1.0
"""Seconds of work that need no bar."""


@contextmanager
def progress_bars() -> Iterator[Any]:
    """On a terminal a bar, once the work has taken a second, which is gone when it is done; silence in a pipe."""
    from resnetgen.options import Quiet

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


def say_warnings(lines: Iterable[str]) -> None:
    """To whoever reads the terminal, not to the pipe."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)
