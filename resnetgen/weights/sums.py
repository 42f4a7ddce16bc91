"""Checksums of ranges of a file, computed in threads while the rest of the file is read."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from resnetgen.wire.fields import range_checksum

_SMALL = 1 << 16
"""Bytes below which another thread costs more than it saves."""

Sum = Callable[[], int]
"""Function that returns the checksum; raises Truncated if the file ends too early, OSError if it cannot be read."""


class Sums:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, path: Path, start: int, end: int) -> Sum:
        """Start computing the CRC-32 of bytes start to end."""
        if end - start < _SMALL:
            check = _checksum(path, start, end)
            return lambda: check
        return self._pool.submit(_checksum, path, start, end).result


def _checksum(path: Path, start: int, end: int) -> int:
    with path.open("rb", buffering=0) as file:
        return range_checksum(file, start, end)
