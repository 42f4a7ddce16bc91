"""How values, sizes and long work are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2))


def size(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    steps = min(3, (count.bit_length() - 1) // 10)
    return f"{count / 1024**steps:.1f} {('KiB', 'MiB', 'GiB')[steps - 1]}"


@contextmanager
def progress_bars() -> Iterator[Any]:
    """A bar on a terminal, which is gone when the work is done; silence in a pipe."""
    from resnetgen.job import Quiet

    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Any) -> None:
        self.bars = bars

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        task = self.bars.add_task(what, total=total or None)
        yield lambda done: self.bars.advance(task, done)
        self.bars.remove_task(task)
