"""What is said of a graph: its text, and how two of them differ."""

from __future__ import annotations

import pytest

from resnetgen.ir.canonical import differences
from resnetgen.ir.graph import InvalidGraph, Node
from resnetgen.ir.ops import Add, Concat, Conv, Fc, Flatten, Input, MaxPool, Mul, Relu, Sigmoid, Softmax
from resnetgen.ir.text import dump
from support.helpers import cells, graph, of_nodes

IMAGE = (3, 8, 8)


def test_the_text_of_a_graph() -> None:
    """Attributes other than the defaults, in columns; what is not said has no column."""
    row = "3x3, 8, /2, bias | maxpool 2x2, ceil | groupnorm 2, eps=0.001 | avgpool 2x2, /2x1 | fc 10, bias=0 | softmax"
    assert (
        dump(cells(row, "3x9x9"))
        == """\
# tiny: 736 parameters, 5,880 MACs
data        = input(image=3x9x9)  : 3x9x9
s/conv1     = conv(kernel=3x3, out_channels=8, stride=2x2, pad=1x1, bias)  data  : 8x5x5  # net.yaml:4
s/norm1     = batchnorm  s/conv1  : 8x5x5  # net.yaml:4
s/act1      = relu  s/norm1  : 8x5x5  # net.yaml:4
s/maxpool   = maxpool(kernel=2x2, ceil)  s/act1  : 8x4x4  # net.yaml:4
s/groupnorm = groupnorm(groups=2, eps=0.001)  s/maxpool  : 8x4x4  # net.yaml:4
s/avgpool   = avgpool(kernel=2x2, stride=2x1)  s/groupnorm  : 8x2x3  # net.yaml:4
s/fc        = fc(units=10, bias=no)  s/avgpool  : 10  # net.yaml:4
s/softmax   = softmax  s/fc  : 10  # net.yaml:4
"""
    )


def test_a_node_without_a_place_says_none() -> None:
    assert (
        dump(graph(IMAGE, a=(Relu(), "data"), ab=(Add(), "a", "data")))
        == """\
# tiny: 0 parameters, 0 MACs
data = input(image=3x8x8)  : 3x8x8
a    = relu  data  : 3x8x8
ab   = add  a, data  : 3x8x8
"""
    )


def test_graphs_that_differ() -> None:
    expected = graph(IMAGE, a=(Relu(), "data"), b=(Sigmoid(), "data"), c=(Concat(), "a", "b"), d=(Fc(4), "c"))
    found = graph(IMAGE, a=(Relu(), "data"), e=(Sigmoid(), "a"), c=(Concat(), "e", "a"), d=(Fc(5), "c"))
    found = of_nodes(*found.nodes, Node("f", Softmax(), ("d",)), name="other")
    assert differences(expected, expected) == []
    assert differences(expected, found) == [
        "the network is called 'other', not 'tiny'",
        "6 nodes instead of 5",
        "b is called e, not b",
        "b reads a, not data",
        "c reads e, a, not a, e",
        "d is Fc(units=5, bias=True), not Fc(units=4, bias=True)",
        "its outputs are f, not d",
    ]


def test_names_under_which_a_node_may_be_found() -> None:
    expected, found = graph(IMAGE, a=(Relu(), "data")), graph(IMAGE, b=(Relu(), "data"))
    assert differences(expected, found, {"data": ("data",), "a": ("x", "b")}) == []
    assert differences(expected, found, {"data": ("data",), "a": ("x", "y")}) == ["a is called b, not x or y"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"a": (Relu(), "b"), "b": (Relu(), "data")}, "a consumes b, which no node before it produces"),
        ({"a": (Relu(),)}, "a has 0 inputs"),
        ({"a": (Relu(), "data", "data")}, "a has 2 inputs"),
        ({"a": (Add(), "data")}, "a has 1 inputs"),
        ({"a": (Mul(), "data", "data", "data")}, "a has 3 inputs"),
        ({}, "the outputs are none; there must be at least one"),
        ({"a": (Flatten(), "data"), "b": (Conv((3, 3), 4), "a")}, "b: conv needs an image"),
    ],
)
def test_graphs_that_are_none(nodes: dict[str, tuple[object, ...]], message: str) -> None:
    with pytest.raises(InvalidGraph, match=message.replace("(", r"\(")):
        graph(IMAGE, **nodes)


def test_two_nodes_of_one_name() -> None:
    first = Node("data", Input(IMAGE), ())
    with pytest.raises(InvalidGraph, match="two nodes are called a"):
        of_nodes(first, Node("a", Relu(), ("data",)), Node("a", Relu(), ("data",)))


@pytest.mark.parametrize("op", [Fc(1), Conv((1, 1), 1), MaxPool((1, 1)), MaxPool((1024, 1), pad=(1023, 0))])
def test_the_smallest_and_the_largest_that_are_allowed(op: Fc | Conv | MaxPool) -> None:
    assert op.shape((1, 1024, 1024))
