"""The row grammar: what is parsed into which tree, where it stands, and what expressions are worth."""

from __future__ import annotations

import pytest

from resnetgen.errors import Code, Failure, Source, Span
from resnetgen.spec import syntax as s
from resnetgen.spec.expressions import evaluate
from resnetgen.spec.rows import parse_cells, parse_expression, parse_row, parse_size
from resnetgen.spec.yaml import Scalar, parse


def scalar(text: str) -> Scalar:
    quoted = "'" + text.replace("'", "''") + "'"
    value = parse(Source("net.yaml", f"a: {quoted}\n")).get("a")
    assert isinstance(value, Scalar)
    return value


def tree(node: object) -> str:
    """A tree as text: every operation in parentheses, every kind of call with its name."""
    match node:
        case s.Line(size, cells):
            return " | ".join([f"{size}:" if size else "-:", *map(tree, cells)])
        case s.Cell(body, repeat, stride):
            return (
                tree(body) + (f" repeat {tree(repeat)}" if repeat else "") + (f" by {tree(stride)}" if stride else "")
            )
        case s.Bracket(items):
            return f"bracket[{'; '.join(map(tree, items))}]"
        case s.Stack(items):
            return f"stack({'; '.join(map(tree, items))})"
        case s.Unit(arguments):
            return f"unit<{', '.join(map(tree, arguments))}>"
        case s.OpCall(name, arguments):
            return f"op {name}<{', '.join(map(tree, arguments))}>"
        case s.BlockCall(name, arguments):
            return f"block {name}<{', '.join(map(tree, arguments))}>"
        case s.Argument(None, value):
            return tree(value)
        case s.Argument(name, None):
            return f"{name}!"
        case s.Argument(name, value):
            return f"{name}={tree(value)}"
        case s.Kernel(height, width):
            return f"{tree(height)}x{tree(width)}"
        case s.Identifier(text):
            return text
        case s.Number(value):
            return str(value)
        case s.Variable(name):
            return f"${name}"
        case s.Unary(operator, operand):
            return f"({operator}{tree(operand)})"
        case s.Binary(operator, left, right):
            return f"({tree(left)} {operator} {tree(right)})"
        case s.Choice(then, condition, otherwise):
            return f"({tree(then)} if {tree(condition)} else {tree(otherwise)})"
        case _:
            raise AssertionError(node)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("7x7, 64", "-: | unit<7x7, 64>"),
        ("112x112 | 7x7, 64, /2", "112x112: | unit<7x7, 64, /=2>"),
        ("64x112x112|7x7,64", "64x112x112: | unit<7x7, 64>"),
        ("112 x 112 | 7 x 7, 64", "112x112: | unit<7x7, 64>"),
        ("1x7, 64, /2x1, p=0x3", "-: | unit<1x7, 64, /=2x1, p=0x3>"),
        ("3x3, 64, C=32, d=2, bias, linear", "-: | unit<3x3, 64, C=32, d=2, bias!, linear!>"),
        ("$k x $k, $w", "-: | unit<$kx$k, $w>"),
        ("3x3, 2 * $in, /$stride", "-: | unit<3x3, (2 * $in), /=$stride>"),
        ("relu | gap", "-: | op relu<> | op gap<>"),
        ("maxpool 3x3, /2, ceil", "-: | op maxpool<3x3, /=2, ceil!>"),
        ("maxpool /2", "-: | op maxpool</=2>"),
        ("maxpool kernel=3x3", "-: | op maxpool<kernel=3x3>"),
        ("fc $classes + 1, bias=0", "-: | op fc<($classes + 1), bias=0>"),
        ("fc -1 if $n else 2", "-: | op fc<((-1) if $n else 2)>"),
        ("fc units=10", "-: | op fc<units=10>"),
        ("conv 3x3, 64", "-: | op conv<3x3, 64>"),
        ("basic()", "-: | block basic<>"),
        ("basic (64)", "-: | block basic<64>"),
        ("my.block_2(64, C=32, se, /2)", "-: | block my.block_2<64, C=32, se!, /=2>"),
        ("basic((64 + 1) * 2) x3", "-: | block basic<((64 + 1) * 2)> repeat 3"),
        ("[1x1, 64; 3x3, 64]", "-: | bracket[unit<1x1, 64>; unit<3x3, 64>]"),
        ("[3x3, 64; relu; se()] x2 /2", "-: | bracket[unit<3x3, 64>; op relu<>; block se<>] repeat 2 by 2"),
        ("[3x3, 64]x2/2", "-: | bracket[unit<3x3, 64>] repeat 2 by 2"),
        ("(3x3, 64) x $n", "-: | stack(unit<3x3, 64>) repeat $n"),
        ("(3x3, 64) /2", "-: | stack(unit<3x3, 64>) by 2"),
        ("(3x3, 64) x 2 + 1 /1 + 1", "-: | stack(unit<3x3, 64>) repeat (2 + 1) by (1 + 1)"),
        ("(3x3, 64) x 4 // 2 /2", "-: | stack(unit<3x3, 64>) repeat (4 // 2) by 2"),
        ("([3x3, 64]; (relu; basic(1)))", "-: | stack(bracket[unit<3x3, 64>]; stack(op relu<>; block basic<1>))"),
        ("7x7 | 3x3, 64", "7x7: | unit<3x3, 64>"),
    ],
)
def test_row(row: str, expected: str) -> None:
    assert tree(parse_row(scalar(row))) == expected


@pytest.mark.parametrize(
    ("row", "column", "message", "hint"),
    [
        ("", 0, "unexpected end of the text", "expected '(', '[', a $name, a name or a number"),
        ("7x7", 4, "unexpected end of the text", "expected ',', 'x' or '|'"),
        ("7x7, ", 5, "unexpected end of the text", "expected '(', '/', a $name, a name or a number"),
        ("7, 64", 2, "unexpected ','", "expected 'x'"),
        ("7x7 64", 5, "unexpected '64'", "expected ',', 'x' or '|'"),
        ("7X7, 64", 2, "unexpected 'X7'", "write a small x"),
        ("7×7, 64", 2, "unexpected '×'", "write a small x"),
        ("7x7, 64,, /2", 9, "unexpected ','", "expected '(', '/', a $name, a name or a number"),
        ("7x7, 64, C=", 12, "unexpected end of the text", "expected '(', a $name, a name or a number"),
        ("7x7, 64 / 2", 9, "unexpected '/'", "write a stride after a comma; division is //"),
        ("7x7, 64; 3x3, 64", 8, "unexpected ';'", "expected '|' or the end"),
        ("$nx3, 64", 5, "unexpected ','", "a space ends a $name: $n x 3"),
        ("56x56", 6, "unexpected end of the text", "expected ',', 'x' or '|'"),
        ("56x56 |", 8, "unexpected end of the text", "expected '(', '[', a $name, a name or a number"),
        ("1x2x3x4 | gap", 6, "unexpected 'x'", "expected '|'"),
        ("gap | | fc 1", 7, "unexpected '|'", "expected '(', '[', a $name, a name or a number"),
        ("[3x3, 64; 3x3, 64", 18, "unexpected end of the text", "expected ';' or ']'"),
        ("[3x3, 64)", 9, "unexpected ')'", "expected ']'"),
        ("[]", 2, "unexpected ']'", "expected '(', '[', a $name, a name or a number"),
        ("[3x3, 64] 2", 11, "unexpected '2'", "expected '/', 'x', '|' or the end"),
        ("[3x3, 64] /2 x3", 14, "unexpected 'x3'", "write the repetition before the stride: x3 /2"),
        (
            "[3x3, 64; (relu) x2]",
            18,
            "unexpected 'x'",
            "inside [...] or (...) only a named block can be repeated",
        ),
        ("basic(64, )", 11, "unexpected ')'", "expected '(', '/', a $name, a name or a number"),
        ("fc 1 < 2 < 3", 10, "unexpected '<'", "expected ',', '|' or the end"),
        ("fc 3 if 1", 10, "unexpected end of the text", "expected 'else'"),
        ('"gap"', 1, "unexpected '\"'", "quotes enclose the whole text, or nothing"),
        ("gap # why", 5, "unexpected '#'", "expected '(', '/', '|', a $name, a name, a number or the end"),
    ],
)
def test_syntax_error(row: str, column: int, message: str, hint: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_row(scalar(row))
    (problem,) = caught.value.problems
    assert problem.span is not None
    found = (problem.code, problem.span.column - len("a: '"), problem.message, problem.hint)
    assert found == (Code.ROW_SYNTAX, column, message, hint)


@pytest.mark.parametrize(
    "word", ["56x56", "7x7, 64, /2", "64", "/2", "basic(64, C=$n) x3 /2", "basic(64, C=$n)", "C=$n", "$n"]
)
def test_places(word: str) -> None:
    """Each part of a row knows its characters."""
    source = scalar("56x56 | 7x7, 64, /2 | basic(64, C=$n) x3 /2")
    line = parse_row(source)
    spans = [line.size.span if line.size else None, *(span for cell in line.cells for span in _spans(cell))]
    text = source.span.source.text
    assert word in [text[span.start : span.end] for span in spans if span]


def _spans(cell: s.Cell) -> list[Span]:
    assert isinstance(cell.body, s.Unit | s.BlockCall)
    arguments = cell.body.arguments
    values = [argument.value.span for argument in arguments if argument.value is not None]
    return [cell.span, cell.body.span, *(argument.span for argument in arguments), *values]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3x224x224", (3, 224, 224)), ("56 x 56", (56, 56)), ("007x7", (7, 7))],
)
def test_size(text: str, expected: tuple[int, ...]) -> None:
    assert parse_size(scalar(text)).extents == expected


@pytest.mark.parametrize("text", ["3", "3x", "3x$n", "3x3x3x3", "3x-3", "x3", "3.0x3", ""])
def test_no_size(text: str) -> None:
    with pytest.raises(Failure):
        parse_size(scalar(text))


SCOPE = {"n": 3, "width": 64, "half": 0.5}


@pytest.mark.parametrize(
    ("text", "grouped", "value"),
    [
        ("64", "64", 64),
        ("0.5", "0.5", 0.5),
        ("1e3", "1000.0", 1000.0),
        ("25e-2", "0.25", 0.25),
        ("$n", "$n", 3),
        # From the loosest to the tightest: choice, or, and, comparison, sum, product, sign.
        ("1 + 2 * 3", "(1 + (2 * 3))", 7),
        ("(1 + 2) * 3", "((1 + 2) * 3)", 9),
        ("10 - 4 - 3", "((10 - 4) - 3)", 3),
        ("64 // 4 // 2", "((64 // 4) // 2)", 8),
        ("64 // 4 * 2", "((64 // 4) * 2)", 32),
        ("7 % 4 * 2", "((7 % 4) * 2)", 6),
        ("-2 * 3", "((-2) * 3)", -6),
        ("2 - -3", "(2 - (-3))", 5),
        ("- - 3", "(-(-3))", 3),
        ("-7 // 2", "((-7) // 2)", -4),
        ("1 + 1 == 2", "((1 + 1) == 2)", 1),
        ("1 != 1", "(1 != 1)", 0),
        ("2 < 3 and 3 < 2", "((2 < 3) and (3 < 2))", 0),
        ("1 == 1 or 0 == 1 and 0 == 1", "((1 == 1) or ((0 == 1) and (0 == 1)))", 1),
        ("2 <= 2", "(2 <= 2)", 1),
        ("2 >= 3", "(2 >= 3)", 0),
        ("3 > 2", "(3 > 2)", 1),
        ("8 if $n > 2 else 4", "(8 if ($n > 2) else 4)", 8),
        ("8 if $n > 5 else 4", "(8 if ($n > 5) else 4)", 4),
        ("1 if 0 else 2 if 0 else 3", "(1 if 0 else (2 if 0 else 3))", 3),
        ("1 + 1 if 1 else 0", "((1 + 1) if 1 else 0)", 2),
        # `and` and `or` give the side that decided, as in Python.
        ("0 or 5", "(0 or 5)", 5),
        ("2 and 5", "(2 and 5)", 5),
        # What is not chosen is not computed.
        ("1 if 1 else 1 // 0", "(1 if 1 else (1 // 0))", 1),
        ("0 and 1 // 0", "(0 and (1 // 0))", 0),
        ("1 or 1 // 0", "(1 or (1 // 0))", 1),
        ("$width * $half", "($width * $half)", 32.0),
        ("$width//$n%2", "(($width // $n) % 2)", 1),
        ("9007199254740992", "9007199254740992", 2**53),
    ],
)
def test_expression(text: str, grouped: str, value: float) -> None:
    expression = parse_expression(scalar(text))
    assert tree(expression) == grouped
    found = evaluate(expression, SCOPE)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("1 // 0", "1 // 0", "division by zero"),
        ("1 + 7 % ($n - 3)", "7 % ($n - 3)", "division by zero"),
        ("1 // 0.0", "1 // 0.0", "division by zero"),
        ("9007199254740993", "9007199254740993", "the value of this expression is too large"),
        ("1e400", "1e400", "the value of this expression is too large"),
        ("2 * (99999999 * 999999999) // 2", "99999999 * 999999999", "the value of this expression is too large"),
        ("1 // 1e-300", "1 // 1e-300", "the value of this expression is too large"),
        ("1234567890123456789", "1234567890123456789", "a number of 19 digits"),
        ("1 + $m", "$m", "unknown name $m"),
        ("$out", "$out", "unknown name $out"),
    ],
)
def test_expression_error(text: str, place: str, message: str) -> None:
    with pytest.raises(Failure) as caught:
        evaluate(parse_expression(scalar(text)), SCOPE)
    (problem,) = caught.value.problems
    assert problem.span is not None
    found = problem.span.source.text[problem.span.start : problem.span.end]
    assert (found, problem.message) == (place, message)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("-" * 3000 + "1", id="signs"),
        pytest.param("+".join("1" * 1900), id="sums"),
        pytest.param("1 if 1 else " * 300 + "1", id="choices"),
    ],
)
def test_deep_expression(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_expression(scalar(text))
    assert caught.value.problems[0].message == "nested deeper than 64 levels"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(" * 1900 + "3x3, 4" + ")" * 1900, id="stacks"),
        pytest.param("[" * 1900 + "3x3, 4" + "]" * 1900, id="brackets"),
    ],
)
def test_deep_row(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_row(scalar(text))
    assert caught.value.problems[0].message == "nested deeper than 64 levels"


def test_parentheses_alone_make_no_depth() -> None:
    assert tree(parse_expression(scalar("(" * 1500 + "1" + ")" * 1500))) == "1"
    assert len(parse_cells(scalar(" | ".join(["relu"] * 500)))) == 500
