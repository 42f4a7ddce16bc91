"""A prototxt and its caffemodel as OpenCV is to be given them, and what their layers are called in the IR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from resnetgen.errors import Code, Exit, fail
from resnetgen.frozen import Frozen
from resnetgen.inputs import read_bytes
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import BatchNorm
from resnetgen.targets.caffe.dialect import Dialect
from resnetgen.targets.caffe.emit import MAX_PROTOBUF, CaffePlan
from resnetgen.targets.caffe.schema import parse_prototxt
from resnetgen.targets.caffe.text import Message, Scalar, parse, read
from resnetgen.verify.subject import Network


class CaffeFiles(Frozen):
    shown: str
    text: str
    caffemodel: Path
    dims: tuple[int, ...]
    """Of the input: N, C, H, W."""
    layers: int
    """How many there are."""
    readable: tuple[str, ...]
    """Those whose first top can be read: nobody writes over it. In the order of computing."""
    called: Mapping[str, str] = field(default_factory=dict)
    """Layer -> the node whose output it gives."""
    places: Mapping[str, str] = field(default_factory=dict)
    norms: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def read_caffemodel(self) -> bytes:
        return read_bytes(self.caffemodel, MAX_PROTOBUF, "a caffemodel")


def load(prototxt: Path, caffemodel: Path, network: Network | None) -> CaffeFiles:
    """Raises Failure: no prototxt, or one without an input of four dimensions."""
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
    # A node's last layer gives its output; the first may bear its name.
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


def _for_opencv(text: str, network: Network, batch: int) -> tuple[CaffePlan, bool]:
    """The text that OpenCV knows, and whether it must stand for the one that was built.

    Only a text that says exactly what a build says of the network is written anew; one that was changed by hand runs as
    it stands, so that the change shows.
    """
    fit = network.caffe(batch, Dialect.OPENCV)
    others = (Dialect.BVLC, Dialect.BVLC_1_0)
    return fit, fit.text != text and any(network.caffe(batch, dialect).text == text for dialect in others)


def _dims(net: Any) -> tuple[int, ...]:
    """From `input_dim`, `input_shape`, or an Input layer."""
    if net.input_dim:
        return tuple(net.input_dim)
    shapes = [*net.input_shape, *(shape for layer in net.layer for shape in layer.input_param.shape)]
    return tuple(shapes[0].dim) if len(shapes) == 1 else ()


def _readable(net: Any) -> Iterator[str]:
    """OpenCV writes what a Concat reads into its output at once, and gives random memory for it, asked or not."""
    last = {layer.top[0]: layer.name for layer in net.layer if layer.top}
    joined = {blob for layer in net.layer if layer.type == "Concat" for blob in layer.bottom}
    for layer in net.layer:
        if layer.top and layer.type != "Input" and last[layer.top[0]] == layer.name and layer.top[0] not in joined:
            yield layer.name


def _norms(graph: Graph) -> dict[str, str]:
    return {node.inputs[0]: node.name for node in graph.nodes if isinstance(node.op, BatchNorm)}


def _lines(net: Message) -> dict[str, str]:
    """Layer -> its line in the prototxt."""
    found = {}
    for one in net.fields:
        for inner in one.value.fields if isinstance(one.value, Message) else ():
            if inner.name == "name" and isinstance(inner.value, Scalar):
                found[inner.value.text] = one.span.short
    return found
