"""Graph -> Caffe layers: types, parameters in the order in which the authors print them, blobs, in-place tops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import assert_never

from resnetgen.errors import Code, Exit, fail
from resnetgen.ir import ops
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import Pair
from resnetgen.targets.caffe.schema import PARAM_FIELDS
from resnetgen.weights.names import NameMap, layer_names


class Enum(str):
    """The name of an enum's value, which is printed without quotes."""


Value = int | float | str | bool | Enum
Params = tuple[tuple[str, Value], ...]
WeightBlobs = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """One layer of a prototxt, and which parameters of its node its blobs are, in their order."""

    type: str
    params: Params = ()
    blobs: WeightBlobs = ()
    in_place: bool = False
    """Whether it may write its top over its bottom, where it is that blob's only consumer."""
    name: str = ""
    bottoms: tuple[str, ...] = ()
    top: str = ""
    node: str = ""
    top_first: bool = False

    @property
    def param_field(self) -> str:
        return PARAM_FIELDS.get(self.type, "")


@dataclass(frozen=True)
class CaffeNet:
    """What the template prints and the caffemodel's writer fills."""

    name: str
    input: str
    dims: tuple[int, ...]
    layers: tuple[Layer, ...]
    names: dict[str, tuple[str, ...]]
    """Node -> the names of its layers; of the input, of its blob."""


def translate(graph: Graph, names: NameMap | None, batch: int = 1) -> CaffeNet:
    """Raises Failure for a node that Caffe cannot say exactly, or that the name map does not name."""
    made = {node.name: _layers(graph, node) for node in graph.nodes}
    counts = {name: max(1, len(layers)) for name, layers in made.items()}
    called = layer_names(graph, names, counts)
    (source,) = graph.inputs
    blobs = {source.name: called[source.name][0]}
    layers: list[Layer] = []
    for node in graph.nodes:
        if isinstance(node.op, ops.Input):
            continue
        first = names.prints_top_first(node) if names else False
        placed = _place(graph, node, made[node.name], called[node.name], blobs)
        layers += (replace(layer, top_first=first) for layer in placed)
        blobs[node.name] = layers[-1].top
    return CaffeNet(graph.name, blobs[source.name], (batch, *graph.shapes[source.name]), tuple(layers), called)


def _place(
    graph: Graph, node: Node, layers: tuple[Layer, ...], names: tuple[str, ...], blobs: dict[str, str]
) -> Iterable[Layer]:
    """Names, bottoms and tops. Several layers of one node are a chain, of which the last also sees the first input."""
    bottoms = tuple(blobs[name] for name in node.inputs)
    if len(layers) > 1 and len(bottoms) > 1:
        # The gate is flattened first; the last layer takes the image and the flattened gate.
        image, gate = gate_of(graph, node)
        flat, scale = layers
        yield replace(flat, name=names[0], bottoms=(blobs[gate],), top=names[0], node=node.name)
        yield replace(scale, name=names[1], bottoms=(blobs[image], names[0]), top=names[1], node=node.name)
        return
    # Flatten's top shares the memory of its bottom, which others may still read.
    shared = isinstance(graph.by_name[node.inputs[0]].op, ops.Flatten)
    sole = len(bottoms) == 1 and graph.consumers[node.inputs[0]] == (node,) and not shared
    for layer, name in zip(layers, names, strict=True):
        top = bottoms[0] if layer.in_place and sole and bottoms[0] != _input_blob(graph, blobs) else name
        yield replace(layer, name=name, bottoms=bottoms, top=top, node=node.name)
        bottoms, sole = (top,), True


def _input_blob(graph: Graph, blobs: dict[str, str]) -> str:
    """The net's input is never written over: a second forward pass would start from it."""
    return blobs[graph.inputs[0].name]


def gate_of(graph: Graph, node: Node) -> tuple[str, str]:
    """The inputs of a product, the image first and the gate, one value a channel, second."""
    a, b = node.inputs
    return (b, a) if graph.shapes[a][1:] == (1, 1) and graph.shapes[b][1:] != (1, 1) else (a, b)


def _layers(graph: Graph, node: Node) -> tuple[Layer, ...]:
    op = node.op
    match op:
        case ops.Input():
            return ()
        case ops.Conv():
            return (Layer("Convolution", _conv(op), ("weight", "bias") if op.bias else ("weight",)),)
        case ops.BatchNorm():
            eps: Params = () if op.eps == 1e-5 else (("eps", op.eps),)
            return (
                Layer("BatchNorm", (("use_global_stats", True), *eps), ("mean", "variance"), in_place=True),
                Layer("Scale", (("bias_term", True),), ("gamma", "beta"), in_place=True),
            )
        case ops.Relu():
            return (Layer("ReLU", in_place=True),)
        case ops.LeakyRelu():
            return (Layer("ReLU", (("negative_slope", op.slope),), in_place=True),)
        case ops.Dropout():
            return (Layer("Dropout", (("dropout_ratio", op.ratio),), in_place=True),)
        case ops.Sigmoid():
            return (Layer("Sigmoid", in_place=True),)
        case ops.MaxPool():
            return (Layer("Pooling", (*_window(op), ("pool", Enum("MAX")), *_rounding(graph, node, op))),)
        case ops.AvgPool():
            if op.exclude_pad and op.pad != (0, 0):
                hint = "leave out exclude_pad, or pad nothing"
                message = f"Caffe cannot say the avgpool {node.name}: its padding always counts in the mean"
                raise fail(Exit.SPEC, Code.UNSUPPORTED, message, node.span, hint)
            return (Layer("Pooling", (*_window(op), ("pool", Enum("AVE")), *_rounding(graph, node, op))),)
        case ops.GlobalAvgPool():
            return (Layer("Pooling", (("pool", Enum("AVE")), ("global_pooling", True))),)
        case ops.Flatten():
            return (Layer("Flatten"),)
        case ops.Fc():
            bias: Params = () if op.bias else (("bias_term", False),)
            blobs = ("weight", "bias") if op.bias else ("weight",)
            return (Layer("InnerProduct", (("num_output", op.units), *bias), blobs),)
        case ops.Softmax():
            return (Layer("Softmax"),)
        case ops.Add():
            return (Layer("Eltwise"),)
        case ops.Mul():
            if graph.shapes[node.inputs[0]] == graph.shapes[node.inputs[1]]:
                return (Layer("Eltwise", (("operation", Enum("PROD")),)),)
            # Eltwise cannot broadcast; Scale with two bottoms, the second of shape NxC, is exact.
            return (Layer("Flatten"), Layer("Scale", (("axis", 0),)))
        case ops.Concat():
            return (Layer("Concat"),)
        case (
            ops.ChannelConv()
            | ops.GroupNorm()
            | ops.Lrn()
            | ops.Relu6()
            | ops.Silu()
            | ops.Mish()
            | ops.Gelu()
            | ops.BlurPool()
            | ops.ChannelPad()
        ):
            message = f"Caffe cannot say the {op.keyword} {node.name}"
            raise fail(Exit.SPEC, Code.UNSUPPORTED, message, node.span, "--target onnx can")
        case _:
            assert_never(op)


def _conv(op: ops.Conv) -> Params:
    params = [("num_output", op.out_channels), *_pair("kernel", op.kernel), *_pair("pad", op.padding)]
    params += _pair("stride", op.stride)
    if op.dilation != (1, 1):
        same = op.dilation[0] == op.dilation[1]
        params += [("dilation", value) for value in (op.dilation[:1] if same else op.dilation)]
    if op.groups != 1:
        params.append(("group", op.groups))
    if not op.bias:
        params.append(("bias_term", False))
    return tuple(params)


def _window(op: ops.Pool) -> Params:
    pad = _pair("pad", op.pad) if op.pad != (0, 0) else []
    return (*_pair("kernel", op.kernel), *pad, *_pair("stride", op.stride))


def _rounding(graph: Graph, node: Node, op: ops.Pool) -> Params:
    """Nothing where rounding up, Caffe's way, gives the same size."""
    if op.ceil or not op.rounds(*graph.input_shapes(node)):
        return ()
    return (("round_mode", Enum("FLOOR")),)


def _pair(what: str, pair: Pair) -> list[tuple[str, Value]]:
    height, width = pair
    if height == width:
        return [("kernel_size" if what == "kernel" else what, height)]
    return [(f"{what}_h", height), (f"{what}_w", width)]
