"""Ctrl-C: exit 130 at any moment, and never a traceback."""

from __future__ import annotations

# The module below `signal`, whose enumerations would be two hundredths of `--help`.
import _signal as signal  # type: ignore[import-not-found]
import os
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


def ignore_interrupts() -> None:
    """Let the process end: what is left takes no time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def was_interrupted(error: BaseException | None) -> bool:
    """Return True if an interrupt led to this error: Python and libraries turn one that they catch into their own."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
