"""Progress of long work, as its receiver sees it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

Advance: TypeAlias = Callable[[int], None]
"""Function that is called with the size of each part that is done."""


class Progress(Protocol):
    def task(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """Begin a task of `total` parts, 0 if their number is unknown."""
        ...


class Quiet:
    """Receiver that shows nothing."""

    def task(self, what: str, total: int) -> AbstractContextManager[Advance]:
        return nullcontext(lambda _: None)
