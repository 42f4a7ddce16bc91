"""Node and Graph: an immutable graph of ops, checked when it is made."""

from __future__ import annotations

from functools import cached_property

from resnetgen.errors import Span
from resnetgen.frozen import Frozen
from resnetgen.ir.ops import Input, Op, OpError, Parameter, Shape


class InvalidGraph(ValueError):
    """A graph that breaks a rule: a bug in the code that made it."""


class Node(Frozen):
    """One op at its place in the network. Its name, `conv3_x/0/main/conv2`, is also the name of its one output."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    span: Span | None = None


class Graph(Frozen):
    """Nodes in topological order. The outputs are the nodes that no node consumes."""

    name: str
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Check the rules of a graph. Raises InvalidGraph, also for shapes that do not fit."""
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise InvalidGraph(f"two nodes are called {node.name}")
            for name in node.inputs:
                if name not in seen:
                    raise InvalidGraph(f"{node.name} consumes {name}, which no node before it produces")
            arity = node.op.arity
            if len(node.inputs) != arity if arity is not None else len(node.inputs) < 2:
                raise InvalidGraph(f"{node.name} has {len(node.inputs)} inputs")
            seen.add(node.name)
        if len(self.inputs) != 1:
            raise InvalidGraph(f"{len(self.inputs)} inputs instead of one")
        if not self.nodes[1:]:
            raise InvalidGraph("nothing is computed")
        _ = self.shapes

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Node name -> shape of its output, without the batch axis."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            try:
                shapes[node.name] = node.op.shape(*(shapes[name] for name in node.inputs))
            except OpError as error:
                raise InvalidGraph(f"{node.name}: {error.message}") from error
        return shapes

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """Node name -> the nodes that consume its output."""
        found: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if isinstance(node.op, Input))

    @cached_property
    def outputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if not self.consumers[node.name])

    def input_shapes(self, node: Node) -> tuple[Shape, ...]:
        return tuple(self.shapes[name] for name in node.inputs)

    def parameters(self, node: Node) -> tuple[Parameter, ...]:
        return node.op.parameters(*self.input_shapes(node))

    def macs(self, node: Node) -> int:
        return node.op.macs(*self.input_shapes(node))

    @cached_property
    def parameter_count(self) -> int:
        """Number of trainable parameters; running statistics are not counted."""
        return sum(p.size for node in self.nodes for p in self.parameters(node) if p.trainable)

    @cached_property
    def mac_count(self) -> int:
        return sum(map(self.macs, self.nodes))
