"""Protobuf messages of a file, by field number: the fields of fields.py, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from resnetgen.wire.access import Ranges
from resnetgen.wire.dtypes import Values
from resnetgen.wire.fields import MAX_VARINT, Field, Truncated, fields

_MAX_FIELDS = 1_000_000
"""Limit of fields read per file; a tensor has about ten, and reading this many takes about four seconds."""
_MAX_TEXT = 64 << 10
"""Limit in bytes of a text; the longest are names."""


class Messages:
    """Fields of a file's messages, up to a limit. All methods raise Truncated for damaged messages."""

    def __init__(self, ranges: Ranges, file: BinaryIO) -> None:
        self.ranges = ranges
        self._file = file
        self._left = _MAX_FIELDS

    def fields(self, start: int, end: int) -> Iterator[Field]:
        for field in fields(self._file, start, end):
            self._left -= 1
            if self._left < 0:
                raise Truncated(f"it has more than {_MAX_FIELDS:,} fields")
            yield field

    def payload(self, field: Field) -> bytes:
        """Return the bytes of a small field."""
        if field.end - field.start > _MAX_TEXT:
            raise Truncated(f"a text of {field.end - field.start:,} bytes at byte {field.start:,}")
        return self.read(field.start, field.end - field.start)

    def text(self, field: Field) -> str:
        try:
            return self.payload(field).decode("utf-8")
        except UnicodeDecodeError:
            raise Truncated(f"the text at byte {field.start:,} is not UTF-8") from None

    def integers(self, field: Field) -> list[int]:
        """Return the numbers of a varint field, or of a packed one."""
        if not field.is_delimited and field.end - field.start == 1:
            return [self.read(field.start, 1)[0]]  # most are small, and numpy takes long for one number
        return [int(value) for value in varints(self.payload(field))]

    def kind(self, field: Field) -> int:
        """Return the wire type."""
        return self.read(field.head, 1)[0] & 7

    def read(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size:  # the file was longer when its fields were found
            raise Truncated(f"the file ends before byte {start + size:,}")
        return data


def varints(data: bytes) -> Values:
    """Decode packed varints to int64. Raises Truncated."""
    octets = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(octets < 0x80)
    if octets.size and octets[-1] >= 0x80:
        raise Truncated("a number does not end")
    first = np.concatenate([[0], last[:-1] + 1]) if last.size else last
    lengths = last - first + 1
    if lengths.max(initial=0) > MAX_VARINT:
        raise Truncated("a number does not end")
    values = np.zeros(last.size, np.uint64)
    for position in range(int(lengths.max(initial=0))):
        has = lengths > position
        septets = octets[first[has] + position] & np.uint8(0x7F)
        values[has] |= septets.astype(np.uint64) << np.uint64(7 * position)
    return values.view(np.int64)
