"""Translation of a graph to Caffe layers: types, parameters in the order of the authors' prototxts, blobs, in-place
tops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Code, Failure, SpecError
from resnetgen.formats.caffe import lower_ops
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.lower_ops import Enum, LayerPlan, Layers, Params, WeightBlob
from resnetgen.ir import ops
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import OpError
from resnetgen.weights.names import NameMap, layer_names


class CaffeNet(Struct, frozen=True):
    """A net for the template and the caffemodel's writer."""

    name: str
    input: str
    dims: tuple[int, ...]
    layers: Layers
    names: dict[str, tuple[str, ...]]
    """Node -> names of its layers; input -> name of its blob."""


def lower(graph: Graph, names: NameMap | None, batch: int = 1, dialect: Dialect = Dialect.BVLC) -> CaffeNet:
    """Translate a graph. Raises SpecError for a node that the dialect cannot express exactly, or that the name
    map does not name."""
    for name in graph.outputs:
        if graph.consumers[name]:
            message = (
                f"Caffe's outputs are the tops that no layer reads, but {graph.consumers[name][0].name} reads {name}"
            )
            hint = "--target onnx can, or make the last nodes the only outputs"
            raise SpecError.of(Code.UNSUPPORTED, message, graph[name].span, hint)
    made = {node.name: _layers(graph, node, batch, dialect) for node in graph.nodes}
    counts = {name: max(1, len(layers)) for name, layers in made.items()}
    called = layer_names(graph, names, counts)
    source = graph.input
    blobs = {source.name: called[source.name][0]}
    placed: list[LayerPlan] = []
    for node in graph.nodes:
        if isinstance(node.op, ops.Input):
            continue
        top_first = names.prints_top_first(node) if names else False
        placed += _place(graph, node, made[node.name], called[node.name], blobs, top_first)
    return CaffeNet(graph.name, blobs[source.name], (batch, *graph.shapes[source.name]), tuple(placed), called)


def _place(
    graph: Graph, node: Node, made: Layers, names: tuple[str, ...], blobs: dict[str, str], top_first: bool
) -> Iterator[LayerPlan]:
    """Yield a node's layers with names, bottoms and tops; the blob of the node's output is added to `blobs`."""
    here = {str(number): blobs[name] for number, name in enumerate(node.inputs)}
    before = tuple(here.values())
    sole = _may_be_written_over(graph, node, blobs)
    for layer, name in zip(made, names, strict=True):
        bottoms = tuple(here[label] for label in layer.reads) or before
        tops = tuple(f"{name}/{label}" if number else name for number, label in enumerate(layer.writes))
        if layer.in_place and sole:
            tops = bottoms
        yield replace(layer, name=name, bottoms=bottoms, tops=tops, node=node.name, top_first=top_first)
        here |= zip(layer.writes, tops, strict=True)
        before, sole = tops or before, True
    blobs[node.name] = here.get("out", before[0])


def _may_be_written_over(graph: Graph, node: Node, blobs: dict[str, str]) -> bool:
    """Return True if a node may work in place on its input.

    Flatten's top shares the memory of its bottom, which others may still read. The net's input is never overwritten: a
    second forward pass would read it again.
    """
    producer = graph[node.inputs[0]]
    sole = len(node.inputs) == 1 and graph.sole_consumer(producer.name) is node
    return sole and not isinstance(producer.op, ops.Flatten | ops.Input)


def _layers(graph: Graph, node: Node, batch: int, dialect: Dialect) -> Layers:
    op, shapes = node.op, graph.input_shapes(node)
    match op:
        case ops.Input():
            return ()
        case ops.Conv():
            return lower_ops.convolution(op)
        case ops.ChannelConv():
            return lower_ops.channelconv(op, shapes[0])
        case ops.BatchNorm():
            _check_norm(graph, node, dialect)
            return lower_ops.batchnorm(op)
        case ops.GroupNorm():
            return lower_ops.groupnorm(op, shapes[0], batch, dialect)
        case ops.Lrn():
            if op.k != 1 and not dialect.lrn_k:
                raise _refuse(node, dialect, f"computes with k=1, not k={op.k}", "--dialect bvlc can, or write k=1")
            return lower_ops.lrn(op)
        case ops.Relu():
            return (LayerPlan("ReLU", in_place=True),)
        case ops.LeakyRelu():
            return (LayerPlan("ReLU", (("negative_slope", op.slope),), in_place=True),)
        case ops.Relu6():
            return lower_ops.relu6(dialect)
        case ops.Silu():
            return lower_ops.silu(dialect)
        case ops.Mish():
            return lower_ops.mish()
        case ops.Gelu():
            hint = "no dialect can; --target onnx --opset 20 can, and silu is near it"
            raise _refuse(node, dialect, "it has no layer for the error function", hint)
        case ops.Dropout():
            return (LayerPlan("Dropout", (("dropout_ratio", op.ratio),), in_place=True),)
        case ops.Sigmoid():
            return (LayerPlan("Sigmoid", in_place=True),)
        case ops.MaxPool():
            _check_rounding(graph, node, op, dialect)
            return lower_ops.pooling(op, "MAX", shapes[0], dialect)
        case ops.AvgPool(same=True):
            return lower_ops.same_average(op)
        case ops.AvgPool():
            if op.exclude_pad and op.pad != (0, 0):
                hint = "no dialect can: leave out exclude_pad, or pad nothing"
                raise _refuse(node, dialect, "its padding always counts in the mean", hint)
            _check_rounding(graph, node, op, dialect)
            return lower_ops.pooling(op, "AVE", shapes[0], dialect)
        case ops.GlobalAvgPool():
            return (LayerPlan("Pooling", (("pool", Enum("AVE")), ("global_pooling", True))),)
        case ops.BlurPool():
            return lower_ops.blurpool(op, shapes[0])
        case ops.ChannelPad():
            return lower_ops.channelpad(op, shapes[0])
        case ops.Flatten():
            return (LayerPlan("Flatten"),)
        case ops.Fc():
            bias: Params = () if op.bias else (("bias_term", False),)
            blobs = (WeightBlob("weight"), WeightBlob("bias")) if op.bias else (WeightBlob("weight"),)
            return (LayerPlan("InnerProduct", (("num_output", op.units), *bias), blobs),)
        case ops.Softmax():
            return (LayerPlan("Softmax"),)
        case ops.Add():
            return (LayerPlan("Eltwise"),)
        case ops.Mul():
            if shapes[0] == shapes[1]:
                return (LayerPlan("Eltwise", (("operation", Enum("PROD")),)),)
            return lower_ops.gate("1", "0") if shapes[0][1:] == (1, 1) else lower_ops.gate("0", "1")
        case ops.Concat():
            return (LayerPlan("Concat"),)
        case _:
            assert_never(op)


def _check_norm(graph: Graph, node: Node, dialect: Dialect) -> None:
    """Raise SpecError for a norm after a sum or product of vectors that the dialect merges wrongly.

    On OpenCV silu and mish end in a product as well.
    """
    merged = isinstance(graph[node.inputs[0]].op, ops.Add | ops.Mul | ops.Silu | ops.Mish)
    if merged and len(graph.shapes[node.name]) == 1 and not dialect.norm_after_vectors:
        why = "it merges a norm wrongly with the sum or product of vectors before it"
        raise _refuse(node, dialect, why, "--dialect bvlc can; or put flatten behind the norm")


def _check_rounding(graph: Graph, node: Node, op: ops.Pool, dialect: Dialect) -> None:
    (shape,) = graph.input_shapes(node)
    if op.ceil or dialect.round_mode or not op.rounds(shape):
        return
    try:
        ops.rounded_up(op).shape(shape)
    except OpError as error:
        why = f"it always rounds up, and then {error.message}"
        raise _refuse(node, dialect, why, "--dialect bvlc can, by round_mode") from None


def _refuse(node: Node, dialect: Dialect, why: str, hint: str) -> Failure:
    message = f"Caffe's dialect {dialect} cannot say the {node.op.keyword} {node.name}: {why}"
    return SpecError.of(Code.UNSUPPORTED, message, node.span, hint)
