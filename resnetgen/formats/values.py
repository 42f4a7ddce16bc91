"""Values of the attributes of layers and nodes, the same for all formats: canonical form, and text."""

from __future__ import annotations

import math
import struct
from typing import TypeAlias

from msgspec import Struct

from resnetgen.escape import escape


class Word(Struct, frozen=True):
    """A value without quotes that is not a number, true or false: for example the value of an enum."""

    text: str


Value: TypeAlias = bool | int | float | str | Word | tuple["Value", ...]


def canonical(value: Value) -> Value:
    """Return the canonical form of a value: the nearest float32, and a NaN that equals itself."""
    if isinstance(value, tuple | list):
        return tuple(map(canonical, value))
    if not isinstance(value, float):
        return value
    return Word("nan") if math.isnan(value) else float32(value)


def float32(value: float) -> float:
    try:
        nearest: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return nearest


def show(value: Value) -> str:
    """Return a value as in a prototxt; a list in brackets, a float32 by its shortest decimal."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return next(text for digits in range(6, 18) if float32(float(text := f"{value:.{digits}g}")) == value)
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escape(escaped)}"'
        case Word():
            return escape(value.text)
        case _:
            return f"[{', '.join(map(show, value))}]"


def to_json(value: Value | None) -> object:
    """Return a value for json.dumps; words and infinities become texts."""
    match value:
        case Word():
            return value.text
        case float() if math.isinf(value):
            return show(value)
        case tuple():
            return [to_json(item) for item in value]
        case _:
            return value
