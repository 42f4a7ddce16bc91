"""Caffe's schema: the fields of a message, and the values of fields by their types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from google.protobuf.descriptor import FieldDescriptor

from resnetgen.diff.net import Value, Word, canonical, show
from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.formats.caffe.schema import message
from resnetgen.formats.caffe.text import Field, Kind, Scalar
from resnetgen.frozen import Frozen

FieldKind = Literal["whole", "real", "flag", "text", "enum", "message"]

_KINDS: dict[int, FieldKind] = {
    FieldDescriptor.CPPTYPE_INT32: "whole",
    FieldDescriptor.CPPTYPE_INT64: "whole",
    FieldDescriptor.CPPTYPE_UINT32: "whole",
    FieldDescriptor.CPPTYPE_UINT64: "whole",
    FieldDescriptor.CPPTYPE_FLOAT: "real",
    FieldDescriptor.CPPTYPE_DOUBLE: "real",
    FieldDescriptor.CPPTYPE_BOOL: "flag",
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_ENUM: "enum",
    FieldDescriptor.CPPTYPE_MESSAGE: "message",
}
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


class Known(Frozen):
    """A field of a message of the schema."""

    kind: FieldKind
    repeated: bool
    default: Value | None
    """Default in the schema; None if there is none."""
    limits: tuple[int, int]
    words: Mapping[int, str]
    """Names of an enum's values by their numbers."""
    message: str


@cache
def known_fields(name: str) -> dict[str, Known]:
    """Return the fields of a message by their names."""
    return {field.name: _known(field) for field in message(name).DESCRIPTOR.fields}


def _known(field: Any) -> Known:
    kind = _KINDS[field.cpp_type]
    words = {value.number: value.name for value in field.enum_type.values} if kind == "enum" else {}
    default: Value | None = None
    if field.has_default_value:
        default = Word(words[field.default_value]) if kind == "enum" else canonical(field.default_value)
    # A repeated field is the one whose default is a list; the descriptor's `label` is being retired.
    repeated = not isinstance(field.default_value, int | float | str | bytes | None)
    limits = _RANGES.get(field.cpp_type, (0, 0))
    return Known(kind, repeated, default, limits, words, field.message_type.name if kind == "message" else "")


def typed(field: Field, known: Known) -> Value:
    """Return the value of a field that is not a message. Raises Failure (exit 4) for a value of another type."""
    match field.value:
        case Scalar(Kind.STRING, text) if known.kind == "text":
            return text
        case Scalar(Kind.NUMBER, text) if known.kind == "whole":
            number = _whole(text)
            if number is not None and known.limits[0] <= number <= known.limits[1]:
                return number
        case Scalar(Kind.NUMBER | Kind.WORD, text) if known.kind == "real":
            if (real := _real(text)) is not None:
                return canonical(real)
        case Scalar(Kind.NUMBER | Kind.WORD, text) if known.kind == "flag" and text in _FLAGS:
            return _FLAGS[text]
        case Scalar(Kind.WORD, text) if known.kind == "enum":
            return Word(text)  # a fork of Caffe may have more words than the schema
        case Scalar(Kind.NUMBER, text) if known.kind == "enum":
            number = _whole(text)
            if number is not None:
                return Word(known.words.get(number, text))
    raise _wrong(field, known)


def foreign(value: Scalar) -> Value:
    """Return the value of a field that the schema lacks: numbers as numbers, others as written."""
    if value.kind is Kind.STRING:
        return value.text
    if value.kind is Kind.NUMBER:
        whole = _whole(value.text)
        real = _real(value.text) if whole is None else None
        return whole if whole is not None else Word(value.text) if real is None else canonical(real)
    return Word(value.text)


_FLAGS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_MAX_DIGITS = 20


def _whole(text: str) -> int | None:
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text)
    base = 16 if body[:2] in ("0x", "0X") else 8 if body[:1] == "0" else 10
    if len(body) > _MAX_DIGITS or (base != 16 and not body.isdecimal()):
        return None
    try:
        return sign * int(body, base)
    except ValueError:  # 08
        return None


def _real(text: str) -> float | None:
    """Return the value of a decimal, 1f, inf or -nan; None for anything else, also a hexadecimal number."""
    sign, body = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    body = body.lower()
    if body.endswith("f") and body != "inf":
        body = body[:-1]
    if body[:2] == "0x" or len(body) > 400:
        return None
    try:
        return sign * float(body)
    except ValueError:
        return None


_TAKES = {"real": "a number", "flag": "true or false", "text": "a string", "enum": "a word", "message": "a message"}


def _wrong(field: Field, known: Known) -> Failure:
    low, high = known.limits
    takes = f"a whole number from {low} to {high}" if known.kind == "whole" else _TAKES[known.kind]
    given = "a message"
    if isinstance(field.value, Scalar):
        given = show(field.value.text if field.value.kind is Kind.STRING else Word(field.value.text))
    return fail(Exit.MODEL, Code.BAD_MODEL, f"{field.name} takes {takes}, not {given}", field.span)
