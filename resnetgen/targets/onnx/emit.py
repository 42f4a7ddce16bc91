"""The model's file, its weights streamed into their place in it; or into a file beside it, past 2 GB or on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from math import prod
from pathlib import Path

import numpy as np

from resnetgen.errors import Code, Exit, Span, fail
from resnetgen.files import Create, Output
from resnetgen.frozen import Frozen
from resnetgen.ir.graph import Graph
from resnetgen.preprocess import Preprocess
from resnetgen.profiles import DEFAULT_OPSET, Profile
from resnetgen.targets.onnx.elements import Element, stored
from resnetgen.targets.onnx.pieces import around, before_values
from resnetgen.targets.onnx.schema import GraphProto, ModelProto, OperatorSetIdProto, TensorProto
from resnetgen.targets.onnx.translate import Elements, Names, Translation, constant, dims, initializer, ir_version
from resnetgen.weights.draw import Drawing, keys, payload
from resnetgen.weights.source import Array, Stored, Weights, checksum

MAX_PROTOBUF = 2**31 - 2
"""The most bytes of a message that ONNX Runtime reads: of 2 GiB less one, which protobuf allows, it says that parsing
failed (seen with 1.31)."""
_ALIGNMENT = 4096
"""Of a tensor in the external file, so that a runtime may map it into memory."""

Progress = Callable[[int], None]
"""Called with the number of bytes of weights written since the last call."""


class OnnxOptions(Frozen):
    opset: int = DEFAULT_OPSET
    batch: int | None = None
    """None: dynamic."""
    names: Names = field(default_factory=Names)
    metadata: dict[str, str] = field(default_factory=dict)
    late_metadata: Callable[[], dict[str, str]] = dict
    """What is known only once the weights are written, such as a checksum that is computed meanwhile."""
    producer_version: str = ""
    embed: Preprocess | None = None
    """What the model is to do itself to the pixels of an image."""
    runtime: Profile | None = None
    """Who must be able to load it."""
    elements: Elements = field(default_factory=Elements)
    late_bytes: int = 0
    """The most that the late metadata take in the file."""
    external: bool = False
    """Whether the weights are to lie in a file beside the model, which a runtime maps into memory."""


class OnnxPlan(Frozen):
    """A model that is ready to be written: everything that can be refused has been."""

    skeleton: ModelProto
    shapes: dict[tuple[str, str], tuple[int, ...]]
    """(node, parameter) -> shape, in the order in which they are written."""
    dims: dict[tuple[str, str], tuple[int, ...]]
    """(node, parameter) -> shape of the initializer, which holds the same values."""
    around: tuple[bytes, bytes]
    """What stands before and after the initializers, if they stand in the model."""
    size: int
    """Bytes of the model with its weights, at most; where there is no late metadata, exactly."""
    external: bool
    """Whether the weights lie in a file beside the model: since that was asked for, or one file may not be so large."""
    element: Element
    """What the weights are stored as."""
    places: dict[str, Span | None]
    """Node -> its place in the spec."""
    late_metadata: Callable[[], dict[str, str]] = dict

    def stamp(self) -> ModelProto:
        """A ModelProto that holds nothing but the late metadata: it stands last."""
        return _with_metadata(ModelProto(), self.late_metadata())

    @property
    def payload(self) -> int:
        return payload(self.shapes, self.element.dtype.itemsize)


def plan(graph: Graph, options: OnnxOptions, limit: int = MAX_PROTOBUF) -> OnnxPlan:
    """Translate a graph, or refuse it. External data is decided here, before anything is written."""
    version = ir_version(options.opset, options.runtime)
    elements = options.elements
    made = Translation(graph, options.opset, options.names, options.batch, options.embed, options.runtime, elements)
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
    held = {(node.name, p.name): dims(node, p, options.opset) for node in graph.nodes for p in graph.parameters(node)}
    places = {node.name: node.span for node in graph.nodes}
    streamed = 0
    for key, shape in shapes.items():
        nbytes = elements.inner.dtype.itemsize * prod(shape)
        streamed += len(before_values(_tensor_head(initializer(*key), held[key], elements.inner), nbytes)) + nbytes
    before, after = around(skeleton, streamed)
    size = len(before) + streamed + len(after) + options.late_bytes
    external = options.external or size > limit
    return OnnxPlan(
        skeleton, shapes, held, (before, after), size, external, elements.inner, places, options.late_metadata
    )


def _with_metadata(model: ModelProto, metadata: dict[str, str]) -> ModelProto:
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return model


def write(
    planned: OnnxPlan,
    weights: Weights | Drawing,
    path: Path,
    progress: Progress = lambda _: None,
    create: Create = Output,
) -> dict[str, int]:
    """Write the model to `path`, and its weights to `path`.data before it where they are external.

    A drawing that has begun may be given instead of the weights: that of `planned.shapes`, in their order. Returns
    initializer -> checksum of its values as they were drawn, or rounded. Raises Failure (exit 4) for a weight that is
    beyond the range of its type.
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
            _write_tensor(file, _tensor_head(name, shape, planned.element), values)
            progress(values.nbytes)
        file.write(after + planned.stamp().SerializeToString(deterministic=True))
    return checksums


Named = tuple[str, tuple[int, ...], Stored]
"""The name of an initializer, its shape and its values."""


def _tensors(planned: OnnxPlan, weights: Weights | Drawing, checksums: dict[str, int]) -> Iterator[Named]:
    drawing = weights if isinstance(weights, Drawing) else Drawing(weights, planned.shapes)
    for key, values, check in drawing:
        name, shape = initializer(*key), planned.shapes[key]
        assert values.shape == shape, (name, values.shape, shape)
        if planned.element is Element.FP32:
            checksums[name] = check
            yield name, planned.dims[key], values
        else:
            rounded = _rounded(name, values, planned.element, planned.places[key[0]])
            checksums[name] = checksum(rounded)
            yield name, planned.dims[key], rounded


def _rounded(name: str, values: Array, element: Element, place: Span | None) -> Stored:
    """Raises Failure (exit 4) for a weight that would become infinite; one that is not finite stays as it is."""
    rounded = stored(values, element)
    lost = values[np.isinf(rounded) & np.isfinite(values)]
    if lost.size:
        beyond = f"{lost.size:,} of the values of {name} lie beyond it, up to {np.abs(lost).max():g}"
        message = f"the range of {element} ends at {element.largest:g}, and {beyond}"
        raise fail(Exit.MODEL, Code.PRECISION, message, place, hint="--precision fp32")
    return rounded


def _tensor_head(name: str, shape: tuple[int, ...], element: Element) -> TensorProto:
    return TensorProto(name=name, data_type=element.proto, dims=shape)


def _write_tensor(file: Output, head: TensorProto, values: Stored) -> None:
    file.write(before_values(head, values.nbytes))
    file.write(values.data)


def _write_external(
    planned: OnnxPlan, tensors: Iterable[Named], path: Path, progress: Progress, create: Create
) -> ModelProto:
    """Write the values alone; returns the model that says where each of them stands."""
    model = ModelProto()
    model.CopyFrom(planned.skeleton)
    with create(path) as data:
        for name, shape, values in tensors:
            data.write(bytes(-data.size % _ALIGNMENT))
            head = _tensor_head(name, shape, planned.element)
            head.data_location = TensorProto.EXTERNAL
            for key, value in (("location", path.name), ("offset", data.size), ("length", values.nbytes)):
                head.external_data.add(key=key, value=str(value))
            model.graph.initializer.append(head)
            data.write(values.data)
            progress(values.nbytes)
    return model
