"""Writer of Caffe files: a prototxt from the template, and a caffemodel whose blobs are streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from msgspec import Struct

from resnetgen.errors import Code, Exit, fail
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.layers import Fixed, Layer, Weight
from resnetgen.formats.caffe.model.schema import message, parse_prototxt
from resnetgen.formats.caffe.render import render
from resnetgen.formats.caffe.translate import CaffeNet, translate
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Shape
from resnetgen.staging.files import Create, Output
from resnetgen.weights.draw import Drawing, Drawn, keys, payload
from resnetgen.weights.names import NameMap
from resnetgen.weights.source import Array, Key, Weights
from resnetgen.wire.fields import delimited

MAX_PROTOBUF = 2**31 - 1
_LAYER, _BLOBS, _DATA = 100, 7, 5  # field numbers of NetParameter, LayerParameter and BlobProto

Progress = Callable[[int], None]


class CaffePlan(Struct, frozen=True, dict=True):
    """Files that are ready to be written: everything that can be refused has been checked."""

    graph: Graph
    net: CaffeNet
    text: str
    names: dict[str, tuple[str, ...]]
    shapes: dict[Key, Shape]
    """Shape of every parameter of the graph."""

    def message(self) -> Any:
        """Return the NetParameter of the text, a new copy each time."""
        return message("NetParameter").FromString(self._serialised)

    @cached_property
    def _serialised(self) -> bytes:
        serialised: bytes = parse_prototxt(self.text, "the prototxt").SerializeToString()
        return serialised

    @property
    def payload(self) -> int:
        return payload(self.shapes)


def plan(
    graph: Graph,
    names: NameMap | None,
    batch: int | None,
    with_weights: bool,
    dialect: Dialect = Dialect.BVLC,
) -> CaffePlan:
    """Translate a graph to a plan. Raises Failure: exit 3 for a node that cannot be translated, exit 6 for a caffemodel
    of 2 GB or more."""
    shapes = keys(graph)
    net = translate(graph, names, batch or 1, dialect)
    fixed = (blob.shape for layer in net.layers for blob in layer.blobs if isinstance(blob, Fixed))
    size = payload(shapes) + sum(4 * prod(shape) for shape in fixed)
    if with_weights and size + 1000 * len(graph.nodes) > MAX_PROTOBUF:
        hint = "ONNX can hold them beside the model; --no-weights writes the prototxt alone"
        message = f"the weights take {size:,} bytes; a caffemodel cannot hold more than {MAX_PROTOBUF:,}"
        raise fail(Exit.LIMIT, Code.LIMIT, message, hint=hint)
    return CaffePlan(graph, net, render(net), net.names, shapes)


def write_caffemodel(
    planned: CaffePlan,
    weights: Weights,
    path: Path,
    progress: Progress = lambda _: None,
    create: Create = Output,
) -> dict[Key, int]:
    """Write each layer with its blobs; return the checksum of each tensor as it was drawn."""
    net = planned.message()
    layers = list(net.layer)
    del net.layer[:]
    checksums: dict[Key, int] = {}
    blobs = ((layer.node, blob) for layer in planned.net.layers for blob in layer.blobs)
    order = [(node, blob.parameter) for node, blob in blobs if isinstance(blob, Weight)]
    drawn = iter(Drawing(weights, {key: planned.shapes[key] for key in order}))
    with create(path) as file:
        file.write(net.SerializeToString(deterministic=True))
        for layer, head in zip(planned.net.layers, layers, strict=True):
            values = list(_values(layer, drawn, checksums))
            _write_layer(file, head.SerializeToString(deterministic=True), values)
            progress(sum(blob.nbytes for blob in values))
    return checksums


def _values(layer: Layer, drawn: Iterator[Drawn], checksums: dict[Key, int]) -> Iterator[Array]:
    for blob in layer.blobs:
        if isinstance(blob, Fixed):
            yield blob.fill(blob.shape)
            continue
        key, values, check = next(drawn)
        checksums[key] = check
        yield values.reshape(blob.shape or values.shape)


def _write_layer(file: Output, head: bytes, blobs: list[Array]) -> None:
    """Write a NetParameter with one layer and nothing else."""
    heads = []
    for blob in blobs:
        shape: Any = message("BlobProto")()
        shape.shape.dim.extend(blob.shape)
        inner = shape.SerializeToString() + delimited(_DATA, blob.nbytes)
        heads.append(delimited(_BLOBS, len(inner) + blob.nbytes) + inner)
    size = len(head) + sum(map(len, heads)) + sum(blob.nbytes for blob in blobs)
    file.write(delimited(_LAYER, size) + head)
    for start, blob in zip(heads, blobs, strict=True):
        file.write(start)
        file.write(blob.data)
