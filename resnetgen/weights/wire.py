"""Protobuf's wire format, as far as a stream of weights needs it: a message may be written as fragments that are each
valid messages, and a reader merges them. So a model is its skeleton followed by one fragment a tensor, and neither
writing nor reading holds more than one tensor.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_CHUNK = 1 << 20
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


class Truncated(ValueError):
    """The bytes end inside a field, or are no protobuf message."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number: int, length: int) -> bytes:
    """The head of a length-delimited field; `length` bytes must follow it."""
    return varint(number << 3 | _DELIMITED) + varint(length)


@dataclass(frozen=True)
class Field:
    """A field of a message in a file: the offset of its head, and the range of its payload."""

    number: int
    head: int
    start: int
    end: int
    is_delimited: bool


def fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """The fields of the message at bytes start to end. Raises Truncated; never reads a payload."""
    at = start
    while at < end:
        file.seek(at)
        key, size = _read_varint(file)
        number, kind = key >> 3, key & 7
        payload = at + size
        if kind == _VARINT:
            length = _read_varint(file)[1]
        elif kind == _FIXED64:
            length = 8
        elif kind == _FIXED32:
            length = 4
        elif kind == _DELIMITED:
            length, size = _read_varint(file)
            payload += size
        else:
            raise Truncated(f"wire type {kind} at byte {at}")
        if number == 0 or payload + length > end:
            raise Truncated(f"the field at byte {at} ends beyond its message")
        yield Field(number, at, payload, payload + length, kind == _DELIMITED)
        at = payload + length


def field_bytes(file: BinaryIO, field: Field) -> bytes:
    """A field with its head: by itself a message that holds nothing else."""
    file.seek(field.head)
    return file.read(field.end - field.head)


def range_checksum(file: BinaryIO, start: int, end: int) -> int:
    """The CRC-32 of bytes start to end, read in pieces."""
    check = 0
    file.seek(start)
    while left := end - file.tell():
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise Truncated(f"the file ends before byte {end}")
        check = zlib.crc32(chunk, check)
    return check


def _read_varint(file: BinaryIO) -> tuple[int, int]:
    """A varint and how many bytes it takes."""
    value = 0
    for size in range(1, 11):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << 7 * (size - 1)
        if byte[0] < 0x80:
            return value, size
    raise Truncated("a number does not end")
