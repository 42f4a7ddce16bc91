"""Calls of blocks: their arguments, and the place shown for an error inside a block."""

from __future__ import annotations

from msgspec.structs import replace

from resnetgen.errors import Code, Failure, Span, SpecError
from resnetgen.expand.context import Context
from resnetgen.expand.strides import two_strides, uses_stride
from resnetgen.spec.expressions import Scope, evaluate
from resnetgen.spec.syntax import Argument, BlockCall, Identifier, Kernel
from resnetgen.spec.table import Block, Branches, Case


def bind_parameters(block: Block, call: BlockCall, context: Context) -> tuple[dict[str, int | float], int]:
    """Return the parameters passed in a call, and the block's stride. Raises SpecError for unknown, missing or
    repeated ones."""
    values: dict[str, int | float] = {}
    stride = 1 if uses_stride(call) else context.stride
    free = list(block.params)
    for argument in call.arguments:
        name = argument.name if argument.name is not None else next(iter(free), None)
        if name is None:
            hint = f"its parameters: {', '.join(block.params) or 'none'}"
            raise SpecError.of(Code.BAD_ARGUMENT, f"{block.name} takes no more values", argument.span, hint)
        if name == "/" and stride != 1:
            raise two_strides(argument.span, context)
        if name in values:
            raise SpecError.of(Code.BAD_ARGUMENT, f"{name} is set twice", argument.span, "keep one of them")
        if name == "/":
            stride = _stride(argument, context.names)
            continue
        if name in free:
            free.remove(name)
        values[name] = _number(argument, context.names)
    for name in free:
        if block.params[name] is None:
            hint = f"write {block.name}({name}=64)"
            raise SpecError.of(Code.BAD_ARGUMENT, f"{block.name} needs {name}", call.span, hint)
    return values, stride


def _number(argument: Argument, names: Scope) -> int | float:
    match argument.value:
        case None:
            return 1
        case Kernel() | Identifier():
            raise SpecError.of(Code.BAD_ARGUMENT, "an argument of a block is one number", argument.span, "write 64")
        case expression:
            return evaluate(expression, names)


def _stride(argument: Argument, names: Scope) -> int:
    number = _number(argument, names)
    if not isinstance(number, int) or number < 1:
        raise SpecError.of(Code.BAD_VALUE, f"the stride is {number}; it must be whole and positive", argument.span)
    return number


def characters_of(block: Block) -> int:
    """Return the number of characters that a call of a block evaluates; each cell or name counts as one more."""
    match block.body:
        case Branches(branches, _, after):
            parts = [cell.span for cells in (*branches.values(), after) for cell in cells]
            parts += [block.span] * len(branches)
        case body:
            cells = [cell for part in body for cell in (part.cells if isinstance(part, Case) else (part,))]
            parts = [cell.span for cell in cells]
            parts += [part.condition.span for part in body if isinstance(part, Case) and part.condition]
    parts += [value.span for value in (*block.params.values(), *block.let.values()) if value]
    return sum(1 + span.end - span.start for span in parts)


def locate_at_call(failure: Failure, block: Block, site: Span) -> Failure:
    """Return the failure moved to the place of the call, with a note for each block that it passed through, innermost
    first."""
    if not isinstance(failure, SpecError):
        return failure
    problems = []
    for problem in failure.problems:
        inside = problem.span if problem.span and problem.span != site else block.span
        notes = tuple(dict.fromkeys((*problem.notes, f"in the block {block.name}, {inside}")))
        problems.append(replace(problem, span=site, notes=notes))
    return type(failure)(tuple(problems))
