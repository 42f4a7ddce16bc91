"""Evaluation of expressions: numbers, $names, arithmetic, comparisons, a choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from resnetgen.errors import Code, Failure, Span, SpecError, did_you_mean
from resnetgen.spec.syntax import Binary, Choice, Expression, Number, Unary, Variable

Scope = Mapping[str, int | float]

_LIMIT = 2**53
USABLE = "the limit is 2^53"


def evaluate(expression: Expression, scope: Scope) -> int | float:
    """Return the value of an expression; `scope` has the values of $names. Raises SpecError, with the place."""
    value = _evaluate(expression, scope)
    if not is_usable(value):
        message = "the value of this expression is too large"
        raise SpecError.of(Code.BAD_VALUE, message, expression.span, USABLE)
    return value


def is_usable(value: int | float) -> bool:
    """Return True if a number is finite and small enough for a float to represent it exactly."""
    return abs(value) <= _LIMIT


def unknown_name(name: str, span: Span, known: Iterable[str]) -> Failure:
    if name == "out":
        hint = "$out, the output channels of the main branch, is set in a shortcut only"
    else:
        hint = did_you_mean(f"${name}", (f"${other}" for other in known))
    return SpecError.of(Code.UNKNOWN_PARAMETER, f"unknown name ${name}", span, hint)


def _evaluate(expression: Expression, scope: Scope) -> int | float:
    match expression:
        case Number(value):
            return value
        case Variable(name, span):
            if name not in scope:
                raise unknown_name(name, span, scope)
            return scope[name]
        case Unary(operator, operand, _):
            value = evaluate(operand, scope)
            return -value if operator == "-" else value
        case Choice(then, condition, otherwise, _):
            return evaluate(then if evaluate(condition, scope) else otherwise, scope)
        case Binary("or", left, right, _):
            return evaluate(left, scope) or evaluate(right, scope)
        case Binary("and", left, right, _):
            return evaluate(left, scope) and evaluate(right, scope)
        case Binary(operator, left, right, span):
            a, b = evaluate(left, scope), evaluate(right, scope)
            if operator in ("//", "%") and b == 0:
                raise SpecError.of(Code.BAD_VALUE, "division by zero", span, "`a if c else b` evaluates one branch")
            return _apply(operator, a, b)
        case _:
            assert_never(expression)


def _apply(operator: str, a: int | float, b: int | float) -> int | float:
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "//":
            return a // b
        case "%":
            return a % b
        case "==":
            return int(a == b)
        case "!=":
            return int(a != b)
        case "<":
            return int(a < b)
        case "<=":
            return int(a <= b)
        case ">":
            return int(a > b)
        case ">=":
            return int(a >= b)
        case _:
            raise AssertionError(operator)
