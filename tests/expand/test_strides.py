"""Expansion: which convolution takes a stride, what `$in` means, and the defaults of ops."""

from __future__ import annotations

from typing import Any

import pytest

from resnetgen.errors import Code, Failure
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Conv, MaxPool
from support.helpers import compile_text

BLOCKS = """\
blocks:
  halves: {body: "(3x3, 8) x2 /2 | 3x3, 9"}
  passes: {body: "(3x3, 8) x2 /$stride | 3x3, 9"}
  times: {params: {k: 3}, body: "3x3, 8 * $k"}
  doubles: {body: "(3x3, $in * 2) x3"}
"""


def expand_row(row: str, defaults: str = "") -> Graph:
    defaults = f"defaults: {defaults}\n" if defaults else ""
    return compile_text(f"use: std\ninput: 4x32x32\n{defaults}{BLOCKS}stages: {{s: '{row}'}}\n")


def convolutions(graph: Graph) -> list[str]:
    """`place channels/stride` of each convolution."""
    return [f"{n.name} {n.op.out_channels}/{n.op.stride[0]}" for n in graph.nodes if isinstance(n.op, Conv)]


def refused(row: str, defaults: str = "") -> str:
    with pytest.raises(Failure) as caught:
        expand_row(row, defaults)
    (problem,) = caught.value.problems
    return f"{problem.code}: {problem.message}"


@pytest.mark.parametrize(
    ("stride_on", "row", "main"),
    [
        ("first", "[1x1, 8; 3x3, 9; 1x1, 10] /2", [2, 1, 1]),
        ("last", "[1x1, 8; 3x3, 9; 1x1, 10] /2", [1, 1, 2]),
        ("3x3", "[1x1, 8; 3x3, 9; 3x3, 10] /2", [1, 2, 1]),
        ("3x1", "[1x3, 8; 3x1, 9; 1x1, 10] /2", [1, 2, 1]),
        # The last unit, although an op or a block stands behind it.
        ("last", "[1x1, 8; 3x3, 9; relu] /2", [1, 2]),
        ("last", "[1x1, 8; 3x3, 9; se(1)] /2", [1, 2]),
        # Where there is no unit, the first and the last of what passes a stride on.
        ("first", "[(3x3, 8); relu; (3x3, 9)] /2", [2, 1]),
        ("last", "[(3x3, 8); relu; (3x3, 9)] /2", [1, 2]),
        ("3x3", "[(3x3, 8); relu; (3x3, 9)] /2", [2, 1]),
    ],
)
def test_stride_on(stride_on: str, row: str, main: list[int]) -> None:
    graph = expand_row(row, f"{{bracket: {{stride_on: {stride_on}}}}}")
    taken = {node.name: node.op.stride[0] for node in graph.nodes if isinstance(node.op, Conv)}
    assert [stride for name, stride in taken.items() if "/main/" in name and "/gate/" not in name] == main
    assert taken["s/0/shortcut/conv1"] == 2


def test_stride_on_a_kernel_that_no_unit_has() -> None:
    message = "bad-argument: no unit here has the 3x3 kernel that stride_on names"
    assert refused("[1x1, 8; 1x3, 9; 3x1, 10] /2", "{bracket: {stride_on: 3x3}}") == message


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("halves()", ["s/0/0/conv1 8/2", "s/0/1/conv1 8/1", "s/0/conv1 9/1"]),
        ("passes()", ["s/0/0/conv1 8/1", "s/0/1/conv1 8/1", "s/0/conv1 9/1"]),
        ("passes() /2", ["s/0/0/conv1 8/2", "s/0/1/conv1 8/1", "s/0/conv1 9/1"]),
        (
            "passes() x2 /2",
            [
                *("s/0/0/conv1 8/2", "s/0/1/conv1 8/1", "s/0/conv1 9/1"),
                *("s/1/0/conv1 8/1", "s/1/1/conv1 8/1", "s/1/conv1 9/1"),
            ],
        ),
    ],
)
def test_a_repetition_with_a_stride_within_a_block(row: str, expected: list[str]) -> None:
    assert convolutions(expand_row(row)) == expected


def test_a_second_stride_of_a_repetition() -> None:
    """The block's own `/2` would silently replace that of the call."""
    assert refused("halves() /2") == "bad-argument: the unit that takes the block's stride has a stride of its own"


def test_in_is_a_blocks_input_in_all_of_its_repetitions() -> None:
    """In a row it is what each repetition begins with."""
    assert convolutions(expand_row("doubles()")) == [f"s/0/{number}/conv1 8/1" for number in range(3)]
    assert convolutions(expand_row("(3x3, $in * 2) x3")) == [
        f"s/{number}/conv1 {width}/1" for number, width in enumerate((8, 16, 32))
    ]


@pytest.mark.parametrize(
    ("value", "expected"), [("0", False), ("1", True), ("2", True), ("true", True), ("false", False)]
)
def test_a_number_for_a_flag_in_the_defaults(value: str, expected: bool) -> None:
    """A flag is a bool whatever was written: a graph's text, its digest and comparisons of ops depend on it."""
    graph = expand_row("3x3, 8 | maxpool 2x2", f"{{ops: {{conv: {{bias: {value}}}, maxpool: {{ceil: {value}}}}}}}")
    flags: list[Any] = [
        n.op.bias if isinstance(n.op, Conv) else n.op.ceil for n in graph.nodes if isinstance(n.op, Conv | MaxPool)
    ]
    assert flags == [expected, expected]
    assert [type(flag) for flag in flags] == [bool, bool]


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ("{conv: {bias: 0.5}}", "bias must be a whole number"),
        ("{conv: {bias: often}}", "'bias' must be a number or true or false, not 'often'"),
        ("{conv: {groups: true}}", "groups cannot be 'true'"),
        ("{conv: {groups: 1.5}}", "groups must be a whole number"),
        ("{maxpool: {kernel: 2.0}}", "kernel must be a whole number"),
    ],
)
def test_a_default_of_another_type(ops: str, message: str) -> None:
    assert refused("3x3, 8 | maxpool 2x2", f"{{ops: {ops}}}") == f"{Code.WRONG_TYPE}: {message}"


@pytest.mark.parametrize(("row", "width"), [("times()", 24), ("times(2)", 16), ("times(k=2)", 16), ("times(k)", 8)])
def test_a_name_alone_is_one(row: str, width: int) -> None:
    assert convolutions(expand_row(row)) == [f"s/0/conv1 {width}/1"]
