"""Caffe's schema: messages as protobuf classes, and their fields with types and defaults, from caffe.proto."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from msgspec import Struct

from resnetgen.formats.values import Value, Word, canonical


@cache
def _messages() -> dict[str, Any]:
    # A separate pool: another package in the process may have registered messages called caffe.*
    pool = descriptor_pool.DescriptorPool()
    data = Path(__file__).with_name("caffe.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(data).file
    for file in files:
        pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name for file in files], pool)


def message(name: str) -> Any:
    """Return the class of a message, such as NetParameter."""
    return _messages()[f"caffe.{name}"]


def number(name: str, field: str) -> int:
    """Return the number of a message's field."""
    return int(message(name).DESCRIPTOR.fields_by_name[field].number)


@cache
def param_field(type: str) -> str:
    """Return the field with the parameters of a layer type, such as `batch_norm_param`; empty if there is none."""
    stem = {"Deconvolution": "convolution"}.get(type, type.lower())
    fields = message("LayerParameter").DESCRIPTOR.fields_by_name
    return next((name for name in fields if name.replace("_", "") == f"{stem}param"), "")


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


class Known(Struct, frozen=True):
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
