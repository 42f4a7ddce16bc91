"""Translation validation: the written files, read back, must say what the graph and the weights say."""

from __future__ import annotations

import zlib
from math import prod
from pathlib import Path
from struct import pack
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.ir.canonical import differences
from resnetgen.ir.graph import Graph
from resnetgen.targets.caffe.emit import CaffePlan
from resnetgen.targets.caffe.read import parse_prototxt, read_graph
from resnetgen.targets.caffe.schema import message
from resnetgen.weights.source import Key
from resnetgen.weights.wire import Field, Truncated, field_bytes, fields, range_checksum

_BLOBS = {
    "Convolution": ("weight", "bias"),
    "BatchNorm": ("mean", "variance"),
    "Scale": ("gamma", "beta"),
    "InnerProduct": ("weight", "bias"),
}
"""Layer type -> the parameters that are its blobs, in Caffe's order."""


def validate_prototxt(path: Path, graph: Graph, planned: CaffePlan) -> list[str]:
    """What the prototxt says otherwise than the graph; empty where they agree."""
    try:
        net = parse_prototxt(path.read_text(encoding="utf-8"), path.name)
        found = read_graph(net)
    except Failure as failure:
        return [problem.message for problem in failure.problems]
    except UnicodeDecodeError as error:
        return [f"it is not UTF-8 text: {error}"]
    lines = differences(graph, found, planned.names)
    if tuple(net.input_dim) != planned.net.dims:
        lines.append(f"the input is {tuple(net.input_dim)}, not {planned.net.dims}")
    if net != parse_prototxt(planned.text, "the prototxt"):
        lines.append("the file says something else than was planned")
    return lines


def validate_caffemodel(path: Path, planned: CaffePlan, checksums: dict[Key, int]) -> list[str]:
    """What the caffemodel says otherwise than the prototxt and the checksums of the weights as they were drawn."""
    net = parse_prototxt(planned.text, "the prototxt")
    layers = list(net.layer)
    del net.layer[:]
    try:
        rest, found = read_caffemodel(path)
    except Failure as failure:
        return [problem.message for problem in failure.problems]
    lines = [] if len(found) == len(layers) else [f"{len(found)} layers instead of {len(layers)}"]
    if rest != net:
        lines.append("the net's name or input differs from the prototxt's")
    for layer, (head, read) in zip(layers, found, strict=False):
        if head != layer:
            lines.append(f"the layer {layer.name} differs from the prototxt's")
        if read != _wanted(layer, planned, checksums):
            lines.append(f"the blobs of {layer.name} differ from its weights")
    return lines


def _wanted(layer: Any, planned: CaffePlan, checksums: dict[Key, int]) -> list[Blob]:
    """The blobs of a layer, as Caffe's layers take them: nothing here is asked of the emitter."""
    node = next(node for node, names in planned.names.items() if layer.name in names)
    own = [(node, parameter) for parameter in _BLOBS.get(layer.type, ())]
    blobs = [(planned.shapes[key], checksums.get(key, -1)) for key in own if key in planned.shapes]
    return [*blobs, ((1,), zlib.crc32(pack("<f", 1)))] if layer.type == "BatchNorm" else blobs


Blob = tuple[tuple[int, ...], int]
"""Shape and checksum of the values."""


def read_caffemodel(path: Path) -> tuple[Any, list[tuple[Any, list[Blob]]]]:
    """A net without its layers; each layer without its blobs, and the shape and checksum of each blob. Holds no values.

    Raises Failure (exit 4) for a truncated file, and for a blob whose size is not its shape's.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            net, layers = message("NetParameter")(), []
            for field in fields(file, 0, end):
                if field.number == 100 and field.is_delimited:
                    layers.append(_layer(file, field))
                else:
                    net.MergeFromString(field_bytes(file, field))
            return net, layers
    except (Truncated, DecodeError) as error:
        what = f"{path}: it is no caffemodel, or only a part of one: {error}"
        raise fail(Exit.MODEL, Code.BAD_MODEL, what) from None
    except OSError as error:
        raise fail(Exit.IO, Code.MISSING_FILE, f"cannot read {path}: {error.strerror}") from None


def _layer(file: BinaryIO, field: Field) -> tuple[Any, list[Blob]]:
    layer = message("LayerParameter")()
    blobs = []
    for inner in fields(file, field.start, field.end):
        if inner.number == 7 and inner.is_delimited:
            blobs.append(_blob(file, inner))
        else:
            layer.MergeFromString(field_bytes(file, inner))
    return layer, blobs


def _blob(file: BinaryIO, field: Field) -> Blob:
    head = message("BlobProto")()
    check = 0
    size = 0
    for inner in fields(file, field.start, field.end):
        if inner.number != 5 or not inner.is_delimited:
            head.MergeFromString(field_bytes(file, inner))
            continue
        if size:
            raise Truncated("a blob holds its data twice")
        size = inner.end - inner.start
        check = range_checksum(file, inner.start, inner.end)
    shape = tuple(head.shape.dim)
    if size != 4 * prod(shape):
        raise Truncated(f"a blob of shape {shape} holds {size} bytes")
    if [field.name for field, _ in head.ListFields()] != ["shape"]:
        raise Truncated("a blob holds more than its shape and its data")
    return shape, check
