"""Lifting of an ONNX model to a graph of the IR: any model whose nodes the IR knows, whoever wrote it.

It shares with the writer only the schema and the table of number types, so that validation finds the writer's mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from resnetgen.errors import Failure
from resnetgen.formats.onnx.lift_ops import lift_node
from resnetgen.formats.onnx.lift_preprocess import PixelSteps, read_preprocess
from resnetgen.formats.onnx.lifting import LiftedOps, Nodes, StoredWeight, Unsupported, count, unreadable
from resnetgen.formats.onnx.model.attributes import NEWEST, OLDEST
from resnetgen.formats.onnx.model.nodes import Value
from resnetgen.formats.onnx.model.read import OnnxModel
from resnetgen.formats.onnx.number_types import FloatType, of_proto
from resnetgen.formats.onnx.patterns import PATTERNS
from resnetgen.formats.patterns import Leaf, Weight, match
from resnetgen.ir import ops
from resnetgen.ir.graph import Graph, InvalidGraph, Node
from resnetgen.ir.ops import OpError, Shape, show


class LiftedModel(Struct, frozen=True):
    """The network of a model."""

    graph: Graph
    weights: Mapping[str, tuple[StoredWeight, ...]]
    """Node -> the tensors of its parameters, in order."""
    preprocess: PixelSteps | None
    """Preprocessing of an image before the network; None if the model has none."""
    inner: FloatType
    """Type in which the network computes."""
    outer: FloatType
    """Type of the model's output, and of its input unless that is bytes."""
    unused: tuple[str, ...]
    """Nodes that the output does not depend on."""


def lift(model: OnnxModel) -> LiftedModel:
    """Return the network of a model.

    Raises ModelError for a model of several inputs, an unknown opset, and for a node that no op of the IR is,
    alone or with others.
    """
    if not OLDEST <= model.opset <= NEWEST:
        raise unreadable(model, f"its opset is {model.opset}; those from {OLDEST} to {NEWEST} are known")
    if model.proto.graph.sparse_initializer:
        raise unreadable(model, "it has a sparse initializer, which is not read")
    return _Lifting(model).run()


class _Lifting:
    def __init__(self, model: OnnxModel) -> None:
        if len(model.inputs) != 1 or not model.outputs:
            counts = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
            raise unreadable(model, f"it has {counts}; a network has one input and one output or more")
        self.model = model
        self.nodes = Nodes(model)
        self.source, self.results = model.inputs[0].name, tuple(value.name for value in model.outputs)
        self.first, self.last = 0, len(self.nodes.nodes)
        """Positions of the first node of the network, and of the one behind its last."""
        self.lifted: dict[str, tuple[int, LiftedOps]] = {}
        """Tensor -> position of the last node of the op that has it, and the op."""
        self.covered: dict[str, set[int]] = {}
        """Tensor -> positions of the nodes of that op, or of the node that gives a tensor another name."""
        self.failures: dict[str, Failure] = {}
        """Tensor -> reason why no op has it."""

    def run(self) -> LiftedModel:
        preprocess, inner, outer = self._ends()
        shape = preprocess.shape if preprocess else _image(self.model, self.model.inputs[0])
        self.nodes.shapes[self.source] = shape
        for at in range(self.first, self.last):
            self._lift(at)
        live, used = self._live()
        try:
            source = Node(self.source, ops.Input(shape), ())
            graph = Graph(self.model.name, (self.source,), self.results, (source, *self._graph_nodes(live)))
        except (InvalidGraph, OpError) as error:
            raise unreadable(self.model, str(error)) from None
        weights = {name: self.lifted[name][1].weights for name in live}
        self._check(graph, weights, inner)
        used |= {*range(self.first), *range(self.last, len(self.nodes.nodes))}
        unused = tuple(node.name for at, node in enumerate(self.nodes.nodes) if at not in used)
        return LiftedModel(graph, weights, preprocess, inner, outer, unused)

    # Casts and preprocessing around the network

    def _ends(self) -> tuple[PixelSteps | None, FloatType, FloatType]:
        """Set where the network begins and ends; return its preprocessing, and its inner and outer type."""
        source, (outer, *others) = self.model.inputs[0], map(self._type, self.model.outputs)
        preprocess = None
        if source.dtype == "uint8":
            preprocess = read_preprocess(self.model)
            self.source, self.first = preprocess.tensor, preprocess.nodes
            inner = FloatType.FP32
        else:
            inner = self._type(source)
        before = inner
        if self._is_cast(self.first) and self.nodes.nodes[self.first].inputs == (self.source,):
            self.source, inner = self.nodes.nodes[self.first].outputs[0], self._to(self.first)
            self.first += 1
        after, last = inner, self.last - 1
        if last >= self.first and self._is_cast(last) and self.nodes.nodes[last].outputs == self.results:
            self.results, after = self.nodes.nodes[last].inputs, self._to(last)
            self.last = last
        if after is not outer or {*others} - {outer} or (preprocess is None and before is not outer):
            raise unreadable(self.model, f"its input is {before}, its output is declared as {outer}, and is {after}")
        return preprocess, inner, outer

    def _is_cast(self, at: int) -> bool:
        inside = at < len(self.nodes.nodes)
        return inside and self.nodes.type(at) == "Cast" and len(self.nodes.nodes[at].outputs) == 1

    def _to(self, at: int) -> FloatType:
        kind = of_proto(self.nodes.value(at, "to"))
        if kind is None or self.nodes.nodes[at].unknown:
            raise self.nodes.refuse(at, "networks compute in float32 and float16")
        return kind

    def _type(self, value: Value) -> FloatType:
        kind = next((one for one in FloatType if one.dtype.name == value.dtype), None)
        if kind is None:
            raise unreadable(self.model, f"{value.name} is of type {value.dtype or 'unknown'}, not float32 or float16")
        return kind

    # Nodes

    def _lift(self, at: int) -> None:
        """Lift a node, with those before it that are one op with it; or note why it cannot be."""
        node = self.nodes.nodes[at]
        self.nodes.add(at)
        tensor = next(iter(node.outputs), "")
        try:
            lifted, covered = self._op(at)
            shapes = [self.nodes.shape(name) for name in lifted.inputs]
            for op in lifted.ops:
                shapes = [op.shape(*shapes)]
        except (Unsupported, OpError) as error:
            above = [self.failures[name] for name in self.nodes.inputs(at) if name in self.failures]
            failure = above[0] if above else self.nodes.refuse(at, str(error))
            self.failures.update(dict.fromkeys(node.outputs, failure))
            return
        self.covered[tensor] = covered
        self.nodes.shapes[tensor] = shapes[0]
        if lifted.ops:
            self.lifted[tensor] = (at, lifted)
        else:
            self.nodes.aliases[tensor] = lifted.inputs[0]

    def _op(self, at: int) -> tuple[LiftedOps, set[int]]:
        operator = self.nodes.type(at)
        for pattern in PATTERNS:
            if pattern.root.type != operator or not (found := match(self.nodes, pattern, at)):
                continue
            covered = {*found.parts.values()}
            if any(self.nodes.nodes[one].unknown for one in covered):
                continue
            if op := pattern.build(found):
                data = dict.fromkeys(found.leaves[name] for name in pattern.root.leaves(Leaf))
                is_fc = isinstance(op, ops.Fc)  # MatMul has its matrix the other way round
                names = [found.leaves[name] for name in pattern.root.leaves(Weight)]
                weights = tuple(StoredWeight(name, is_fc and place == 0) for place, name in enumerate(names))
                return LiftedOps((op,), tuple(data), weights), covered
        return lift_node(self.nodes, at), {at}

    # The graph

    def _live(self) -> tuple[list[str], set[int]]:
        """Return the tensors that the output depends on, in the file's order, and the positions of their nodes.

        Raises ModelError for a tensor that no op has.
        """
        names: set[str] = set()
        used: set[int] = set()
        todo = [*self.results]
        while todo:
            name = todo.pop()
            if name in self.failures:
                raise self.failures[name]
            if name not in self.covered and name != self.source and not self.model.is_constant(name):
                raise unreadable(self.model, f"no node has the tensor {name!r}")
            new = self.covered.get(name, set()) - used
            used |= new
            todo += [one for at in new for one in self.nodes.nodes[at].inputs if one in self.nodes.aliases]
            if name in self.nodes.aliases:
                todo.append(self.nodes.aliases[name])
            elif name in self.lifted and name not in names:
                names.add(name)
                todo += self.lifted[name][1].inputs
        return sorted(names, key=lambda name: self.lifted[name][0]), used

    def _graph_nodes(self, live: list[str]) -> list[Node]:
        made = []
        for name in live:
            _, lifted = self.lifted[name]
            inputs = tuple(self.nodes.aliases.get(one, one) for one in lifted.inputs)
            for op in lifted.ops[:-1]:
                inner = f"{name}/{op.keyword}"
                made.append(Node(inner, op, inputs))
                inputs = (inner,)
            made.append(Node(name, lifted.ops[-1], inputs))
        # An output that has another name as well: a node that does nothing keeps the one of the output.
        renamed = [name for name in self.results if name in self.nodes.aliases]
        return made + [Node(name, ops.Dropout(0.5), (self.nodes.aliases[name],)) for name in renamed]

    def _check(self, graph: Graph, weights: Mapping[str, tuple[StoredWeight, ...]], inner: FloatType) -> None:
        """Compare declared types and shapes, and those of the weights, with the graph's. Raises ModelError."""
        declared = [*self.model.values, *self.model.outputs]
        inside = {name for at in range(self.first, self.last) for name in self.nodes.nodes[at].outputs}
        for value in declared:
            shape = self.nodes.shapes.get(value.name)
            if shape is not None and value.shape is not None and not _agree(value.shape[1:], shape):
                raise unreadable(
                    self.model, f"{value.name} is declared as {_text(value.shape)}, and is Nx{show(shape)}"
                )
            if value.name in inside and value.dtype not in ("", inner.dtype.name):
                raise unreadable(
                    self.model, f"{value.name} is declared as {value.dtype} in a network of {inner.dtype.name}"
                )
        for node in graph.nodes:
            expected = [parameter.shape for parameter in graph.parameters(node)]
            own = weights.get(node.name, ())
            # One more or one less than there are parameters is a difference, too.
            ranks = [len(shape) for shape in expected] + [0] * (len(own) - len(expected))
            actual = [self._weight_shape(node, one, rank) for one, rank in zip(own, ranks, strict=False)]
            if actual != expected:
                raise unreadable(self.model, f"{node.name} has weights of the shapes {actual} instead of {expected}")
        self._check_types(inner)

    def _check_types(self, inner: FloatType) -> None:
        for at in range(self.first, self.last):
            if self.nodes.type(at) == "Dropout":
                continue  # its ratio is of any type
            for name in (*self.nodes.inputs(at), *self.nodes.nodes[at].constants):
                tensor = self.model.tensors.get(name or "")
                if tensor and tensor.dtype not in (inner.dtype.name, "int64", "int32"):
                    raise self.nodes.refuse(at, f"it reads {tensor.dtype} in a network of {inner.dtype.name}")

    def _weight_shape(self, node: Node, weight: StoredWeight, rank: int) -> Shape:
        """Return the shape that a tensor has as a parameter of this rank. In sums and products a vector may have axes
        of 1 besides its own."""
        shape = self.model.tensors[weight.tensor].shape
        if rank == 1 and isinstance(node.op, ops.Fc | ops.GroupNorm) and count(shape) == max(shape, default=0):
            return (count(shape),)
        return shape[::-1] if weight.transposed else shape


def _agree(declared: tuple[int | str, ...], shape: Shape) -> bool:
    """Return True if a declared shape is this one, as far as it is fixed."""
    return len(declared) == len(shape) and all(
        isinstance(one, str) or one == extent for one, extent in zip(declared, shape, strict=True)
    )


def _text(shape: tuple[int | str, ...] | None) -> str:
    return "x".join(str(extent or "?") for extent in shape or ()) or "a value without axes"


def _image(model: OnnxModel, value: Value) -> Shape:
    """Return channels, height and width of a model's input. Raises ModelError if one is not fixed."""
    shape = value.shape
    if shape is None or len(shape) != 4 or not all(isinstance(extent, int) and extent > 0 for extent in shape[1:]):
        raise unreadable(model, f"its input {value.name!r} is no batch of images: {_text(shape)}")
    return tuple(int(extent) for extent in shape[1:])
