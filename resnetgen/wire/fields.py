"""Protobuf's wire format, as far as a stream of weights needs it.

The head of a field is written and read apart from its payload, so that only one tensor is in memory at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_CHUNK = 1 << 20
MAX_VARINT = 10
"""Limit in bytes of a number."""
_MAX_HEAD = 2 * MAX_VARINT
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


class Truncated(ValueError):
    """The bytes end inside a field, or are not a protobuf message."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number: int, length: int) -> bytes:
    """Return the head of a length-delimited field; `length` bytes must follow it."""
    return varint(number << 3 | _DELIMITED) + varint(length)


class Field(NamedTuple):
    """A field of a message in a file: the offset of its head, and the range of its payload."""

    number: int
    head: int
    start: int
    end: int
    is_delimited: bool


def fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message at bytes start to end, without reading payloads. Raises Truncated."""
    at = start
    while at < end:
        file.seek(at)
        head = file.read(min(_MAX_HEAD, end - at))
        key, size = _varint_at(head, 0)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            length = _varint_at(head, size)[1] - size
        elif kind == _FIXED64:
            length = 8
        elif kind == _FIXED32:
            length = 4
        elif kind == _DELIMITED:
            length, size = _varint_at(head, size)
        else:
            raise Truncated(f"wire type {kind} at byte {at}")
        payload = at + size
        if number == 0 or payload + length > end:
            raise Truncated(f"the field at byte {at} ends beyond its message")
        yield Field(number, at, payload, payload + length, kind == _DELIMITED)
        at = payload + length


def field_bytes(file: BinaryIO, field: Field) -> bytes:
    """Return the bytes of a field with its head: a message with this field alone."""
    file.seek(field.head)
    return file.read(field.end - field.head)


def range_checksum(file: BinaryIO, start: int, end: int) -> int:
    """Return the CRC-32 of bytes start to end, read in pieces. Raises Truncated if the file ends before."""
    check = 0
    file.seek(start)
    while left := end - file.tell():
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise Truncated(f"the file ends before byte {end}")
        check = zlib.crc32(chunk, check)
    return check


def _varint_at(data: bytes, start: int) -> tuple[int, int]:
    """Return the varint at `start`, and the offset after it. Raises Truncated."""
    value = 0
    for position, byte in enumerate(data[start : start + MAX_VARINT]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, start + position + 1
    raise Truncated("a number does not end")
