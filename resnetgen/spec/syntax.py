"""Syntax tree of a row: cells, calls, arguments and expressions, each with its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, assert_never

from msgspec import Struct

from resnetgen.errors import Span

# Expressions


class Number(Struct, frozen=True):
    value: int | float
    span: Span


class Variable(Struct, frozen=True):
    name: str
    """Name without the dollar sign."""
    span: Span


class Unary(Struct, frozen=True):
    operator: str
    operand: Expression
    span: Span


class Binary(Struct, frozen=True):
    operator: str
    left: Expression
    right: Expression
    span: Span


class Choice(Struct, frozen=True):
    """`then if condition else otherwise`."""

    then: Expression
    condition: Expression
    otherwise: Expression
    span: Span


Expression: TypeAlias = Number | Variable | Unary | Binary | Choice

# Arguments


class Kernel(Struct, frozen=True):
    """`3x3`: height and width of a kernel, or of any other pair."""

    height: Expression
    width: Expression
    span: Span


class Identifier(Struct, frozen=True):
    """A name as a value: `norm=groupnorm`."""

    text: str
    span: Span


class Argument(Struct, frozen=True):
    """One argument: `64` (no name), `/2` (the name "/"), `C=32`, or the flag `bias` (no value)."""

    name: str | None
    value: Expression | Kernel | Identifier | None
    span: Span


# Cells


class Unit(Struct, frozen=True):
    """`7x7, 64, /2`: a convolution with the other parts of `defaults.unit`."""

    arguments: tuple[Argument, ...]
    span: Span


class OpCall(Struct, frozen=True):
    """`maxpool 3x3, /2`: one op."""

    name: str
    arguments: tuple[Argument, ...]
    span: Span


class BlockCall(Struct, frozen=True):
    """`bottleneck(64, C=32)`: a block of the library or of the spec."""

    name: str
    arguments: tuple[Argument, ...]
    span: Span


class Bracket(Struct, frozen=True):
    """`[1x1, 64; 3x3, 64]`: a residual block, by `defaults.bracket`."""

    items: tuple[Body, ...]
    span: Span


class Stack(Struct, frozen=True):
    """`(3x3, 64; 3x3, 64)`: the same without a shortcut."""

    items: tuple[Body, ...]
    span: Span


Body: TypeAlias = Unit | OpCall | BlockCall | Bracket | Stack


class Cell(Struct, frozen=True):
    """A body, its number of repetitions, and the stride of the first one."""

    body: Body
    repeat: Expression | None
    stride: Expression | None
    span: Span

    @property
    def is_block(self) -> bool:
        """True for a bracket, a stack or a block, which a row may repeat; False for an op or a unit."""
        return isinstance(self.body, Bracket | Stack | BlockCall)


class Size(Struct, frozen=True):
    """Size column: height and width, or channels, height and width."""

    extents: tuple[int, ...]
    span: Span

    def __str__(self) -> str:
        return "x".join(map(str, self.extents))


class Line(Struct, frozen=True):
    """A row as written: the size column, if any, and the cells."""

    size: Size | None
    cells: tuple[Cell, ...]


def variables(expression: Expression) -> Iterator[Variable]:
    """Yield every $name of an expression."""
    match expression:
        case Number():
            pass
        case Variable():
            yield expression
        case Unary(_, operand, _):
            yield from variables(operand)
        case Binary(_, left, right, _):
            yield from variables(left)
            yield from variables(right)
        case Choice(then, condition, otherwise, _):
            for part in (then, condition, otherwise):
                yield from variables(part)
        case _:
            assert_never(expression)


def argument_variables(argument: Argument) -> Iterator[Variable]:
    """Yield every $name of an argument."""
    match argument.value:
        case Kernel(height, width):
            yield from variables(height)
            yield from variables(width)
        case None | Identifier():
            pass
        case expression:
            yield from variables(expression)
