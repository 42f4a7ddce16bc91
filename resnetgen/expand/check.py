"""Holds every name in a spec against the vocabulary before anything is unrolled: all errors are shown at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import fields
from typing import assert_never

from resnetgen.errors import Code, Problems, did_you_mean
from resnetgen.expand.bind import spellings, unknown_attribute
from resnetgen.ir.ops import VOCABULARY, Conv, Op
from resnetgen.spec.syntax import (
    Argument,
    Binary,
    BlockCall,
    Body,
    Bracket,
    Cell,
    Choice,
    Expression,
    Kernel,
    Number,
    OpCall,
    Stack,
    Unary,
    Unit,
    Variable,
)
from resnetgen.spec.table import Block, Branches, Case, Spec

CALLABLE = {keyword: kind for keyword, kind in VOCABULARY.items() if kind.arity == 1}
"""The ops that a cell can call; the others merge branches."""
PLACEHOLDERS = {"norm", "act", "identity"}
UNIT_FLAGS = {"linear", "bare"}
"""linear: no activation; bare: the convolution alone."""
IMPLICIT = {"in", "stride", "index"}
"""$names that every cell knows: channels in, the block's stride, the block's number in its row."""


def check_names(spec: Spec) -> None:
    """Raises Failure with every unknown op, block, attribute and $name of a spec."""
    checker = _Checker(spec)
    for row in spec.rows:
        checker.cells(row.cells, spec.params.keys() | IMPLICIT)
    for default in (spec.defaults.norm, spec.defaults.act, spec.defaults.bracket.after):
        checker.cells(default, spec.params.keys() | IMPLICIT)
    checker.cells(spec.defaults.bracket.shortcut, spec.params.keys() | IMPLICIT | {"out"})
    for name, values in spec.defaults.ops.items():
        checker.op_defaults(name, values.keys())
    for block in spec.blocks.values():
        checker.block(block)
    checker.problems.raise_if_any()


class _Checker:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.problems = Problems()

    def block(self, block: Block) -> None:
        # A block may stand in a shortcut, where $out is known.
        names = self.spec.params.keys() | block.params.keys() | IMPLICIT | {"out"}
        for default in block.params.values():
            if default is not None:
                self.expression(default, names)
        for expression in block.let.values():
            self.expression(expression, names)
            names |= block.let.keys()
        for condition, cells in _bodies(block):
            if condition is not None:
                self.expression(condition, names)
            self.cells(cells, names)

    def cells(self, cells: Iterable[Cell], names: Set[str]) -> None:
        for cell in cells:
            self.body(cell.body, names)
            for expression in (cell.repeat, cell.stride):
                if expression is not None:
                    self.expression(expression, names)

    def body(self, body: Body, names: Set[str]) -> None:
        match body:
            case Bracket(items) | Stack(items):
                for item in items:
                    self.body(item, names)
            case Unit(arguments, _):
                flags = {a.name for a in arguments if a.value is None} & UNIT_FLAGS
                self.arguments(Conv, [a for a in arguments if a.name not in flags], names)
            case OpCall():
                self.op(body, names)
            case BlockCall():
                self.call(body, names)
            case _:
                assert_never(body)

    def op(self, call: OpCall, names: Set[str]) -> None:
        if call.name in PLACEHOLDERS:
            if call.arguments:
                hint = f"it is set in defaults: {call.name}"
                self.problems.add(Code.BAD_ARGUMENT, f"{call.name} takes no arguments here", call.span, hint)
            return
        kind = CALLABLE.get(call.name)
        if kind is None:
            if call.name in self.spec.blocks:
                hint = f"{call.name} is a block; blocks are called with parentheses: {call.name}(...)"
            elif call.name in VOCABULARY:
                hint = "it merges branches: `merge:` names it"
            else:
                hint = did_you_mean(call.name, [*CALLABLE, *PLACEHOLDERS, *self.spec.blocks])
            self.problems.add(Code.UNKNOWN_OP, f"no op is called {call.name!r}", call.span, hint)
            return
        self.arguments(kind, call.arguments, names)

    def arguments(self, kind: type[Op], arguments: Iterable[Argument], names: Set[str]) -> None:
        for argument in arguments:
            if argument.name is not None and argument.name not in spellings(kind):
                if argument.name == "/":
                    self.problems.add(Code.BAD_ARGUMENT, f"{kind.keyword} has no stride", argument.span)
                else:
                    self.problems.found.extend(unknown_attribute(kind, argument.name, argument.span).problems)
            self.argument(argument, names)

    def call(self, call: BlockCall, names: Set[str]) -> None:
        block = self.spec.blocks.get(call.name)
        if block is None:
            if call.name in VOCABULARY:
                hint = f"{call.name} is an op; ops are written without parentheses"
            else:
                hint = did_you_mean(call.name, self.spec.blocks)
            self.problems.add(Code.UNKNOWN_BLOCK, f"no block is called {call.name!r}", call.span, hint)
            return
        for argument in call.arguments:
            if argument.name not in (None, "/") and argument.name not in block.params:
                hint = did_you_mean(argument.name or "", block.params)
                message = f"{call.name} has no parameter {argument.name!r}"
                self.problems.add(Code.BAD_ARGUMENT, message, argument.span, hint)
            self.argument(argument, names)

    def argument(self, argument: Argument, names: Set[str]) -> None:
        match argument.value:
            case Kernel(height, width, _):
                self.expression(height, names)
                self.expression(width, names)
            case Number() | Variable() | Unary() | Binary() | Choice():
                self.expression(argument.value, names)

    def expression(self, expression: Expression, names: Set[str]) -> None:
        match expression:
            case Variable(name, span) if name not in names:
                self.problems.add(Code.UNKNOWN_PARAMETER, f"unknown name ${name}", span, did_you_mean(name, names))
            case Unary(_, operand, _):
                self.expression(operand, names)
            case Binary(_, left, right, _):
                self.expression(left, names)
                self.expression(right, names)
            case Choice(then, condition, otherwise, _):
                for part in (then, condition, otherwise):
                    self.expression(part, names)
            case Number() | Variable():
                pass

    def op_defaults(self, name: str, attributes: Iterable[str]) -> None:
        values = self.spec.defaults.ops[name]
        kind = CALLABLE.get(name)
        for attribute in attributes:
            span = values[attribute].span
            if kind is None:
                hint = did_you_mean(name, CALLABLE)
                self.problems.add(Code.UNKNOWN_OP, f"defaults.ops: no op is called {name!r}", span, hint)
            elif attribute not in {field.name for field in fields(kind)}:
                self.problems.found.extend(unknown_attribute(kind, attribute, span).problems)


def _bodies(block: Block) -> Iterator[tuple[Expression | None, tuple[Cell, ...]]]:
    if isinstance(block.body, Branches):
        for cells in block.body.branches.values():
            yield None, cells
        yield None, block.body.after
        return
    if not block.is_choice:
        yield None, tuple(cell for cell in block.body if isinstance(cell, Cell))
        return
    for case in block.body:
        assert isinstance(case, Case)
        yield case.condition, case.cells
