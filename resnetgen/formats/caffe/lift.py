"""Translation of any Caffe net to a graph of the IR. It shares with the writer the schema alone, so that it finds the
writer's mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from msgspec import Struct

from resnetgen.errors import Code, Failure, ModelError
from resnetgen.escape import escape
from resnetgen.formats.caffe.lift_ops import Layers, layer_op
from resnetgen.formats.caffe.model.layers import INPUT, CaffeStructure, Layer, Output
from resnetgen.formats.caffe.patterns import PATTERNS
from resnetgen.formats.patterns import Leaf, Pattern, match
from resnetgen.ir.graph import Graph, InvalidGraph, Node
from resnetgen.ir.ops import Input, Op, OpError, Shape

BLOBS = {
    "BatchNorm": ("mean", "variance"),
    "Convolution": ("weight", "bias"),
    "InnerProduct": ("weight", "bias"),
    "Scale": ("gamma", "beta"),
}
"""Type of a layer -> parameters of the op that its blobs are, in their order."""


class LiftedNet(Struct, frozen=True):
    graph: Graph
    batch: int
    """Number of images in the input."""
    layers: Mapping[str, tuple[int, ...]]
    """Node -> positions of its layers in the net."""
    blobs: Mapping[tuple[str, str], Output]
    """Node and parameter -> the layer, and the index of its blob. A gamma that is missing here is 1, a beta is 0: the
    net has a norm without a Scale, or a Scale without a bias."""


def lift(model: CaffeStructure) -> LiftedNet:
    """Return a net as a graph of the IR, whose nodes have the names of their (last) layers.

    A fixed convolution that pads channels stays a convolution: only the caffemodel has its values. Raises Failure (exit
    4), with the place, for a layer that the IR cannot express.
    """
    return _Lift(model).lifted()


class _Lift:
    def __init__(self, model: CaffeStructure) -> None:
        self.model = model
        self.shapes: dict[Output, Shape] = {}
        """Shape of each output that a node has."""
        self.layers = Layers(model, self.shapes)
        self.source: dict[Output, int] = {}
        """Output -> the last layer of the node that it is the output of."""
        self.nodes: dict[int, tuple[Op, tuple[int, ...], tuple[int, ...]]] = {}
        """Last layer of a node -> its op, its inputs as the last layers of their nodes, and all its layers."""
        self.errors: dict[int, Failure] = {}
        """Layer that is no op on its own -> the reason. It matters only if it is not part of an op either."""
        names = Counter(name for layer in model.layers for name in layer.shared if name)
        self.shared = {name for name, count in names.items() if count > 1}

    def lifted(self) -> LiftedNet:
        if path := next(iter(self.model.attributes), ""):
            raise ModelError.of(Code.UNSUPPORTED, f"unsupported field: {escape(path)}", self.model.places.get(path))
        for at, layer in enumerate(self.model.layers):
            try:
                self._layer(at, layer)
            except OpError as error:
                self.errors[at] = _failure(layer, error.message, error.hint, error.code)
        ends, live = self._live()
        names = {at: self.model.layers[at].name for at in sorted(live)}
        if twice := [name for name, count in Counter(names.values()).items() if count > 1]:
            last = [at for at, name in names.items() if name == twice[0]][-1]
            raise _bad(self.model.layers[last], f"two layers are called {escape(twice[0])}")
        nodes = tuple(self._node(at, names) for at in names)
        inputs = tuple(names[at] for at in names if self.model.layers[at].type == INPUT)
        try:
            graph = Graph(self.model.name, inputs, tuple(names[at] for at in ends), nodes)
        except InvalidGraph as error:
            raise ModelError.of(Code.BAD_MODEL, f"{self.model.source}: {error}") from None
        layers = {names[at]: self.nodes[at][2] for at in names}
        return LiftedNet(graph, self.layers.batch, layers, dict(self._blobs(graph, layers)))

    def _layer(self, at: int, layer: Layer) -> None:
        """Add the node whose last layer is this one. Raises OpError if there is none."""
        if layer.type == INPUT:
            self._add(at, Input(_image(layer)), (), (at,))
        elif layer.type == "Split":
            self._split(at, layer)
        elif layer.type != "Silence":
            for pattern in _PATTERNS.get(layer.type, ()):
                if self._matched(at, pattern):
                    return
            self._alone(at, layer)

    def _split(self, at: int, layer: Layer) -> None:
        """Make all tops of a Split its bottom."""
        if layer.inputs and (bottom := layer.inputs[0]) in self.source:
            for index in range(len(layer.tops)):
                self.source[at, index], self.shapes[at, index] = self.source[bottom], self.shapes[bottom]
        else:
            self.errors[at] = self._reason(layer.inputs[0][0]) if layer.inputs else _failure(layer, "no bottom")

    def _matched(self, at: int, pattern: Pattern) -> bool:
        """Add the node of a pattern, and return True, if the layers up to this one match it."""
        self.layers.begin()
        matched = match(self.layers, pattern, at)
        if matched is None or any(output not in self.source for output in matched.leaves.values()):
            return False
        try:
            op = pattern.build(matched)
        except OpError:
            return False
        parts = tuple(sorted({*matched.parts.values()}))
        if op is None or any(self.layers.ignored(part) for part in parts):
            return False
        leaves = dict.fromkeys(pattern.root.leaves(Leaf))
        self._add(at, op, tuple(matched.leaves[name] for name in leaves), parts)
        return True

    def _alone(self, at: int, layer: Layer) -> None:
        self.layers.begin()
        op = layer_op(self.layers, at)
        if path := self.layers.ignored(at):
            raise OpError(Code.UNSUPPORTED, f"its field {escape(path)}")
        if not layer.inputs or len(layer.tops) != 1:
            raise OpError(Code.BAD_MODEL, f"{len(layer.inputs)} bottoms and {len(layer.tops)} tops")
        self._add(at, op, layer.inputs, (at,))

    def _add(self, at: int, op: Op, inputs: tuple[Output, ...], parts: tuple[int, ...]) -> None:
        missing = [output[0] for output in inputs if output not in self.source]
        if missing:  # the layer before it has the error that matters
            self.errors[at] = self._reason(missing[0])
            return
        if (op.arity is not None and op.arity != len(inputs)) or (op.arity is None and len(inputs) < 2):
            raise OpError(Code.BAD_MODEL, f"{len(inputs)} bottoms")
        if shared := [name for part in parts for name in self.model.layers[part].shared if name in self.shared]:
            raise OpError(Code.UNSUPPORTED, f"it shares the blob {escape(shared[0])} with another layer")
        self.shapes[at, 0] = op.shape(*(self.shapes[output] for output in inputs))
        self.source[at, 0] = at
        self.nodes[at] = (op, tuple(self.source[output] for output in inputs), parts)

    def _reason(self, at: int) -> Failure:
        """Return the error of a layer whose output is read but is that of no node."""
        return self.errors.get(at) or _failure(self.model.layers[at], "a layer reads its second top")

    def _live(self) -> tuple[list[int], set[int]]:
        """Return the nodes that are outputs of the net, and all that these depend on. Raises Failure for the first
        layer that is in no node."""
        # Later tops are parts that a layer cuts off, and that nothing needs to read.
        unread = [output for output in self.model.outputs if output[1] == 0 and output in self.source]
        inputs = {at for at, layer in enumerate(self.model.layers) if layer.type == INPUT}
        ends = [at for at in dict.fromkeys(self.source[output] for output in unread) if at not in inputs]
        live, todo = inputs & self.nodes.keys(), list(ends)
        while todo:
            at = todo.pop()
            if at not in live:
                live.add(at)
                todo += self.nodes[at][1]
        covered = {part for at in live for part in self.nodes[at][2]}
        for at, failure in sorted(self.errors.items()):
            if at not in covered:
                raise failure
        return ends, live

    def _node(self, at: int, names: Mapping[int, str]) -> Node:
        op, inputs, _ = self.nodes[at]
        return Node(names[at], op, tuple(names[source] for source in inputs), self.model.layers[at].span)

    def _blobs(self, graph: Graph, layers: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[tuple[str, str], Output]]:
        for node in graph.nodes:
            parameters = {parameter.name for parameter in graph.parameters(node)}
            for at in layers[node.name]:
                layer = self.model.layers[at]
                names = BLOBS.get(layer.type, ())
                for index, name in enumerate(names[:1] if layer["bias_term"] is False else names):
                    if name in parameters:
                        yield (node.name, name), (at, index)


def _patterns() -> dict[str, list[Pattern]]:
    """Return the patterns by the type of their last layer, those of more layers first."""
    by_type: dict[str, list[Pattern]] = {}
    for pattern in sorted(PATTERNS, key=lambda one: -one.root.size):
        by_type.setdefault(pattern.root.type, []).append(pattern)
    return by_type


_PATTERNS = _patterns()


def _image(layer: Layer) -> tuple[int, int, int]:
    shape = layer.attributes.get("shape")
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise OpError(Code.UNSUPPORTED, "an input must have four dimensions", "input_shape { dim: [1, 3, 224, 224] }")
    _, channels, height, width = (dim if isinstance(dim, int) else 0 for dim in shape)
    return channels, height, width


def _failure(layer: Layer, reason: str, hint: str = "", code: Code = Code.UNSUPPORTED) -> Failure:
    """Return the error of a layer that is no op of the IR."""
    called = f"{escape(layer.type)} {escape(layer.name)}"
    what = f"unsupported layer: {called}" if code is Code.UNSUPPORTED else called
    return ModelError.of(code, f"{what}: {reason}" if reason else what, layer.span, hint)


def _bad(layer: Layer, message: str) -> Failure:
    return ModelError.of(Code.BAD_MODEL, message, layer.span)
