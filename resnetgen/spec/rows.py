"""Parser of row text to a syntax tree, by the grammar in grammar.lark."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeVar, cast

from lark import Token, Transformer, Tree, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError
from lark.tree import Meta

from resnetgen.errors import Code, Failure, Span, SpecError
from resnetgen.spec import syntax as s
from resnetgen.spec.grammar import parser
from resnetgen.spec.yaml import Scalar

T = TypeVar("T")

_MAX_ROW = 4000
_MAX_DIGITS = 18
_MAX_DEPTH = 64
"""Limit of levels of a row's tree, which is walked recursively."""


def parse_row(scalar: Scalar) -> s.Line:
    """Parse a row: `56x56 | maxpool 3x3, /2 | [3x3, 64; 3x3, 64] x2`. Raises SpecError with the column."""
    return _parse("row", scalar, s.Line)


def parse_cells(scalar: Scalar) -> tuple[s.Cell, ...]:
    """Parse cells without a size column, as in a block. Raises SpecError."""
    return cast("tuple[s.Cell, ...]", _parse("cells", scalar, tuple))


def parse_size(scalar: Scalar) -> s.Size:
    """Parse a size: `3x224x224`. Raises SpecError."""
    return _parse("size", scalar, s.Size)


def parse_expression(scalar: Scalar) -> s.Expression:
    return cast(s.Expression, _parse("expression", scalar, object))


def _parse(start: str, scalar: Scalar, kind: type[T]) -> T:
    value = _syntax(start, scalar)
    assert isinstance(value, kind)
    return value


@lru_cache(maxsize=4096)  # many specs in one process may inherit the same row
def _syntax(start: str, scalar: Scalar) -> object:
    if len(scalar.text) > _MAX_ROW:
        hint = "move a part of it into a block"
        raise SpecError.of(Code.ROW_SYNTAX, f"a row of more than {_MAX_ROW} characters", scalar.span, hint)
    try:
        tree = parser().parse(scalar.text, start=start)
    except UnexpectedInput as error:
        raise _syntax_error(error, scalar, start) from None
    _check_depth(tree, scalar)
    try:
        return _ToSyntax(scalar).transform(tree)
    except VisitError as error:
        raise error.orig_exc from None


def _check_depth(tree: Tree[Token], scalar: Scalar) -> None:
    level = [tree]
    for _ in range(_MAX_DEPTH):
        level = [child for parent in level for child in parent.children if isinstance(child, Tree)]
        if not level:
            return
    meta = level[0].meta
    place = scalar.within(meta.start_pos, meta.end_pos)
    hint = "move a part of it into a block, or name it in `let`"
    raise SpecError.of(Code.ROW_SYNTAX, f"nested deeper than {_MAX_DEPTH} levels", place, hint)


_TERMINALS = {
    "NAME": "a name",
    "CALL": "a name",
    "NUMBER": "a number",
    "DECIMAL": "a number",
    "VARIABLE": "a $name",
    "X": "'x'",
    "LSQB": "'['",
    "RSQB": "']'",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "SEMICOLON": "';'",
    "VBAR": "'|'",
    "SLASH": "'/'",
    "EQUAL": "'='",
    "ELSE": "'else'",
    "$END": "the end",
}
_OPERATORS = {"SIGN", "TIMES", "COMPARE", "IF", "AND", "OR"}
_END = "end of the text"
_ADVICE = {
    r"\0['\"]": "quotes enclose the whole text, or nothing",
    r"\0[×X]": "write a small x",
    r"\$\w*x\d*\0": "a space ends a $name: $n x 3",
    r"[\w)] *\0/ *[\w($]": "write a stride after a comma; division is //",
    r"[\])] *\0x": "inside [...] or (...) only a named block can be repeated",
    r"/ *[\w$]+ *\0x": "write the repetition before the stride: x3 /2",
}
"""Pattern of the text before and after (NUL marks the place of an error) -> advice for the most frequent mistake."""


def _syntax_error(error: UnexpectedInput, scalar: Scalar, start: str) -> Failure:
    match error:
        case UnexpectedToken():
            at, length = error.token.start_pos, len(error.token)
            text = repr(str(error.token)) if error.token.type != "$END" else _END
        case UnexpectedCharacters():
            at, length = error.pos_in_stream, 1
            text = repr(error.char)
        case _:
            assert isinstance(error, UnexpectedEOF)
            at, length, text = len(scalar.text), 1, _END
    if text == _END:
        at = len(scalar.text)
    unlisted = _OPERATORS | {"VARIABLE"} if start == "size" else _OPERATORS
    accepted: set[str] = error.interactive_parser.accepts()  # type: ignore[no-untyped-call]
    words = sorted(
        {_TERMINALS[terminal] for terminal in accepted - unlisted}, key=lambda word: (word == "the end", word)
    )
    hint = f"expected {', '.join(words[:-1])}{' or ' if words[1:] else ''}{words[-1]}" if words else ""
    for pattern, advice in _ADVICE.items():
        if re.search(pattern, f"{scalar.text[: at or 0]}\0{scalar.text[at or 0 :]}"):
            hint = advice
    return SpecError.of(Code.ROW_SYNTAX, f"unexpected {text}", scalar.within(at or 0, (at or 0) + length), hint)


@v_args(meta=True)
class _ToSyntax(Transformer[Token, Any]):
    """Transformer with a method for each rule of the grammar."""

    def __init__(self, scalar: Scalar) -> None:
        super().__init__()
        self.scalar = scalar

    def span(self, meta: Meta) -> Span:
        return self.scalar.within(meta.start_pos, meta.end_pos)

    def row(self, _: Meta, children: list[Any]) -> s.Line:
        size, *cells = children
        return s.Line(size, tuple(cells))

    def cells(self, _: Meta, children: list[Any]) -> tuple[s.Cell, ...]:
        return tuple(children)

    def size(self, meta: Meta, children: list[Any]) -> s.Size:
        sides = [child for child in children if child is not None and not isinstance(child, Token)]
        for side in sides:
            if not isinstance(side, s.Number):
                raise SpecError.of(
                    Code.ROW_SYNTAX, "a size is written in numbers", side.span, "32x32, or no size at all"
                )
        return s.Size(tuple(side.value for side in sides), self.span(meta))

    def cell(self, meta: Meta, children: list[Any]) -> s.Cell:
        body, _, repeat, stride = children if len(children) > 1 else (children[0], None, None, None)
        return s.Cell(body, repeat, stride, self.span(meta))

    def bracket(self, meta: Meta, children: list[Any]) -> s.Bracket:
        return s.Bracket(children[0], self.span(meta))

    def stack(self, meta: Meta, children: list[Any]) -> s.Stack:
        return s.Stack(children[0], self.span(meta))

    def items(self, _: Meta, children: list[Any]) -> tuple[s.Body, ...]:
        return tuple(children)

    def block(self, meta: Meta, children: list[Any]) -> s.BlockCall:
        name, *arguments = children
        return s.BlockCall(str(name), tuple(a for a in arguments if a is not None), self.span(meta))

    def unit(self, meta: Meta, children: list[Any]) -> s.Unit:
        kernel, *arguments = children
        return s.Unit((s.Argument(None, kernel, kernel.span), *arguments), self.span(meta))

    def op(self, meta: Meta, children: list[Any]) -> s.OpCall:
        name, *arguments = children
        return s.OpCall(str(name), tuple(a for a in arguments if a is not None), self.span(meta))

    def argument(self, meta: Meta, children: list[Any]) -> s.Argument:
        return s.Argument(None, children[0], self.span(meta))

    def stride(self, meta: Meta, children: list[Any]) -> s.Argument:
        return s.Argument("/", children[0], self.span(meta))

    def named(self, meta: Meta, children: list[Any]) -> s.Argument:
        return s.Argument(str(children[0]), children[1], self.span(meta))

    def flag(self, meta: Meta, children: list[Any]) -> s.Argument:
        return s.Argument(str(children[0]), None, self.span(meta))

    def word(self, meta: Meta, children: list[Any]) -> s.Identifier:
        return s.Identifier(str(children[0]), self.span(meta))

    def kernel(self, meta: Meta, children: list[Any]) -> s.Kernel:
        height, _, width = children
        return s.Kernel(height, width, self.span(meta))

    def number(self, meta: Meta, children: list[Any]) -> s.Number:
        token = children[0]
        value = self._number(token, meta) if token.type == "NUMBER" else float(token)
        return s.Number(value, self.span(meta))

    def variable(self, meta: Meta, children: list[Any]) -> s.Variable:
        return s.Variable(str(children[0])[1:], self.span(meta))

    def unary(self, meta: Meta, children: list[Any]) -> s.Unary:
        return s.Unary(str(children[0]), children[1], self.span(meta))

    def binary(self, meta: Meta, children: list[Any]) -> s.Binary:
        left, operator, right = children
        return s.Binary(str(operator), left, right, self.span(meta))

    def binary_or(self, meta: Meta, children: list[Any]) -> s.Binary:
        return s.Binary("or", children[0], children[1], self.span(meta))

    def binary_and(self, meta: Meta, children: list[Any]) -> s.Binary:
        return s.Binary("and", children[0], children[1], self.span(meta))

    def choice(self, meta: Meta, children: list[Any]) -> s.Choice:
        then, condition, otherwise = children
        return s.Choice(then, condition, otherwise, self.span(meta))

    def _number(self, token: Token, meta: Meta) -> int:
        if len(token) > _MAX_DIGITS:
            hint = f"the limit is {_MAX_DIGITS} digits"
            raise SpecError.of(Code.BAD_VALUE, f"a number of {len(token)} digits", self.span(meta), hint)
        return int(token)
