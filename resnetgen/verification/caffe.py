"""A prototxt and its caffemodel for OpenCV, with the names of their layers in the IR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field

from resnetgen.errors import Code, ModelError, Source
from resnetgen.escape import escape
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.model.layers import INPUT, CaffeStructure
from resnetgen.formats.caffe.model.read import parse
from resnetgen.formats.caffe.model.text import read
from resnetgen.formats.caffe.write import MAX_PROTOBUF, CaffePlan
from resnetgen.inputs import read_bytes
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import BatchNorm
from resnetgen.verification.target import Expected


class CaffeModel(Struct, frozen=True):
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


def load(prototxt: Path, caffemodel: Path, network: Expected | None) -> CaffeModel:
    """Load the files. Raises Failure: exit 4 for an invalid prototxt, or one without a single input of four dimensions;
    exit 5 if it is missing."""
    source = read(prototxt)
    net = parse(source)
    for path, span in net.unknown():
        hint = "OpenCV would run the net without it"
        raise ModelError.of(Code.UNSUPPORTED, f"unknown field: {escape(path)}", span, hint)
    dims = net.image
    if len(dims) != 4:
        raise ModelError.of(Code.BAD_MODEL, f"{prototxt}: it has not one input of four dimensions")
    if min(dims) < 1:
        shown = "x".join(map(str, dims))
        raise ModelError.of(Code.BAD_MODEL, f"{prototxt}: its input is {shown}, and every dimension must be above 0")
    count = len(net.layers) - 1
    if network is None:
        places = {layer.name: layer.span.short for layer in net.layers if layer.span}
        return CaffeModel(prototxt.name, source.text, caffemodel, dims, count, tuple(_readable(net)), {}, places)
    planned, rewritten = _for_opencv(source.text, network, dims[0])
    net = parse(Source(str(prototxt), planned.text)) if rewritten else net
    # A node's last layer has its output; the first may have its name.
    called = {names[-1]: node for node, names in planned.names.items()}
    parts = {name for names in planned.names.values() for name in names}
    return CaffeModel(
        prototxt.name,
        planned.text if rewritten else source.text,
        caffemodel,
        dims,
        count,
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


def _readable(net: CaffeStructure) -> Iterator[str]:
    """Yield the layers whose output can be read. OpenCV writes the inputs of a Concat into its output directly, and
    returns random memory for them."""
    last = {layer.tops[0]: at for at, layer in enumerate(net.layers) if layer.tops}
    joined = {blob for layer in net.layers if layer.type == "Concat" for blob in layer.bottoms}
    for at, layer in enumerate(net.layers):
        if layer.tops and layer.type != INPUT and last[layer.tops[0]] == at and layer.tops[0] not in joined:
            yield layer.name


def _norms(graph: Graph) -> dict[str, str]:
    return {node.inputs[0]: node.name for node in graph.nodes if isinstance(node.op, BatchNorm)}
