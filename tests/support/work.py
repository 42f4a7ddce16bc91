"""Work that is counted instead of timed: the same on every machine, however busy it is."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf, prod
from types import FrameType
from typing import Any

import numpy as np
import pytest

from resnetgen.wire import access

PATIENCE = 600
"""Seconds after which a process is taken for one that hangs: so long that no outcome depends on them."""


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

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(folder) else None

    def line(frame: FrameType, event: str, arg: Any) -> None:  # a result of None keeps it for the frame's next line
        if event == "line":
            lines.count += 1
            if lines.count > most:
                raise TooMuchWork(f"more than {most:,} lines were run")

    most = inf if limit is None else limit
    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield lines
    finally:
        sys.settrace(before)


def lines_run(function: Callable[[], object], folder: str = "") -> int:
    """Return the number of lines below `folder` that a call of the function runs."""
    with count_lines(folder) as lines:
        function()
    return lines.count


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for what another process brings about, however long it takes to run."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.01)


# Memory


class CountedFile(io.BufferedReader):
    """A file that counts the bytes for which memory is taken when it is read."""

    def __init__(self, file: io.BufferedReader, count: Callable[[int], None]) -> None:
        super().__init__(file.detach())
        self._count = count

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size >= 0:
            self._count(size)
            return super().read(size)
        data = super().read()
        self._count(len(data))
        return data


class Asked:
    """Bytes that were asked for."""

    def __init__(self, limit: int | None = None) -> None:
        self.total, self.largest, self.limit = 0, 0, limit

    def __call__(self, size: int) -> None:
        self.total += size
        self.largest = max(self.largest, size)
        if self.limit is not None and self.total > self.limit:
            raise TooMuchWork(f"{self.total:,} bytes were asked for, more than {self.limit:,}")


@contextmanager
def count_bytes(limit: int | None = None) -> Iterator[Asked]:
    """Count the bytes that the block asks for, also those that it soon gives back: of numpy, and to read files.

    Raises TooMuchWork in the block where they are more than the limit, before the memory is taken.
    """
    asked = Asked(limit)

    def counted(make: Callable[..., Any]) -> Callable[..., Any]:
        def call(shape: Any, dtype: Any = float, *more: Any, **options: Any) -> Any:
            asked(prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize)
            return make(shape, dtype, *more, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        opened = access.open_input
        patch.setattr(access, "open_input", lambda path: CountedFile(opened(path), asked))
        for name in ("empty", "zeros"):
            patch.setattr(np, name, counted(getattr(np, name)))
        yield asked
