"""The two sides of a name map's rule: a pattern that a node's path may fit, and the name that it then has.

In a path `{b}` stands for a number, `{s:3,4}` for one of those. In a name `{b}` repeats it, and `{$s - 1}` is an
expression as specs have them; what the path does not hold is an attribute of the op, `fc{units}`. `{b:letter}` counts
a, b, c from 0, `{b:numbered}` a, b1, b2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from resnetgen.errors import Span
from resnetgen.frozen import Frozen
from resnetgen.ir.graph import Node
from resnetgen.spec.expressions import evaluate
from resnetgen.spec.rows import parse_expression
from resnetgen.spec.syntax import Expression, Variable
from resnetgen.spec.yaml import Scalar

Captures = dict[str, int]

_FIELD = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
"""What stands in braces, and what follows its colon."""
_WORD = re.compile(rf"(?:{_FIELD.pattern}|\S)+")


class Pattern(Frozen):
    """`conv{s}_x/{b}/add`, as a regular expression."""

    expression: re.Pattern[str]

    def match(self, path: str) -> Captures | None:
        """The numbers in a path; None where it does not fit."""
        found = self.expression.fullmatch(path)
        return {name: int(digits) for name, digits in found.groupdict().items()} if found else None


class Template(Frozen):
    """`layer{$s - 1}.{b}`: texts, and behind each an expression, if any, and how its value is written."""

    pieces: tuple[tuple[str, Expression | None, str], ...]

    def fill(self, captures: Captures, node: Node) -> str:
        """The name of a node whose path has these numbers. Raises Failure where it needs what neither has."""
        scope = vars(node.op) | captures
        return "".join(
            text + (_written(int(evaluate(value, scope)), style) if value else "") for text, value, style in self.pieces
        )


def parse_pattern(scalar: Scalar) -> Pattern:
    source, at = "", 0
    for field in _FIELD.finditer(scalar.text):
        digits = field[2].replace(",", "|") if field[2] else "[0-9]+"
        source += f"{re.escape(scalar.text[at : field.start()])}(?P<{field[1]}>{digits})"
        at = field.end()
    return Pattern(re.compile(source + re.escape(scalar.text[at:])))


def parse_templates(scalar: Scalar) -> tuple[Template, ...]:
    """The words of a scalar, of which a node that becomes several layers has one each. Raises Failure."""
    return tuple(Template(tuple(_pieces(scalar, *word.span()))) for word in _WORD.finditer(scalar.text))


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
    """a ... z, then aa, ab ...: names stay one to one however many blocks there are."""
    letter = chr(ord("a") + index % 26)
    return _letter(index // 26 - 1) + letter if index >= 26 else letter
