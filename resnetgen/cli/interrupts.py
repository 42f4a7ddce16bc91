"""Ctrl-C: exit 130 at any moment, and never a traceback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = 130
"""The exit code."""


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """End the process at once if it is interrupted in this block, in which nothing has been begun yet."""
    usual = None
    with suppress(ValueError):  # raised in another thread than the main one, which no signal reaches
        usual = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        if usual is not None:
            signal.signal(signal.SIGINT, usual)


def was_interrupted(error: BaseException | None) -> bool:
    """Return True if an interrupt led to this error: Python and libraries turn one that they catch into their own."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
