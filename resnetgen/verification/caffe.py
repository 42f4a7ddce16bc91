"""A prototxt and its caffemodel for OpenCV, with the names of their layers in the IR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from resnetgen.errors import Code, Exit, fail
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.model.schema import parse_prototxt
from resnetgen.formats.caffe.model.text import Message, Scalar, parse, read
from resnetgen.formats.caffe.write import MAX_PROTOBUF, CaffePlan
from resnetgen.inputs import read_bytes
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import BatchNorm
from resnetgen.verification.subject import Expected


class CaffeFiles(Struct, frozen=True):
    shown: str
    text: str
    caffemodel: Path
    dims: tuple[int, ...]
    """Shape of the input: N, C, H, W."""
    layers: int
    """Number of layers."""
    readable: tuple[str, ...]
    """Layers whose first top can be read, since no other layer overwrites it; in the order of computation."""
    called: Mapping[str, str] = field(default_factory=dict)
    """Layer -> the node with the same output."""
    places: Mapping[str, str] = field(default_factory=dict)
    norms: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def read_caffemodel(self) -> bytes:
        return read_bytes(self.caffemodel, MAX_PROTOBUF, "a caffemodel")


def load(prototxt: Path, caffemodel: Path, network: Expected | None) -> CaffeFiles:
    """Load the files. Raises Failure: exit 4 for an invalid prototxt, or one without a single input of four dimensions;
    exit 5 if it is missing."""
    source = read(prototxt)
    net = parse_prototxt(source.text, str(prototxt))
    dims = _dims(net)
    if len(dims) != 4:
        raise fail(Exit.MODEL, Code.BAD_MODEL, f"{prototxt}: it has not one input of four dimensions")
    if min(dims) < 1:
        shown = "x".join(map(str, dims))
        raise fail(Exit.MODEL, Code.BAD_MODEL, f"{prototxt}: its input is {shown}, and every dimension must be above 0")
    if network is None:
        places = _lines(parse(source))
        readable = tuple(_readable(net))
        return CaffeFiles(prototxt.name, source.text, caffemodel, dims, len(net.layer), readable, {}, places)
    planned, rewritten = _for_opencv(source.text, network, dims[0])
    net = parse_prototxt(planned.text, str(prototxt)) if rewritten else net
    # A node's last layer has its output; the first may have its name.
    called = {names[-1]: node for node, names in planned.names.items()}
    parts = {name for names in planned.names.values() for name in names}
    return CaffeFiles(
        prototxt.name,
        planned.text if rewritten else source.text,
        caffemodel,
        dims,
        len(net.layer),
        tuple(layer for layer in _readable(net) if layer in called or layer not in parts),
        called,
        network.places,
        _norms(network.graph),
        ("written anew in OpenCV's dialect",) if rewritten else (),
    )


def _for_opencv(text: str, network: Expected, batch: int) -> tuple[CaffePlan, bool]:
    """Return the Caffe files in OpenCV's dialect, and True if they must replace the built ones.

    Only a text that equals that of a build of the network is replaced; one that was changed by hand runs as it is, so
    that the change shows.
    """
    fit = network.caffe(batch, Dialect.OPENCV)
    others = (Dialect.BVLC, Dialect.BVLC_1_0)
    return fit, fit.text != text and any(network.caffe(batch, dialect).text == text for dialect in others)


def _dims(net: Any) -> tuple[int, ...]:
    """Return the dimensions from `input_dim`, `input_shape`, or an Input layer."""
    if net.input_dim:
        return tuple(net.input_dim)
    shapes = [*net.input_shape, *(shape for layer in net.layer for shape in layer.input_param.shape)]
    return tuple(shapes[0].dim) if len(shapes) == 1 else ()


def _readable(net: Any) -> Iterator[str]:
    """Yield the layers whose output can be read. OpenCV writes the inputs of a Concat into its output directly, and
    returns random memory for them."""
    last = {layer.top[0]: layer.name for layer in net.layer if layer.top}
    joined = {blob for layer in net.layer if layer.type == "Concat" for blob in layer.bottom}
    for layer in net.layer:
        if layer.top and layer.type != "Input" and last[layer.top[0]] == layer.name and layer.top[0] not in joined:
            yield layer.name


def _norms(graph: Graph) -> dict[str, str]:
    return {node.inputs[0]: node.name for node in graph.nodes if isinstance(node.op, BatchNorm)}


def _lines(net: Message) -> dict[str, str]:
    """Return the line in the prototxt of each layer."""
    found = {}
    for one in net.fields:
        for inner in one.value.fields if isinstance(one.value, Message) else ():
            if inner.name == "name" and isinstance(inner.value, Scalar):
                found[inner.value.text] = one.span.short
    return found
