"""JSON Schema of the keys of a spec and their types, for editors (`resnetgen schema`) and for the loader."""

from __future__ import annotations

import re
from typing import Any

from resnetgen.errors import Code, Problems, did_you_mean
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, Value

Schema = dict[str, Any]

IDENTIFIER = "^[A-Za-z_][A-Za-z0-9_.]*$"
VARIABLE = "^[A-Za-z_][A-Za-z0-9_]*$"
IMPLICIT = ("in", "index", "out", "stride")
"""$names that are always set: input channels, number of a repetition, output channels of a shortcut, stride of
a block."""
STAGE_NAME = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
TITLE = "^[A-Za-z0-9_./ -]{1,256}$"


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _map(description: str, value: Schema, names: str = IDENTIFIER) -> Schema:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": value,
        "propertyNames": {"pattern": names},
    }


def _variables(description: str, value: Schema) -> Schema:
    schema = _map(description, value)
    return {**schema, "propertyNames": {"pattern": VARIABLE, "not": {"enum": list(IMPLICIT)}}}


def _keys(description: str, required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    schema: Schema = {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


def _either(*schemas: Schema) -> Schema:
    return {"anyOf": [one for schema in schemas for one in schema.get("anyOf", [schema])]}


_NUMBER: Schema = {"type": ["number", "string"], "description": "a number, or an expression such as $n*2"}
_CELLS = _either(
    _text("cells, divided by |"),
    {"type": "array", "items": {"type": "string"}, "description": "cells, one per item"},
)
_UNIT_PARTS: Schema = {
    "type": "array",
    "items": {"enum": ["conv", "norm", "act"]},
    "description": "the parts of a unit, in their order",
}

BRACKET = _keys(
    "meaning of [...]",
    stride_on=_text("the unit that takes the block's stride: first, last, or a kernel such as 3x3"),
    branches={
        "type": "array",
        "items": {"enum": ["main", "shortcut"]},
        "description": "the order in which the branches are written and merged",
    },
    shortcut=_either(_text("cells, most often one block"), {"type": "null"}),
    merge={"enum": ["add", "mul", "concat"], "description": "op that merges the branches"},
    after=_either(_CELLS, {"type": "null", "description": "nothing"}),
    last={**_UNIT_PARTS, "description": "the parts of the main branch's last unit"},
)

DEFAULTS = _keys(
    "meaning of the short forms",
    unit=_UNIT_PARTS,
    norm=_text("the op that `norm` means, such as batchnorm"),
    act=_text("the op that `act` means, such as relu"),
    ops=_map("attributes of ops: {conv: {bias: true}}", _map("attribute: value", {"type": ["number", "boolean"]})),
    bracket=BRACKET,
)

_NONE: Schema = {"type": "null", "description": "the same as no key"}


def _per_channel(description: str) -> Schema:
    items = {"type": "number", "description": "a list of numbers, one per channel"}
    return _either({"type": "array", "items": items, "description": description}, _NONE)


def _sides(description: str) -> Schema:
    pair = {"type": "array", "items": {"type": "number"}, "description": "height and width: [256, 256]"}
    return _either({"type": ["number", "string"], "description": description}, pair, _NONE)


_PREPROCESS_KEYS: Schema = {
    "color": {"enum": ["rgb", "bgr", "gray"], "description": "the order of the channels"},
    "divide": {"type": "number", "description": "divisor of the pixels, which are 0 to 255; 1 by default"},
    "mean": _per_channel("numbers to subtract, a list with one per channel in the order of color"),
    "std": _per_channel("numbers to divide by in the end, a list with one per channel in the order of color"),
    "resize": _sides("the shorter side: 256; or height x width: 256x256"),
    "crop": _sides("the centre: 224, or 224x224"),
    "interpolation": {"enum": ["bilinear", "bicubic", "nearest"], "description": "of the resizing"},
}
PREPROCESS = _either(
    _keys(
        "preprocessing of an image; in a spec that extends another, a patch",
        **_PREPROCESS_KEYS,
    ),
    {"type": "null", "description": "removes that of the extended spec"},
)
PREPROCESS_FILE = _keys(
    "the keys of `preprocess` in a spec; color is required",
    **_PREPROCESS_KEYS,
    embedded=_either({"type": "boolean", "description": "true if the model takes bytes"}, _NONE),
)

BLOCK = _keys(
    "a block: `body`, or `branches`, or `choose`",
    doc=_text("one line for a reader"),
    params=_variables("parameters and defaults; null if a call must set it", {"type": ["number", "string", "null"]}),
    let=_variables("names for expressions of the parameters", _NUMBER),
    body=_CELLS,
    branches=_map("branch: its cells, each from the block's input", _CELLS),
    merge={"enum": ["add", "mul", "concat"], "description": "op that merges the branches"},
    after=_CELLS,
    choose={
        "type": "array",
        "description": "the first entry whose `if` is not zero; `if` may be left out in the last",
        "items": _keys("a case", ("then",), **{"if": _NUMBER, "then": _CELLS}),
    },
)

ROW = _either(
    _text("output size | cell | cell"),
    _keys(
        "fields of a row; in a spec that extends another, a patch",
        size=_text("the expected output size: 56x56"),
        pre=_CELLS,
        block=_text("the block alone: [1x1, 64; 3x3, 64; 1x1, 256]"),
        repeat=_NUMBER,
        stride=_NUMBER,
        post=_CELLS,
    ),
    {"type": "null", "description": "removes the row of the extended spec"},
)

SPEC = _keys(
    "resnetgen: the stage table of a network",
    name=_text("the network's name in models", pattern=TITLE),
    extends=_text("a spec whose keys and rows this one patches: a name or a path"),
    use=_either(
        _text("a library file: std, or a path that ends in .yaml"),
        {"type": "array", "items": {"type": "string"}, "description": "several; later ones override earlier ones"},
    ),
    names=_either(_text("the name map for Caffe layers, such as msra"), {"type": "null"}),
    input=_text("channels x height x width: 3x224x224"),
    preprocess=PREPROCESS,
    params=_variables("numbers that rows use as $name and `--set name=value` changes", {"type": "number"}),
    defaults=DEFAULTS,
    blocks=_map("blocks of this spec", BLOCK),
    stages=_map("the rows of the table, in their order", ROW, STAGE_NAME),
)

LIBRARY = _keys(
    "a library file",
    doc=_text("its content"),
    preprocess=PREPROCESS,
    defaults=DEFAULTS,
    blocks=_map("blocks", BLOCK),
)


def json_schema() -> Schema:
    """Return the schema of a spec, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "resnetgen spec", **SPEC}


def check(value: Value, schema: Schema, what: str, problems: Problems) -> bool:
    """Check a value against the part of JSON Schema that is used above; add every difference to `problems`."""
    if "anyOf" in schema:
        return _check_any(value, schema["anyOf"], what, problems)
    if "enum" in schema:
        if isinstance(value, Scalar) and value.value in schema["enum"]:
            return True
        hint = f"one of {', '.join(schema['enum'])}"
        problems.add(Code.WRONG_TYPE, f"{what} cannot be {_show(value)}", value.span, hint)
        return False
    if not _is_kind(value, _kinds(schema)):
        return _wrong_type(value, _kinds(schema), what, problems, schema.get("description", ""))
    match value:
        case Scalar(text) if "pattern" in schema and not re.fullmatch(schema["pattern"], text):
            hint = "use letters, digits, spaces and _ . / -"
            problems.add(Code.BAD_NAME, f"{what} cannot be {_show(value)}", value.span, hint)
            return False
        case Sequence(items) if "items" in schema:
            results = [check(item, schema["items"], f"an item of {what}", problems) for item in items]
            return all(results)
        case Mapping():
            return _check_mapping(value, schema, what, problems)
        case _:
            return True


def _check_any(value: Value, schemas: list[Schema], what: str, problems: Problems) -> bool:
    for schema in schemas:
        if _is_kind(value, _kinds(schema)):
            return check(value, schema, what, problems)
    kinds = dict.fromkeys(kind for schema in schemas for kind in _kinds(schema))
    return _wrong_type(value, list(kinds), what, problems, schemas[0].get("description", ""))


def _kinds(schema: Schema) -> list[str]:
    kinds = schema["type"]
    return kinds if isinstance(kinds, list) else [kinds]


def _is_kind(value: Value, kinds: list[str]) -> bool:
    """Return True if a value has one of the types. A number is text, too: `name: 50`."""
    return _kind(value) in kinds or ("string" in kinds and _kind(value) == "number")


def _wrong_type(value: Value, kinds: list[str], what: str, problems: Problems, description: str = "") -> bool:
    words = [_KINDS[kind] for kind in kinds]
    expected = f"{', '.join(words[:-1])}{' or ' if words[1:] else ''}{words[-1]}"
    hint = _type_hint(value, description)
    problems.add(Code.WRONG_TYPE, f"{what} must be {expected}, not {_show(value)}", value.span, hint)
    return False


def _check_mapping(mapping: Mapping, schema: Schema, what: str, problems: Problems) -> bool:
    properties = schema.get("properties", {})
    others = schema["additionalProperties"]
    names = schema.get("propertyNames", {})
    good = True
    for key, value in mapping:
        if key.text in properties:
            good &= check(value, properties[key.text], key.text, problems)
        elif others is False:
            hint = QUOTE_COMMAS if lacks_colon(key) else did_you_mean(key.text, properties)
            problems.add(Code.UNKNOWN_KEY, f"unknown key {key.text!r} in {what}", key.span, hint)
            good = False
        elif key.text in names.get("not", {}).get("enum", ()):
            hint = f"choose another name; resnetgen sets {', '.join(f'${name}' for name in IMPLICIT)}"
            problems.add(Code.BAD_NAME, f"{key.text!r} cannot be a name in {what}", key.span, hint)
            good = False
        elif not re.fullmatch(names["pattern"], key.text) or ".." in key.text or len(key.text) > 256:
            hint = QUOTE_COMMAS if lacks_colon(key) else _NAME_HINTS[names["pattern"]]
            problems.add(Code.BAD_NAME, f"{key.text!r} cannot be a name in {what}", key.span, hint)
            good = False
        else:
            good &= check(value, others, repr(key.text), problems)
    for key in schema.get("required", ()):
        if key not in mapping.items:
            problems.add(Code.MISSING_KEY, f"{what} has no key {key!r}", mapping.span, f"add `{key}:`")
            good = False
    return good


QUOTE_COMMAS = "inside {...} a text with a comma must be quoted"
_NAME_HINTS = {
    IDENTIFIER: "use letters, digits, _ and .; it begins with a letter or _",
    VARIABLE: "use letters, digits and _; it begins with a letter or _",
    STAGE_NAME: "use letters, digits and _ . -, without two dots in a row; it begins with a letter, a digit or _",
}


_MAX_GAP = 100
"""Limit in characters between a key and its colon."""


def lacks_colon(key: Scalar) -> bool:
    """Return True if a key without a colon comes from a comma, as 64 is in {conv1: 3x3, 64}."""
    end = key.span.end
    return key.plain and not key.span.source.text[end : end + _MAX_GAP].lstrip().startswith(":")


_KINDS = {
    "string": "text",
    "number": "a number",
    "boolean": "true or false",
    "null": "empty",
    "array": "a list",
    "object": "a mapping",
}


def _kind(value: Value) -> str:
    if isinstance(value, Sequence):
        return "array"
    if isinstance(value, Mapping):
        return "object"
    match value.value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case _:
            return "string"


def _show(value: Value) -> str:
    if isinstance(value, Scalar):
        return repr(value.text) if value.text or not value.plain else "empty"
    return _KINDS[_kind(value)]


def _type_hint(value: Value, description: str) -> str:
    if isinstance(value, Sequence) and not all(_kind(item) == "number" for item in value.items):
        return "text that begins with [ must be quoted"
    if isinstance(value, Mapping):
        return "text that begins with { or contains ': ' must be quoted"
    return description
