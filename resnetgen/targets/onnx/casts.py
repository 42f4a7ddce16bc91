"""The casts around a network that computes in another type than it takes and gives, read back."""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.frozen import Frozen
from resnetgen.targets.onnx.elements import Element, of_proto
from resnetgen.targets.onnx.forms import unreadable
from resnetgen.targets.onnx.schema import GraphProto, NodeProto, ValueInfoProto


class Casts(Frozen):
    """What is left of a model's nodes between its casts."""

    nodes: Sequence[NodeProto]
    source: str
    """The tensor that the network reads."""
    result: str
    """The tensor that it gives."""
    inner: Element
    """What the network computes in."""
    outer: Element
    """What the model gives; and takes, unless it takes bytes."""


def read_casts(graph: GraphProto, source: str, given: Element, before: int) -> Casts:
    """What stands between the first cast and the last.

    `source`: the tensor, of the type `given`, that the nodes from `before` on read. Raises Failure (exit 4) for casts
    that no network of ours has.
    """
    nodes = list(graph.node[before:])
    result, inner = graph.output[0].name, given
    outer = element_of(graph.output[0])
    if nodes and _is_cast(nodes[0]) and list(nodes[0].input) == [source]:
        first = nodes.pop(0)
        source, inner = first.output[0], _to(first)
    if nodes and _is_cast(nodes[-1]) and list(nodes[-1].output) == [result]:
        last = nodes.pop()
        result, cast = last.input[0], _to(last)
    else:
        cast = inner
    if cast is not outer:
        raise unreadable(f"its output is declared as {outer}, and is {cast}")
    return Casts(nodes, source, result, inner, outer)


def element_of(value: ValueInfoProto) -> Element:
    """Raises Failure (exit 4) for a type in which no network of ours computes."""
    return _known(value.type.tensor_type.elem_type)


def _is_cast(node: NodeProto) -> bool:
    return node.op_type == "Cast" and not node.domain and len(node.input) == len(node.output) == 1


def _to(node: NodeProto) -> Element:
    if len(node.attribute) != 1 or node.attribute[0].name != "to":
        raise unreadable(f"the cast {node.name} does not say to what alone")
    return _known(node.attribute[0].i)


def _known(data_type: int) -> Element:
    if (element := of_proto(data_type)) is None:
        raise unreadable(f"a tensor is of the type {data_type}, in which no network of ours computes")
    return element
