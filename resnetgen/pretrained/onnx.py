"""Comparison of ONNX structures: that of a model, and that of the spec written at the same opset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from resnetgen.comparison import INPUT, Net, Record
from resnetgen.errors import Failure
from resnetgen.formats.onnx.lower import MAX_OPSET, MIN_OPSET, Lowered, Names, initializer
from resnetgen.formats.onnx.read import read_structure
from resnetgen.formats.onnx.schema import GraphProto, ModelProto, NodeProto, TensorProto
from resnetgen.ir.graph import Graph
from resnetgen.preprocess import Preprocess
from resnetgen.pretrained.differences import structure_differences
from resnetgen.pretrained.onnx_nodes import PASSED, Constants, values_of, written
from resnetgen.pretrained.pooling import exact_windows, whole_kernels
from resnetgen.pretrained.structure import Structure, most_layers, require_few_reads
from resnetgen.weights.assign import Naming
from resnetgen.weights.source import Key

_CAN_SAY_ALL = 20
"""Opset from which ONNX has every op of the IR."""


def onnx_differences(
    path: Path, graph: Graph, naming: Naming, drawn: frozenset[str], preprocess: Preprocess | None
) -> list[str]:
    """Return the differences of a model's network from the graph. The stages `drawn` are ignored.

    Raises Failure: exit 4 for a model whose nodes cannot be read, exit 6 for too many nodes.
    """
    model = read_structure(path, naming.names, most_layers(graph))
    require_few_reads(sum(len(node.input) + len(node.output) for node in model.graph.node), most_layers(graph))
    if not model.graph.node:
        return []

    def counts(key: Key) -> bool:
        return graph[key[0]].path.stage not in drawn

    weights = {name: key for name, key in naming.names.items() if counts(key)}
    own = {initializer(*key): key for key in naming.names.values() if counts(key)}
    constants = {one.name: values_of(one) for one in model.graph.initializer}
    reader = _Reader(graph)
    file = reader.structure(model.graph, weights, constants)
    plan = _plan(graph, _opset(model), preprocess if _takes_bytes(model.graph) else None)
    skeleton = GraphProto(node=plan.nodes, input=plan.inputs, output=plan.outputs)
    spec = reader.structure(skeleton, own, plan.constants)
    nodes = {at: node for at, one in enumerate(spec.net.records) if (node := plan.owners.get(one.name))}
    return structure_differences(file, replace(spec, nodes=nodes), path.name, whole=not drawn)


def _plan(graph: Graph, opset: int, embed: Preprocess | None) -> Lowered:
    try:
        return Lowered(graph, opset, Names(), None, embed)
    except Failure:  # the opset lacks an op, which the file writes as other nodes
        return Lowered(graph, _CAN_SAY_ALL, Names(), None, embed)


def _opset(model: ModelProto) -> int:
    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    return min(max(versions[0] if versions else MIN_OPSET, MIN_OPSET), MAX_OPSET)


def _takes_bytes(graph: GraphProto) -> bool:
    return any(one.type.tensor_type.elem_type == TensorProto.UINT8 for one in graph.input)


class _Reader:
    def __init__(self, graph: Graph) -> None:
        self._whole, self._exact = whole_kernels(graph), exact_windows(graph)

    def structure(self, graph: GraphProto, weights: Mapping[str, Key], constants: Constants) -> Structure:
        """Return the nodes as records; the nodes that read `weights` are anchors."""
        found = {one: values for one, values in constants.items() if one not in weights}
        records: list[Record] = []
        writer: dict[str, tuple[int, int]] = {}
        anchors: dict[int, str] = {}
        for proto in graph.node:
            if proto.op_type == "Constant" and len(proto.output) == 1:
                found[str(proto.output[0])] = _constant(proto)
                continue
            data: list[tuple[int, int]] = []
            held: dict[int, npt.NDArray[Any] | None] = {}
            own: list[str] = []
            for position, name in enumerate(map(str, proto.input)):
                if name in weights:
                    own.append(initializer(*weights[name]))
                elif name in found:
                    held[position] = found[name]
                elif name:
                    if name not in writer:  # an input of the graph, or a tensor that this reader does not know
                        writer[name] = (len(records), 0)
                        records.append(Record(name, INPUT))
                    data.append(writer[name])
            at = len(records)
            if own:
                anchors[at] = own[0]
            record = written(proto, held, self._whole, self._exact)
            attributes = {**record.attributes, **({"weights": tuple(own)} if own else {})}
            records.append(replace(record, inputs=tuple(data), attributes=attributes))
            writer |= {str(name): (at, index) for index, name in enumerate(proto.output)}
        return Structure(Net("", "", tuple(records)), anchors, PASSED)


def _constant(node: NodeProto) -> npt.NDArray[Any] | None:
    for attribute in node.attribute:
        match attribute.name:
            case "value":
                return values_of(attribute.t)
            case "value_float" | "value_int":
                return np.array(attribute.f if attribute.name == "value_float" else attribute.i)
            case "value_floats" | "value_ints":
                return np.array(attribute.floats or attribute.ints)
    return None
