"""ONNX models of others, read up to a limit, with external data in their own folder only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import load_external_data_for_model

from resnetgen.errors import Code, Failure, ModelError
from resnetgen.formats.onnx.model.external import beside
from resnetgen.formats.onnx.write import MAX_PROTOBUF
from resnetgen.inputs import read_bytes
from resnetgen.verification.input_images import InputFormat

_DTYPES: dict[str, npt.DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
"""Types of images, by ONNX Runtime's names."""


def bad(path: Path | str, why: str) -> Failure:
    """Return the ModelError of a model or a file of arrays."""
    return ModelError.of(Code.BAD_MODEL, f"{path}: {why}")


def read_model(path: Path) -> onnx.ModelProto:
    """Return a model without its external data, after checking that its files are in the model's folder.

    Raises Failure: exit 4 for an invalid model, a name that is not text, or external data elsewhere; exit 5 and 6 like
    `read_bytes`.
    """
    data = read_bytes(path, MAX_PROTOBUF, "an ONNX model")
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise bad(path, f"it is no ONNX model, or only a part of one: {error}") from None
    for name in chain.from_iterable((*node.input, *node.output) for node in proto.graph.node):
        if not isinstance(name, str):  # protobuf returns bytes for a text that is not UTF-8
            raise bad(path, f"the name of a tensor is not UTF-8 text: {name!r}")
    entries = (entry for tensor in _tensors(proto) for entry in tensor.external_data)
    for location in {str(entry.value) for entry in entries if entry.key == "location"}:
        beside(path, location)
    return proto


def load_external(proto: onnx.ModelProto, path: Path) -> None:
    """Load the external data of a model that `read_model` returned. Raises ModelError."""
    try:
        load_external_data_for_model(proto, str(path.parent))
    except Exception as error:  # onnx raises its checker's errors, and Python's for invalid numbers
        raise bad(path, f"its external data cannot be read: {error}") from None


def image_format(path: Path | str, kind: str, shape: Sequence[object]) -> tuple[int | None, InputFormat]:
    """Return the batch size (None if it is dynamic) and the format of one image, from an input's type and shape.

    Raises ModelError for an input that is not a batch of images.
    """
    if kind not in _DTYPES:
        raise bad(path, f"its input is {kind}; verify knows {', '.join(_DTYPES)}")
    first, *extents = shape or [None]
    sizes = tuple(extent for extent in extents if isinstance(extent, int) and extent > 0)
    if not sizes or len(sizes) < len(extents):
        raise bad(path, f"its input has the shape {list(shape)}: all but the batch must be numbers above 0")
    if isinstance(first, int) and first < 1:
        raise bad(path, f"its input has the shape {list(shape)}: a batch of no images")
    return first if isinstance(first, int) else None, InputFormat(sizes, np.dtype(_DTYPES[kind]))


def graph_input(proto: onnx.ModelProto, path: Path | str) -> tuple[str, str, list[int | str]]:
    """Return the name, ONNX Runtime's name of the type, and the shape of a model's only input.

    Weights may be listed among the inputs, as by old exporters. Raises ModelError if there is not exactly one
    input.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise bad(path, f"it has {len(inputs)} inputs; verify knows networks of one")
    (value,) = inputs
    kind = value.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in kind.shape.dim]
    known = onnx.TensorProto.DataType.values()
    name = onnx.TensorProto.DataType.Name(kind.elem_type).lower() if kind.elem_type in known else "unknown"
    return value.name, f"tensor({name})", shape


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model: weights, and values of attributes."""
    yield from _in_graph(proto.graph)
    for function in proto.functions:
        yield from _in_nodes(function.node)


def _in_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _in_nodes(graph.node)


def _in_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in chain.from_iterable(node.attribute for node in nodes):
        yield from (attribute.t, *attribute.tensors)
        for graph in (attribute.g, *attribute.graphs):
            yield from _in_graph(graph)
