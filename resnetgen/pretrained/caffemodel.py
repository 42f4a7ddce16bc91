"""Comparison of Caffe structures: that of a caffemodel, and those of the spec in each dialect."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from resnetgen.comparison import Record, Value, Word
from resnetgen.comparison.prototxt import of_model
from resnetgen.errors import Failure, Source, Span
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.lower import lower
from resnetgen.formats.caffe.model.caffemodel import read_layers
from resnetgen.formats.caffe.model.field_values import fields_of
from resnetgen.formats.caffe.model.read import of_fields
from resnetgen.formats.caffe.model.text import Kind, Message, TextField, TextScalar
from resnetgen.formats.caffe.write import net_message
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Pair
from resnetgen.pretrained.differences import structure_differences
from resnetgen.pretrained.equal_windows import Window, exact_windows, whole_kernels
from resnetgen.pretrained.records import Structure, most_layers, require_few_reads
from resnetgen.weights.assign import Naming
from resnetgen.weights.names import load_name_map

_SOURCE = Source("the caffemodel", "")
_PASSED = frozenset({"Dropout", "Flatten", "Split"})
_OF_SIZES = (
    "convolution_param.num_output",
    "inner_product_param.num_output",
    "reshape_param.",
    "slice_param.slice_point",
)
"""Attributes that follow from the shapes of weights, which are checked elsewhere, or from the size of the image."""


def caffemodel_differences(path: Path, graph: Graph, naming: Naming, drawn: frozenset[str]) -> list[str]:
    """Return the differences of a caffemodel's network from the graph, in the dialect nearest to it.

    Layers without parameters of their type are skipped: a file may be stripped to its blobs. The stages `drawn` are
    ignored. Raises ModelError for a network that cannot be read.
    """
    layers = read_layers(path, most_layers(graph))
    require_few_reads(sum(len(_texts(layer, "bottom", "top")) for layer in layers), most_layers(graph))
    has_edges = any(_texts(layer, "bottom") for layer in layers)
    fields = _prepared(layers, has_edges)
    if not fields:
        return []
    kept = [name for name, (node, _) in naming.names.items() if graph[node].path.stage not in drawn]
    names = {name.rpartition(".")[0] for name in kept}
    file = _structure(fields, graph, names)
    if not has_edges:
        names = {*file.anchors.values()}
    found = []
    for dialect in Dialect:
        with suppress(Failure):
            spec = _of_spec(graph, naming, dialect, names, has_edges)
            found.append(structure_differences(file, spec, path.name, whole=not drawn))
            if not found[-1]:
                return []
    return min(found, key=len, default=[])


def _of_spec(graph: Graph, naming: Naming, dialect: Dialect, names: set[str], has_edges: bool) -> Structure:
    net = lower(graph, load_name_map(naming.convention) if naming.convention else None, 1, dialect)
    layers = tuple(field for field in fields_of(net_message(net), Span(_SOURCE, 0, 0)) if field.name == "layer")
    made = _structure(_prepared(layers, has_edges), graph, names)
    owners = {layer.name: graph[layer.node] for layer in net.layers}
    nodes = {at: owners[record.name] for at, record in enumerate(made.net.records) if record.name in owners}
    return replace(made, nodes=nodes)


def _prepared(layers: tuple[TextField, ...], has_edges: bool) -> tuple[TextField, ...]:
    """Return the net that was run: a caffemodel has the layers of one phase, and may lack its inputs."""
    dropped = {"include", "exclude", "param"} if has_edges else {"include", "exclude", "param", "bottom", "top"}
    kept: list[TextField] = []
    written: set[str] = set()
    inputs: dict[str, None] = {}
    for layer in layers:
        assert isinstance(layer.value, Message)
        fields = tuple(field for field in layer.value.fields if field.name not in dropped)
        # Without edges only layers that have the parameters of their type are compared.
        if not any(_texts(layer, "type")) or not (has_edges or any(field.name.endswith("_param") for field in fields)):
            continue
        kept.append(TextField("layer", Message(fields), layer.span))
        if has_edges:
            inputs |= dict.fromkeys(blob for blob in _texts(layer, "bottom") if blob not in written)
            written |= {*_texts(layer, "top")}
    return (*(TextField("input", TextScalar(Kind.STRING, blob), Span(_SOURCE, 0, 0)) for blob in inputs), *kept)


def _texts(layer: TextField, *names: str) -> list[str]:
    """Return the texts of some fields of a layer."""
    fields = layer.value.fields if isinstance(layer.value, Message) else ()
    return [field.value.text for field in fields if field.name in names and isinstance(field.value, TextScalar)]


def _structure(fields: tuple[TextField, ...], graph: Graph, names: set[str]) -> Structure:
    found = of_model(of_fields(fields, _SOURCE))
    records = found.records
    anchors = {at: one.name for at, one in enumerate(records) if one.name in names and not one.is_input}
    whole, exact = whole_kernels(graph), exact_windows(graph)
    made = (replace(one, attributes=_attributes(one, at in anchors, whole, exact)) for at, one in enumerate(records))
    return Structure(replace(found, records=tuple(made)), anchors, _PASSED)


def _attributes(
    record: Record, has_weights: bool, whole: frozenset[Pair], exact: frozenset[Window]
) -> Mapping[str, Value]:
    """Return the attributes of a layer that no shape reveals."""
    found = {path: value for path, value in record.attributes.items() if not path.startswith(_OF_SIZES)}
    if has_weights:  # a net in training uses the statistics of its batch
        found.pop("batch_norm_param.use_global_stats", None)
    if record.type != "Pooling":
        return found
    kernel, stride, pad = (_pair(found.get(f"pooling_param.{name}", default)) for name, default in _WINDOW)
    if (kernel, stride, pad) in exact:
        found.pop("pooling_param.round_mode", None)
    if found.get("pooling_param.pool") == Word("AVE") and kernel in whole and pad == (0, 0):
        return {"pooling_param.pool": Word("AVE"), "pooling_param.global_pooling": True}
    return found


_WINDOW = (("kernel_size", 0), ("stride", 1), ("pad", 0))


def _pair(value: Value) -> Pair:
    pair: tuple[Any, ...] = value if isinstance(value, tuple) else (value, value)
    return pair[0], pair[-1]
