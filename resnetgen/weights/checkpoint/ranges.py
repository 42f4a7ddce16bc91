"""A file that is read by ranges of its bytes."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.inputs import open_input, read_failure
from resnetgen.weights.checkpoint.dtypes import Order, Values, loaded, stored

_CHUNK = 1 << 20
"""Bytes at a time: what is summed is still in the processor's cache."""

Place = tuple[int, int]
"""Bytes start to end, exclusive, of a file."""


class Ranges:
    """A file of a known size. Its ranges may be read in several threads at once: each read has a handle of its own.

    Raises Failure: exit 5 where there is no file or it cannot be read, exit 4 where it changes while it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_input(path) as file:
            status = os.fstat(file.fileno())
        self.size = status.st_size
        self._version = _version(status)

    def refuse(self, what: str, place: Place | None = None, hint: str = "") -> Failure:
        """The Failure of a file that is not what it should be, to be raised by the caller."""
        where = f" (bytes {place[0]:,} to {place[1]:,})" if place else ""
        return fail(Exit.MODEL, Code.BAD_MODEL, f"{self.path}: {what}{where}", hint=hint)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with _reading(self.path), open_input(self.path) as file:
            if _version(os.fstat(file.fileno())) != self._version:
                raise self._changed()
            yield file

    def bytes(self, start: int, end: int) -> bytes:
        """Bytes start to end; less where the file ends before."""
        with self.open() as file:
            file.seek(start)
            return file.read(max(0, min(end, self.size) - start))

    def array(self, start: int, dtype: str, shape: tuple[int, ...], order: Order = "<") -> Values:
        """The values that begin at byte `start`, which the caller has found to be within the file."""
        values = np.empty(shape, stored(dtype, order))
        self.fill(values, start)
        return loaded(values, dtype)

    def fill(self, values: Values, start: int, check: int = 0) -> int:
        """Read the bytes from `start` on into a contiguous array; returns their CRC-32, continued from `check`."""
        target = values.reshape(-1).view(np.uint8).data
        with self.open() as file:
            file.seek(start)
            for at in range(0, len(target), _CHUNK):
                piece = target[at : at + _CHUNK]
                if file.readinto(piece) != len(piece):  # type: ignore[attr-defined]
                    raise self._changed()
                check = zlib.crc32(piece, check)
        return check

    def sha256(self) -> str:
        digest = sha256()
        with self.open() as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def _changed(self) -> Failure:
        return self.refuse("it changed while it was read")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise read_failure(str(path), error) from None


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns
