"""Translation validation: the written files are read back and compared with the graph and the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from msgspec.structs import replace

from resnetgen.errors import Code, Failure, FileError, ModelError, Source, Span
from resnetgen.formats.caffe.lift import LiftedNet, lift
from resnetgen.formats.caffe.model.attributes import plain
from resnetgen.formats.caffe.model.caffemodel import Caffemodel
from resnetgen.formats.caffe.model.field_values import fields_of
from resnetgen.formats.caffe.model.read import of_fields
from resnetgen.formats.caffe.model.text import parse
from resnetgen.formats.caffe.write import CaffePlan
from resnetgen.ir import ops
from resnetgen.ir.canonical import differences
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Shape
from resnetgen.weights.source import Array, Key, checksum
from resnetgen.weights.sums import Sum, Sums
from resnetgen.wire.access import Ranges
from resnetgen.wire.fields import Field, Truncated


def validate_prototxt(path: Path, graph: Graph, planned: CaffePlan) -> list[str]:
    """Return the differences between the prototxt and the graph; empty if they agree."""
    try:
        source = Source(path.name, path.read_text(encoding="utf-8"))
        fields = parse(source).fields
        model = of_fields(fields, source)
        lifted = lift(model)
    except Failure as failure:
        return [problem.message for problem in failure.problems]
    except UnicodeDecodeError as error:
        return [f"it is not UTF-8 text: {error}"]
    lines = differences(_as_text(graph), lifted.graph, planned.names) + _without_blobs(lifted)
    if model.image != planned.net.dims:
        lines.append(f"the input is {model.image}, not {planned.net.dims}")
    expected = fields_of(planned.message, Span(source, 0, 0))
    if plain(fields, "NetParameter") != plain(expected, "NetParameter"):
        lines.append("the file says something else than was planned")
    return lines


def _without_blobs(lifted: LiftedNet) -> list[str]:
    """Return the parameters that no layer of the file has a blob for."""
    graph = lifted.graph
    parameters = ((node.name, parameter.name) for node in graph.nodes for parameter in graph.parameters(node))
    return [f"no layer has the {name} of {node}" for node, name in parameters if (node, name) not in lifted.blobs]


def validate_caffemodel(path: Path, planned: CaffePlan, checksums: dict[Key, int]) -> list[str]:
    """Return the differences between the caffemodel and the prototxt, and the checksums of the weights as drawn; empty
    if they agree."""
    net = type(planned.message)()
    net.CopyFrom(planned.message)
    layers = list(planned.message.layer)
    net.ClearField("layer")
    try:
        rest, found = read_caffemodel(path)
    except Failure as failure:
        if isinstance(failure, FileError):
            raise  # a failing disk is not a fault of the file
        return [problem.message for problem in failure.problems]
    lines = [] if len(found) == len(layers) else [f"{len(found)} layers instead of {len(layers)}"]
    if rest != net:
        lines.append("the net's name or input differs from the prototxt's")
    owners = {name: node for node, names in planned.names.items() for name in names}
    for layer, (head, read) in zip(layers, found, strict=False):
        if head != layer:
            lines.append(f"the layer {layer.name} differs from the prototxt's")
        if read != _wanted(layer, owners[layer.name], planned, checksums):
            lines.append(f"the blobs of {layer.name} differ from its weights")
    return lines


def _as_text(graph: Graph) -> Graph:
    """Return the graph as far as a prototxt expresses it.

    Outputs have no order of their own. A channelpad becomes a convolution, whose fixed values are in the caffemodel.
    """
    nodes = (
        replace(node, op=ops.Conv((1, 1), node.op.out_channels, node.op.stride))
        if isinstance(node.op, ops.ChannelPad)
        else node
        for node in graph.nodes
    )
    outputs = tuple(node.name for node in graph.nodes if node.name in graph.outputs)
    return Graph(graph.name, graph.inputs, outputs, tuple(nodes))


def _wanted(layer: Any, node: str, planned: CaffePlan, checksums: dict[Key, int]) -> list[Blob]:
    """Return the expected blobs of a layer by Caffe's rules, independently of the emitter."""

    def weight(parameter: str) -> list[Blob]:
        key = (node, parameter)
        return [(planned.shapes[key], checksums.get(key, -1))] if key in planned.shapes else []

    match layer.type, planned.graph[node].op:
        case "Convolution", ops.ChannelPad() as op:
            return [_fixed(_picked(op, planned.graph.shapes[planned.graph[node].inputs[0]][0]))]
        case "Convolution", ops.BlurPool():
            blur = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 16
            return [_fixed(np.array([[blur]] * planned.graph.shapes[node][0]))]
        case "Convolution", ops.ChannelConv():
            return [((*shape, 1), check) for shape, check in weight("weight")]
        case "Convolution" | "InnerProduct", _:
            return weight("weight") + weight("bias")
        case "BatchNorm", ops.GroupNorm(groups):
            channels = planned.net.dims[0] * groups
            return [_fixed(np.zeros(size, np.float32)) for size in (channels, channels, 1)]
        case "BatchNorm", _:
            return weight("mean") + weight("variance") + [_fixed(np.ones(1, np.float32))]
        case "Scale", _:
            return weight("gamma") + weight("beta")
        case _:
            return []


def _picked(op: ops.ChannelPad, channels: int) -> Array:
    """Return the kernel that copies the input's channels in order, with zeros around them."""
    kernel = np.zeros((op.out_channels, channels, 1, 1), np.float32)
    for channel in range(channels):
        kernel[op.before(channels) + channel, channel] = 1
    return kernel


def _fixed(values: Array) -> Blob:
    return values.shape, checksum(values)


Blob = tuple[Shape, int]
"""Shape and checksum of the values."""


def read_caffemodel(path: Path) -> tuple[Any, list[tuple[Any, list[Blob]]]]:
    """Return a net without layers, and each layer without blobs with the shape and checksum of each blob. Values are
    not kept.

    Raises Failure: exit 4 for a truncated file, and for a blob that is not as Caffe writes it; exit 5 if it cannot be
    read.
    """
    ranges = Ranges(path)
    try:
        with ranges.open() as file, Sums() as sums:
            reader = Caffemodel(ranges, file)
            layers = [
                (reader.parsed(layer.layout, layer.rest), [_begin(reader, blob, sums) for blob in layer.blobs])
                for layer in reader.layers()
            ]
            net = reader.parsed("NetParameter", reader.rest)
            return net, [(head, [(shape, check()) for shape, check in blobs]) for head, blobs in layers]
    except (Truncated, DecodeError) as error:
        what = f"{path}: it is no caffemodel, or only a part of one: {error}"
        raise ModelError.of(Code.BAD_MODEL, what) from None


def _begin(reader: Caffemodel, field: Field, sums: Sums) -> tuple[Shape, Sum]:
    """Return the shape of a blob, and begin to compute its checksum."""
    blob = reader.blob(field, "a blob")
    if not blob.is_plain:
        raise Truncated("a blob holds more or less than its shape and its data")
    return blob.shape, sums.begin(reader.ranges.path, *blob.values.place())
