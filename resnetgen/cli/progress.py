"""Progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

_DELAY = 1.0
"""Time in seconds before a bar is shown."""


@contextmanager
def progress_bars() -> Iterator[Any]:
    """Show progress bars on a terminal after a second of work, and remove them when it is done.

    In a pipe there are no bars, but waiting for another process that publishes in the same folder is reported. With
    --quiet nothing is shown.
    """
    from resnetgen.cli.output import is_quiet, print_error
    from resnetgen.progress import Quiet
    from resnetgen.staging import locks

    if is_quiet():
        yield Quiet()
        return
    locks.tell = print_error
    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    later = Timer(_DELAY, bars.start)
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
    def task(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        task = self.bars.add_task(description, total=total or None)
        yield lambda done: self.bars.advance(task, done)
        self.bars.remove_task(task)
