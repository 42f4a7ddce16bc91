"""Conversion of a protobuf message to the tree of fields that parsing its text would give."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from resnetgen.errors import Span
from resnetgen.formats.caffe.text import Field, Kind, Message, Scalar


def fields_of(message: Any, span: Span) -> tuple[Field, ...]:
    """Return the fields that are set, all with the same place; fields that the schema lacks are left out."""
    found: list[Field] = []
    for field, value in message.ListFields():
        is_one = isinstance(value, int | float | str | bytes) or (field.message_type and not hasattr(value, "append"))
        found += [Field(field.name, _value(field, one, span), span) for one in ([value] if is_one else value)]
    return tuple(found)


def _value(field: Any, value: Any, span: Span) -> Scalar | Message:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            return Message(fields_of(value, span))
        case FieldDescriptor.CPPTYPE_ENUM:
            return Scalar(Kind.WORD, field.enum_type.values_by_number[value].name)
        case FieldDescriptor.CPPTYPE_BOOL:
            return Scalar(Kind.WORD, "true" if value else "false")
        case FieldDescriptor.CPPTYPE_STRING:
            return Scalar(Kind.STRING, value if isinstance(value, str) else value.decode("utf-8", "surrogateescape"))
        case _:
            return Scalar(Kind.NUMBER, repr(value))
