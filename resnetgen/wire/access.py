"""Random access to the bytes of a file."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np

from resnetgen.errors import Code, Failure, ModelError
from resnetgen.inputs import open_input, read_failure
from resnetgen.wire.dtypes import Values, loaded, stored

_CHUNK = 1 << 20
"""Bytes read at a time, few enough to be still in the processor's cache when they are summed."""

Place = tuple[int, int]
"""Start and end (exclusive) of a range of bytes of a file."""


class Ranges:
    """A file of known size. Several threads may read it at once: each read opens the file anew.

    Raises Failure: exit 5 if the file is missing or cannot be read, exit 4 if it changes while it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_input(path) as file:
            status = os.fstat(file.fileno())
        self.size = status.st_size
        self._version = _version(status)

    def refuse(self, what: str, place: Place | None = None, hint: str = "") -> Failure:
        """Return the ModelError of an invalid file; the caller raises it."""
        where = f" (bytes {place[0]:,} to {place[1]:,})" if place else ""
        return ModelError.of(Code.BAD_MODEL, f"{self.path}: {what}{where}", hint=hint)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with _reading(self.path), open_input(self.path) as file:
            if _version(os.fstat(file.fileno())) != self._version:
                raise self._changed()
            yield file

    def bytes(self, start: int, end: int) -> bytes:
        """Return bytes start to end; fewer if the file ends before."""
        with self.open() as file:
            file.seek(start)
            return file.read(max(0, min(end, self.size) - start))

    def array(self, start: int, dtype: str, shape: tuple[int, ...]) -> Values:
        """Return the values that begin at byte `start`. The caller has checked that they are within the file."""
        values = np.empty(shape, stored(dtype))
        self.fill(values, start)
        return loaded(values, dtype)

    def fill(self, values: Values, start: int, check: int = 0) -> int:
        """Fill a contiguous array with the bytes from `start` on; return their CRC-32, continued from `check`."""
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
