"""Conversion of the arguments in a spec to an op with its attributes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec.structs import FieldInfo as Attribute

from resnetgen.errors import Code, Failure, Problem, Span, SpecError, did_you_mean
from resnetgen.ir.ops import Op, OpError, Pair, attributes
from resnetgen.spec.expressions import Scope, evaluate
from resnetgen.spec.syntax import Argument, Expression, Identifier, Kernel
from resnetgen.spec.table import OpDefaults
from resnetgen.spec.yaml import Scalar


def spellings(kind: type[Op]) -> dict[str, Attribute]:
    """Return the attributes of an op by each name that a spec may use: the full name and the short one."""
    by_name = {field.name: field for field in attributes(kind)}
    return by_name | {short: by_name[name] for name, short in kind.short.items()}


def bind(
    kind: type[Op],
    arguments: Sequence[Argument],
    scope: Scope,
    span: Span,
    defaults: OpDefaults | None = None,
) -> Op:
    """Return the op that a call describes. Raises SpecError for an attribute that is unknown, missing or
    repeated, and for a value out of range."""
    names = spellings(kind)
    values: dict[str, Any] = {}
    for key, default in defaults.attributes if defaults else ():
        field = names[key.text]
        values[field.name] = _convert_default(field, default)
    positional = [field for field in attributes(kind) if field.required]
    written: set[str] = set()
    for argument in arguments:
        field = _field(kind, argument, names, positional)
        if field.name in written:
            raise SpecError.of(Code.BAD_ARGUMENT, f"{field.name} is set twice", argument.span, "keep one of them")
        written.add(field.name)
        values[field.name] = _convert(field, argument, scope)
    missing = [field.name for field in attributes(kind) if field.required and field.name not in values]
    if missing:
        raise SpecError.of(Code.BAD_ARGUMENT, f"{kind.keyword} needs {' and '.join(missing)}", span, usage(kind))
    try:
        return kind(**values)
    except OpError as error:
        notes = (f"with defaults.ops.{kind.keyword}, {defaults.span}",) if defaults else ()
        raise located(error, span, notes) from None


def located(error: OpError, span: Span | None, notes: tuple[str, ...] = ()) -> Failure:
    """Return the SpecError of an op's error, with the place in the spec that caused it."""
    return SpecError((Problem(error.code, error.message, span, error.hint, notes),))


def unknown_attribute(kind: type[Op], name: str, span: Span) -> Failure:
    hint = did_you_mean(name, (spelling for spelling in spellings(kind) if spelling != "/")) or usage(kind)
    if re.fullmatch("x[0-9]+", name):
        hint = f"a repeated op or unit goes into parentheses: ({kind.keyword}) {name}"
    return SpecError.of(Code.BAD_ARGUMENT, f"{kind.keyword} has no attribute {name!r}", span, hint)


def usage(kind: type[Op]) -> str:
    """Return the syntax of an op for a hint: `it is written: conv 3x3, 64, /2, C=1, d=1, p=1, bias`."""
    words = []
    for field in attributes(kind):
        short = kind.short.get(field.name)
        if field.required:
            words.append("3x3" if field.type == Pair else "64")
        elif short == "/":
            words.append("/2")
        elif field.type is bool:
            words.append(f"{field.name}=0" if field.default else field.name)
        else:
            words.append(f"{short or field.name}=1")
    return f"it is written: {kind.keyword} {', '.join(words)}".rstrip()


def _field(kind: type[Op], argument: Argument, names: dict[str, Attribute], positional: list[Attribute]) -> Attribute:
    if argument.name is None:
        if not positional:
            hint = usage(kind)
            if isinstance(argument.value, Kernel) and kind.keyword == "conv":
                hint = "the next unit begins after a ; or a |"
            raise SpecError.of(Code.BAD_ARGUMENT, f"{kind.keyword} takes no such value here", argument.span, hint)
        return positional.pop(0)
    field = names.get(argument.name)
    if field is None:
        if argument.name == "/":
            raise SpecError.of(Code.BAD_ARGUMENT, f"{kind.keyword} has no stride", argument.span, usage(kind))
        raise unknown_attribute(kind, argument.name, argument.span)
    if field in positional:
        positional.remove(field)
    return field


def _convert(field: Attribute, argument: Argument, scope: Scope) -> Any:
    value = argument.value
    called = field.name if argument.name in (None, "/") else argument.name
    match value:
        case None if field.type is bool:
            return True
        case None:
            raise SpecError.of(Code.BAD_ARGUMENT, f"{called} needs a value", argument.span, f"write {called}=1")
        case Identifier(text, span):
            hint = f"write {called} or {called}=0" if field.type is bool else f"write {called}=1"
            raise SpecError.of(Code.BAD_ARGUMENT, f"{called} is a number, not {text!r}", span, hint)
        case Kernel(height, width, span) if _is_pair(field):
            return (evaluate_whole(height, scope), evaluate_whole(width, scope))
        case Kernel(_, _, span):
            hint = f"write {called}=1"
            if argument.name is None:
                hint = "write 64; a repeated unit goes into parentheses: (3x3, 64) x2"
            raise SpecError.of(Code.BAD_ARGUMENT, f"{called} is one number, not a pair", span, hint)
        case _:
            pass
    if field.type is float:
        return float(evaluate(value, scope))
    number = evaluate_whole(value, scope)
    if field.type is bool:
        return bool(number)
    if _is_pair(field):
        if field.required:
            raise SpecError.of(Code.BAD_ARGUMENT, f"{called} is a pair, not one number", argument.span, "write 3x3")
        return (number, number)
    return number


def _convert_default(field: Attribute, value: Scalar) -> Any:
    number = value.value
    if field.type is bool and isinstance(number, bool | int):
        return bool(number)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise SpecError.of(Code.WRONG_TYPE, f"{field.name} cannot be {value.text!r}", value.span)
    if field.type is float:
        return float(number)
    if not isinstance(number, int):
        raise SpecError.of(Code.WRONG_TYPE, f"{field.name} must be a whole number", value.span)
    pair: Pair = (number, number)
    return pair if _is_pair(field) else number


def _is_pair(field: Attribute) -> bool:
    return field.type in (Pair, Pair | None)


def evaluate_whole(expression: Expression, scope: Scope) -> int:
    """Evaluate an expression to a whole number. Raises SpecError if it is not whole."""
    value = evaluate(expression, scope)
    if not isinstance(value, int):
        hint = f"write {int(value)}" if value.is_integer() else "// divides and rounds down"
        raise SpecError.of(Code.BAD_VALUE, f"{value} is not a whole number", expression.span, hint)
    return value
