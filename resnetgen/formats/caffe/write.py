"""Writer of Caffe files: a prototxt from the template, and a caffemodel whose blobs are streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import Any

from jinja2 import Template
from msgspec import Struct

from resnetgen.errors import Code, LimitError
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.lower import CaffeNet, lower
from resnetgen.formats.caffe.lower_ops import Enum, FixedBlob, LayerPlan, Params, Value, WeightBlob
from resnetgen.formats.caffe.model.schema import known_fields, message, number
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Shape
from resnetgen.render import quoted, template
from resnetgen.staging.files import Create, Output
from resnetgen.weights.draw import Drawing, Drawn, keys, payload
from resnetgen.weights.names import NameMap
from resnetgen.weights.source import Array, Key, WeightSource
from resnetgen.wire.fields import delimited

MAX_PROTOBUF = 2**31 - 1
Progress = Callable[[int], None]


class CaffePlan(Struct, frozen=True, dict=True):
    """Files that are ready to be written: everything that can be refused has been checked."""

    graph: Graph
    net: CaffeNet
    text: str
    names: dict[str, tuple[str, ...]]
    shapes: dict[Key, Shape]
    """Shape of every parameter of the graph."""

    @cached_property
    def message(self) -> Any:
        """NetParameter of the net; do not change it."""
        return net_message(self.net)

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
    net = lower(graph, names, batch or 1, dialect)
    fixed = (blob.shape for layer in net.layers for blob in layer.blobs if isinstance(blob, FixedBlob))
    size = payload(shapes) + sum(4 * prod(shape) for shape in fixed)
    if with_weights and size + 1000 * len(graph.nodes) > MAX_PROTOBUF:
        hint = "ONNX can hold them beside the model; --no-weights writes the prototxt alone"
        message = f"the weights take {size:,} bytes; a caffemodel cannot hold more than {MAX_PROTOBUF:,}"
        raise LimitError.of(Code.LIMIT, message, hint=hint)
    return CaffePlan(graph, net, render(net), net.names, shapes)


def write_caffemodel(
    planned: CaffePlan,
    weights: WeightSource,
    path: Path,
    progress: Progress = lambda _: None,
    create: Create = Output,
) -> dict[Key, int]:
    """Write each layer with its blobs; return the checksum of each tensor as it was drawn."""
    checksums: dict[Key, int] = {}
    blobs = ((layer.node, blob) for layer in planned.net.layers for blob in layer.blobs)
    order = [(node, blob.parameter) for node, blob in blobs if isinstance(blob, WeightBlob)]
    drawn = iter(Drawing(weights, {key: planned.shapes[key] for key in order}))
    with create(path) as file:
        file.write(_without_layers(planned.message).SerializeToString(deterministic=True))
        for layer, head in zip(planned.net.layers, planned.message.layer, strict=True):
            values = list(_values(layer, drawn, checksums))
            _write_layer(file, head.SerializeToString(deterministic=True), values)
            progress(sum(blob.nbytes for blob in values))
    return checksums


def _without_layers(net: Any) -> Any:
    rest = type(net)()
    rest.CopyFrom(net)
    rest.ClearField("layer")
    return rest


def _values(layer: LayerPlan, drawn: Iterator[Drawn], checksums: dict[Key, int]) -> Iterator[Array]:
    for blob in layer.blobs:
        if isinstance(blob, FixedBlob):
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
        inner = shape.SerializeToString() + delimited(number("BlobProto", "data"), blob.nbytes)
        heads.append(delimited(number("LayerParameter", "blobs"), len(inner) + blob.nbytes) + inner)
    size = len(head) + sum(map(len, heads)) + sum(blob.nbytes for blob in blobs)
    file.write(delimited(number("NetParameter", "layer"), size) + head)
    for start, blob in zip(heads, blobs, strict=True):
        file.write(start)
        file.write(blob.data)


def render(net: CaffeNet) -> str:
    """Return the text of the prototxt. A name that the template lacks is an error, never an empty text."""
    return _template().render(net=net)


@cache
def _template() -> Template:
    return template("caffe/net.prototxt.j2", {"literal": literal}, {"message": lambda value: isinstance(value, tuple)})


def literal(value: Value) -> str:
    """Return a value in protobuf's text format."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value)
        case str():
            return quoted(value)
        case _:
            return repr(value)


def net_message(net: CaffeNet) -> Any:
    """Return the NetParameter of a net, without blobs."""
    made = message("NetParameter")(name=net.name, input=[net.input], input_dim=net.dims)
    for layer in net.layers:
        one = made.layer.add(name=layer.name, type=layer.type, bottom=layer.bottoms, top=layer.tops)
        if layer.frozen:
            for _ in layer.blobs:
                one.param.add(lr_mult=0, decay_mult=0)
        if layer.params:
            _fill(getattr(one, layer.param_field), layer.params)
    return made


def _fill(target: Any, params: Params) -> None:
    """Set the fields of a message."""
    known = known_fields(target.DESCRIPTOR.name)
    for name, value in params:
        if isinstance(value, tuple):
            _fill(getattr(target, name), value)
        elif known[name].repeated:
            getattr(target, name).append(value)
        else:
            enum = target.DESCRIPTOR.fields_by_name[name].enum_type
            setattr(target, name, enum.values_by_name[value].number if enum else value)
