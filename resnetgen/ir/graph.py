"""Node and Graph: an immutable graph of ops, checked when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct

from resnetgen.errors import Code, Span, SpecError, did_you_mean
from resnetgen.escape import escape, plural
from resnetgen.ir.ops import Input, Op, OpError, Parameter, Shape
from resnetgen.ir.path import NodePath


class InvalidGraph(ValueError):
    """A graph that breaks a rule: a bug in the code that made it."""


class Node(Struct, frozen=True):
    """One op at its place in the network. Its name, `conv3_x/0/main/conv2`, is also the name of its one output."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    span: Span | None = None

    @property
    def path(self) -> NodePath:
        return NodePath.parse(self.name)


class Graph(Struct, frozen=True, dict=True):
    """Network of nodes: `graph["conv3_x/0/main/conv2"]` is one of them."""

    name: str
    inputs: tuple[str, ...]
    """Names of the nodes that are inputs of the network, in the order in which it takes them."""
    outputs: tuple[str, ...]
    """Names of the nodes whose tensors the network returns, in this order; other nodes may read them as well."""
    nodes: tuple[Node, ...]
    """Nodes in topological order."""

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
        self._check_ends()
        _ = self.shapes

    def _check_ends(self) -> None:
        """Check inputs and outputs. Raises InvalidGraph."""
        inputs = [node.name for node in self.nodes if isinstance(node.op, Input)]
        if not inputs or sorted(self.inputs) != sorted(inputs):
            raise InvalidGraph(f"the inputs are {_listed(self.inputs)}, the input nodes {_listed(inputs)}")
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise InvalidGraph(f"the outputs are {_listed(self.outputs)}; there must be at least one, and each once")
        for name in self.outputs:
            if name not in self or name in inputs:
                raise InvalidGraph(f"the output {name} is not computed by any node")
        for node in self.nodes:
            if not self.use_counts[node.name] and node.name not in inputs:
                raise InvalidGraph(f"{node.name} is neither read by a node nor an output")

    def __repr__(self) -> str:
        nodes = plural(len(self.nodes), "node")
        return escape(f"<Graph {self.name}: {nodes}, {', '.join(self.inputs)} -> {', '.join(self.outputs)}>")

    def __getitem__(self, name: str) -> Node:
        """Return the node of this name. Raises KeyError that names similar ones."""
        if name not in self._by_name:
            raise KeyError(f"{self.name} has no node {name!r}; {did_you_mean(str(name), self._by_name)}")
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @property
    def input(self) -> Node:
        """The only input. Raises SpecError if there are several: for code that can handle one only."""
        return self._only("input", self.inputs)

    @property
    def output(self) -> Node:
        """The only output. Raises SpecError if there are several: for code that can handle one only."""
        return self._only("output", self.outputs)

    def _only(self, kind: str, names: tuple[str, ...]) -> Node:
        if len(names) > 1:
            message = f"{self.name} has {len(names)} {kind}s ({_listed(names)}); only a network of one can be used here"
            raise SpecError.of(Code.UNSUPPORTED, message, self[names[1]].span, f"keep one {kind}")
        return self[names[0]]

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
        """Node name -> the nodes that consume its output. It may be an output of the network as well: `use_counts`."""
        consumers: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                consumers[name].append(node)
        return {name: tuple(nodes) for name, nodes in consumers.items()}

    @cached_property
    def use_counts(self) -> dict[str, int]:
        """Node name -> number of nodes that consume its output, plus one if it is an output of the network."""
        return {name: len(nodes) + (name in self.outputs) for name, nodes in self.consumers.items()}

    def sole_consumer(self, name: str) -> Node | None:
        """Return the node that alone uses the output of node `name`; None if there are other uses, or no such node.

        Only then may a pass change or remove that output, or a layer overwrite it.
        """
        return self.consumers[name][0] if self.consumers[name] and self.use_counts[name] == 1 else None

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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
