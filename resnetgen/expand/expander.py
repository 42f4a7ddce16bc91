"""Unrolling of a spec: one method each for rows, repetitions, brackets, stacks, blocks and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec.structs import replace

from resnetgen.errors import Code, Failure, Problem, Problems, Span, SpecError
from resnetgen.expand.bind import bind, evaluate_whole
from resnetgen.expand.builder import MAX_NODES, Builder
from resnetgen.expand.calls import bind_parameters, characters_of, locate_at_call
from resnetgen.expand.check import CALLABLE, UNIT_FLAGS, check_names
from resnetgen.expand.context import Context
from resnetgen.expand.strides import check_stride_is_used, stride_units, two_strides, uses_stride
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import MERGES, Conv, Input, Op, Shape, show
from resnetgen.ir.path import NodePath
from resnetgen.spec.expressions import Scope, evaluate
from resnetgen.spec.json_schema import IMPLICIT
from resnetgen.spec.syntax import Argument, BlockCall, Body, Bracket, Cell, Number, OpCall, Stack, Unit
from resnetgen.spec.table import Block, Branches, Case, Cells, Row, Spec


def expand(spec: Spec, max_nodes: int = MAX_NODES) -> Graph:
    """Return the network that a spec describes.

    Raises Failure: exit 3 with every unknown name, else with every wrong size column, else with the first shape that
    does not fit; exit 6 for more than `max_nodes` nodes.
    """
    check_names(spec)
    channels, height, width = spec.input.extents
    try:
        builder = Builder(Input((channels, height, width)), max_nodes)
    except ValueError as error:
        raise SpecError.of(Code.BAD_VALUE, str(error), spec.input.span) from None
    return _Expander(spec, builder).expand_table()


class _Expander:
    def __init__(self, spec: Spec, builder: Builder) -> None:
        self.spec = spec
        self.builder = builder
        self.texts = {name: characters_of(block) for name, block in spec.blocks.items()}

    def expand_table(self) -> Graph:
        value = self.builder.input
        problems = Problems()
        for cells in (self.spec.defaults.norm, self.spec.defaults.act):
            with problems:
                self.placeholder_op(cells, self.with_input(self.row_context(None), value))
        problems.raise_if_any()
        for row in self.spec.rows:
            try:
                value = self.expand_row(row, value)
            except Failure as failure:
                # Show earlier errors together with this one. Nothing after this row can be checked.
                raise type(failure)((*problems.found, *failure.problems)) from None
            with problems:
                self.check_size(row, self.builder.shape(value))
        problems.raise_if_any()
        if value == self.builder.input:
            message = "the rows of this spec compute nothing"
            raise SpecError.of(Code.BAD_VALUE, message, self.spec.rows[0].span, "add a cell that is not the identity")
        return self.builder.graph(self.spec.title, (value,))

    def check_size(self, row: Row, shape: Shape) -> None:
        if row.size is None:
            return
        # Papers print a vector as 1x1.
        actual = shape if len(shape) == 3 else (*shape, 1, 1)
        if actual[-len(row.size.extents) :] != row.size.extents:
            computed = show(actual[-len(row.size.extents) :])
            hint = f"write {computed}, or change a stride or a padding"
            message = f"the output of {row.stage} is {computed}, not {row.size}"
            elsewhere = row.size.span.source is not row.span.source
            notes = (f"{row.stage} is patched at {row.span}",) if elsewhere else ()
            raise SpecError((Problem(Code.SIZE_MISMATCH, message, row.size.span, hint, notes),))

    # Cells

    def expand_row(self, row: Row, value: str) -> str:
        context = self.row_context(row.stage)
        index = 0
        for cell in row.cells:
            entered = self.with_input(context, value)
            if cell.is_block:
                value, index = self.expand_repeated(cell, entered, value, index)
            else:
                value = self.expand_body(cell.body, entered, value)
        return value

    def row_context(self, stage: str | None) -> Context:
        return Context(NodePath(stage), {**self.spec.params, "index": 0})

    def with_input(self, context: Context, value: str) -> Context:
        """Return the context of a cell whose input is `value`: $in and $stride are set for it."""
        channels = self.builder.shape(value)[0]
        return replace(context, names={**context.names, "in": channels, "stride": context.stride})

    def expand_repeated(self, cell: Cell, context: Context, value: str, index: int) -> tuple[str, int]:
        """Expand each repetition below its number; the first one applies the stride."""
        count = evaluate_whole(cell.repeat, context.names) if cell.repeat else 1
        stride = context.stride
        if cell.stride:
            if stride != 1 and not uses_stride(cell):
                raise two_strides(cell.stride.span, context)
            stride = evaluate_whole(cell.stride, context.names)
        for key, number, written in (("repeat", count, cell.repeat), ("stride", stride, cell.stride)):
            if number < 1:
                assert written is not None
                raise SpecError.of(Code.BAD_VALUE, f"the {key} is {number}; it must be positive", written.span)
        self.builder.reserve(count, context.at(cell.span))
        for number in range(index, index + count):
            self.builder.count_call(context.at(cell.span), cell.span.end - cell.span.start + len(context.names))
            applied = stride if number == index else 1
            names = {**context.names, "index": number, "stride": applied}
            if context.site is None:
                names["in"] = self.builder.shape(value)[0]
            inner = replace(context, place=context.place.repetition(number), stride=applied, names=names)
            value = self.expand_sole_body(cell.body, inner, value)
        return value, index + count

    def expand_cells(self, cells: Cells, context: Context, value: str) -> str:
        """Expand the cells of a block or of the defaults, one after another."""
        if len(cells) == 1 and cells[0].repeat is None and cells[0].stride is None:
            return self.expand_sole_body(cells[0].body, context, value)
        users = [cell for cell in cells if uses_stride(cell)]
        strided = users or [cell for cell in cells if not isinstance(cell.body, OpCall)][:1]
        index = 0
        for cell in cells:
            at = context if cell in strided else replace(context, stride=1)
            if cell.repeat is None and cell.stride is None:
                value = self.expand_body(cell.body, at, value)
            else:
                value, index = self.expand_repeated(cell, at, value, index)
        return value

    def expand_sole_body(self, body: Body, context: Context, value: str) -> str:
        """Expand a body that is alone in its place, so that a block or a bracket needs no path of its own."""
        match body:
            case BlockCall():
                return self.expand_call(body, context, value)
            case Bracket():
                return self.expand_bracket(body, context, value)
            case _:
                return self.expand_body(body, context, value)

    def expand_body(self, body: Body, context: Context, value: str) -> str:
        match body:
            case Unit():
                return self.expand_unit(body, self.spec.defaults.unit, context, value)
            case OpCall():
                return self.expand_op(body, context, value)
            case Stack(items, span):
                inner = context.deeper(span)
                return self.expand_items(items, stride_units(items, inner, span), inner, value)
            case BlockCall(block, _, _):
                name = self.builder.unused(context.place, block.rpartition(".")[2])
                return self.expand_call(body, replace(context, place=context.place.within(name)), value)
            case Bracket():
                name = self.builder.unused(context.place, "block")
                return self.expand_bracket(body, replace(context, place=context.place.within(name)), value)
            case _:
                assert_never(body)

    # Blocks

    def expand_bracket(self, bracket: Bracket, context: Context, value: str) -> str:
        """Expand a residual block: the main branch first, since the shortcut needs its channel count."""
        defaults = self.spec.defaults.bracket
        span = context.at(bracket.span)
        inner = context.deeper(bracket.span)
        results: dict[str, str] = {}
        nodes: dict[str, list[Node]] = {}
        first = len(self.builder.nodes)
        for branch in ("main", "shortcut"):
            if branch not in defaults.branches:
                continue
            start = len(self.builder.nodes)
            at = replace(inner, place=context.place.within(branch))
            if branch == "main":
                strided = stride_units(bracket.items, at, bracket.span, defaults.stride_on)
                results[branch] = self.expand_items(bracket.items, strided, at, value, last=defaults.last)
            else:
                out = self.builder.shape(results["main"])[0]
                at = replace(at, names={**self.outer_names(context), "out": out}, site=span)
                results[branch] = self.expand_cells(defaults.shortcut, self.with_input(at, value), value)
            nodes[branch] = self.builder.nodes[start:]
        self.builder.nodes[first:] = [node for branch in defaults.branches for node in nodes[branch]]
        value = self.merge_branches(defaults.merge, tuple(results[b] for b in defaults.branches), context, span)
        after = replace(inner, names=self.outer_names(context), stride=1, site=span)
        return self.expand_cells(defaults.after, self.with_input(after, value), value)

    def merge_branches(self, keyword: str, values: tuple[str, ...], context: Context, span: Span) -> str:
        if len(values) == 1:
            return values[0]
        kind = MERGES[keyword]
        if kind.arity is not None and len(values) != kind.arity:
            message = f"{keyword} merges {kind.arity} branches, not {len(values)}"
            raise SpecError.of(Code.BAD_ARGUMENT, message, span, "merge the others in a block within one of them")
        return self.builder.add(self.builder.path(context.place, keyword), kind(), values, span)

    def expand_call(self, call: BlockCall, context: Context, value: str) -> str:
        """Expand a call of a block of the library or of the spec, with its parameters bound."""
        site = context.at(call.span)
        block = self.spec.blocks[call.name]
        self.builder.count_call(site, self.texts[call.name] + len(context.names))
        inner = context.deeper(call.span)
        passed, stride = bind_parameters(block, call, context)
        inner = replace(inner, names=self.outer_names(context), stride=stride, site=site)
        try:
            names = dict(self.with_input(inner, value).names) | passed
            for name, default in block.params.items():
                if default is not None and name not in passed:
                    names[name] = evaluate(default, names)
            for name, expression in block.let.items():
                names[name] = evaluate(expression, names)
            return self.expand_block(block, replace(inner, names=names), value)
        except Failure as failure:
            raise locate_at_call(failure, block, site) from None

    def outer_names(self, context: Context) -> Scope:
        """Return the names that a block sees from outside: the parameters of the spec, and the implicit $names."""
        return {**self.spec.params, **{name: context.names[name] for name in IMPLICIT if name in context.names}}

    def expand_block(self, block: Block, context: Context, value: str) -> str:
        if isinstance(block.body, Branches):
            check_stride_is_used(block, [cell for cells in block.body.branches.values() for cell in cells], context)
            results = tuple(
                self.expand_cells(cells, replace(context, place=context.place.within(branch)), value)
                for branch, cells in block.body.branches.items()
            )
            assert context.site is not None
            value = self.merge_branches(block.body.merge, results, context, context.site)
            return self.expand_cells(block.body.after, replace(context, stride=1), value)
        for entry in block.body:
            if isinstance(entry, Case) and (entry.condition is None or evaluate(entry.condition, context.names)):
                check_stride_is_used(block, entry.cells, context)
                return self.expand_cells(entry.cells, context, value)
        if block.is_choice:
            hint = "a last entry without `if` applies always"
            raise SpecError.of(Code.BAD_VALUE, f"no case of {block.name} applies", context.at(block.span), hint)
        cells = tuple(cell for cell in block.body if isinstance(cell, Cell))
        check_stride_is_used(block, cells, context)
        return self.expand_cells(cells, context, value)

    # Items

    def expand_items(
        self,
        items: Sequence[Body],
        strided: Sequence[Body],
        context: Context,
        value: str,
        last: tuple[str, ...] | None = None,
    ) -> str:
        """Expand bodies one after another; those in `strided` apply the block's stride, the last unit has the parts
        `last`."""
        units = [item for item in items if isinstance(item, Unit)]
        if len(items) == 1 and not units:
            return self.expand_sole_body(items[0], context, value)
        for item in items:
            at = context if item in strided else replace(context, stride=1)
            if isinstance(item, Unit):
                parts = last if last and item is units[-1] else self.spec.defaults.unit
                value = self.expand_unit(item, parts, at, value)
            else:
                value = self.expand_body(item, at, value)
        return value

    def expand_unit(self, unit: Unit, parts: tuple[str, ...], context: Context, value: str) -> str:
        """Expand a convolution and its norm and activation, all with one number: conv2, norm2, act2."""
        flags = {argument.name for argument in unit.arguments if argument.value is None} & UNIT_FLAGS
        arguments = [argument for argument in unit.arguments if argument.name not in flags]
        span = context.at(unit.span)
        if context.stride != 1 and not uses_stride(unit):
            for argument in arguments:
                if argument.name in ("/", "stride"):
                    raise two_strides(argument.span, context)
            arguments.append(Argument("/", Number(context.stride, span), span))
        if "linear" in flags:
            parts = tuple(part for part in parts if part != "act")
        if "bare" in flags:
            parts = ("conv",)
        number = self.builder.unit(context.place)
        for part in parts:
            path = self.builder.path(context.place, f"{part}{number}")
            if part == "conv":
                value = self.builder.add(path, self.bind_op(Conv, arguments, context.names, span), (value,), span)
            else:
                value = self.expand_placeholder(part, path, context, value, span)
        return value

    def expand_placeholder(self, part: str, path: NodePath, context: Context, value: str, span: Span) -> str:
        """Expand `norm` or `act` to the op that the defaults set for it."""
        cells = self.spec.defaults.norm if part == "norm" else self.spec.defaults.act
        op = self.placeholder_op(cells, self.with_input(replace(context, names=self.outer_names(context)), value))
        return self.builder.add(path, op, (value,), span) if op else value

    def placeholder_op(self, cells: Cells, context: Context) -> Op | None:
        call = cells[0].body
        assert isinstance(call, OpCall)  # check_names has checked it
        if call.name == "identity":
            return None
        return self.bind_op(CALLABLE[call.name], call.arguments, context.names, call.span)

    def expand_op(self, call: OpCall, context: Context, value: str) -> str:
        if call.name == "identity":
            return value
        path = self.builder.path(context.place, call.name)
        span = context.at(call.span)
        if call.name in ("norm", "act"):
            return self.expand_placeholder(call.name, path, context, value, span)
        op = self.bind_op(CALLABLE[call.name], call.arguments, context.names, span)
        return self.builder.add(path, op, (value,), span)

    def bind_op(self, kind: type[Op], arguments: Sequence[Argument], names: Scope, span: Span) -> Op:
        return bind(kind, arguments, names, span, self.spec.defaults.ops.get(kind.keyword))
