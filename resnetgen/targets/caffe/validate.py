"""Translation validation: the written files, read back, must say what the graph and the weights say."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.ir.canonical import differences
from resnetgen.ir.graph import Graph
from resnetgen.targets.caffe.emit import CaffePlan
from resnetgen.targets.caffe.read import parse_prototxt, read_graph
from resnetgen.targets.caffe.schema import message
from resnetgen.weights.wire import Field, Truncated, fields

_CHUNK = 1 << 20


def validate_prototxt(path: Path, graph: Graph, planned: CaffePlan) -> list[str]:
    """What the prototxt says otherwise than the graph; empty where they agree."""
    try:
        net = parse_prototxt(path.read_text(encoding="utf-8"), path.name)
        found = read_graph(net)
    except Failure as failure:
        return [problem.message for problem in failure.problems]
    lines = differences(graph, found, planned.names)
    if tuple(net.input_dim) != planned.net.dims:
        lines.append(f"the input is {tuple(net.input_dim)}, not {planned.net.dims}")
    return lines


def validate_caffemodel(path: Path, planned: CaffePlan, digests: dict[str, list[str]]) -> list[str]:
    """What the caffemodel says otherwise than the prototxt and the digests of the weights as they were drawn."""
    net = parse_prototxt(planned.text, "the prototxt")
    wanted = [(layer, digests.get(layer.name, [])) for layer in net.layer]
    found = read_layers(path)
    lines = [] if len(found) == len(wanted) else [f"{len(found)} layers instead of {len(wanted)}"]
    for (layer, blobs), (head, read) in zip(wanted, found, strict=False):
        if head != layer:
            lines.append(f"the layer {layer.name} differs from the prototxt's")
        if [digest for _, digest in read] != blobs:
            lines.append(f"the blobs of {layer.name} differ from its weights")
    return lines


Blob = tuple[tuple[int, ...], str]
"""Shape and SHA-256 of the values."""


def read_layers(path: Path) -> list[tuple[Any, list[Blob]]]:
    """Each layer of a caffemodel without its blobs, and the shape and digest of each blob. Holds no values.

    Raises Failure (exit 4) for a truncated file, and for a blob whose size is not its shape's.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            return [_layer(file, field) for field in fields(file, 0, end) if field.number == 100]
    except (Truncated, DecodeError) as error:
        message = f"{path}: it is no caffemodel, or only a part of one: {error}"
        raise fail(Exit.MODEL, Code.BAD_MODEL, message) from None


def _layer(file: BinaryIO, field: Field) -> tuple[Any, list[Blob]]:
    layer = message("LayerParameter")()
    blobs = []
    for inner in fields(file, field.start, field.end):
        if inner.number == 7:
            blobs.append(_blob(file, inner))
        else:
            layer.MergeFromString(_bytes(file, inner))
    return layer, blobs


def _blob(file: BinaryIO, field: Field) -> Blob:
    head = message("BlobProto")()
    digest = hashlib.sha256()
    size = 0
    for inner in fields(file, field.start, field.end):
        if inner.number != 5:
            head.MergeFromString(_bytes(file, inner))
            continue
        file.seek(inner.start)
        size += (left := inner.end - inner.start)
        while left:
            chunk = file.read(min(left, _CHUNK))
            digest.update(chunk)
            left -= len(chunk)
    shape = tuple(head.shape.dim)
    count = 4
    for dim in shape:
        count *= dim
    if size != count:
        raise Truncated(f"a blob of shape {shape} holds {size} bytes")
    return shape, digest.hexdigest()


def _bytes(file: BinaryIO, field: Field) -> bytes:
    file.seek(field.head)
    return file.read(field.end - field.head)
