"""Comparison of ONNX structures: that of a model, and that of the spec written at the same opset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
from msgspec.structs import replace

from resnetgen.comparison import INPUT, Net, Record
from resnetgen.errors import Failure
from resnetgen.formats.onnx.lower import MAX_OPSET, MIN_OPSET, Lowered, Names, initializer
from resnetgen.formats.onnx.model.nodes import OnnxNode, ReadConstant, read_nodes
from resnetgen.formats.onnx.model.read import read_model
from resnetgen.ir.graph import Graph
from resnetgen.preprocess import Preprocess
from resnetgen.pretrained.differences import structure_differences
from resnetgen.pretrained.equal_windows import exact_windows, whole_kernels
from resnetgen.pretrained.onnx_nodes import PASSED, node_record
from resnetgen.pretrained.records import Structure, most_layers, require_few_reads
from resnetgen.weights.assign import Naming
from resnetgen.weights.source import Key

MAX_STRUCTURE = 8 << 20
"""Limit in bytes of a model's nodes and types that are compared with a spec; those of ResNet-152 take 200 KB."""
_CAN_SAY_ALL = 20
"""Opset from which ONNX has every op of the IR."""


def onnx_differences(
    path: Path, graph: Graph, naming: Naming, drawn: frozenset[str], preprocess: Preprocess | None
) -> list[str]:
    """Return the differences of a model's network from the graph. The stages `drawn` are ignored.

    Raises Failure: exit 4 for a model whose nodes cannot be read, exit 6 for too many nodes.
    """
    model = read_model(path, most_layers(graph), MAX_STRUCTURE)
    require_few_reads(sum(len(node.inputs) + len(node.outputs) for node in model.nodes), most_layers(graph))
    if not model.nodes:
        return []

    def counts(key: Key) -> bool:
        return graph[key[0]].path.stage not in drawn

    weights = {name: key for name, key in naming.names.items() if counts(key)}
    own = {initializer(*key): key for key in naming.names.values() if counts(key)}
    reader = _Reader(graph)
    file = reader.structure(model.nodes, weights, lambda name: None if name in naming.names else model.constant(name))
    takes_bytes = any(value.dtype == "uint8" for value in model.inputs)
    plan = _plan(graph, min(max(model.opset, MIN_OPSET), MAX_OPSET), preprocess if takes_bytes else None)
    constant = plan.constants.get
    spec = reader.structure(read_nodes(plan.nodes, model.opset, constant), own, constant)
    nodes = {at: node for at, one in enumerate(spec.net.records) if (node := plan.owners.get(one.name))}
    return structure_differences(file, replace(spec, nodes=nodes), path.name, whole=not drawn)


def _plan(graph: Graph, opset: int, embed: Preprocess | None) -> Lowered:
    try:
        return Lowered(graph, opset, Names(), None, embed)
    except Failure:  # the opset lacks an op, which the file writes as other nodes
        return Lowered(graph, _CAN_SAY_ALL, Names(), None, embed)


class _Reader:
    def __init__(self, graph: Graph) -> None:
        self._whole, self._exact = whole_kernels(graph), exact_windows(graph)

    def structure(self, nodes: Sequence[OnnxNode], weights: Mapping[str, Key], constant: ReadConstant) -> Structure:
        """Return the nodes as records; the nodes that read `weights` are anchors."""
        records: list[Record] = []
        writer: dict[str, tuple[int, int]] = {}
        anchors: dict[int, str] = {}
        for node in nodes:
            data: list[tuple[int, int]] = []
            constants: dict[int, npt.NDArray[Any]] = {}
            own: list[str] = []
            for position, name in enumerate(node.inputs):
                if name in weights:
                    own.append(initializer(*weights[name]))
                elif name in writer:
                    data.append(writer[name])
                elif (values := constant(name)) is not None:
                    constants[position] = values
                elif name:  # an input of the graph, or a tensor that this reader does not know
                    writer[name] = (len(records), 0)
                    records.append(Record(name, INPUT))
                    data.append(writer[name])
            at = len(records)
            if own:
                anchors[at] = own[0]
            record = node_record(node, constants, self._whole, self._exact)
            attributes = {**record.attributes, **({"weights": tuple(own)} if own else {})}
            records.append(replace(record, inputs=tuple(data), attributes=attributes))
            writer |= {name: (at, index) for index, name in enumerate(node.outputs)}
        return Structure(Net("", "", tuple(records)), anchors, PASSED)
