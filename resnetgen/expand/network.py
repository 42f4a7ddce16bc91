"""The unrolling itself: rows, repetitions, brackets, stacks, blocks and units, each a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from resnetgen.errors import Code, Exit, Failure, Problem, Problems, Span, spec_error
from resnetgen.expand.bind import bind, whole
from resnetgen.expand.builder import MAX_NODES, Builder
from resnetgen.expand.check import CALLABLE, UNIT_FLAGS, check_names
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import MERGES, Conv, Input, Op, Shape, show
from resnetgen.spec.expressions import Scope, evaluate
from resnetgen.spec.syntax import Argument, BlockCall, Body, Bracket, Cell, Kernel, OpCall, Stack, Unit, Word
from resnetgen.spec.table import Block, Branches, Case, Cells, Row, Spec

_MAX_DEPTH = 32


def expand(spec: Spec, max_nodes: int = MAX_NODES) -> Graph:
    """The network that a spec describes.

    Raises Failure: every unknown name at once; then every size column that is wrong; then the first shape that does
    not fit, and exit 6 where there would be more than `max_nodes` nodes.
    """
    check_names(spec)
    channels, height, width = spec.input.extents
    try:
        builder = Builder(Input((channels, height, width)), max_nodes)
    except ValueError as error:
        raise spec_error(Code.BAD_VALUE, str(error), spec.input.span) from None
    return _Expander(spec, builder).network()


@dataclass(frozen=True)
class _Context:
    """What a cell may know of its surroundings."""

    prefix: str
    """The path below which its nodes are named."""
    names: Scope
    """The values of $names."""
    stride: int = 1
    """What the cell has to take of its block's stride; 1 once it is taken."""
    site: Span | None = None
    """Inside a block: where it was called. That is the place of its nodes, the table's own row."""
    depth: int = 0

    def at(self, span: Span) -> Span:
        return self.site or span


class _Expander:
    def __init__(self, spec: Spec, builder: Builder) -> None:
        self.spec = spec
        self.builder = builder

    def network(self) -> Graph:
        value = self.builder.input
        problems = Problems()
        for row in self.spec.rows:
            try:
                value = self.row(row, value)
            except Failure as failure:
                # What is wrong before this row is shown with it; nothing after it can be known.
                raise Failure(failure.exit, (*problems.found, *failure.problems)) from None
            with problems:
                self.check_size(row, self.builder.shape(value))
        problems.raise_if_any()
        return self.builder.graph(self.spec.title)

    def check_size(self, row: Row, shape: Shape) -> None:
        if row.size is None:
            return
        # A vector is what papers print as 1x1.
        actual = shape if len(shape) == 3 else (*shape, 1, 1)
        if actual[-len(row.size.extents) :] != row.size.extents:
            computed = show(actual[-len(row.size.extents) :])
            hint = f"write {computed}, or change a stride or a padding"
            message = f"the output of {row.stage} is {computed}, not {row.size}"
            raise spec_error(Code.SIZE_MISMATCH, message, row.size.span, hint)

    # Cells

    def row(self, row: Row, value: str) -> str:
        context = _Context(row.stage, self.spec.params)
        index = 0
        for cell in row.cells:
            if cell.is_block:
                value, index = self.repeated(cell, context, value, index)
            else:
                value = self.body(cell.body, context, value)
        return value

    def repeated(self, cell: Cell, context: _Context, value: str, index: int) -> tuple[str, int]:
        """Each repetition below its number; the first takes the stride."""
        names = self.names(context, value)
        count = whole(cell.repeat, names) if cell.repeat else 1
        stride = whole(cell.stride, names) if cell.stride else 1
        for what, number, span in (("repeat", count, cell.repeat), ("stride", stride, cell.stride)):
            if number < 1:
                assert span is not None
                raise spec_error(Code.BAD_VALUE, f"the {what} is {number}; it must be positive", span.span)
        self.builder.reserve(count, context.at(cell.span))
        for number in range(index, index + count):
            inner = replace(
                context,
                prefix=f"{context.prefix}/{number}",
                stride=stride if number == index else 1,
                names={**context.names, "index": number},
            )
            value = self.whole_body(cell.body, inner, value)
        return value, index + count

    def cells(self, cells: Cells, context: _Context, value: str) -> str:
        if len(cells) == 1 and cells[0].repeat is None and cells[0].stride is None:
            return self.whole_body(cells[0].body, context, value)
        for cell in cells:
            if cell.repeat is None and cell.stride is None:
                value = self.body(cell.body, context, value)
            else:
                value, _ = self.repeated(cell, context, value, 0)
        return value

    def whole_body(self, body: Body, context: _Context, value: str) -> str:
        """A body that is all of its place: a block or a bracket needs no path of its own there."""
        match body:
            case BlockCall():
                return self.call(body, context, value)
            case Bracket():
                return self.bracket(body, context, value)
            case _:
                return self.body(body, context, value)

    def body(self, body: Body, context: _Context, value: str) -> str:
        match body:
            case Unit():
                return self.unit(body, self.spec.defaults.unit, context, value)
            case OpCall():
                return self.op(body, context, value)
            case Stack(items, span):
                return self.items(items, self.first_unit(items, context, span), context, value)
            case BlockCall(name, _, _):
                path = self.builder.path(context.prefix, name.rpartition(".")[2])
                return self.call(body, replace(context, prefix=path), value)
            case Bracket():
                path = self.builder.path(context.prefix, "block")
                return self.bracket(body, replace(context, prefix=path), value)
            case _:
                assert_never(body)

    # Blocks

    def bracket(self, bracket: Bracket, context: _Context, value: str) -> str:
        """A residual block: the main branch first, since the shortcut must know its channels."""
        defaults = self.spec.defaults.bracket
        span = context.at(bracket.span)
        names = self.names(context, value)
        inner = replace(context, names=names)
        results: dict[str, str] = {}
        nodes: dict[str, list[Node]] = {}
        for branch in ("main", "shortcut"):
            if branch not in defaults.branches:
                continue
            start = len(self.builder.nodes)
            at = replace(inner, prefix=f"{context.prefix}/{branch}")
            if branch == "main":
                strided = self.strided_unit(bracket.items, context, bracket.span)
                results[branch] = self.items(bracket.items, strided, at, value, last=defaults.last)
            else:
                out = self.builder.shape(results["main"])[0]
                at = replace(at, names={**names, "out": out}, site=span)
                results[branch] = self.cells(defaults.shortcut, at, value)
            nodes[branch] = self.builder.nodes[start:]
            del self.builder.nodes[start:]
        for branch in defaults.branches:
            self.builder.nodes.extend(nodes[branch])
        value = self.merge(defaults.merge, tuple(results[b] for b in defaults.branches), context, span)
        return self.cells(defaults.after, replace(context, stride=1, site=span), value)

    def merge(self, keyword: str, values: tuple[str, ...], context: _Context, span: Span) -> str:
        if len(values) == 1:
            return values[0]
        kind = MERGES[keyword]
        if kind.arity is not None and len(values) != kind.arity:
            raise spec_error(Code.BAD_ARGUMENT, f"{keyword} merges {kind.arity} branches, not {len(values)}", span)
        return self.builder.add(self.builder.path(context.prefix, keyword), kind(), values, span)

    def call(self, call: BlockCall, context: _Context, value: str) -> str:
        """A block of the library or of the spec, with its parameters bound."""
        self.builder.count_call(call.span)
        if context.depth >= _MAX_DEPTH:
            raise spec_error(Code.RECURSION, f"blocks call each other deeper than {_MAX_DEPTH}", context.at(call.span))
        block = self.spec.blocks[call.name]
        arguments = self.arguments(block, call, self.names(context, value))
        stride = int(arguments.pop("/", context.stride))
        names = self.names(replace(context, names={**context.names, **arguments}, stride=stride), value)
        for name, expression in block.let.items():
            names = {**names, name: evaluate(expression, names)}
        inner = replace(context, names=names, stride=stride, site=context.at(call.span), depth=context.depth + 1)
        try:
            return self.block(block, inner, value)
        except Failure as failure:
            raise _noted(failure, f"in the block {block.name}, {block.span}") from None

    def block(self, block: Block, context: _Context, value: str) -> str:
        if isinstance(block.body, Branches):
            results = tuple(
                self.cells(cells, replace(context, prefix=f"{context.prefix}/{branch}"), value)
                for branch, cells in block.body.branches.items()
            )
            assert context.site is not None
            value = self.merge(block.body.merge, results, context, context.site)
            return self.cells(block.body.after, replace(context, stride=1), value)
        for entry in block.body:
            if isinstance(entry, Case) and (entry.condition is None or evaluate(entry.condition, context.names)):
                return self.cells(entry.cells, context, value)
        if block.is_choice:
            raise spec_error(Code.BAD_VALUE, f"no case of the block {block.name} applies", context.at(block.span))
        return self.cells(tuple(c for c in block.body if isinstance(c, Cell)), context, value)

    def arguments(self, block: Block, call: BlockCall, names: Scope) -> dict[str, int | float]:
        values: dict[str, int | float] = {}
        free = list(block.params)
        for argument in call.arguments:
            name = argument.name if argument.name is not None else next(iter(free), None)
            if name is None:
                hint = f"its parameters: {', '.join(block.params) or 'none'}"
                raise spec_error(Code.BAD_ARGUMENT, f"{block.name} takes no more values", argument.span, hint)
            if name in values:
                raise spec_error(Code.BAD_ARGUMENT, f"{name} is given twice", argument.span, "keep one of them")
            if name in free:
                free.remove(name)
            values[name] = _number(argument, names)
        for name in free:
            default = block.params[name]
            if default is None:
                hint = f"write {block.name}({name}=64)"
                raise spec_error(Code.BAD_ARGUMENT, f"{block.name} needs {name}", call.span, hint)
            values[name] = evaluate(default, {**names, **values})
        return values

    # Items

    def strided_unit(self, items: Sequence[Body], context: _Context, span: Span) -> Unit | None:
        """The unit of a bracket that takes the block's stride, as `stride_on` says."""
        on = self.spec.defaults.bracket.stride_on
        units = [item for item in items if isinstance(item, Unit)]
        if isinstance(on, Kernel):
            wanted = (whole(on.height, {}), whole(on.width, {}))
            names = context.names
            units = [unit for unit in units if _kernel_of(unit, names) == wanted]
            if context.stride != 1 and not units:
                hint = "set defaults.bracket.stride_on: first"
                message = f"no unit here has the {show(wanted)} kernel that takes the stride"
                raise spec_error(Code.BAD_ARGUMENT, message, context.at(span), hint)
        elif on == "last":
            units = units[::-1]
        return self._taker(units, context, span)

    def first_unit(self, items: Sequence[Body], context: _Context, span: Span) -> Unit | None:
        return self._taker([item for item in items if isinstance(item, Unit)], context, span)

    def _taker(self, units: list[Unit], context: _Context, span: Span) -> Unit | None:
        if context.stride == 1:
            return None
        if not units:
            hint = "write the stride inside: 3x3, 64, /2"
            raise spec_error(Code.BAD_ARGUMENT, "nothing in this block takes its stride", context.at(span), hint)
        for argument in units[0].arguments:
            if argument.name == "/":
                message = "the unit that takes the block's stride has one of its own"
                raise spec_error(Code.BAD_ARGUMENT, message, context.at(argument.span), "keep one of them")
        return units[0]

    def items(
        self,
        items: Sequence[Body],
        strided: Unit | None,
        context: _Context,
        value: str,
        last: tuple[str, ...] | None = None,
    ) -> str:
        """Bodies one after another; `strided` takes the block's stride, the last unit has the parts `last`."""
        units = [item for item in items if isinstance(item, Unit)]
        unstrided = replace(context, stride=1)
        if len(items) == 1 and not units:
            return self.whole_body(items[0], context, value)
        for item in items:
            if isinstance(item, Unit):
                parts = last if last and item is units[-1] else self.spec.defaults.unit
                value = self.unit(item, parts, context if item is strided else unstrided, value)
            else:
                value = self.body(item, unstrided, value)
        return value

    def unit(self, unit: Unit, parts: tuple[str, ...], context: _Context, value: str) -> str:
        """A convolution and what belongs to it, all of one number: conv2, norm2, act2."""
        flags = {argument.name for argument in unit.arguments if argument.value is None} & UNIT_FLAGS
        arguments = [argument for argument in unit.arguments if argument.name not in flags]
        if "linear" in flags:
            parts = tuple(part for part in parts if part != "act")
        if "bare" in flags:
            parts = ("conv",)
        number = self.builder.unit(context.prefix)
        span = context.at(unit.span)
        for part in parts:
            path = self.builder.path(context.prefix, f"{part}{number}")
            if part == "conv":
                conv = self.bound(Conv, arguments, context, value, span)
                assert isinstance(conv, Conv)
                if context.stride != 1:
                    conv = replace(conv, stride=(context.stride, context.stride))
                value = self.builder.add(path, conv, (value,), span)
            else:
                value = self.placeholder(part, path, context, value, span)
        return value

    def placeholder(self, part: str, path: str, context: _Context, value: str, span: Span) -> str:
        """What `norm` or `act` stands for, as the defaults say."""
        cells = self.spec.defaults.norm if part == "norm" else self.spec.defaults.act
        for cell in cells:
            if not isinstance(cell.body, OpCall) or cell.body.name in ("norm", "act"):
                hint = f"{part}: relu" if part == "act" else f"{part}: batchnorm"
                raise spec_error(Code.BAD_VALUE, f"defaults.{part} must be an op", cell.span, hint)
            if cell.body.name != "identity":
                op = self.bound(CALLABLE[cell.body.name], cell.body.arguments, context, value, cell.span)
                value = self.builder.add(path, op, (value,), span)
        return value

    def op(self, call: OpCall, context: _Context, value: str) -> str:
        if call.name == "identity":
            return value
        path = self.builder.path(context.prefix, call.name)
        span = context.at(call.span)
        if call.name in ("norm", "act"):
            return self.placeholder(call.name, path, context, value, span)
        return self.builder.add(
            path, self.bound(CALLABLE[call.name], call.arguments, context, value, span), (value,), span
        )

    def bound(self, kind: type[Op], arguments: Sequence[Argument], context: _Context, value: str, span: Span) -> Op:
        defaults = self.spec.defaults.ops.get(kind.keyword)
        return bind(kind, arguments, self.names(context, value), span, defaults)

    def names(self, context: _Context, value: str) -> Scope:
        return {**context.names, "in": self.builder.shape(value)[0], "stride": context.stride}


def _kernel_of(unit: Unit, names: Scope) -> tuple[int, int] | None:
    kernel = unit.arguments[0].value
    return (whole(kernel.height, names), whole(kernel.width, names)) if isinstance(kernel, Kernel) else None


def _number(argument: Argument, names: Scope) -> int | float:
    match argument.value:
        case None:
            return 1
        case Kernel() | Word():
            raise spec_error(Code.BAD_ARGUMENT, "a block's parameter is a number", argument.span)
        case expression:
            return evaluate(expression, names)


def _noted(failure: Failure, note: str) -> Failure:
    """The same failure; its problems say by which block they came, the innermost first."""
    if failure.exit is not Exit.SPEC:
        return failure
    problems = tuple(Problem(p.code, p.message, p.span, p.hint, (*p.notes, note)) for p in failure.problems)
    return Failure(failure.exit, problems)
