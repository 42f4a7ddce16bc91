"""Check of every name in a spec against the vocabulary before anything is unrolled, so that all errors are shown at
once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import assert_never

from resnetgen.errors import Code, Problems, did_you_mean
from resnetgen.expand.bind import spellings, unknown_attribute, usage
from resnetgen.ir.ops import MERGES, VOCABULARY, Conv, Op
from resnetgen.spec.expressions import unknown_name
from resnetgen.spec.json_schema import IMPLICIT
from resnetgen.spec.syntax import (
    Argument,
    BlockCall,
    Body,
    Bracket,
    Cell,
    Expression,
    OpCall,
    Stack,
    Unit,
    argument_variables,
    variables,
)
from resnetgen.spec.table import Block, Branches, Case, Cells, Spec

CALLABLE = {keyword: kind for keyword, kind in VOCABULARY.items() if kind.arity == 1}
"""The ops that a cell can call; the others merge branches."""
PLACEHOLDERS = {"norm", "act", "identity"}
UNIT_FLAGS = {"linear", "bare"}
"""Flags of a unit. linear: no activation; bare: the convolution alone."""


def check_names(spec: Spec) -> None:
    """Raise SpecError with every unknown op, block, attribute and $name of a spec."""
    checker = _Checker(spec)
    names = spec.params.keys() | IMPLICIT
    for row in spec.rows:
        checker.check_cells(row.cells, names - {"out"})
    checker.check_placeholder("norm", spec.defaults.norm, names - {"out"})
    checker.check_placeholder("act", spec.defaults.act, names - {"out"})
    checker.check_cells(spec.defaults.bracket.after, names - {"out"})
    checker.check_cells(spec.defaults.bracket.shortcut, names)
    for name in spec.defaults.ops:
        checker.check_op_defaults(name)
    for block in spec.blocks.values():
        checker.check_block(block)
    checker.problems.raise_if_any()


class _Checker:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.problems = Problems()

    def check_block(self, block: Block) -> None:
        # A block may be used in a shortcut, where $out is defined.
        names = self.spec.params.keys() | IMPLICIT
        later = block.params.keys() | block.let.keys()
        for name, expression in (*block.params.items(), *block.let.items()):
            if expression is not None:
                self.check_expression(expression, names, later - names)
            names |= {name}
        for condition, cells in _bodies(block):
            if condition is not None:
                self.check_expression(condition, names)
            self.check_cells(cells, names)

    def check_cells(self, cells: Iterable[Cell], names: Set[str]) -> None:
        for cell in cells:
            self.check_body(cell.body, names)
            for expression in (cell.repeat, cell.stride):
                if expression is not None:
                    self.check_expression(expression, names)

    def check_body(self, body: Body, names: Set[str]) -> None:
        match body:
            case Bracket(items) | Stack(items):
                for item in items:
                    self.check_body(item, names)
            case Unit(arguments, _):
                flags = {a.name for a in arguments if a.value is None} & UNIT_FLAGS
                self.check_arguments(Conv, [a for a in arguments if a.name not in flags], names)
            case OpCall():
                self.check_op(body, names)
            case BlockCall():
                self.check_call(body, names)
            case _:
                assert_never(body)

    def check_op(self, call: OpCall, names: Set[str]) -> None:
        if call.name in PLACEHOLDERS:
            if call.arguments:
                hint = f"it is set in defaults.{call.name}" if call.name != "identity" else "write identity alone"
                self.problems.add(Code.BAD_ARGUMENT, f"{call.name} takes no arguments here", call.span, hint)
            return
        kind = CALLABLE.get(call.name)
        if kind is None:
            if call.name in self.spec.blocks:
                hint = f"{call.name} is a block; blocks are called with parentheses: {call.name}(...)"
            elif call.name in MERGES:
                hint = f"it merges the branches of a block: merge: {call.name}"
            else:
                hint = did_you_mean(call.name, [*CALLABLE, *PLACEHOLDERS, *self.spec.blocks])
            self.problems.add(Code.UNKNOWN_OP, f"no op is called {call.name!r}", call.span, hint)
            return
        self.check_arguments(kind, call.arguments, names)

    def check_arguments(self, kind: type[Op], arguments: Iterable[Argument], names: Set[str]) -> None:
        for argument in arguments:
            if argument.name is not None and argument.name not in spellings(kind):
                if argument.name == "/":
                    message = f"{kind.keyword} has no stride"
                    self.problems.add(Code.BAD_ARGUMENT, message, argument.span, usage(kind))
                else:
                    self.problems.found.extend(unknown_attribute(kind, argument.name, argument.span).problems)
            self.check_argument(argument, names)

    def check_call(self, call: BlockCall, names: Set[str]) -> None:
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
                hint = did_you_mean(argument.name or "", block.params) or "it has no parameters"
                if argument.name in spellings(Conv):
                    written = argument.span.source.text[argument.span.start : argument.span.end]
                    own = ", ".join(block.params) or "none"
                    hint = f"its parameters: {own}; a unit takes it: [3x3, 64, {written}; ...]"
                message = f"{call.name} has no parameter {argument.name!r}"
                self.problems.add(Code.BAD_ARGUMENT, message, argument.span, hint)
            self.check_argument(argument, names)

    def check_argument(self, argument: Argument, names: Set[str]) -> None:
        for variable in argument_variables(argument):
            self.check_expression(variable, names)

    def check_expression(self, expression: Expression, names: Set[str], later: Set[str] = frozenset()) -> None:
        for variable in variables(expression):
            if variable.name in later:
                message = f"${variable.name} is not set yet"
                self.problems.add(Code.UNKNOWN_PARAMETER, message, variable.span, f"put {variable.name} first")
            elif variable.name not in names:
                self.problems.found.extend(unknown_name(variable.name, variable.span, names).problems)

    def check_placeholder(self, part: str, cells: Cells, names: Set[str]) -> None:
        """Check that `defaults.norm` or `defaults.act` is a single op."""
        call = cells[0].body if len(cells) == 1 else None
        if isinstance(call, OpCall) and call.name not in ("norm", "act"):
            self.check_op(call, names)
            return
        hint = "norm: batchnorm" if part == "norm" else "act: relu"
        span = cells[0].span if cells else self.spec.span
        self.problems.add(Code.BAD_VALUE, f"defaults.{part} must be one op", span, hint)

    def check_op_defaults(self, name: str) -> None:
        defaults = self.spec.defaults.ops[name]
        kind = CALLABLE.get(name)
        if kind is None:
            hint = did_you_mean(name, CALLABLE)
            self.problems.add(Code.UNKNOWN_OP, f"no op is called {name!r}", defaults.span, hint)
            return
        for key, _ in defaults.attributes:
            if key.text not in spellings(kind):
                self.problems.found.extend(unknown_attribute(kind, key.text, key.span).problems)


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
