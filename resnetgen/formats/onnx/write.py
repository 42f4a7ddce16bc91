"""Writer of ONNX models: the weights are streamed to their place in the file, or into a file next to it above 2 GB or
on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path

import numpy as np
from msgspec import Struct, field

from resnetgen.errors import Code, ModelError, Span
from resnetgen.formats.onnx.lower import FloatTypes, Lowered, Names, constant, dims, initializer, ir_version
from resnetgen.formats.onnx.model.schema import GraphProto, ModelProto, OperatorSetIdProto, TensorProto
from resnetgen.formats.onnx.number_types import FloatType, rounded_to
from resnetgen.formats.onnx.serialise import around, before_values
from resnetgen.ir.graph import Graph
from resnetgen.preprocess import Preprocess
from resnetgen.profiles import DEFAULT_OPSET, Profile
from resnetgen.staging.files import Create, Output
from resnetgen.weights.draw import Drawing, keys, payload
from resnetgen.weights.source import Array, Stored, WeightSource, checksum

MAX_PROTOBUF = 2**31 - 2
"""Largest message in bytes that ONNX Runtime reads; of one byte more, which protobuf allows, it reports that parsing
failed (seen with 1.31)."""
_ALIGNMENT = 4096
"""Alignment in bytes of a tensor in the external file, so that a runtime may map it into memory."""

Progress = Callable[[int], None]
"""Function that is called with the number of bytes of weights written since the last call."""


class OnnxOptions(Struct, frozen=True):
    opset: int = DEFAULT_OPSET
    batch: int | None = None
    """Fixed batch size; None if it is dynamic."""
    names: Names = field(default_factory=Names)
    metadata: dict[str, str] = field(default_factory=dict)
    late_metadata: Callable[[], dict[str, str]] = dict
    """Function that returns the metadata known only after the weights are written, such as a checksum."""
    producer_version: str = ""
    embed: Preprocess | None = None
    """Preprocessing that the model applies to the pixels of an image; None for none."""
    runtime: Profile | None = None
    """Server that must be able to load the model; None for no particular one."""
    types: FloatTypes = field(default_factory=FloatTypes)
    late_bytes: int = 0
    """Largest size in bytes of the late metadata in the file."""
    external: bool = False
    """True if the weights go into a file next to the model, which a runtime maps into memory."""


class OnnxPlan(Struct, frozen=True):
    """A model that is ready to be written: everything that can be refused has been checked."""

    skeleton: ModelProto
    shapes: dict[tuple[str, str], tuple[int, ...]]
    """(node, parameter) -> shape, in the order of writing."""
    dims: dict[tuple[str, str], tuple[int, ...]]
    """(node, parameter) -> shape of the initializer, which has the same values."""
    around: tuple[bytes, bytes]
    """Bytes before and after the initializers, if they are in the model."""
    size: int
    """Size in bytes of the model with its weights; an upper limit if there is late metadata, else exact."""
    external: bool
    """True if the weights go into a file next to the model: on demand, or because one file would be too large."""
    kind: FloatType
    """Type in which the weights are stored."""
    places: dict[str, Span | None]
    """Node -> its place in the spec."""
    late_metadata: Callable[[], dict[str, str]] = dict

    def stamp(self) -> ModelProto:
        """Return a ModelProto with the late metadata alone, which comes last in the file."""
        return _with_metadata(ModelProto(), self.late_metadata())

    @property
    def payload(self) -> int:
        return payload(self.shapes, self.kind.dtype.itemsize)


def plan(graph: Graph, options: OnnxOptions, limit: int = MAX_PROTOBUF) -> OnnxPlan:
    """Translate a graph to a plan; external data is decided here, before anything is written.

    Raises Failure (exit 2 or 3) for an opset, a name or an op that cannot be written.
    """
    version = ir_version(options.opset, options.runtime)
    types = options.types
    made = Lowered(graph, options.opset, options.names, options.batch, options.embed, options.runtime, types)
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
            initializer=[constant(name, values) for name, values in made.constants.items()],
        ),
    )
    _with_metadata(skeleton, options.metadata)
    shapes = keys(graph)
    extents = {
        (node.name, p.name): dims(node, p, options.opset) for node in graph.nodes for p in graph.parameters(node)
    }
    places = {node.name: node.span for node in graph.nodes}
    streamed = 0
    for key, shape in shapes.items():
        nbytes = types.inner.dtype.itemsize * prod(shape)
        streamed += len(before_values(_tensor_head(initializer(*key), extents[key], types.inner), nbytes)) + nbytes
    before, after = around(skeleton, streamed)
    size = len(before) + streamed + len(after) + options.late_bytes
    external = options.external or size > limit
    return OnnxPlan(
        skeleton, shapes, extents, (before, after), size, external, types.inner, places, options.late_metadata
    )


def _with_metadata(model: ModelProto, metadata: dict[str, str]) -> ModelProto:
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return model


def write(
    planned: OnnxPlan,
    weights: WeightSource | Drawing,
    path: Path,
    progress: Progress = lambda _: None,
    create: Create = Output,
) -> dict[str, int]:
    """Write the model to `path`; external weights are written to `path`.data before it.

    `weights` may be a drawing that has begun: that of `planned.shapes`, in order. Return initializer -> checksum of its
    values as drawn, or as rounded. Raises ModelError for a weight beyond the range of its type.
    """
    checksums: dict[str, int] = {}
    tensors = _tensors(planned, weights, checksums)
    if planned.external:
        model = _write_external(planned, tensors, path.with_name(f"{path.name}.data"), progress, create)
        model.MergeFrom(planned.stamp())
        with create(path) as file:
            file.write(model.SerializeToString(deterministic=True))
        return checksums
    before, after = planned.around
    with create(path) as file:
        file.write(before)
        for name, shape, values in tensors:
            _write_tensor(file, _tensor_head(name, shape, planned.kind), values)
            progress(values.nbytes)
        file.write(after + planned.stamp().SerializeToString(deterministic=True))
    return checksums


Named = tuple[str, tuple[int, ...], Stored]
"""Name of an initializer, its shape and its values."""


def _tensors(planned: OnnxPlan, weights: WeightSource | Drawing, checksums: dict[str, int]) -> Iterator[Named]:
    drawing = weights if isinstance(weights, Drawing) else Drawing(weights, planned.shapes)
    for key, values, check in drawing:
        name, shape = initializer(*key), planned.shapes[key]
        assert values.shape == shape, (name, values.shape, shape)
        if planned.kind is FloatType.FP32:
            checksums[name] = check
            yield name, planned.dims[key], values
        else:
            rounded = _rounded(name, values, planned.kind, planned.places[key[0]])
            checksums[name] = checksum(rounded)
            yield name, planned.dims[key], rounded


def _rounded(name: str, values: Array, kind: FloatType, place: Span | None) -> Stored:
    """Round values. Raises ModelError if a finite one would become infinite; values that are not finite
    are kept."""
    rounded = rounded_to(values, kind)
    lost = values[np.isinf(rounded) & np.isfinite(values)]
    if lost.size:
        beyond = f"{lost.size:,} of the values of {name} lie beyond it, up to {np.abs(lost).max():g}"
        message = f"the range of {kind} ends at {kind.largest:g}, and {beyond}"
        raise ModelError.of(Code.PRECISION, message, place, hint="--precision fp32")
    return rounded


def _tensor_head(name: str, shape: tuple[int, ...], kind: FloatType) -> TensorProto:
    return TensorProto(name=name, data_type=kind.proto, dims=shape)


def _write_tensor(file: Output, head: TensorProto, values: Stored) -> None:
    file.write(before_values(head, values.nbytes))
    file.write(values.data)


def _write_external(
    planned: OnnxPlan, tensors: Iterable[Named], path: Path, progress: Progress, create: Create
) -> ModelProto:
    """Write the values alone; return the model, which refers to the place of each of them."""
    model = ModelProto()
    model.CopyFrom(planned.skeleton)
    with create(path) as data:
        for name, shape, values in tensors:
            data.write(bytes(-data.size % _ALIGNMENT))
            head = _tensor_head(name, shape, planned.kind)
            head.data_location = TensorProto.EXTERNAL
            for key, value in (("location", path.name), ("offset", data.size), ("length", values.nbytes)):
                head.external_data.add(key=key, value=str(value))
            model.graph.initializer.append(head)
            data.write(values.data)
            progress(values.nbytes)
    return model
