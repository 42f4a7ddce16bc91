"""Choice of the unit that applies a block's stride: an explicit /$stride, else `stride_on` of the defaults, else the
first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from resnetgen.errors import Code, Failure, Span, SpecError
from resnetgen.expand.bind import evaluate_whole
from resnetgen.expand.context import Context
from resnetgen.ir.ops import show
from resnetgen.spec.expressions import Scope
from resnetgen.spec.syntax import (
    BlockCall,
    Body,
    Bracket,
    Cell,
    Kernel,
    OpCall,
    Stack,
    Unit,
    argument_variables,
    variables,
)
from resnetgen.spec.table import Block


def uses_stride(body: Body | Cell) -> bool:
    """Return True if a body or one inside it has /$stride: it applies the stride of the enclosing block."""
    match body:
        case Cell(inner, _, stride):
            return uses_stride(inner) or (stride is not None and any(v.name == "stride" for v in variables(stride)))
        case Bracket(items) | Stack(items):
            return any(uses_stride(item) for item in items)
        case Unit(arguments) | OpCall(_, arguments) | BlockCall(_, arguments):
            strides = [argument for argument in arguments if argument.name in ("/", "stride")]
            return any(v.name == "stride" for argument in strides for v in argument_variables(argument))
        case _:
            assert_never(body)


def stride_units(items: Sequence[Body], context: Context, span: Span, on: str | Kernel = "first") -> list[Body]:
    """Return the items that apply the stride of a stack or bracket: those with /$stride, else one chosen by `on`
    (first, last or a kernel size). Raises SpecError if there is none."""
    users = [item for item in items if uses_stride(item)]
    if users or context.stride == 1:
        return users
    units = [item for item in items if isinstance(item, Unit)]
    if isinstance(on, Kernel) and units:
        kernel = (evaluate_whole(on.height, {}), evaluate_whole(on.width, {}))
        units = [unit for unit in units if _kernel_of(unit, context.names) == kernel]
        if not units:
            hint = "set defaults.bracket.stride_on: first, or write /$stride where it belongs"
            message = f"no unit here has the {show(kernel)} kernel that stride_on names"
            raise SpecError.of(Code.BAD_ARGUMENT, message, context.at(span), hint)
    by_place = on == "first" or not units
    able = [item for item in items if (not isinstance(item, OpCall) if by_place else item in units)]
    if not able:
        hint = "write /$stride where it belongs: maxpool 3x3, /$stride"
        raise SpecError.of(Code.BAD_ARGUMENT, "nothing in this block takes its stride", context.at(span), hint)
    return able[-1:] if on == "last" else able[:1]


def two_strides(span: Span, context: Context) -> Failure:
    message = "the unit that takes the block's stride has a stride of its own"
    return SpecError.of(Code.BAD_ARGUMENT, message, context.at(span), "keep one of them, or write /$stride")


def check_stride_is_used(block: Block, cells: Sequence[Cell], context: Context) -> None:
    """Raise SpecError if a block is called with a stride that nothing in it applies."""
    if context.stride == 1 or any(not isinstance(cell.body, OpCall) or uses_stride(cell) for cell in cells):
        return
    hint = "write /$stride where it belongs in the block"
    message = f"nothing in {block.name} takes the stride"
    raise SpecError.of(Code.BAD_ARGUMENT, message, context.at(block.span), hint)


def _kernel_of(unit: Unit, names: Scope) -> tuple[int, int] | None:
    kernel = unit.arguments[0].value
    return (
        (evaluate_whole(kernel.height, names), evaluate_whole(kernel.width, names))
        if isinstance(kernel, Kernel)
        else None
    )
