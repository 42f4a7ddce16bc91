"""Repeated number fields of protobuf, which hold the values of a tensor."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
from msgspec import Struct, field

from resnetgen.wire.access import Place, Ranges
from resnetgen.wire.dtypes import Values, loaded, stored, width
from resnetgen.wire.fields import MAX_VARINT, Field, Truncated
from resnetgen.wire.messages import Messages, varints

_RECORDS = 1 << 18
"""Number of unpacked values that are compared at once."""
_MAX_PIECES = 1000
"""Limit of pieces per tensor. Writers make one packed field, or one field per value, which counts as a single piece."""
_CHUNK = 1 << 20
"""Bytes of varints decoded at a time: the decoded numbers take many times as much."""
_KINDS = {4: 5, 8: 1}
"""Bytes of a number -> its wire type when it is not packed."""


class _Piece(Struct, frozen=True):
    start: int
    elements: int
    step: int
    """Bytes from one value to the next."""


class Repeated(Struct):
    """Values of a repeated field of numbers of 4 or 8 bytes: packed into one field or several, or one field per
    value."""

    dtype: str
    pieces: list[_Piece] = field(default_factory=list)
    elements: int = 0

    def add(self, messages: Messages, found: Field, end: int) -> int:
        """Add a field and those of the same kind that follow it before byte `end`; return the offset after them."""
        size = width(self.dtype)
        if found.is_delimited:
            elements, rest = divmod(found.end - found.start, size)
            if rest:
                raise Truncated(f"{found.end - found.start:,} bytes at byte {found.start:,} are no {self.dtype} values")
            self._take(_Piece(found.start, elements, size))
            return found.end
        if messages.kind(found) != _KINDS[size]:
            raise Truncated(f"the field at byte {found.head:,} is no {self.dtype} value")
        step = found.end - found.head
        elements = _run(messages, found, end, step)
        self._take(_Piece(found.start, elements, step))
        return found.head + elements * step

    def place(self) -> tuple[int, int]:
        """Return the range of bytes of the values if they are contiguous, else (0, 0)."""
        if len(self.pieces) != 1 or self.pieces[0].step != width(self.dtype):
            return 0, 0
        return self.pieces[0].start, self.pieces[0].start + self.elements * width(self.dtype)

    def load(self, ranges: Ranges, shape: tuple[int, ...]) -> Values:
        size = width(self.dtype)
        values = np.empty(self.elements, stored(self.dtype))
        at = 0
        for piece in self.pieces:
            target = values[at : at + piece.elements]
            at += piece.elements
            if piece.step == size:
                ranges.fill(target, piece.start)
                continue
            # Each record is a value and the head of the next one; the last value has no head after it.
            records = np.zeros((piece.elements, piece.step), np.uint8)
            ranges.fill(records.reshape(-1)[: (piece.elements - 1) * piece.step + size], piece.start)
            target.view(np.uint8).reshape(-1, size)[:] = records[:, :size]
        return loaded(values.reshape(shape), self.dtype)

    def _take(self, piece: _Piece) -> None:
        if len(self.pieces) == _MAX_PIECES:
            raise Truncated(f"more than {_MAX_PIECES:,} pieces of values before byte {piece.start:,}")
        self.pieces.append(piece)
        self.elements += piece.elements


class Varints(Struct):
    """Values of a repeated field of varints, packed into one field or several."""

    places: list[Place] = field(default_factory=list)

    def add(self, found: Field) -> None:
        if not found.is_delimited:
            raise Truncated(f"the numbers at byte {found.head:,} are not packed")
        if len(self.places) == _MAX_PIECES:
            raise Truncated(f"more than {_MAX_PIECES:,} pieces of values before byte {found.head:,}")
        self.places.append((found.start, found.end))

    @property
    def nbytes(self) -> int:
        return sum(end - start for start, end in self.places)

    def load(self, ranges: Ranges, dtype: str, shape: tuple[int, ...]) -> Values:
        """Return the values; each varint is an integer, or the bits of a float. Raises ModelError for too many or
        too few."""
        elements = prod(shape)
        bits = np.empty(elements, f"u{width(dtype)}")
        least, most = _limits(dtype)
        at = 0
        try:
            for start, end in self.places:
                for numbers in _numbers(ranges, start, end):
                    if numbers.size and not (least <= numbers.min() and numbers.max() <= most):
                        raise Truncated(f"a number does not fit into the {8 * width(dtype)} bits of {dtype}")
                    target = bits[at : at + numbers.size]
                    target[:] = numbers[: target.size].astype(bits.dtype)
                    at += numbers.size
        except Truncated as error:
            raise ranges.refuse(f"a tensor's values are damaged: {error}", self.places[0]) from None
        if at != elements:
            raise ranges.refuse(f"a tensor of {elements:,} values holds {at:,}", self.places[0])
        return loaded(bits.view(stored(dtype, "=")).reshape(shape), dtype)


def _limits(dtype: str) -> tuple[int, int]:
    """Return the smallest and the largest number of a varint for a type; floats are stored as unsigned bits."""
    bits = 8 * width(dtype)
    if bits == 64:
        return -(1 << 63), (1 << 63) - 1
    # protobuf reads an int32 modulo 2^32, and some writers do not extend its sign.
    return (
        (-(1 << bits - 1), (1 << (32 if bits == 32 else bits - 1)) - 1) if dtype[:3] == "int" else (0, (1 << bits) - 1)
    )


def _numbers(ranges: Ranges, start: int, end: int) -> Iterator[Values]:
    rest = b""
    while start < end:
        data = rest + ranges.bytes(start, min(start + _CHUNK, end))
        start += _CHUNK
        # A varint that continues in the next piece is kept for it.
        begun = next((n for n in range(MAX_VARINT) if data[-1 - n] < 0x80), MAX_VARINT) if start < end else 0
        yield varints(data[: len(data) - begun])
        rest = data[len(data) - begun :]


def _run(messages: Messages, found: Field, end: int, step: int) -> int:
    """Return the number of consecutive fields with the same head and length, including the first."""
    size = found.start - found.head
    head = np.frombuffer(messages.read(found.head, size), np.uint8)
    count = 1
    while left := min((end - found.head) // step - count, _RECORDS):
        data = messages.read(found.head + count * step, left * step)
        records = np.frombuffer(data, np.uint8).reshape(-1, step)
        others = np.flatnonzero((records[:, :size] != head).any(axis=1))
        if others.size:
            return count + int(others[0])
        count += left
    return count
