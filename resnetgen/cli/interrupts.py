"""Ctrl-C: exit 130 at any moment, and never a traceback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = 130
"""Exit code of an interrupted program."""


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """End the process at once if it is interrupted in this block, in which no work has begun."""
    previous = None
    with suppress(ValueError):  # raised outside the main thread, where no signal arrives
        previous = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


def ignore_interrupts() -> None:
    """Ignore interrupts from now on, since the process is about to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def was_interrupted(error: BaseException | None) -> bool:
    """Return True if an interrupt caused this error: some libraries catch it and raise an error of their own."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
