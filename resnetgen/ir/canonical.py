"""Canonical form of graphs: two graphs that compute the same have the same form, so that a written file can be
compared."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from msgspec.structs import replace

from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import (
    AvgPool,
    BatchNorm,
    ChannelConv,
    ChannelPad,
    Dropout,
    Fc,
    Flatten,
    GroupNorm,
    LeakyRelu,
    Lrn,
    Mul,
    Op,
    Pool,
    Shape,
    Sigmoid,
    Silu,
)

T = TypeVar("T", bound=Pool)


def canonical(graph: Graph) -> Graph:
    """Return the same network with each free choice made in one way.

    Removed are dropouts, which do nothing at inference, and a flatten that is consumed by fc layers alone, which
    flatten their input themselves; outputs of the network stay. A pooling that rounds up becomes one that rounds down
    if both give the same size. A pooling without padding does not set `exclude_pad`. A product has its gate last. The
    product of a tensor and its own sigmoid becomes a silu. Attributes that follow from the input's shape are written
    out. Real numbers are rounded to float32.
    """
    source: dict[str, str] = {}
    sigmoids = _silu_gates(graph)
    nodes = []
    for node in graph.nodes:
        inputs = tuple(source.get(name, "") for name in node.inputs)
        if node.name not in graph.outputs and _does_nothing(graph, node):
            source[node.name] = inputs[0]
            continue
        if node.name in sigmoids:
            continue
        if isinstance(node.op, Mul) and (gate := sigmoids & {*node.inputs}):
            (name,) = gate
            source[node.name] = node.name
            nodes.append(Node(node.name, Silu(), (source[graph[name].inputs[0]],), node.span))
            continue
        if isinstance(node.op, Mul) and graph.shapes[node.inputs[0]] < graph.shapes[node.inputs[1]]:
            inputs = inputs[::-1]
        source[node.name] = node.name
        nodes.append(Node(node.name, canonical_op(node.op, graph.input_shapes(node)), inputs, node.span))
    return Graph(graph.name, graph.inputs, graph.outputs, tuple(nodes))


def _does_nothing(graph: Graph, node: Node) -> bool:
    if isinstance(node.op, Flatten):
        return all(isinstance(consumer.op, Fc) for consumer in graph.consumers[node.name])
    return isinstance(node.op, Dropout)


def _silu_gates(graph: Graph) -> set[str]:
    """Return the sigmoids whose only consumer is a product with their own input."""
    return {
        node.name
        for node in graph.nodes
        if isinstance(node.op, Sigmoid)
        and (consumer := graph.sole_consumer(node.name))
        and isinstance(consumer.op, Mul)
        and sorted(consumer.inputs) == sorted((node.name, node.inputs[0]))
    }


def canonical_op(op: Op, shapes: tuple[Shape, ...]) -> Op:
    """Return the same op for inputs of these shapes, with each free choice made in one way."""
    match op:
        case BatchNorm():
            return BatchNorm(shortest(op.eps))
        case GroupNorm():
            return GroupNorm(op.groups, shortest(op.eps))
        case Lrn():
            return Lrn(op.size, shortest(op.alpha), shortest(op.beta), shortest(op.k))
        case LeakyRelu():
            return LeakyRelu(shortest(op.slope))
        case ChannelConv():
            return ChannelConv(op.size(shapes[0][0]))
        case Dropout():
            return Dropout(0.5)  # any ratio: inference ignores it
        case ChannelPad():
            return replace(op, both=op.before(shapes[0][0]) > 0)
        case AvgPool(same=True) if op.pads(0)[0] == op.pads(0)[1] and op.pads(1)[0] == op.pads(1)[1]:
            return AvgPool(op.kernel, pad=(op.pads(0)[0], op.pads(1)[0]))
        case Pool() if op.ceil and not op.rounds(shapes[0]):
            return canonical_op(replace(op, ceil=False), shapes)
        case AvgPool(pad=(0, 0)):
            return replace(op, exclude_pad=False)
        case _:
            return op


def shortest(value: float) -> float:
    """Return the shortest decimal with the same float32 value: 1e-5, as in a spec, for 9.99999975e-06 from a model."""
    return float(str(np.float32(value)))


def differences(expected: Graph, found: Graph, names: dict[str, tuple[str, ...]] | None = None) -> list[str]:
    """Return the differences of `found` from `expected`, node by node in order; empty if they are the same.

    Both are brought into canonical form. `names` gives for each expected node the names that it may have in `found`;
    without it, a node must have the same name.
    """
    a, b = canonical(expected), canonical(found)
    lines = [] if a.name == b.name else [f"the network is called {b.name!r}, not {a.name!r}"]
    if len(a.nodes) != len(b.nodes):
        lines.append(f"{len(b.nodes)} nodes instead of {len(a.nodes)}")
    found_as: dict[str, str] = {}
    for want, have in zip(a.nodes, b.nodes, strict=False):
        allowed = names[want.name] if names else (want.name,)
        found_as[want.name] = have.name
        if have.name not in allowed:
            lines.append(f"{want.name} is called {have.name}, not {' or '.join(allowed)}")
        if have.op != want.op:
            lines.append(f"{want.name} is {have.op}, not {want.op}")
        inputs = tuple(found_as[name] for name in want.inputs)
        if have.inputs != inputs:
            lines.append(f"{want.name} reads {', '.join(have.inputs)}, not {', '.join(inputs)}")
    outputs = tuple(found_as.get(name, name) for name in a.outputs)
    if b.outputs != outputs:
        lines.append(f"its outputs are {', '.join(b.outputs)}, not {', '.join(outputs)}")
    return lines
