"""Checks of the types of arguments of the library, whose errors name the argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from resnetgen.errors import Code, Failure, UsageError, did_you_mean

Choice = TypeVar("Choice", bound=StrEnum)
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def require_list(value: Any, argument: str) -> list[str]:
    """Return a sequence of texts as a list. Raises UsageError for a single text, which is a sequence of letters, and
    for other values."""
    if isinstance(value, str):
        raise _wrong(argument, "a list of texts", value, f"write [{_described(value)}]")
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise _wrong(argument, "a list of texts", value)
    return [str(item) for item in value]


def require_items(value: Any, argument: str) -> list[Any]:
    """Return a sequence as a list; its items are not checked. Raises UsageError for a text, and for other values."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    raise _wrong(argument, "a list", value)


def require_path(value: Any, argument: str) -> Path:
    """Return a path. Raises UsageError for a value that is neither a text nor a path, and for an empty text or one with
    a NUL, which no system accepts."""
    if isinstance(value, str | PathLike) and isinstance(path := fspath(value), str):
        if "\0" in path:
            raise UsageError.of(Code.BAD_ARGUMENT, f"{argument}: no path can have the character NUL: {path!r}")
        if path:
            return Path(path)
    raise _wrong(argument, "a path", value)


def require_text(value: Any, argument: str) -> str:
    """Return a text as Python's str, also one of numpy. Raises UsageError for another value."""
    if isinstance(value, str):
        return str(value)
    raise _wrong(argument, "a text", value)


def require_input_size(value: Any) -> str | None:
    """Return the text of an input size, or None. Raises UsageError for another value."""
    if isinstance(value, tuple | list):
        raise _wrong("input_size", "a text", value, f"write {'x'.join(map(str, value))!r}")
    return None if value is None else require_text(value, "input_size")


def require_instance(value: Any, kind: type, argument: str) -> None:
    """Raise UsageError for a value of another class."""
    if not isinstance(value, kind):
        shown = kind.__name__.removeprefix("Traced")
        raise _wrong(argument, f"{'' if shown.endswith('s') else 'a '}{shown}", value)


def require_flag(value: Any, argument: str) -> bool:
    """Return True or False. Raises UsageError for another value."""
    if isinstance(value, bool):
        return value
    raise _wrong(argument, "True or False", value)


def require_int(value: Any, argument: str) -> int:
    """Return a whole number as Python's int, also one of numpy. Raises UsageError for another value."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise _wrong(argument, "a whole number", value)
    return int(value)


def require_number(value: Any, argument: str, kind: str = "a number") -> int | float:
    """Return a number as Python's int or float, also one of numpy. Raises UsageError for another value."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _wrong(argument, kind, value)
    try:
        return int(value) if isinstance(value, Integral) else float(value)
    except OverflowError:  # a fraction that no float can hold
        raise _wrong(argument, kind, value) from None


def require_mapping(value: Any, argument: str) -> Mapping[str, Any]:
    """Return a mapping with texts as keys; its values are not checked. Raises UsageError for another value."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise _wrong(argument, "a dictionary with texts as keys", value)


def require_params(values: Any) -> dict[str, int | float]:
    """Return the values of a spec's parameters by name. Raises UsageError for one that is not a number."""
    kind = "a number, the value of a parameter of the spec"
    return {name: require_number(value, name, kind) for name, value in require_mapping(values, "params").items()}


def refuse_unknown(arguments: Mapping[str, Any], known: Sequence[str], function: str) -> None:
    """Raise UsageError for a keyword argument that a function does not have."""
    for name in arguments:
        if name not in known:
            message = f"{function} has no argument {name!r}"
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint=did_you_mean(name, known))


def named_arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return a function with the same signature, which raises UsageError for a keyword argument that is not in it.

    Python's own TypeError suggests no name before 3.13.
    """

    @wraps(function)
    def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        from inspect import signature

        refuse_unknown(kwargs, list(signature(function).parameters), function.__name__)
        return function(*args, **kwargs)

    return checked


def choose(kind: type[Choice], value: str, option: str) -> Choice:
    """Return the member of an enumeration with this value. Raises UsageError if there is none."""
    known = [member.value for member in kind]
    if value in known:
        return kind(value)
    hint = did_you_mean(str(value), known)
    message = f"{option}: {_described(value)} is not one of {', '.join(known)}"
    raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _wrong(argument: str, kind: str, value: Any, hint: str = "") -> Failure:
    shown = f"the text {_described(value)}" if isinstance(value, str) else _described(value)
    return UsageError.of(Code.BAD_ARGUMENT, f"{argument}: {kind} is needed, not {shown}", hint=hint)


def _described(value: Any) -> str:
    """Return a text in quotes, else the type of a value: its repr may be long, or name internals."""
    if value is None:
        return "None"
    return repr(str(value)) if isinstance(value, str) else _with_article(type(value).__name__)
