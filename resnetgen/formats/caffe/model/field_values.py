"""Values of the fields of a prototxt's tree by their types, and the tree of a protobuf message."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from resnetgen.errors import Code, Failure, ModelError, Span
from resnetgen.formats.caffe.model.schema import Known
from resnetgen.formats.caffe.model.text import Kind, Message, TextField, TextScalar
from resnetgen.formats.values import Value, Word, canonical, show


def fields_of(message: Any, span: Span) -> tuple[TextField, ...]:
    """Return the fields that are set in a message, all with the same place, as parsing its text would give them.

    Fields that the schema lacks are left out.
    """
    fields: list[TextField] = []
    for field, value in message.ListFields():
        is_one = isinstance(value, int | float | str | bytes) or (field.message_type and not hasattr(value, "append"))
        fields += [TextField(field.name, _tree(field, one, span), span) for one in ([value] if is_one else value)]
    return tuple(fields)


def _tree(field: Any, value: Any, span: Span) -> TextScalar | Message:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            return Message(fields_of(value, span))
        case FieldDescriptor.CPPTYPE_ENUM:
            return TextScalar(Kind.WORD, field.enum_type.values_by_number[value].name)
        case FieldDescriptor.CPPTYPE_BOOL:
            return TextScalar(Kind.WORD, "true" if value else "false")
        case FieldDescriptor.CPPTYPE_STRING:
            return TextScalar(
                Kind.STRING, value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
            )
        case _:
            return TextScalar(Kind.NUMBER, repr(value))


def typed(field: TextField, known: Known) -> Value:
    """Return the value of a field that is not a message. Raises ModelError for a value of another type."""
    match field.value:
        case TextScalar(Kind.STRING, text) if known.kind == "text":
            return text
        case TextScalar(Kind.NUMBER, text) if known.kind == "whole":
            number = _whole(text)
            if number is not None and known.limits[0] <= number <= known.limits[1]:
                return number
        case TextScalar(Kind.NUMBER | Kind.WORD, text) if known.kind == "real":
            if (real := _real(text)) is not None:
                return canonical(real)
        case TextScalar(Kind.NUMBER | Kind.WORD, text) if known.kind == "flag" and text in _FLAGS:
            return _FLAGS[text]
        case TextScalar(Kind.WORD, text) if known.kind == "enum":
            return Word(text)  # a fork of Caffe may have more words than the schema
        case TextScalar(Kind.NUMBER, text) if known.kind == "enum":
            number = _whole(text)
            if number is not None:
                return Word(known.words.get(number, text))
    raise _wrong(field, known)


def foreign(value: TextScalar) -> Value:
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


def _wrong(field: TextField, known: Known) -> Failure:
    low, high = known.limits
    takes = f"a whole number from {low} to {high}" if known.kind == "whole" else _TAKES[known.kind]
    given = "a message"
    if isinstance(field.value, TextScalar):
        given = show(field.value.text if field.value.kind is Kind.STRING else Word(field.value.text))
    return ModelError.of(Code.BAD_MODEL, f"{field.name} takes {takes}, not {given}", field.span)
