"""Builder of a graph: adds nodes, computes their shapes, keeps their names unique and their number within the limit."""

from __future__ import annotations

from collections import Counter
from math import prod

from resnetgen.errors import Code, LimitError, Span
from resnetgen.expand.bind import located
from resnetgen.expand.origins import origins
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import Input, Op, OpError, Shape, show
from resnetgen.ir.path import NodePath

MAX_NODES = 20_000
MAX_ELEMENTS = 2**33
"""Limit for one tensor: 32 GiB as float32, more than any network of the field needs."""
_MAX_CALLS = 3
"""Block calls allowed per node of the limit. A block makes several nodes, so a real network needs fewer calls than
nodes."""
_MAX_TEXT = 200
"""Characters evaluated per node of the limit: those of repeated rows and called blocks, and the names defined there."""


class Builder:
    def __init__(self, image: Input, max_nodes: int) -> None:
        self.max_nodes = max_nodes
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self._taken: set[tuple[NodePath, str]] = set()
        self._numbers: dict[tuple[NodePath, str], int] = {}
        """Place and name without its number -> the last number appended to it."""
        self._units: Counter[NodePath] = Counter()
        self._calls = 0
        self._text = 0
        self.input = self.add(NodePath(None, unit="data"), image, (), None)

    def add(self, path: NodePath, op: Op, inputs: tuple[str, ...], span: Span | None) -> str:
        """Add a node and return its name. Raises Failure: exit 3 if the input shapes do not fit, exit 6 above a size
        limit."""
        name = str(path)
        self.reserve(1, span)
        shapes = tuple(self.shapes[source] for source in inputs)
        try:
            shape = op.shape(*shapes)
            sizes = [prod(shape), *(p.size for p in op.parameters(*shapes))]
        except OpError as error:
            raise located(error, span, origins(op, inputs, self.nodes, self.shapes)) from None
        if max(sizes) > MAX_ELEMENTS:
            message = f"{name} would hold a tensor of {max(sizes):,} elements (output {show(shape)})"
            raise LimitError.of(Code.LIMIT, message, span, f"the most is {MAX_ELEMENTS:,}")
        self.nodes.append(Node(name, op, inputs, span))
        self.shapes[name] = shape
        return name

    def reserve(self, count: int, span: Span | None) -> None:
        """Raise LimitError if `count` more nodes would exceed the limit."""
        if len(self.nodes) + count > self.max_nodes:
            hint = "--max-nodes raises the limit"
            raise LimitError.of(Code.LIMIT, f"the network has more than {self.max_nodes:,} nodes", span, hint)

    def count_call(self, span: Span, text: int) -> None:
        """Count a block call or a repetition, of which `text` characters are evaluated.

        Raises LimitError for too many: they cost time even if they add no nodes.
        """
        self._calls += 1
        self._text += text
        for done, limit, what in (
            (self._calls, _MAX_CALLS, "repeats and calls blocks more than {:,} times"),
            (self._text, _MAX_TEXT, "evaluates more than {:,} characters of rows and blocks that it repeats and calls"),
        ):
            if done > limit * self.max_nodes:
                message = f"this spec {what.format(limit * self.max_nodes)}"
                raise LimitError.of(Code.LIMIT, message, span, "--max-nodes raises the limit")

    def path(self, place: NodePath, kind: str) -> NodePath:
        """Return the path of a new node in a place."""
        return place.node(self.unused(place, kind))

    def unused(self, place: NodePath, kind: str) -> str:
        """Return a name that nothing in a place has yet: `add`, then `add2`."""
        name, number = kind, self._numbers.get((place, kind), 1)
        while (place, name) in self._taken:
            number += 1
            name = f"{kind}{number}"
        self._taken.add((place, name))
        self._numbers[place, kind] = number
        return name

    def unit(self, place: NodePath) -> int:
        """Return the number of the next unit in a place, counted from 1."""
        self._units[place] += 1
        return self._units[place]

    def graph(self, title: str, outputs: tuple[str, ...]) -> Graph:
        return Graph(title, (self.input,), outputs, tuple(self.nodes))

    def shape(self, name: str) -> Shape:
        return self.shapes[name]
