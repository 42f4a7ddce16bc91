"""What the layers of a caffemodel say of themselves, beside their blobs: how the network was made that they are of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from resnetgen.errors import Failure
from resnetgen.inputs import open_input
from resnetgen.ir import ops
from resnetgen.ir.canonical import canonical_op
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Op
from resnetgen.ir.text import describe
from resnetgen.targets.caffe.read import layer_op, parse_prototxt
from resnetgen.targets.caffe.render import render
from resnetgen.targets.caffe.schema import PARAM_FIELDS, message
from resnetgen.targets.caffe.translate import translate
from resnetgen.weights.names import load_name_map
from resnetgen.weights.wire import Truncated, field_bytes, fields

_LISTED = 3
_LAYER, _BLOBS = 100, 7  # NetParameter and LayerParameter
_SAYING = (ops.Conv, ops.BatchNorm, ops.Lrn, ops.Pool, ops.GlobalAvgPool)
"""The ops of which there is something to say that no shape tells."""


def other_network(path: Path, graph: Graph, world: str | None) -> list[str]:
    """Where a caffemodel's layers are made otherwise than the graph's of the same name; empty where they agree.

    Layers that do not say how they are made, as in a file that was stripped to its blobs, are passed over.
    """
    net = translate(graph, load_name_map(world) if world else None)
    own = {layer.name: layer for layer in parse_prototxt(render(net), "the prototxt").layer}
    nodes = {layer.name: graph.by_name[layer.node] for layer in net.layers}
    lines = []
    for layer in _heads(path):
        node = nodes.get(layer.name)
        if node is None or not isinstance(node.op, _SAYING) or not layer.HasField(PARAM_FIELDS.get(layer.type, "name")):
            continue
        shapes = graph.input_shapes(node)
        held, wanted = _op(layer), _op(own[layer.name])
        if held and wanted and canonical_op(held, shapes) != canonical_op(wanted, shapes):
            place = f" ({node.span.short})" if node.span else ""
            lines.append(f"{layer.name} is {describe(held)} in {path.name}, and {describe(wanted)} in the spec{place}")
    more = [f"and {len(lines) - _LISTED} layers more are made otherwise"] if len(lines) > _LISTED else []
    return lines[:_LISTED] + more


def _heads(path: Path) -> Iterator[Any]:
    """Each layer without its blobs."""
    with open_input(path) as file:
        for field in fields(file, 0, file.seek(0, 2)):
            if field.number != _LAYER or not field.is_delimited:
                continue
            layer = message("LayerParameter")()
            try:
                for inner in fields(file, field.start, field.end):
                    if inner.number != _BLOBS:
                        layer.MergeFromString(field_bytes(file, inner))
            except (DecodeError, Truncated):
                continue  # what is damaged has been refused; what only this schema cannot read says nothing
            yield layer


def _op(layer: Any) -> Op | None:
    try:
        if layer.type == "BatchNorm":
            return ops.BatchNorm(layer.batch_norm_param.eps)
        return layer_op(layer)
    except (Failure, ops.OpError):
        return None
