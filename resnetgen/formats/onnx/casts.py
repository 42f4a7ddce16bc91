"""Reader of the casts around a network that computes in another type than its input and output have."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from resnetgen.formats.onnx.dtypes import FloatType, of_proto
from resnetgen.formats.onnx.forms import unreadable
from resnetgen.formats.onnx.schema import GraphProto, NodeProto, ValueInfoProto


class Casts(Struct, frozen=True):
    """Nodes of a model between its casts."""

    nodes: Sequence[NodeProto]
    source: str
    """Name of the tensor that the network reads."""
    results: tuple[str, ...]
    """Names of the tensors that the network produces."""
    inner: FloatType
    """Type in which the network computes."""
    outer: FloatType
    """Type of the model's output, and of its input unless that is bytes."""


def read_casts(graph: GraphProto, source: str, given: FloatType, before: int) -> Casts:
    """Return the nodes between the first cast and the last.

    `source` is the tensor, of type `given`, that the nodes from index `before` on read. Raises Failure (exit 4) for
    casts that this program does not write.
    """
    nodes = list(graph.node[before:])
    results, inner = [value.name for value in graph.output], given
    outer = element_of(graph.output[0])
    if nodes and _is_cast(nodes[0]) and list(nodes[0].input) == [source]:
        first = nodes.pop(0)
        source, inner = first.output[0], _to(first)
    if nodes and _is_cast(nodes[-1]) and list(nodes[-1].output) == results:
        last = nodes.pop()
        results, cast = [last.input[0]], _to(last)
    else:
        cast = inner
    for value in graph.output:
        if cast is not element_of(value):
            raise unreadable(f"its output is declared as {element_of(value)}, and is {cast}")
    return Casts(nodes, source, tuple(results), inner, outer)


def element_of(value: ValueInfoProto) -> FloatType:
    """Return the type of a tensor. Raises Failure (exit 4) if it is not a supported one."""
    return _known(value.type.tensor_type.elem_type)


def _is_cast(node: NodeProto) -> bool:
    return node.op_type == "Cast" and not node.domain and len(node.input) == len(node.output) == 1


def _to(node: NodeProto) -> FloatType:
    if len(node.attribute) != 1 or node.attribute[0].name != "to":
        raise unreadable(f"the cast {node.name} does not say to what alone")
    return _known(node.attribute[0].i)


def _known(data_type: int) -> FloatType:
    if (element := of_proto(data_type)) is None:
        raise unreadable(f"a tensor is of the type {data_type}, in which no network of ours computes")
    return element
