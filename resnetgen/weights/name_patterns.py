"""The two sides of a name map's rule: a pattern for the paths of nodes, and a template for their names.

In a path `{b}` matches a number, `{s:3,4}` one of those listed. In a name `{b}` repeats it, and `{$s - 1}` is an
expression as in specs; a name that the path does not capture is an attribute of the op, `fc{units}`. `{b:letter}`
counts a, b, c from 0, `{b:numbered}` a, b1, b2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import asdict

from resnetgen.errors import Span
from resnetgen.ir.graph import Node
from resnetgen.spec.expressions import evaluate
from resnetgen.spec.rows import parse_expression
from resnetgen.spec.syntax import Expression, Variable
from resnetgen.spec.yaml import Scalar

Captures = dict[str, int]

_FIELD = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
"""The contents of braces, before and after the colon."""
_WORD = re.compile(rf"(?:{_FIELD.pattern}|\S)+")


class PathPattern(Struct, frozen=True):
    """Pattern of paths, `conv{s}_x/{b}/add`, as a regular expression."""

    expression: re.Pattern[str]

    def match(self, path: str) -> Captures | None:
        """Return the numbers captured from a path; None if it does not match."""
        matched = self.expression.fullmatch(path)
        return {name: int(digits) for name, digits in matched.groupdict().items()} if matched else None


class NameTemplate(Struct, frozen=True):
    """Template of a name, `layer{$s - 1}.{b}`: pieces of text, each followed by an optional expression and its
    style."""

    pieces: tuple[tuple[str, Expression | None, str], ...]

    def fill(self, captures: Captures, node: Node) -> str:
        """Return the name of a node whose path has these numbers. Raises SpecError for an unknown variable."""
        scope = asdict(node.op) | captures
        return "".join(
            text + (_written(int(evaluate(value, scope)), style) if value else "") for text, value, style in self.pieces
        )


def parse_pattern(scalar: Scalar) -> PathPattern:
    source, at = "", 0
    for field in _FIELD.finditer(scalar.text):
        digits = field[2].replace(",", "|") if field[2] else "[0-9]+"
        source += f"{re.escape(scalar.text[at : field.start()])}(?P<{field[1]}>{digits})"
        at = field.end()
    return PathPattern(re.compile(source + re.escape(scalar.text[at:])))


def parse_templates(scalar: Scalar) -> tuple[NameTemplate, ...]:
    """Return the templates of a scalar, one for each of its words: one for each layer of a node. Raises Failure (exit
    3)."""
    return tuple(NameTemplate(tuple(_pieces(scalar, *word.span()))) for word in _WORD.finditer(scalar.text))


def _pieces(scalar: Scalar, start: int, end: int) -> Iterator[tuple[str, Expression | None, str]]:
    for field in _FIELD.finditer(scalar.text, start, end):
        value = _expression(field[1], scalar.within(*field.span(1)))
        yield scalar.text[start : field.start()], value, field[2] or ""
        start = field.end()
    yield scalar.text[start:end], None, ""


def _expression(text: str, place: Span) -> Expression:
    return Variable(text, place) if text.isidentifier() else parse_expression(Scalar(text, place, plain=True))


def _written(value: int, style: str) -> str:
    match style:
        case "letter":
            return _letter(value)
        case "numbered":
            return f"b{value}" if value else "a"
        case _:
            return str(value)


def _letter(index: int) -> str:
    """Return a ... z, then aa, ab ...: names stay one to one for any number of blocks."""
    letter = chr(ord("a") + index % 26)
    return _letter(index // 26 - 1) + letter if index >= 26 else letter
