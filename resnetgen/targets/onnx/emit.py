"""The model's file: its skeleton, then one fragment a weight; or, past 2 GB, the weights in a file beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO

from resnetgen.ir.graph import Graph
from resnetgen.targets.onnx.schema import GraphProto, ModelProto, OperatorSetIdProto, TensorProto
from resnetgen.targets.onnx.translate import Names, Translation, initializer, ir_version
from resnetgen.weights.draw import Drawing, keys
from resnetgen.weights.source import Array, Weights
from resnetgen.weights.wire import delimited

MAX_PROTOBUF = 2**31 - 1
"""The most bytes that a protobuf message may have."""
_ALIGNMENT = 4096
"""Of a tensor in the external file, so that a runtime may map it into memory."""
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers of ModelProto, GraphProto and TensorProto

Progress = Callable[[int], None]
"""Called with the number of bytes of weights written since the last call."""


@dataclass(frozen=True)
class OnnxOptions:
    opset: int = 17
    batch: int | None = None
    """None: dynamic."""
    names: Names = field(default_factory=Names)
    metadata: dict[str, str] = field(default_factory=dict)
    producer_version: str = ""


@dataclass(frozen=True)
class OnnxPlan:
    """A model that is ready to be written: everything that can be refused has been."""

    skeleton: ModelProto
    shapes: dict[tuple[str, str], tuple[int, ...]]
    """(node, parameter) -> shape, in the order in which they are written."""
    external: bool

    @property
    def payload(self) -> int:
        """Bytes of weights."""
        return sum(4 * prod(shape) for shape in self.shapes.values())


def plan(graph: Graph, options: OnnxOptions, limit: int = MAX_PROTOBUF) -> OnnxPlan:
    """Translate a graph, or refuse it. External data is decided here, before anything is written."""
    version = ir_version(options.opset)
    made = Translation(graph, options.opset, options.names, options.batch)
    constants = [
        TensorProto(name=name, data_type=TensorProto.INT64, dims=[len(values)], int64_data=values)
        for name, values in made.constants.items()
    ]
    skeleton = ModelProto(
        ir_version=version,
        producer_name="resnetgen",
        producer_version=options.producer_version,
        opset_import=[OperatorSetIdProto(domain="", version=options.opset)],
        graph=GraphProto(
            name=graph.name,
            node=made.nodes,
            input=made.inputs,
            output=made.outputs,
            value_info=made.inner,
            initializer=constants,
        ),
    )
    for key, value in options.metadata.items():
        skeleton.metadata_props.add(key=key, value=value)
    shapes = keys(graph)
    made_plan = OnnxPlan(skeleton, shapes, external=False)
    # A tensor's own fields take less than its name and a hundred bytes.
    heads = sum(len(node) + len(parameter) + 100 for node, parameter in shapes)
    external = skeleton.ByteSize() + heads + made_plan.payload > limit
    return OnnxPlan(skeleton, shapes, external)


def write(planned: OnnxPlan, weights: Weights | Drawing, path: Path, progress: Progress = lambda _: None) -> Written:
    """Write the model to `path`, and its weights to `path`.data where they are external.

    A drawing that has begun may be given instead of the weights: that of `planned.shapes`, in their order.

    Returns the checksum of each tensor as it was drawn, and the names of the files.
    """
    checksums: dict[str, int] = {}
    data_path = path.with_name(f"{path.name}.data")
    with path.open("xb") as file:
        if planned.external:
            with data_path.open("xb") as data:
                _write_external(planned, weights, file, data, data_path.name, checksums, progress)
        else:
            file.write(planned.skeleton.SerializeToString(deterministic=True))
            for name, shape, values in _tensors(planned, weights, checksums):
                _write_fragment(file, _tensor_head(name, shape), values)
                progress(values.nbytes)
    return Written(checksums, (data_path.name, path.name) if planned.external else (path.name,))


@dataclass(frozen=True)
class Written:
    checksums: dict[str, int]
    """Initializer -> checksum of its values."""
    files: tuple[str, ...]
    """In the order in which they are to be published: the model after the data it needs."""


def _tensors(
    planned: OnnxPlan, weights: Weights | Drawing, checksums: dict[str, int]
) -> Iterator[tuple[str, tuple[int, ...], Array]]:
    drawing = weights if isinstance(weights, Drawing) else Drawing(weights, planned.shapes)
    for key, values, check in drawing:
        name, shape = initializer(*key), planned.shapes[key]
        assert values.shape == shape, (name, values.shape, shape)
        checksums[name] = check
        yield name, shape, values


def _tensor_head(name: str, shape: tuple[int, ...]) -> TensorProto:
    return TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)


def _write_fragment(file: BinaryIO, head: TensorProto, values: Array) -> None:
    """A ModelProto that holds nothing but one initializer."""
    tensor = head.SerializeToString() + delimited(_RAW_DATA, values.nbytes)
    initializer_field = delimited(_INITIALIZER, len(tensor) + values.nbytes)
    graph_field = delimited(_GRAPH, len(initializer_field) + len(tensor) + values.nbytes)
    file.write(graph_field + initializer_field + tensor)
    file.write(values.data)


def _write_external(
    planned: OnnxPlan,
    weights: Weights | Drawing,
    file: BinaryIO,
    data: BinaryIO,
    location: str,
    checksums: dict[str, int],
    progress: Progress,
) -> None:
    model = ModelProto()
    model.CopyFrom(planned.skeleton)
    for name, shape, values in _tensors(planned, weights, checksums):
        data.write(bytes(-data.tell() % _ALIGNMENT))
        head = _tensor_head(name, shape)
        head.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", str(data.tell())), ("length", str(values.nbytes))):
            head.external_data.add(key=key, value=value)
        model.graph.initializer.append(head)
        data.write(values.data)
        progress(values.nbytes)
    file.write(model.SerializeToString(deterministic=True))
