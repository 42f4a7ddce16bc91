"""Work that is counted instead of timed: the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class TooMuchWork(BaseException):
    """Raised where a limit is reached. It is no Exception, so that no code under test handles it."""


class Lines:
    """Number of lines that Python has run."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def count_lines(folder: str = "", limit: int | None = None) -> Iterator[Lines]:
    """Count the lines that the block's calls run in this thread: those of files below `folder`, or of all.

    A loop in a function of C is not seen. Raises TooMuchWork in the block at the line after the limit.
    """
    lines = Lines()

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(folder):
            return None
        if event == "line":
            lines.count += 1
            if limit is not None and lines.count > limit:
                raise TooMuchWork(f"more than {limit:,} lines were run")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def lines_run(function: Callable[[], object], folder: str = "") -> int:
    """Return the number of lines below `folder` that a call of the function runs."""
    with count_lines(folder) as lines:
        function()
    return lines.count
